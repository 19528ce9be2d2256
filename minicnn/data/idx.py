"""The idx format, in which MNIST is published (LeCun, Cortes and Burges, yann.lecun.com/exdb/mnist).

A file is: two zero bytes, a byte for the type of the elements, a byte for the number of axes, the size along
each axis as a big-endian 32-bit integer, and the elements, big-endian, the last axis fastest. It may be gzipped.

The header of a foreign file is a claim, not a fact: the size that it declares is compared with the size of the
file before any memory is set aside, and never more than one byte beyond it is unpacked.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from minicnn.data.dataset import ArrayDataset
from minicnn.errors import LoadError

TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}

# A gzipped file may claim to hold this many bytes, or a hundred times its own size if that is more. Real images
# shrink five- to twentyfold; gzip's utmost is a thousandfold.
PLAUSIBLE = 16 * 2**20


def read_idx(path: str | Path) -> NDArray[Any]:
    """Read an idx file, gzipped or not.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    array
        In native byte order, writable.

    Raises
    ------
    LoadError
        If the file cannot be opened, is no idx file, or is shorter or longer than its header says. Nothing
        much larger than the file itself is put into memory to find that out.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "labels")
    ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3]) + bytes([5, 0, 4]))
    ...     read_idx(path)
    array([5, 0, 4], dtype=uint8)
    """
    try:
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if size == 0:
                raise LoadError(path, "the file is empty")
            if packed:
                with gzip.open(file) as unpacked:
                    return _read(path, cast("IO[bytes]", unpacked), max(PLAUSIBLE, 100 * size))
            return _read(path, file, size)
    except EOFError:
        raise LoadError(path, f"truncated: the gzip stream breaks off after {size} packed bytes") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise LoadError(path, f"corrupt gzip stream: {error}") from error
    except OSError as error:
        raise LoadError(path, f"cannot be read: {error.strerror or error}") from error


def _read(path: str | Path, file: IO[bytes], most: int) -> NDArray[Any]:
    """Read header and elements, of which the file can hold ``most`` bytes."""
    magic = file.read(4)
    if len(magic) < 4:
        raise LoadError(path, f"truncated: an idx file starts with 4 bytes, found {len(magic)}", "byte 0")
    if magic[:2] != b"\0\0":
        raise LoadError(path, f"not an idx file: it must start with two zero bytes, found {magic!r}", "byte 0")
    if magic[2] not in TYPES:
        known = ", ".join(f"0x{code:02x}" for code in TYPES)
        raise LoadError(path, f"unknown element type 0x{magic[2]:02x}, must be one of {known}", "byte 2")
    if not 1 <= magic[3] <= 32:
        raise LoadError(path, f"number of axes must lie in 1 .. 32, found {magic[3]}", "byte 3")
    header = file.read(4 * magic[3])
    if len(header) < 4 * magic[3]:
        raise LoadError(path, f"truncated: {magic[3]} sizes expected, found {len(header)} bytes of them", "byte 4")
    shape = tuple(int(size) for size in np.frombuffer(header, ">u4"))
    dtype = np.dtype(TYPES[magic[2]])
    where = f"byte {4 + len(header)}"
    expected = math.prod(shape) * dtype.itemsize
    if expected > most:
        raise LoadError(path, f"truncated: shape {shape} needs {expected} bytes, the file cannot hold them", where)
    elements = file.read(expected + 1)
    if len(elements) < expected:
        raise LoadError(path, f"truncated: shape {shape} needs {expected} bytes, found {len(elements)}", where)
    if len(elements) > expected:
        raise LoadError(path, f"too long: shape {shape} needs {expected} bytes, more follow", where)
    return np.frombuffer(elements, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def load_mnist(folder: str | Path) -> tuple[ArrayDataset, ArrayDataset]:
    """Read the four files of MNIST, or of a set of the same make (Fashion-MNIST, ...).

    Parameters
    ----------
    folder : str or Path
        Holds ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte`` and the same two with ``t10k`` for
        testing; each may end in ``.gz``.

    Returns
    -------
    (ArrayDataset, ArrayDataset)
        Training and test part; images are uint8 of shape (N, 28, 28), ink is 255.

    Raises
    ------
    LoadError
        If a file is missing or broken, images and labels do not belong together, or a label is not 0 .. 9.
    """
    return _read_part(Path(folder), "train"), _read_part(Path(folder), "t10k")


def _read_part(folder: Path, part: str) -> ArrayDataset:
    images_path, labels_path = _find(folder, f"{part}-images-idx3-ubyte"), _find(folder, f"{part}-labels-idx1-ubyte")
    images, labels = read_idx(images_path), read_idx(labels_path)
    for path, array, ndim, rule in ((images_path, images, 3, "(N, H, W)"), (labels_path, labels, 1, "(N,)")):
        if array.ndim != ndim or array.dtype != np.uint8:
            raise LoadError(path, f"must hold bytes of shape {rule}, found {array.dtype} of shape {array.shape}")
        if array.size == 0:
            raise LoadError(path, f"holds no items, its shape is {array.shape}")
    if len(images) != len(labels):
        raise LoadError(labels_path, f"{len(labels)} labels for the {len(images)} images in {images_path.name}")
    if labels.max() > 9:
        row = int(np.argmax(labels > 9))
        raise LoadError(labels_path, f"labels must lie in 0 .. 9, found {labels[row]}", f"item {row}")
    return ArrayDataset(images, labels)


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.exists():
            return path
    raise LoadError(folder / name, "no such file, and none that ends in .gz")
