"""Published files, downloaded once: into a folder of their own, whole, and only if they are what they should be.

pooch keeps the folder; here is how the bytes come, in parts if need be: a download that was cut goes on where it
stopped, the next time too.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from minicnn.errors import LoadError, import_extra
from minicnn.weights.catalogue import Published, published

TRIES = 3
PATIENCE = 20.0  # seconds without a byte
PIECE = 1 << 16  # bytes; of a piece that was cut nothing is kept


def folder() -> Path:
    """Return where downloaded files are kept: ``$MINICNN_WEIGHTS_DIR``, or a folder for caches of the user's."""
    chosen = os.environ.get("MINICNN_WEIGHTS_DIR")
    return (
        Path(chosen) if chosen else Path(import_extra("pooch", "downloading weights").os_cache("minicnn")) / "weights"
    )


def fetch(name: str | Published, *, progress: bool = True) -> Path:
    """Return a published file, which is downloaded if it is not there yet.

    Parameters
    ----------
    name : str or Published
        Of an entry of the catalogue, or of a model, whose first entry is taken.
    progress : bool
        Show a bar.

    Returns
    -------
    Path
        In ``folder()``. A file that stands there and is what it should be is not asked for again.

    Raises
    ------
    OptionError
        If the catalogue has no such name.
    LoadError
        If it cannot be downloaded, or is not what it should be. The message says where to get it and where to put it.
    MissingExtraError
        If pooch is not installed.
    """
    pooch = import_extra("pooch", "downloading weights")
    entry = name if isinstance(name, Published) else published(name)
    path = folder() / entry.file
    if path.exists():
        _check(entry, path, path)
        return path
    pooch.get_logger().setLevel("ERROR")  # it would tell what we tell
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pooch.retrieve(
            entry.address,
            known_hash=None,
            fname=path.name,
            path=path.parent,
            downloader=_Download(entry, path, progress),
        )
    except OSError as error:
        raise LoadError(path, f"cannot be written: {error.strerror or error}") from None
    return path


class _Download:
    """What pooch calls to bring the bytes: ``(address, temporary file, ...)``."""

    def __init__(self, entry: Published, path: Path, progress: bool) -> None:
        self.entry, self.path, self.progress = entry, path, progress
        self.part = path.with_name(path.name + ".part")

    def __call__(self, address: str, temporary: str, manager: Any, check_only: bool = False) -> None:
        requests = import_extra("requests", "downloading weights")
        if not self.entry.digest:
            self.part.unlink(missing_ok=True)  # what cannot be checked in the end is not put together from parts
        for attempt in range(TRIES):
            try:
                self._get(requests, address)
                break
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
                if attempt + 1 == TRIES:
                    raise self._error(_why(error)) from None
            except requests.RequestException as error:
                raise self._error(_why(error)) from None
        try:
            _check(self.entry, self.part, self.path)
        except LoadError:
            self.part.unlink()
            raise
        os.replace(self.part, temporary)

    def _get(self, requests: Any, address: str) -> None:
        """Append to the part that is there already what it lacks."""
        begun = self.part.stat().st_size if self.part.exists() else 0
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={begun}-"} if begun else {})
        with requests.get(address, headers=headers, stream=True, timeout=PATIENCE) as answer:
            if answer.status_code == 416:  # nothing is left to send
                return
            if answer.status_code not in (200, 206):
                raise self._error(f"the server answers {answer.status_code} {answer.reason}")
            begun = begun if answer.status_code == 206 else 0
            length = answer.headers.get("Content-Length", "")
            total = begun + int(length) if length.isdigit() else None
            with open(self.part, "ab" if begun else "wb") as file, _bar(self.progress, self.path.name, total) as bar:
                bar.update(begun)
                for piece in answer.iter_content(PIECE):
                    file.write(piece)
                    bar.update(len(piece))
            if total is not None and self.part.stat().st_size < total:
                raise requests.ConnectionError(f"cut after {self.part.stat().st_size:,} of {total:,} bytes")

    def _error(self, why: str) -> LoadError:
        there = self.part.stat().st_size if self.part.exists() and self.entry.digest else 0
        rest = f"; {there:,} bytes are here, the next try goes on from them" if there else ""
        return LoadError(
            self.path,
            f"cannot be downloaded: {why}{rest}. By hand: get {self.entry.address} and put it into {self.path.parent}",
        )


def _why(error: Exception) -> str:
    text = str(error)
    if "NameResolution" in text or "Name or service" in text or "getaddrinfo" in text:
        return "the server's name is not known here, as without a connection to the internet"
    if "IncompleteRead" in text or "cut after" in text:
        return "the connection was cut"
    if "timed out" in text:
        return f"nothing came for {PATIENCE:.0f} s"
    return f"the connection failed ({text[:150]})"


def _check(entry: Published, file: Path, path: Path) -> None:
    """Compare a file's digest with the published one, which may be the start of it."""
    kind, _, expected = entry.digest.partition(":")
    if not kind:
        return
    with open(file, "rb") as content:
        found = hashlib.file_digest(content, kind).hexdigest()
    if not found.startswith(expected):
        raise LoadError(path, f"is not what {entry.address} should be: its {kind} is {found}, published is {expected}")


def _bar(progress: bool, name: str, total: int | None) -> Any:
    tqdm = import_extra("tqdm", "the bar of a download")
    return tqdm.tqdm(desc=name, total=total, unit="B", unit_scale=True, unit_divisor=1000, disable=not progress)
