"""Updates as a provider pushes them: its event stream, read without an end."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from lightclient.config.network import Network
from lightclient.containers import LightClientFinalityUpdate, LightClientOptimisticUpdate, Undecoded
from lightclient.errors import (
    DecodeError,
    NotServed,
    ProviderUnavailable,
    TransportError,
)
from lightclient.transports.answers import (
    EVENT_KINDS,
    EVENT_TYPE,
    MAX_JSON_OBJECT_BYTES,
    content_type,
    decode_event,
    event_kind,
)
from lightclient.transports.events import EventParser, ServerSentEvent
from lightclient.transports.fetching import Answer, Fetcher
from lightclient.transports.redaction import Redactor
from lightclient.transports.refusals import refusal

_EVENTS_PATH: Final = "/eth/v1/events"
_IDLE_SLOTS: Final = 10
_SHORTEST_IDLE: Final = 30.0

PushedUpdate = LightClientFinalityUpdate | LightClientOptimisticUpdate


def default_event_idle(network: Network) -> float:
    """Seconds without a sign of life after which an event stream counts as dead."""
    return max(_SHORTEST_IDLE, _IDLE_SLOTS * network.slot_duration_ms / 1000)


async def push_updates(
    fetcher: Fetcher, redactor: Redactor, network: Network, *, idle: float, v0_first: bool
) -> AsyncGenerator[PushedUpdate, None]:
    """The updates of a provider's event stream.

    Args:
        idle: seconds that the provider may be silent.
        v0_first: try the topics' names in version 0 of the API first.

    Raises:
        NotServed: the provider pushes no such events.
        ProviderUnavailable: the stream ended or fell silent.
        MalformedAnswer: an event beyond its bound, or one that cannot be decoded.
    """
    refused: TransportError | None = None
    for suffix in ("_v0", "") if v0_first else ("", "_v0"):
        topics = [("topics", f"{name}{suffix}") for name in EVENT_KINDS]
        stream = fetcher.chunks(_EVENTS_PATH, topics, accept=EVENT_TYPE, idle=idle)
        async with aclosing(stream) as pieces:
            head = await anext(pieces)
            assert isinstance(head, Answer)
            error = _event_refusal(head, fetcher, redactor)
            if error is None:
                async with aclosing(_events(pieces, fetcher, redactor, network)) as updates:
                    async for update in updates:
                        yield update
                raise fetcher.failure(ProviderUnavailable, "ended its event stream")
        refused = refused or error
        if not isinstance(error, NotServed):
            break
    assert refused is not None
    raise refused


async def _events(
    pieces: AsyncGenerator[Answer | bytes, None],
    fetcher: Fetcher,
    redactor: Redactor,
    network: Network,
) -> AsyncGenerator[PushedUpdate, None]:
    parser = EventParser(MAX_JSON_OBJECT_BYTES)
    reason = ""
    refused: ServerSentEvent | None = None
    try:
        async for piece in pieces:
            assert isinstance(piece, bytes)
            for event in parser.feed(piece):
                refused = event
                update = decode_event(event, network)
                refused = None
                if update is not None:
                    yield update
    except DecodeError as error:
        reason = redactor.quote(str(error))
    if reason:
        raise fetcher.undecodable(f"in its event stream: {reason}", _undecoded(refused))


def _undecoded(event: ServerSentEvent | None) -> Undecoded | None:
    kind = None if event is None else event_kind(event)
    if event is None or kind is None:
        return None
    return Undecoded(kind, event.data.encode("utf-8", "replace"), EVENT_TYPE)


def _event_refusal(head: Answer, fetcher: Fetcher, redactor: Redactor) -> TransportError | None:
    """Why there is no event stream; NotServed where asking again is pointless."""
    if head.status < 300:
        if content_type(head) == EVENT_TYPE:
            return None
        return fetcher.failure(NotServed, "answers the event stream with something else")
    error = refusal(head, "the event stream", fetcher.provider, redactor)
    # An unknown topic is a 400, an unknown route a 404, and some answer 500 to either.
    if head.status in (400, 404, 406, 415, 500):
        return NotServed(str(error), provider=fetcher.provider)
    return error
