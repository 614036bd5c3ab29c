"""Answers on req/resp streams: chunks come out whole, and whatever else a peer sends does not."""

from __future__ import annotations

import random
import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightclient.config import MINIMAL, network_by_name
from lightclient.containers import ObjectKind
from lightclient.errors import DecodeError
from lightclient.wire.messages import Metadata, Status
from lightclient.wire.protocols import (
    BEACON_BLOCKS_BY_RANGE_2,
    LIGHT_CLIENT_BOOTSTRAP_1,
    LIGHT_CLIENT_FINALITY_UPDATE_1,
    LIGHT_CLIENT_OPTIMISTIC_UPDATE_1,
    LIGHT_CLIENT_UPDATES_BY_RANGE_1,
    MAX_PAYLOAD_SIZE,
    METADATA_3,
    PING_1,
    PROTOCOLS,
    STATUS_1,
    STATUS_2,
    Protocol,
    object_bounds,
)
from lightclient.wire.responses import (
    Chunk,
    ErrorChunk,
    ResponseEvent,
    ResponseReader,
    decode_object,
    decode_payload,
    encode_chunk,
    encode_error,
)
from lightclient.wire.snappy_frames import frame
from lightclient.wire.varint import encode_varint

MAINNET = network_by_name("mainnet")
SMALL = replace(MAINNET, preset=MINIMAL)
DENEB = MAINNET.compute_fork_digest(269568)
PING_ANSWER = encode_chunk(bytes(8))


def events_of(
    protocol: Protocol, data: bytes, step: int = 0, max_chunks: int | None = None
) -> list[ResponseEvent | str]:
    """Every event of a stream that is fed in pieces and then ends; a failure ends it as text."""
    reader = ResponseReader(protocol, SMALL, max_chunks)
    events: list[ResponseEvent | str] = []
    step = step or max(len(data), 1)
    try:
        for start in range(0, len(data), step):
            reader.receive(data[start : start + step])
            while (event := reader.next_event()) is not None:
                events.append(event)
        reader.receive_end()
        while (event := reader.next_event()) is not None:
            events.append(event)
    except DecodeError as error:
        events.append(str(error))
    return events


def update_bytes(size: int = 0) -> bytes:
    least, _ = object_bounds(ObjectKind.UPDATE, 32)
    return random.Random(least).randbytes(size or least)


def test_the_ids_are_the_network_s() -> None:
    ids = [protocol.protocol_id for protocol in PROTOCOLS]
    assert "/eth2/beacon_chain/req/light_client_updates_by_range/1/ssz_snappy" in ids
    assert "/eth2/beacon_chain/req/beacon_blocks_by_root/2/ssz_snappy" in ids
    assert "/eth2/beacon_chain/req/status/2/ssz_snappy" in ids
    assert len(set(ids)) == len(ids) == 12


@pytest.mark.parametrize("step", [0, 1, 7])
def test_chunks_come_out_in_order_whatever_pieces_they_come_in(step: int) -> None:
    payload = update_bytes()
    answer = b"".join(encode_chunk(payload, bytes([n]) * 4) for n in range(3))
    expected = [Chunk(bytes([n]) * 4, payload) for n in range(3)]
    assert events_of(LIGHT_CLIENT_UPDATES_BY_RANGE_1, answer, step) == expected


def test_chunks_before_an_error_chunk_are_kept() -> None:
    answer = encode_chunk(update_bytes(), DENEB) + encode_error(2, "no more")
    [first, last] = events_of(LIGHT_CLIENT_UPDATES_BY_RANGE_1, answer)
    assert isinstance(first, Chunk)
    assert last == ErrorChunk(2, b"no more")


def test_chunks_before_damage_are_kept() -> None:
    answer = encode_chunk(update_bytes(), DENEB) + b"\x00" + DENEB + encode_varint(2**62)
    [first, failure] = events_of(LIGHT_CLIENT_UPDATES_BY_RANGE_1, answer)
    assert isinstance(first, Chunk)
    assert "where" in str(failure)


def test_more_chunks_than_asked_for_are_dropped() -> None:
    payload = update_bytes()
    answer = encode_chunk(payload, DENEB) * 3 + b"\xffjunk"
    assert len(events_of(LIGHT_CLIENT_UPDATES_BY_RANGE_1, answer, 50, max_chunks=2)) == 2


def test_an_empty_list_is_an_answer_and_an_empty_object_is_none() -> None:
    assert events_of(LIGHT_CLIENT_UPDATES_BY_RANGE_1, b"") == []
    [failure] = events_of(LIGHT_CLIENT_BOOTSTRAP_1, b"")
    assert "the stream ended before it began" in str(failure)


def test_a_truncated_answer_is_an_error_wherever_it_is_cut() -> None:
    answer = encode_chunk(update_bytes(), DENEB)
    for cut in range(1, len(answer)):
        [failure] = events_of(LIGHT_CLIENT_UPDATES_BY_RANGE_1, answer[:cut])
        assert "the stream ended in the midst of a chunk" in str(failure), cut


def test_a_reset_between_two_chunks_is_not_taken_for_the_end() -> None:
    reader = ResponseReader(LIGHT_CLIENT_UPDATES_BY_RANGE_1, SMALL)
    reader.receive(encode_chunk(update_bytes(), DENEB))
    assert isinstance(reader.next_event(), Chunk)
    reader.receive_end(reset=True)
    with pytest.raises(DecodeError, match="was reset"):
        reader.next_event()
    with pytest.raises(DecodeError, match="was reset"):
        reader.next_event()


def test_a_reset_after_the_last_chunk_does_no_harm() -> None:
    reader = ResponseReader(PING_1, SMALL)
    reader.receive(PING_ANSWER)
    assert reader.next_event() == Chunk(b"", bytes(8))
    reader.receive_end(reset=True)
    assert reader.next_event() is None


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (1, "invalid_request"),
        (2, "server_error"),
        (3, "resource_unavailable"),
        (4, "error 4"),
        (127, "error 127"),
        (139, "error 139"),
        (255, "error 255"),
    ],
)
def test_every_other_result_code_is_an_error_with_its_message(code: int, name: str) -> None:
    [event] = events_of(LIGHT_CLIENT_BOOTSTRAP_1, encode_error(code, "why \u2014 so"))
    assert isinstance(event, ErrorChunk)
    assert (event.name, event.text) == (name, "why \u2014 so")


@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize("code", [1, 2])
def test_an_error_in_place_of_a_chunk_s_length_is_an_error(code: int, step: int) -> None:
    # Lodestar 1.5 at a fork: the success byte, the digest, and only then that it cannot encode.
    answer = b"\x00" + DENEB + encode_error(code, "cannot encode")
    expected = ErrorChunk(code, b"cannot encode")
    assert events_of(LIGHT_CLIENT_OPTIMISTIC_UPDATE_1, answer, step) == [expected]
    whole = encode_chunk(update_bytes(), DENEB)
    assert events_of(LIGHT_CLIENT_UPDATES_BY_RANGE_1, whole + answer, step)[1:] == [expected]
    assert "where" in str(events_of(BEACON_BLOCKS_BY_RANGE_2, answer, step)[-1])


def test_an_error_message_is_bounded_and_safe_to_print() -> None:
    [event] = events_of(PING_1, encode_error(2, "x" * 1000))
    assert isinstance(event, ErrorChunk)
    assert len(event.message) == 256
    assert ErrorChunk(2, b"a\x1b[31m\nb\xff").text == "a\ufffd[31m\ufffdb\ufffd"
    long = bytes([2]) + encode_varint(257) + frame(bytes(257))
    [failure] = events_of(PING_1, long)
    assert "an error message (result 2) of 257 bytes" in str(failure)


def test_an_error_code_without_any_message_still_counts() -> None:
    assert events_of(PING_1, b"\x03") == [ErrorChunk(3)]
    assert events_of(PING_1, b"\x03\x00") == [ErrorChunk(3)]


def test_nothing_is_read_after_an_error() -> None:
    assert events_of(LIGHT_CLIENT_UPDATES_BY_RANGE_1, encode_error(1) + b"\x00junk") == [
        ErrorChunk(1)
    ]


@pytest.mark.parametrize("size", [0, 7, 9, 2**20, 2**32, 2**63])
def test_a_size_that_the_type_cannot_have_is_refused_at_once(size: int) -> None:
    [failure] = events_of(PING_1, b"\x00" + encode_varint(size))
    assert f"a chunk of {size} bytes, where 8 to 8 may be" in str(failure)


def test_a_light_client_chunk_is_bounded_by_its_type() -> None:
    least, most = object_bounds(ObjectKind.FINALITY_UPDATE, 32)
    assert most < 4096
    for size in (least - 1, most + 1):
        [failure] = events_of(LIGHT_CLIENT_FINALITY_UPDATE_1, b"\x00" + DENEB + encode_varint(size))
        assert "may be" in str(failure)


def test_a_block_chunk_is_bounded_by_its_fork() -> None:
    for epoch, limit in ((0, 2**20), (74240, 2**20), (144896, 10 * 2**20), (419072, 10 * 2**20)):
        digest = MAINNET.compute_fork_digest(epoch)
        start = b"\x00" + digest
        [failure] = events_of(BEACON_BLOCKS_BY_RANGE_2, start + encode_varint(limit + 1))
        assert f"to {limit} may be" in str(failure)
        [failure] = events_of(BEACON_BLOCKS_BY_RANGE_2, start + encode_varint(limit))
        assert "ended in the midst" in str(failure)
    [failure] = events_of(BEACON_BLOCKS_BY_RANGE_2, b"\x00oddd" + encode_varint(2**40))
    assert f"to {MAX_PAYLOAD_SIZE} may be" in str(failure)


def test_a_declared_size_costs_no_memory_before_its_bytes_arrive() -> None:
    reader = ResponseReader(BEACON_BLOCKS_BY_RANGE_2, MAINNET)
    tracemalloc.start()
    reader.receive(b"\x00oddd" + encode_varint(MAX_PAYLOAD_SIZE))
    assert reader.next_event() is None
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000


def test_statuses_and_metadata_read_back() -> None:
    status = Status(b"abcd", bytes(32), 5, b"\x01" * 32, 171, 12)
    for protocol, value in (
        (STATUS_2, status),
        (STATUS_1, replace(status, earliest_available_slot=0)),
        (METADATA_3, Metadata(7, b"\x01" * 8, b"\x0f", 4)),
        (PING_1, 2**64 - 1),
    ):
        assert protocol.response is not None
        [chunk] = events_of(protocol, encode_chunk(protocol.response.encode(value)))
        assert isinstance(chunk, Chunk)
        assert decode_payload(protocol, chunk) == value


def test_padding_bits_of_metadata_must_be_zero() -> None:
    assert METADATA_3.response is not None
    with pytest.raises(DecodeError):
        decode_payload(METADATA_3, Chunk(b"", bytes(16) + b"\x10" + bytes(8)))


def test_a_light_client_object_of_no_format_is_a_decode_error() -> None:
    with pytest.raises(DecodeError):
        decode_object(LIGHT_CLIENT_BOOTSTRAP_1, Chunk(DENEB, b"\xff" * 3000), SMALL)


@given(st.sampled_from(PROTOCOLS), st.binary(max_size=300), st.integers(0, 5))
def test_random_bytes_give_events_or_one_failure(
    protocol: Protocol, data: bytes, step: int
) -> None:
    events = events_of(protocol, data, step)
    assert all(isinstance(event, Chunk | ErrorChunk) for event in events[:-1])


@given(st.integers(0, 4000), st.integers(0, 255), st.integers(0, 40))
def test_a_damaged_byte_never_brings_another_payload(at: int, value: int, step: int) -> None:
    payload = update_bytes()
    answer = bytearray(encode_chunk(payload, DENEB))
    answer[at % len(answer)] = value
    for event in events_of(LIGHT_CLIENT_UPDATES_BY_RANGE_1, bytes(answer), step * 40):
        assert not isinstance(event, Chunk) or event.payload == payload
