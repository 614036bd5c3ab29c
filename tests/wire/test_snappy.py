"""Snappy from a hostile peer: frames and blocks that lie, end early, grow or are damaged."""

from __future__ import annotations

from contextlib import suppress

import cramjam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightclient.errors import DecodeError
from lightclient.wire.snappy_block import compress_block, decompress_block
from lightclient.wire.snappy_frames import (
    MAX_FRAME_BODY,
    STREAM_IDENTIFIER,
    FrameReader,
    frame,
    max_compressed_len,
)
from lightclient.wire.varint import encode_varint, read_varint

LIMIT = 1 << 20


def header(kind: int, length: int) -> bytes:
    return bytes([kind]) + length.to_bytes(3, "little")


def read_frames(size: int, data: bytes, step: int = 0) -> tuple[bytes, bytes]:
    """The content and what was left over, fed in pieces of ``step`` bytes (0: at once)."""
    reader, buffer = FrameReader(size), bytearray()
    step = step or max(len(data), 1)
    for start in range(0, len(data), step):
        buffer += data[start : start + step]
        reader.take(buffer)
    if not reader.is_complete:
        raise EOFError
    return reader.content, bytes(buffer)


def incompressible(size: int) -> bytes:
    return b"".join(bytes([value * 167 % 251, value % 256]) for value in range(size))[:size]


@pytest.mark.parametrize("size", [0, 1, 8, 65535, 65536, 65537, 200_000])
@pytest.mark.parametrize("step", [0, 1000])
def test_what_is_framed_reads_back_whatever_pieces_it_comes_in(size: int, step: int) -> None:
    content = incompressible(size)
    assert read_frames(size, frame(content) + b"next", step)[0] == content


def test_reading_stops_exactly_where_the_declared_bytes_are_there() -> None:
    content, left = read_frames(5, frame(b"hello") + b"\x00more")
    assert (content, left) == (b"hello", b"\x00more")


def test_a_byte_at_a_time_is_read_without_holding_more_than_a_frame() -> None:
    content = incompressible(150_000)
    framed = frame(content)
    reader, buffer, most = FrameReader(len(content)), bytearray(), 0
    for byte in framed:
        buffer.append(byte)
        reader.take(buffer)
        most = max(most, len(buffer))
    assert reader.content == content
    assert most <= MAX_FRAME_BODY + 4


def test_truncated_frames_are_incomplete_not_short() -> None:
    framed = frame(b"hello" * 30)
    for cut in range(len(framed)):
        with pytest.raises(EOFError):
            read_frames(150, framed[:cut])


def test_uncompressed_repeated_and_skippable_frames_are_legal() -> None:
    plain = bytes(cramjam.snappy.compress(b"x" * 8))  # too short to compress: kind 1
    assert plain[10] == 0x01
    padding = header(0xFE, 3) + b"\0\0\0"
    skippable = header(0x80, 2) + b"hi"
    doubled = STREAM_IDENTIFIER + padding + plain[10:] + skippable + STREAM_IDENTIFIER + plain[10:]
    with pytest.raises(DecodeError, match="snappy frames for"):
        read_frames(16, doubled)  # legal frames, but more of them than 16 bytes can need
    long = frame(b"y" * 100)
    with_padding = STREAM_IDENTIFIER + padding + skippable + STREAM_IDENTIFIER + long[10:]
    assert read_frames(100, with_padding)[0] == b"y" * 100


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (frame(b"hello")[10:], "without their stream identifier"),
        (b"\xff\x06\x00\x00sNaPpX" + frame(b"hello")[10:], "another stream identifier"),
        (header(0xFF, 7), "of another length"),
        (STREAM_IDENTIFIER + header(0x00, 3), "too short for its checksum"),
        (STREAM_IDENTIFIER + header(0x02, 0), "reserved kind 0x02"),
        (STREAM_IDENTIFIER + header(0x7F, 0), "reserved kind 0x7f"),
        (STREAM_IDENTIFIER + header(0x00, MAX_FRAME_BODY + 1), "may be"),
        (STREAM_IDENTIFIER + header(0x01, 0xFFFFFF), "may be"),
        (STREAM_IDENTIFIER + header(0xFE, 0xFFFFFF), "may be"),
        (STREAM_IDENTIFIER + header(0xFE, 4000), "for 5 bytes"),
        (frame(b"hello!"), "more than the 5 bytes declared"),
        (frame(b"hello" * 9), "more than the 5 bytes declared"),
        (STREAM_IDENTIFIER + header(0x00, 5) + b"\0\0\0\0\x80", "declare no length"),
        (STREAM_IDENTIFIER + header(0x00, 8) + b"\0\0\0\0\xff\xff\xff\x7f", "declares 268435455"),
    ],
)
def test_frames_that_break_the_format_or_a_bound_are_refused(data: bytes, why: str) -> None:
    with pytest.raises(DecodeError, match=why):
        read_frames(5, data)


def test_a_frame_is_refused_by_its_header_before_its_body_is_awaited() -> None:
    reader = FrameReader(LIMIT)
    with pytest.raises(DecodeError):
        reader.take(bytearray(STREAM_IDENTIFIER + header(0x00, MAX_FRAME_BODY + 1)))


def test_a_wrong_checksum_is_found_in_both_kinds_of_frame() -> None:
    for content in (b"short", b"long" * 100):
        damaged = bytearray(frame(content))
        damaged[15] ^= 1
        with pytest.raises(DecodeError, match="checksum"):
            read_frames(len(content), bytes(damaged))


def test_frames_of_nothing_do_not_go_on_for_ever() -> None:
    empty = header(0x01, 4) + bytes.fromhex("d8ea82a2")  # the masked checksum of nothing
    reader, buffer = FrameReader(LIMIT), bytearray(STREAM_IDENTIFIER)
    buffer += empty * 5000
    with pytest.raises(DecodeError, match="too many snappy frames"):
        reader.take(buffer)


def test_a_frame_bomb_is_cut_at_its_declared_size() -> None:
    bomb = frame(bytes(50_000_000))
    reader = FrameReader(100_000)
    with pytest.raises(DecodeError):
        reader.take(bytearray(bomb))
    assert len(reader.content) <= 100_000


@given(st.binary(max_size=400), st.integers(0, 300))
def test_random_bytes_give_content_or_a_decode_error(data: bytes, size: int) -> None:
    for prefix in (b"", STREAM_IDENTIFIER):
        buffer = bytearray(prefix + data)
        reader = FrameReader(size)
        try:
            if reader.take(buffer):
                assert len(reader.content) == size
        except DecodeError:
            pass


@given(st.binary(max_size=200), st.data())
def test_a_flipped_bit_in_a_frame_never_yields_other_content(
    content: bytes, draw: st.DataObject
) -> None:
    framed = bytearray(frame(content))
    if not framed:
        return
    bit = draw.draw(st.integers(0, len(framed) * 8 - 1))
    framed[bit // 8] ^= 1 << bit % 8
    with suppress(DecodeError, EOFError):
        assert read_frames(len(content), bytes(framed))[0] == content


def test_a_block_reads_back() -> None:
    for size in (0, 1, 100, 70_000):
        assert decompress_block(compress_block(bytes(size)), LIMIT) == bytes(size)


@pytest.mark.parametrize("declared", [LIMIT + 1, 2**28, 2**31, 2**32 - 1])
def test_a_block_that_declares_too_much_is_refused_before_it_is_decompressed(declared: int) -> None:
    with pytest.raises(DecodeError, match=f"declares {declared} bytes"):
        decompress_block(encode_varint(declared) + b"\x00a", LIMIT)


@pytest.mark.parametrize("declared", [2**32, 2**40, 2**63])
def test_a_length_of_more_than_32_bits_is_none(declared: int) -> None:
    with pytest.raises(DecodeError, match="32 bits"):
        decompress_block(encode_varint(declared) + b"\x00a", LIMIT)


def test_a_block_that_could_never_hold_what_it_declares_is_refused() -> None:
    with pytest.raises(DecodeError, match="cannot hold"):
        decompress_block(encode_varint(LIMIT) + b"\x00a" * 100, LIMIT)
    assert decompress_block(compress_block(bytes(LIMIT)), LIMIT) == bytes(LIMIT)


@pytest.mark.parametrize(
    "block", [b"", b"\x80", b"\xff" * 20, b"\x05aaaa", b"\x01" + compress_block(b"hello world")[1:]]
)
def test_damaged_blocks_are_decode_errors(block: bytes) -> None:
    with pytest.raises(DecodeError):
        decompress_block(block, LIMIT)


def test_a_block_longer_than_any_of_its_content_is_refused_unread() -> None:
    with pytest.raises(DecodeError, match="for at most 10"):
        decompress_block(bytes(max_compressed_len(10) + 1), 10)


@given(st.binary(max_size=300))
def test_random_blocks_give_content_or_a_decode_error(block: bytes) -> None:
    with suppress(DecodeError):
        assert len(decompress_block(block, 4096)) <= 4096


@given(st.integers(0, 2**64 - 1), st.binary(max_size=3))
def test_a_varint_reads_back_and_waits_for_its_last_byte(value: int, rest: bytes) -> None:
    encoded = encode_varint(value)
    assert read_varint(encoded + rest) == (value, len(encoded))
    assert all(read_varint(encoded[:cut]) is None for cut in range(len(encoded)))


def test_a_varint_of_eleven_bytes_or_65_bits_is_refused() -> None:
    assert read_varint(b"\x80" * 9) is None
    assert read_varint(b"\x80" * 9 + b"\x00") == (0, 10)
    with pytest.raises(DecodeError):
        read_varint(b"\x80" * 10)
    with pytest.raises(DecodeError):
        read_varint(encode_varint(2**64))
