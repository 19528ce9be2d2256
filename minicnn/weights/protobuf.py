"""The wire format of protocol buffers, as far as files of weights need it: numbered fields of bytes and numbers.

A message is a row of fields, each with a number, a wire type and a value; what a field means stands in the format's
``.proto`` file. Nothing of a message is read before it is asked for. See
https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minicnn.weights.source import Array, File

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MOST_FIELDS = 100_000  # of one message


class Message:
    """The fields of a message.

    Raises
    ------
    LoadError
        If the bytes are no message.
    """

    def __init__(self, file: File, data: memoryview, what: str) -> None:
        self.file, self.data, self.what = file, data, what
        self.fields: dict[int, list[int | memoryview]] = {}
        for number, value in self._scan():
            self.fields.setdefault(number, []).append(value)

    def _scan(self) -> Iterator[tuple[int, int | memoryview]]:
        at = 0
        for _ in range(MOST_FIELDS):
            if at == len(self.data):
                return
            key, at = self._number(self.data, at)
            number, kind = key >> 3, key & 7
            if kind == VARINT:
                value, at = self._number(self.data, at)
                yield number, value
                continue
            if kind == BYTES:
                size, at = self._number(self.data, at)
            elif kind in (FIXED32, FIXED64):
                size = 4 if kind == FIXED32 else 8
            else:
                raise self._error(f"has a field of the wire type {kind}", at)
            if size > len(self.data) - at:
                raise self._error(f"is truncated: field {number} has {size:,} bytes", at)
            yield number, self.data[at : at + size]
            at += size
        raise self._error(f"has more than {MOST_FIELDS:,} fields", at)

    def _number(self, data: memoryview, at: int) -> tuple[int, int]:
        """Read seven bits a byte, lowest first; the last byte has its top bit unset."""
        value = 0
        for place in range(10):
            if at + place >= len(data):
                raise self._error("is truncated", at)
            byte = data[at + place]
            value |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                return value & (2**64 - 1), at + place + 1
        raise self._error("has a number of more than 64 bits", at)

    def _error(self, what: str, at: int) -> Exception:
        return self.file.error(f"{self.what} {what}", f"byte {at} of it")

    # ------------------------------------------------------------------------------- what a field means

    def messages(self, number: int, what: str) -> list[Message]:
        """Return the messages that the field has."""
        return [Message(self.file, data, what) for data in self.bytes(number)]

    def bytes(self, number: int) -> list[memoryview]:
        """Return what the field has as bytes."""
        return [value for value in self.fields.get(number, []) if isinstance(value, memoryview)]

    def text(self, number: int) -> str:
        """Return the field as text, empty if it is not there."""
        return b"".join(self.bytes(number)[-1:]).decode("utf-8", "replace")

    def integer(self, number: int, default: int = 0) -> int:
        """Return the field as a whole number with a sign."""
        numbers = [value for value in self.fields.get(number, []) if isinstance(value, int)]
        return (numbers[-1] ^ 2**63) - 2**63 if numbers else default

    def integers(self, number: int) -> list[int]:
        """Return a repeated field of whole numbers, packed into bytes or not."""
        found: list[int] = []
        for value in self.fields.get(number, []):
            if isinstance(value, int):
                found.append(value)
                continue
            at = 0
            while at < len(value):
                integer, at = self._number(value, at)
                found.append(integer)
        return [(value ^ 2**63) - 2**63 for value in found]

    def numbers(self, number: int, dtype: str) -> Array:
        """Return a repeated field of numbers of fixed size: a view of the file if they lie together."""
        parts = self.bytes(number)
        if len(parts) == 1:
            return np.frombuffer(parts[0], dtype)
        return np.frombuffer(b"".join(parts), dtype)

    def size(self, number: int) -> int:
        """Return how many bytes the field has, without reading them."""
        return sum(len(part) for part in self.bytes(number))
