"""Writing a file so that at every moment, power cuts included, there is the old one or the new one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from minicnn.errors import SaveError


@contextmanager
def replacing(path: str | Path, *, keep: Path | None = None) -> Iterator[Path]:
    """Give a name to write to; when the block ends well, the file is on the disk and takes the name ``path``.

    Parameters
    ----------
    path : str or Path
    keep : Path, optional
        What a file that stands at ``path`` is renamed to.

    Raises
    ------
    SaveError
        If it cannot be written; the file at ``path`` is then what it was.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(f"{folder}/a.txt") as temporary:
    ...         _ = temporary.write_text("whole or not at all")
    ...     Path(f"{folder}/a.txt").read_text()
    'whole or not at all'
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        if keep is not None and path.exists():
            os.replace(path, keep)
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise SaveError(f"{path}: cannot be written: {error.strerror}; what was saved before is untouched") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_atomically(path: str | Path, content: bytes, *, keep: Path | None = None) -> None:
    """Write bytes to a file that is replaced as a whole; see ``replacing``.

    Raises
    ------
    SaveError
        If it cannot be written; the file at ``path`` is then what it was.
    """
    with replacing(path, keep=keep) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, facts: Mapping[str, Any]) -> None:
    """Write facts as JSON that people can read, all or nothing.

    Raises
    ------
    SaveError
        If it cannot be written.
    """
    write_atomically(path, (json.dumps(facts, indent=2) + "\n").encode())


def make_folder(path: Path) -> None:
    """Make a folder, if it is not there.

    Raises
    ------
    SaveError
        If it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SaveError(f"{path}: cannot be made: {error.strerror}") from error


def _sync_folder(folder: Path) -> None:
    """Put a rename on the disk; Windows has no way, and needs none."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
