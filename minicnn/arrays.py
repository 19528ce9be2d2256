"""What a Tensor asks of the array that it is given, and how it notices that others write to it."""

from __future__ import annotations

import zlib
from sys import getrefcount
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn.errors import DTypeError, ShapeError


def real_numbers(op: str, name: str, value: Any) -> NDArray[Any]:
    """Return ``value`` as an array of real numbers, not copied where it is one already."""
    if isinstance(value, np.ma.MaskedArray):
        raise DTypeError(f"{op}: {name} is a masked array, whose mask would be ignored; call .filled(value) first")
    try:
        values = np.asarray(value)
    except ValueError as error:
        raise ShapeError(f"{op}: {name} must be rectangular, got {error}") from None
    if values.dtype.kind not in "fiub" or values.dtype == np.longdouble:
        raise DTypeError(f"{op}: {name} must hold real numbers, got dtype {values.dtype}")
    return values


def crc(array: NDArray[Any]) -> int:
    """Return a number that changes with the contents."""
    return zlib.crc32(array.reshape(-1).view(np.uint8).data)


class Block:
    """What is known of one block of memory, shared by all tensors that look at it."""

    __slots__ = ("array", "changes", "checksum")

    def __init__(self) -> None:
        self.changes = 0
        self.array: NDArray[Any] | None = None  # the memory itself, once it was changed or handed out
        self.checksum: int | None = None  # of the contents at the moment of handing out


def has_own_memory(array: NDArray[Any]) -> bool:
    """Whether the memory is the array's alone: it is no view, or a view of all of an array that nobody else holds."""
    if array.base is None:
        return True
    return array.base.nbytes == array.nbytes and getrefcount(array.base) <= 2  # the view, and the count's own argument
