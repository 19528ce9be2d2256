"""Safetensors: a length, a JSON header, and the raw numbers. The library checks the file, we look at it."""

from __future__ import annotations

import json
import math
import os
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minicnn.errors import import_extra
from minicnn.weights.source import Array, Entry, File, Source, decode, dtype_of

DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
    "I16": "int16", "I8": "int8", "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip
MOST_HEADER = 10_000_000  # a thousand tensors need a hundred thousand bytes


def looks_like(data: memoryview) -> bool:
    """Tell whether bytes start as a safetensors file does: the header's length, then its first brace."""
    return len(data) > 8 and data[8] == ord("{")


def read(file: File) -> Source:
    """Read a safetensors file.

    Raises
    ------
    LoadError
        If the header and the bytes after it do not fit, a name stands twice, or a dtype is not known.
    MissingExtraError
        If safetensors is not installed.
    """
    library = import_extra("safetensors", "reading safetensors")
    (length,) = struct.unpack("<Q", file.part(0, 8, "the header's length"))
    if length > MOST_HEADER:
        raise file.error(f"its header says to be {length:,} bytes long, at most {MOST_HEADER:,} are read", "byte 0")
    text = file.part(8, 8 + length, "the header")
    try:
        header = json.loads(bytes(text).decode(), object_pairs_hook=_unique)
    except RecursionError:
        raise file.error("its header is nested too deeply") from None
    except ValueError as error:
        raise file.error(f"its header is no JSON: {error}") from None
    try:
        with library.safe_open(file.path, framework="numpy") as checked:  # offsets, holes, overlaps, trailing bytes
            list(checked.keys())
    except OSError as error:
        raise file.error(f"cannot be read: {error}") from None
    except library.SafetensorError as error:
        raise file.error(f"is no sound safetensors file: {error}") from None
    metadata = header.pop("__metadata__", {})
    entries: dict[str, Entry] = {}
    for name, row in header.items():
        dtype = DTYPES.get(row["dtype"])
        if dtype is None:
            raise file.error(f"{name}: dtype {row['dtype']} is not read")
        start, stop = row["data_offsets"]
        data = file.part(8 + length + start, 8 + length + stop, name)
        shape = tuple(row["shape"])
        if len(shape) > 8 or math.prod(shape) * _itemsize(row["dtype"]) != len(data):
            raise file.error(f"{name}: shape {shape} does not fit to {len(data):,} bytes")
        entries[name] = Entry(
            shape,
            dtype_of(dtype),
            lambda data=data, dtype=dtype, shape=shape: decode(data, dtype).reshape(shape),  # type: ignore[misc]
        )
    return Source(file.path, "safetensors", entries, metadata)


def write(path: str | Path, arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    """Write arrays, each in C order, straight from where they are: views of a memory map are not copied.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    library = import_extra("safetensors.numpy", "writing safetensors")
    try:
        library.save_file(dict(arrays), path, dict(metadata))
    except import_extra("safetensors", "writing safetensors").SafetensorError as error:
        code = re.search(r"os error (\d+)", str(error))  # Rust's words for what Python raises OSError for
        raise OSError(int(code[1]), os.strerror(int(code[1]))) if code else OSError(str(error)) from error


def _itemsize(dtype: str) -> int:
    return 1 if dtype == "BOOL" else int(dtype.lstrip("BFIU")) // 8


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The library takes the last of two equal names; here they are an error."""
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} stands twice")
    return dict(pairs)
