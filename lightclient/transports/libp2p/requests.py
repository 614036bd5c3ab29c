"""Requests that we make of a peer: one stream each, with deadlines and the bounds of ``wire``.

A request goes out together with the proposal of its protocol, which takes one round trip. A peer
that does not take that is asked the classic way from then on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import trio

from lightclient.config import Network
from lightclient.errors import DecodeError
from lightclient.transports.libp2p.connections import Connection
from lightclient.transports.libp2p.multistream import (
    NegotiationError,
    ProtocolRefused,
    confirm,
    proposal,
    propose,
)
from lightclient.transports.libp2p.streams import Stream, StreamBroken
from lightclient.wire.protocols import (
    GOODBYE_1,
    METADATA_2,
    PING_1,
    STATUS_1,
    Protocol,
)
from lightclient.wire.requests import encode_request
from lightclient.wire.responses import Chunk, ErrorChunk, ResponseReader


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds for the whole answer, and for each chunk of it."""

    whole: float
    chunk: float


_SHORT: Final = Deadlines(5.0, 5.0)
_LONG: Final = Deadlines(60.0, 10.0)
_DEFAULT: Final = Deadlines(10.0, 10.0)
"""RESP_TIMEOUT of the specification."""
_SHORT_NAMES: Final = frozenset({STATUS_1.name, PING_1.name, METADATA_2.name, GOODBYE_1.name})


def deadlines_of(protocol: Protocol) -> Deadlines:
    """How long a peer may take: a drip that keeps a stream open is no answer."""
    if protocol.name in _SHORT_NAMES:
        return _SHORT
    return _LONG if protocol.answers_list else _DEFAULT


class RequestFailed(Exception):
    """A request was not answered; the subclasses say why."""


class NoAnswer(RequestFailed):
    """Silence, a reset, a connection that is gone."""


class BadAnswer(RequestFailed):
    """An answer that breaks its format or a bound."""


class NotSpoken(RequestFailed):
    """The peer does not speak the protocol."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a peer answered.

    Attributes:
        chunks: those that came whole, whatever came after them.
        refusal: the error chunk that ended the answer.
        failure: why the answer ended before its time.
    """

    chunks: tuple[Chunk, ...]
    refusal: ErrorChunk | None = None
    failure: RequestFailed | None = None


async def ask(
    connection: Connection,
    protocol: Protocol,
    request: Any,
    network: Network,
    max_chunks: int | None = None,
    *,
    max_bytes: int | None = None,
) -> Answer:
    """Make one request.

    Args:
        max_bytes: the most that all chunks may have together, where many large ones would be legal.

    Raises:
        RequestFailed: not a single chunk came, for another reason than a refusal.
    """
    reader = ResponseReader(protocol, network, max_chunks)
    message = encode_request(protocol, request)
    deadlines = deadlines_of(protocol)
    chunks: list[Chunk] = []
    try:
        with trio.fail_after(deadlines.whole):
            async with _opened(connection, protocol, message) as stream:
                refusal = await _read(stream, reader, chunks, deadlines.chunk, max_bytes)
    except trio.TooSlowError:
        failure: RequestFailed = NoAnswer(f"no (whole) answer to {protocol.name} in time")
    except ProtocolRefused:
        failure = NotSpoken(f"does not speak {protocol.name}")
    except StreamBroken as error:
        failure = NoAnswer(f"{protocol.name}: {error}")
    except (DecodeError, NegotiationError) as error:
        failure = BadAnswer(str(error))
    else:
        return Answer(tuple(chunks), refusal)
    if not chunks:
        raise failure
    return Answer(tuple(chunks), failure=failure)


async def _read(
    stream: Stream,
    reader: ResponseReader,
    chunks: list[Chunk],
    patience: float,
    max_bytes: int | None,
) -> ErrorChunk | None:
    bytes_left = max_bytes
    while True:
        with trio.fail_after(patience):
            event = reader.next_event()
            while event is None and not reader.is_finished:
                await _feed(stream, reader)
                event = reader.next_event()
        if isinstance(event, ErrorChunk):
            return event
        if event is None:
            return None
        chunks.append(event)
        if bytes_left is not None:
            bytes_left -= len(event.payload)
            if bytes_left < 0:
                raise DecodeError(f"an answer of more than {max_bytes} bytes")


async def _feed(stream: Stream, reader: ResponseReader) -> None:
    data = await stream.read()
    if data:
        reader.receive(data)
    else:
        reader.receive_end()


@asynccontextmanager
async def _opened(
    connection: Connection, protocol: Protocol, message: bytes
) -> AsyncIterator[Stream]:
    """A stream on which the request was made and the answer begins."""
    stream = await connection.open_stream()
    # Of this stream: another request may find out meanwhile.
    is_early = connection.takes_early_requests
    try:
        if is_early:
            try:
                await stream.write_last(proposal(protocol.protocol_id, message))
                await confirm(stream, protocol.protocol_id)
            except ProtocolRefused:
                raise
            except (NegotiationError, StreamBroken):
                is_early = connection.takes_early_requests = False
                await stream.reset()
                stream = await connection.open_stream()
        if not is_early:
            try:
                await propose(stream, (protocol.protocol_id,))
            except ProtocolRefused:
                # That was the reason: nothing is wrong with early requests.
                connection.takes_early_requests = True
                raise
            await stream.write_last(message)
        yield stream
        await stream.finish()
    finally:
        await stream.reset()
