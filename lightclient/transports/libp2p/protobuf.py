"""As much of protocol buffers as peers need: fields in, fields out, every length bounded.

Unknown fields are passed over, as the format wants it. The only error is DecodeError.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

from lightclient.errors import DecodeError
from lightclient.wire.varint import encode_varint, read_varint

Value: TypeAlias = int | bytes
Field: TypeAlias = tuple[int, Value]
"""Field number, and a number (varint) or bytes."""

MAX_FIELDS: Final = 4096
"""Of a message and all that are within it, unless told otherwise."""
_VARINT: Final = 0
_FIXED_64: Final = 1
_BYTES: Final = 2
_FIXED_32: Final = 5
_FIXED_SIZES: Final = {_FIXED_64: 8, _FIXED_32: 4}


class FieldBudget:
    """How many fields a message and those within it may have together.

    A field takes two bytes and some microseconds: a megabyte of them would hold up an event loop.
    """

    def __init__(self, limit: int = MAX_FIELDS) -> None:
        self._limit = self._left = limit

    def take(self) -> None:
        """One more. Raises DecodeError if that is too many."""
        self._left -= 1
        if self._left < 0:
            raise DecodeError(f"a message of more than {self._limit} fields")


def decode_fields(data: bytes, budget: FieldBudget | None = None) -> Iterator[Field]:
    """The fields of a message in order, those of fixed size left out.

    Raises:
        DecodeError: no message, or one of more fields than the ``budget`` has left.
    """
    budget = FieldBudget() if budget is None else budget
    position = 0
    while position < len(data):
        budget.take()
        tag, position = _varint(data, position)
        number, kind = tag >> 3, tag & 7
        if not number:
            raise DecodeError("a message with a field of number 0")
        if kind == _VARINT:
            value, position = _varint(data, position)
            yield number, value
            continue
        if kind == _BYTES:
            size, position = _varint(data, position)
        elif kind in _FIXED_SIZES:
            size = _FIXED_SIZES[kind]
        else:
            raise DecodeError(f"a message with a field of kind {kind}")
        if size > len(data) - position:
            raise DecodeError("a message that ends within a field")
        if kind == _BYTES:
            yield number, data[position : position + size]
        position += size


def _varint(data: bytes, position: int) -> tuple[int, int]:
    found = read_varint(data[position : position + 10])
    if found is None:
        raise DecodeError("a message that ends within a number")
    return found[0], position + found[1]


def encode_fields(fields: Iterable[Field]) -> bytes:
    """The message of ``fields``."""
    encoded = bytearray()
    for number, value in fields:
        if isinstance(value, int):
            encoded += encode_varint(number << 3 | _VARINT) + encode_varint(value)
        else:
            encoded += encode_varint(number << 3 | _BYTES) + encode_varint(len(value)) + value
    return bytes(encoded)


def as_bytes(value: Value) -> bytes:
    """``value`` if it is bytes; DecodeError otherwise."""
    if isinstance(value, int):
        raise DecodeError("a message with a number where bytes should be")
    return value


def as_number(value: Value) -> int:
    """``value`` if it is a number; DecodeError otherwise."""
    if isinstance(value, bytes):
        raise DecodeError("a message with bytes where a number should be")
    return value
