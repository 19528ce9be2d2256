"""NumPy's ``.npz``: a zip file of ``.npy`` files, each a short header and the raw numbers."""

from __future__ import annotations

import io
import math
import warnings
from functools import partial
from typing import Any

import numpy as np

from minicnn.weights.source import Array, Entry, File, Shape, Source
from minicnn.weights.zip_archive import Archive

NUMBERS = "fiub"  # kinds of dtype that are read: floats, integers, bool
MOST_HEADER = 1 << 16  # bytes


def read(file: File, archive: Archive) -> Source:
    """Read an ``.npz`` file.

    Raises
    ------
    LoadError
        If it is damaged, or an array holds objects, records or text: only numbers are read.
    """
    entries: dict[str, Entry] = {}
    notes: list[str] = []
    for member in archive.members:
        if not member.endswith(".npy"):
            notes.append(f"{member} is no array and was left aside")
            continue
        name = member.removesuffix(".npy")
        shape, fortran, dtype, start = _header(file, member, archive.start_of(member, MOST_HEADER))
        size, stored = math.prod(shape) * dtype.itemsize, archive.members[member].file_size - start
        if len(shape) > 8 or min(shape, default=0) < 0 or size != stored:
            raise file.error(f"{member}: shape {shape} of {dtype} needs {size:,} bytes, it has {stored:,}")
        native = dtype.newbyteorder("=")
        entries[name] = Entry(shape, native, partial(_array, archive, member, start, shape, dtype, fortran))
    return Source(file.path, "npz", entries, notes=notes)


def _array(archive: Archive, member: str, start: int, shape: Shape, dtype: np.dtype[Any], fortran: bool) -> Array:
    flat: Array = np.frombuffer(archive.read(member)[start:], dtype)
    array = flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)
    return np.require(array, dtype.newbyteorder("="), ["C"]).reshape(shape)


def _header(file: File, member: str, data: memoryview) -> tuple[Shape, bool, np.dtype[Any], int]:
    """Read what stands before the numbers; NumPy does it, and evaluates nothing but literals."""
    stream = io.BytesIO(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            version = np.lib.format.read_magic(stream)
            reader = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            if version not in reader:
                raise ValueError(f"version {version} is unknown")
            shape, fortran, dtype = reader[version](stream)
    except Exception as error:  # of Python's parser too: SyntaxError, TokenError, RecursionError, MemoryError, ...
        raise file.error(f"{member} has no header of a NumPy array: {str(error)[:200]}") from None
    if dtype.kind not in NUMBERS or dtype.names is not None or dtype.subdtype is not None:
        raise file.error(f"{member} holds {dtype}, and only numbers are read")
    if not all(type(n) is int for n in shape):
        raise file.error(f"{member} has the shape {shape}")
    return shape, fortran, dtype, stream.tell()
