"""NumPy's ``.npz``: a zip file of ``.npy`` files, each a short header and the raw numbers."""

from __future__ import annotations

import io
import math
import warnings

import numpy as np

from minicnn.weights.source import Array, Entry, File, Source, check_size
from minicnn.weights.zip_archive import Archive

NUMBERS = "fiub"  # kinds of dtype that are read: floats, integers, bool


def read(file: File, archive: Archive) -> Source:
    """Read an ``.npz`` file.

    Raises
    ------
    LoadError
        If it is damaged, or an array holds objects, records or text: only numbers are read.
    """
    entries: dict[str, Entry] = {}
    notes: list[str] = []
    total = 0
    for member in archive.members:
        if not member.endswith(".npy"):
            notes.append(f"{member} is no array and was left aside")
            continue
        name = member.removesuffix(".npy")
        data = archive.read(member) if archive.stored(member) else memoryview(bytes(archive.read(member)))
        shape, fortran, dtype, start = _header(file, member, data)
        size = math.prod(shape) * dtype.itemsize
        if len(shape) > 8 or min(shape, default=0) < 0 or size != len(data) - start:
            raise file.error(f"{member}: shape {shape} of {dtype} needs {size:,} bytes, it has {len(data) - start:,}")
        check_size(file, name, size, total)
        total += size

        def read_array(
            data: memoryview = data[start:], shape: tuple[int, ...] = shape, fortran: bool = fortran,
            dtype: np.dtype = dtype,
        ) -> Array:  # fmt: skip
            flat = np.frombuffer(data, dtype)
            array = flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)
            native = np.ascontiguousarray(array, dtype.newbyteorder("="))
            return native.reshape(shape) if native.flags.aligned else native.copy()

        entries[name] = Entry(shape, dtype.newbyteorder("="), read_array)
    return Source(file.path, "npz", entries, notes=notes)


def _header(file: File, member: str, data: memoryview) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Read what stands before the numbers; NumPy does it, and evaluates nothing but literals."""
    stream = io.BytesIO(bytes(data[: 1 << 16]))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            version = np.lib.format.read_magic(stream)
            reader = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            if version not in reader:
                raise ValueError(f"version {version} is unknown")
            shape, fortran, dtype = reader[version](stream)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError, OverflowError, EOFError) as error:
        raise file.error(f"{member} has no header of a NumPy array: {str(error)[:200]}") from None
    if dtype.kind not in NUMBERS or dtype.names is not None or dtype.subdtype is not None:
        raise file.error(f"{member} holds {dtype}, and only numbers are read")
    if not all(type(n) is int for n in shape):
        raise file.error(f"{member} has the shape {shape}")
    return shape, fortran, dtype, stream.tell()
