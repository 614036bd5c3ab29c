"""Unsigned protobuf varints: the length prefixes of req/resp messages and of snappy blocks."""

from __future__ import annotations

from typing import Final

from lightclient.errors import DecodeError

MAX_VARINT_BYTES: Final = 10
"""Enough for a uint64; a longer prefix is refused (phase0 p2p-interface)."""


def encode_varint(value: int) -> bytes:
    """The shortest varint of ``value``, which is not negative."""
    if value < 0:
        raise ValueError(f"{value} is negative")
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def read_varint(data: bytes | bytearray, bits: int = 64) -> tuple[int, int] | None:
    """The varint that opens ``data`` as ``(value, bytes taken)``; None if it is not all there yet.

    Redundant zero groups are let pass, as in the specification, up to ten bytes.

    Raises:
        DecodeError: more than ten bytes, or a value of more than ``bits`` bits.
    """
    value = 0
    for index, byte in enumerate(data[:MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if value >> bits:
                raise DecodeError(f"a length prefix of more than {bits} bits")
            return value, index + 1
    if len(data) >= MAX_VARINT_BYTES:
        raise DecodeError(f"a length prefix of more than {MAX_VARINT_BYTES} bytes")
    return None
