"""Requests on req/resp streams, written and read, whole, piecewise and hostile."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightclient.errors import DecodeError
from lightclient.wire.messages import BlocksByRange, GoodbyeReason, Status, UpdatesByRange
from lightclient.wire.protocols import (
    BEACON_BLOCKS_BY_RANGE_2,
    BEACON_BLOCKS_BY_ROOT_2,
    GOODBYE_1,
    LIGHT_CLIENT_BOOTSTRAP_1,
    LIGHT_CLIENT_FINALITY_UPDATE_1,
    LIGHT_CLIENT_OPTIMISTIC_UPDATE_1,
    LIGHT_CLIENT_UPDATES_BY_RANGE_1,
    METADATA_2,
    METADATA_3,
    PING_1,
    PROTOCOLS,
    STATUS_1,
    STATUS_2,
    Protocol,
)
from lightclient.wire.requests import RequestReader, encode_request
from lightclient.wire.snappy_frames import STREAM_IDENTIFIER, frame
from lightclient.wire.varint import encode_varint

REQUESTS = [
    (LIGHT_CLIENT_BOOTSTRAP_1, b"\x07" * 32),
    (LIGHT_CLIENT_UPDATES_BY_RANGE_1, UpdatesByRange(800, 128)),
    (LIGHT_CLIENT_FINALITY_UPDATE_1, None),
    (LIGHT_CLIENT_OPTIMISTIC_UPDATE_1, None),
    (BEACON_BLOCKS_BY_RANGE_2, BlocksByRange(6_000_000, 64)),
    (BEACON_BLOCKS_BY_ROOT_2, (b"\x01" * 32, b"\x02" * 32)),
    (BEACON_BLOCKS_BY_ROOT_2, ()),
    (BEACON_BLOCKS_BY_ROOT_2, (b"\x01" * 32,) * 1024),
    (STATUS_1, Status(b"abcd", bytes(32), 5, b"\x01" * 32, 171)),
    (STATUS_2, Status(b"abcd", bytes(32), 5, b"\x01" * 32, 171, 12)),
    (PING_1, 2**64 - 1),
    (METADATA_2, None),
    (METADATA_3, None),
    (GOODBYE_1, int(GoodbyeReason.TOO_MANY_PEERS)),
]


def read_request(protocol: Protocol, data: bytes, step: int = 0) -> Any:
    reader = RequestReader(protocol)
    step = step or max(len(data), 1)
    for start in range(0, len(data), step):
        reader.receive(data[start : start + step])
    reader.receive_end()
    return reader.request


@pytest.mark.parametrize(("protocol", "request_"), REQUESTS)
@pytest.mark.parametrize("step", [0, 1])
def test_every_request_reads_back(protocol: Protocol, request_: Any, step: int) -> None:
    assert read_request(protocol, encode_request(protocol, request_), step) == request_


def test_a_request_without_content_is_no_byte_at_all() -> None:
    assert encode_request(METADATA_2) == b""
    with pytest.raises(ValueError, match="takes no request"):
        encode_request(METADATA_2, 5)


def test_a_request_can_be_answered_before_the_peer_closes_its_side() -> None:
    reader = RequestReader(PING_1)
    written = encode_request(PING_1, 3)
    reader.receive(written[:-1])
    assert not reader.is_complete
    reader.receive(written[-1:])
    assert reader.is_complete
    assert reader.request == 3


@pytest.mark.parametrize(("protocol", "request_"), REQUESTS)
def test_a_truncated_request_is_refused(protocol: Protocol, request_: Any) -> None:
    written = encode_request(protocol, request_)
    for cut in range(min(len(written), 60)):
        with pytest.raises(DecodeError, match="ended too early"):
            read_request(protocol, written[:cut])


@pytest.mark.parametrize(("protocol", "request_"), REQUESTS)
def test_bytes_after_a_request_are_refused(protocol: Protocol, request_: Any) -> None:
    with pytest.raises(DecodeError, match="bytes after"):
        read_request(protocol, encode_request(protocol, request_) + b"\x00")


def test_an_empty_list_may_come_with_or_without_an_empty_stream() -> None:
    assert read_request(BEACON_BLOCKS_BY_ROOT_2, b"\x00") == ()
    assert read_request(BEACON_BLOCKS_BY_ROOT_2, b"\x00" + STREAM_IDENTIFIER, 1) == ()


@pytest.mark.parametrize("size", [0, 31, 33, 2**20, 2**40])
def test_a_size_that_the_type_cannot_have_is_refused_at_once(size: int) -> None:
    with pytest.raises(DecodeError, match=f"cannot have {size} bytes"):
        RequestReader(LIGHT_CLIENT_BOOTSTRAP_1).receive(encode_varint(size))


def test_too_many_or_crooked_roots_are_refused() -> None:
    with pytest.raises(ValueError, match="1024 roots"):
        encode_request(BEACON_BLOCKS_BY_ROOT_2, (bytes(32),) * 1025)
    with pytest.raises(ValueError, match="32 bytes"):
        encode_request(BEACON_BLOCKS_BY_ROOT_2, (bytes(31),))
    with pytest.raises(DecodeError, match="cannot have"):
        read_request(BEACON_BLOCKS_BY_ROOT_2, encode_varint(32 * 1025))
    with pytest.raises(DecodeError, match="no list"):
        read_request(BEACON_BLOCKS_BY_ROOT_2, encode_varint(33) + frame(bytes(33)))


@given(st.sampled_from(PROTOCOLS), st.binary(max_size=200), st.integers(0, 5))
def test_random_bytes_give_a_request_or_a_decode_error(
    protocol: Protocol, data: bytes, step: int
) -> None:
    with suppress(DecodeError):
        read_request(protocol, data, step)
