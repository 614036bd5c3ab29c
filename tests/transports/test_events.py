"""Server-sent events: any chunking gives the same events, and everything is bounded."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightclient.errors import DecodeError
from lightclient.transports.events import EventParser, ServerSentEvent


def events(*chunks: bytes, max_bytes: int = 1000) -> list[ServerSentEvent]:
    parser = EventParser(max_bytes)
    return [event for chunk in chunks for event in parser.feed(chunk)]


def test_an_event_has_a_name_and_its_data_lines_joined() -> None:
    stream = b": hello\n\nid: 7\nretry: 10\nevent: tick\ndata: one\ndata:two\ndata\n\n"
    assert events(stream) == [ServerSentEvent("tick", "one\ntwo\n")]


def test_a_nameless_event_is_a_message_and_a_dataless_one_is_none() -> None:
    stream = b"data: x\n\nevent: empty\n\ndata: y\n\n"
    assert events(stream) == [ServerSentEvent("message", "x"), ServerSentEvent("message", "y")]


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
def test_every_line_ending_is_understood(ending: bytes) -> None:
    stream = ending.join([b"event: a", b"data: 1", b"", b"data: 2", b"", b""])
    assert events(stream) == [ServerSentEvent("a", "1"), ServerSentEvent("message", "2")]


def test_a_byte_order_mark_is_passed_over() -> None:
    assert events(b"\xef\xbb\xbfdata: x\n\n") == [ServerSentEvent("message", "x")]


def test_an_unfinished_event_is_not_given() -> None:
    assert events(b"data: x\n") == []


def test_an_endless_line_is_refused() -> None:
    with pytest.raises(DecodeError, match="line of more than 1000 bytes"):
        events(*[b"data: " + b"x" * 90] * 12)


def test_an_event_of_endless_lines_is_refused() -> None:
    with pytest.raises(DecodeError, match="event of more than 1000 bytes"):
        events(*[b"data: " + b"x" * 90 + b"\n"] * 12)
    with pytest.raises(DecodeError, match="event of more than"):
        events(b"data\n" * 1001)


@given(
    st.lists(st.text("aé€😀:\r\n", max_size=8), max_size=5),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.lists(st.integers(0, 200), max_size=20),
)
def test_chunk_boundaries_change_nothing(texts: list[str], ending: bytes, cuts: list[int]) -> None:
    lines = [b"data:" + part.encode() for text in texts for part in text.splitlines() or [""]]
    stream = b"".join(line + ending * (1 + index % 2) for index, line in enumerate(lines))
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    chunks = [stream[a:b] for a, b in pairwise(edges)]
    assert events(*chunks) == events(stream)
    assert events(*[bytes([byte]) for byte in stream]) == events(stream)


@given(st.lists(st.binary(max_size=300), max_size=10))
def test_junk_gives_events_or_one_clear_error(chunks: list[bytes]) -> None:
    try:
        for event in events(*chunks, max_bytes=200):
            assert len(event.data) <= 200
    except DecodeError:
        pass
