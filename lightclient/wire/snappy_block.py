"""Raw snappy blocks, as gossip carries them: the declared length is judged before anything grows.

A block declares its length in its first bytes, and decompressors allocate that much at once: twenty
bytes could ask for 4 GiB.
"""

from __future__ import annotations

import cramjam

from lightclient.errors import DecodeError
from lightclient.wire.varint import read_varint


def max_compressed_len(size: int) -> int:
    """The most bytes that snappy makes of ``size`` bytes (phase0 p2p-interface)."""
    return 32 + size + size // 6


def declared_length(block: bytes) -> tuple[int, int]:
    """The length that a block declares, with the number of bytes that say so.

    Raises:
        DecodeError: no length of at most 32 bits.
    """
    declared = read_varint(block[:10], bits=32)
    if declared is None:
        raise DecodeError(f"{len(block)} bytes are no snappy block: they declare no length")
    return declared


def decompress_block(block: bytes, limit: int) -> bytes:
    """The content of a raw snappy block, at most ``limit`` bytes.

    Raises:
        DecodeError: the block declares more than ``limit``, more than its bytes could ever give, or
            is damaged.
    """
    if len(block) > max_compressed_len(limit):
        raise DecodeError(f"a snappy block of {len(block)} bytes for at most {limit}")
    length, start = declared_length(block)
    if length > limit:
        raise DecodeError(f"a snappy block declares {length} bytes where at most {limit} may be")
    # The densest element copies 64 bytes and takes three; a lie is found before it costs memory.
    if length * 3 > (len(block) - start) * 64:
        raise DecodeError(f"{len(block)} bytes of snappy cannot hold the {length} they declare")
    try:
        content = bytes(cramjam.snappy.decompress_raw(block))
    except cramjam.DecompressionError as error:
        raise DecodeError(f"damaged snappy block: {_shortened(error)}") from None
    if len(content) != length:
        raise DecodeError(f"a snappy block declares {length} bytes and holds {len(content)}")
    return content


def compress_block(content: bytes) -> bytes:
    """A raw snappy block."""
    return bytes(cramjam.snappy.compress_raw(content))


def _shortened(error: Exception) -> str:
    return str(error)[:120]
