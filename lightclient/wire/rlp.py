"""Recursive Length Prefix, as node records and discovery messages use it: strict and bounded.

A value is ``bytes`` or a tuple of values. Exactly one encoding of each is accepted, so encoding
what was decoded gives the same bytes back, which is what signatures are checked over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from lightclient.errors import DecodeError

Item: TypeAlias = bytes | tuple["Item", ...]
Encodable: TypeAlias = bytes | int | Sequence["Encodable"]

MAX_RLP_SIZE: Final = 1280
"""The largest datagram of discovery; nothing longer is looked at."""
MAX_DEPTH: Final = 8

_STRING: Final = 0x80
_LIST: Final = 0xC0
_LONGEST_SHORT: Final = 55


def encode_rlp(value: Encodable) -> bytes:
    """The encoding of bytes, of a number (big endian, without leading zeros), or of a sequence.

    Raises:
        ValueError: a negative number.
    """
    if isinstance(value, int):
        if value < 0:
            raise ValueError(f"{value} is negative")
        value = value.to_bytes((value.bit_length() + 7) // 8, "big")
    if isinstance(value, bytes):
        if len(value) == 1 and value[0] < _STRING:
            return value
        return _prefix(_STRING, len(value)) + value
    body = b"".join(map(encode_rlp, value))
    return _prefix(_LIST, len(body)) + body


def _prefix(base: int, length: int) -> bytes:
    if length <= _LONGEST_SHORT:
        return bytes([base + length])
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([base + _LONGEST_SHORT + len(size)]) + size


def decode_rlp(data: bytes) -> Item:
    """The value of ``data``, all of it.

    Raises:
        DecodeError: more than MAX_RLP_SIZE bytes, nested deeper than MAX_DEPTH, not canonical,
            truncated, or followed by anything.
    """
    if len(data) > MAX_RLP_SIZE:
        raise DecodeError(f"RLP of {len(data)} bytes, where at most {MAX_RLP_SIZE} may be")
    value, end = _decode(data, 0, len(data), MAX_DEPTH)
    if end != len(data):
        raise DecodeError(f"{len(data) - end} bytes after the end of RLP")
    return value


def decode_list(data: bytes) -> tuple[Item, ...]:
    """The list that ``data`` is; raises DecodeError, also for a string."""
    value = decode_rlp(data)
    if isinstance(value, bytes):
        raise DecodeError("an RLP string where a list was expected")
    return value


def as_bytes(item: Item, what: str) -> bytes:
    """``item`` if it is a string; DecodeError naming ``what`` otherwise."""
    if not isinstance(item, bytes):
        raise DecodeError(f"{what} is a list")
    return item


def as_number(item: Item, what: str, bits: int = 64) -> int:
    """The number that ``item`` is, of at most ``bits`` bits.

    Raises:
        DecodeError: a list, leading zeros, or too large.
    """
    raw = as_bytes(item, what)
    if raw[:1] == b"\0":
        raise DecodeError(f"{what} has leading zeros")
    if len(raw) * 8 > bits:
        raise DecodeError(f"{what} has more than {bits} bits")
    return int.from_bytes(raw, "big")


def _decode(data: bytes, position: int, limit: int, depth: int) -> tuple[Item, int]:
    """The item at ``position``, which must end by ``limit``, and where it ends."""
    start, end, is_list = _span(data, position, limit)
    if not is_list:
        content = data[start:end]
        if start > position and len(content) == 1 and content[0] < _STRING:
            raise DecodeError("RLP is not canonical: a prefix before a single small byte")
        return content, end
    if not depth:
        raise DecodeError(f"RLP is nested deeper than {MAX_DEPTH}")
    items = []
    while start < end:
        item, start = _decode(data, start, end, depth - 1)
        items.append(item)
    return tuple(items), end


def _span(data: bytes, position: int, limit: int) -> tuple[int, int, bool]:
    """Where the content of the item at ``position`` starts and ends, and whether it is a list."""
    if position >= limit:
        raise DecodeError("RLP ends too early")
    first = data[position]
    if first < _STRING:
        return position, position + 1, False
    is_list = first >= _LIST
    length = first - (_LIST if is_list else _STRING)
    start = position + 1
    if length > _LONGEST_SHORT:
        size = data[start : min(start + length - _LONGEST_SHORT, limit)]
        if len(size) < length - _LONGEST_SHORT:
            raise DecodeError("RLP ends too early")
        start += len(size)
        length = int.from_bytes(size, "big")
        if size[0] == 0 or length <= _LONGEST_SHORT:
            raise DecodeError("RLP is not canonical: a longer length prefix than needed")
    if length > limit - start:
        raise DecodeError("RLP ends too early")
    return start, start + length, is_list
