"""What every reader takes and gives: a file's bytes, and its arrays by name, read only when they are asked for."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn.errors import LoadError

Array = NDArray[Any]
Shape = tuple[int, ...]

MOST_BYTES = 8 << 30  # of all arrays of a file together: VGG-19, the largest network here, has 0.6 GB
MOST_RATIO = 100  # unpacked to packed: weights hardly shrink, a bomb does by a thousand


@dataclass(frozen=True)
class File:
    """A file's bytes, and the name that stands in messages about it.

    Attributes
    ----------
    path : path
    data : memoryview
        Of a memory map: what is not looked at is not read.
    """

    path: str | Path
    data: memoryview

    @classmethod
    def open(cls, path: str | Path) -> File:
        """Map a file into memory.

        Raises
        ------
        LoadError
            If it is missing, empty, a folder, or may not be read.
        """
        try:
            with open(path, "rb") as file:
                return cls(path, memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
        except FileNotFoundError:
            raise LoadError(path, "no such file") from None
        except IsADirectoryError:
            raise LoadError(path, "is a folder, not a file of weights") from None
        except OSError as error:
            raise LoadError(path, f"cannot be read: {error.strerror or error}") from None
        except ValueError:  # mmap's word for a file of no bytes
            raise LoadError(path, "file is empty") from None

    def error(self, what: str, where: str = "") -> LoadError:
        """Make the error that says what is wrong with this file."""
        return LoadError(self.path, what, where)

    def part(self, start: int, stop: int, what: str) -> memoryview:
        """Return some bytes; it is an error if the file ends before them."""
        if not 0 <= start <= stop <= len(self.data):
            raise self.error(
                f"truncated: {what} needs bytes {start:,} .. {stop:,}, the file has {len(self.data):,}", f"byte {start}"
            )
        return self.data[start:stop]


@dataclass(frozen=True)
class Entry:
    """An array that is still in its file.

    Attributes
    ----------
    shape : tuple of int
    dtype : dtype
        Of what ``read`` returns: bfloat16, which NumPy does not know, comes as float32.
    read : function
        () -> the array, in C order and this machine's byte order; it may be a read-only view of the file, and then
        start at any byte.
    """

    shape: Shape
    dtype: np.dtype[Any]
    read: Callable[[], Array]


@dataclass(frozen=True)
class Source(Mapping[str, Entry]):
    """The arrays of a file by the names that they have there.

    Attributes
    ----------
    path : path
    format : str
        ``"torch"``, ``"safetensors"``, ``"keras"``, ``"caffe"``, ``"npz"`` or ``"onnx"``.
    entries : dict of name to Entry
        A Keras array is called ``layer/place``: ``conv1_bn/0`` is the first array of that layer.
    metadata : dict of str to str
        What the file says of itself; only safetensors files do.
    notes : list of str
        What was seen and left aside.
    """

    path: str | Path
    format: str
    entries: dict[str, Entry]
    metadata: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __getitem__(self, name: str) -> Entry:
        return self.entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __repr__(self) -> str:
        return f"<{len(self)} arrays of {self.path} ({self.format})>"


# ----------------------------------------------------------------------------------------- bytes to arrays

# Names that torch, safetensors and ONNX have for what an element is; NumPy's own names beside them.
DTYPES = {
    **{name: np.dtype(name) for name in ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8")},
    **{name: np.dtype(name) for name in ("uint16", "uint32", "uint64", "bool", "complex64", "complex128")},
    "bfloat16": np.dtype(np.uint16),  # the upper half of a float32, see `decode`
}


def decode(raw: Any, dtype: str, *, byteorder: str = "little") -> Array:
    """Read bytes as a flat array of the elements that ``dtype`` names; nothing is copied if nothing changes."""
    stored = DTYPES[dtype].newbyteorder("<" if byteorder == "little" else ">")
    flat: Array = np.frombuffer(raw, stored)
    if not flat.dtype.isnative:
        flat = flat.astype(stored.newbyteorder("="))
    if dtype == "bfloat16":
        return (flat.astype(np.uint32) << 16).view(np.float32)
    return flat


def dtype_of(name: str) -> np.dtype[Any]:
    """Return the dtype that ``decode`` gives."""
    return np.dtype(np.float32) if name == "bfloat16" else DTYPES[name]


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file's contents."""
    with open(path, "rb") as file:
        digest: str = hashlib.file_digest(file, "sha256").hexdigest()
        return digest
