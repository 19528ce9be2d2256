"""The folder of a run: its two last checkpoints, and a lock so that no two runs write into one folder."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from minicnn.errors import LoadError, SaveError, VersionError
from minicnn.train.checkpoint import Checkpoint

CONFIG = "config.json"  # the choices of a run
CURRENT, PREVIOUS, CORRUPT = "checkpoint.safetensors", "previous.safetensors", "corrupt.safetensors"

if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        os.lseek(handle, 1024, os.SEEK_SET)  # Windows keeps others from reading the locked bytes: not the id
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        os.lseek(handle, 0, os.SEEK_SET)
else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def read_config(folder: str | Path, what: str) -> Iterator[dict[str, Any]]:
    """Give the choices of the run in a folder to a block that makes ``what`` of them.

    Raises
    ------
    LoadError
        If the folder holds none, or the block cannot use them.
    """
    path = Path(folder) / CONFIG
    try:
        yield json.loads(path.read_text())
    except FileNotFoundError:
        raise LoadError(folder, f"is not the folder of a run: it has no {CONFIG}") from None
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise LoadError(path, f"cannot be read as {what}: {error}") from error


class RunFolder:
    """Own a folder while a run writes into it: ``with RunFolder(path) as folder``.

    The lock is the operating system's, on the file ``.lock``: it ends with the process, however that ends, so
    a run that was killed leaves nothing behind that would stop the next one.

    Raises
    ------
    SaveError
        On entering, if the folder cannot be made or written to, or another run owns it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._handle = -1

    def __enter__(self) -> Self:
        lock = self.path / ".lock"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise SaveError(f"{self.path}: cannot be written to: {error.strerror}") from error
        try:
            _lock(self._handle)
        except OSError as error:
            os.close(self._handle)
            owner = lock.read_text() or "unknown"
            raise SaveError(f"{self.path}: another run (process {owner}) is writing into this folder") from error
        os.ftruncate(self._handle, 0)
        os.write(self._handle, str(os.getpid()).encode())
        for left_behind in self.path.glob(".*.tmp"):
            left_behind.unlink(missing_ok=True)
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._handle)

    def save(self, checkpoint: Checkpoint) -> None:
        """Write the checkpoint; the last one becomes the previous one."""
        checkpoint.save(self.path / CURRENT, keep=self.path / PREVIOUS)

    def resume(self) -> Checkpoint:
        """Return the last sound checkpoint; a corrupt one is put aside, lest it become the previous one."""
        checkpoint, path = _last_sound(self.path)
        if path.name == PREVIOUS and (self.path / CURRENT).exists():
            os.replace(self.path / CURRENT, self.path / CORRUPT)
        return checkpoint


def holds_checkpoint(folder: str | Path) -> bool:
    """Whether a run has saved something here."""
    return any(Path(folder, name).exists() for name in (CURRENT, PREVIOUS))


def load_checkpoint(folder: str | Path) -> Checkpoint:
    """Read the last checkpoint of a run, or, with a warning, the one before if that is corrupt.

    Parameters
    ----------
    folder : str or Path
        The run's folder; a run may be writing to it.

    Raises
    ------
    LoadError
        If there is no sound checkpoint.
    VersionError
        If a newer minicnn wrote it.
    """
    return _last_sound(Path(folder))[0]


def _last_sound(folder: Path) -> tuple[Checkpoint, Path]:
    trouble = None
    for path in (folder / CURRENT, folder / PREVIOUS):
        if not path.exists():
            continue
        try:
            checkpoint = Checkpoint.load(path)
        except VersionError:
            raise
        except LoadError as error:
            trouble = trouble or error
            continue
        if trouble is not None:
            warnings.warn(f"{trouble}; going back to {path.name}, the checkpoint before it", stacklevel=3)
        return checkpoint, path
    raise trouble or LoadError(folder, "holds no checkpoint")
