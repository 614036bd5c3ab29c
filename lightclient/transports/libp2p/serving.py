"""What peers ask of us: status, ping, metadata and goodbye always, light client data if we have it.

Every request is bounded in size, in time and in number. An answer ends by closing our side, also
when it is an error.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Final

import trio

from lightclient.config import Network
from lightclient.containers import LightClientObject, encode_ssz
from lightclient.errors import DecodeError
from lightclient.transports.libp2p.limits import RateLimiter, Ration
from lightclient.transports.libp2p.served import LightClientData
from lightclient.transports.libp2p.streams import Stream, StreamBroken
from lightclient.wire.messages import MAX_REQUEST_LIGHT_CLIENT_UPDATES, Metadata, Status
from lightclient.wire.protocols import (
    GOODBYE_1,
    LIGHT_CLIENT_BOOTSTRAP_1,
    LIGHT_CLIENT_FINALITY_UPDATE_1,
    LIGHT_CLIENT_OPTIMISTIC_UPDATE_1,
    LIGHT_CLIENT_UPDATES_BY_RANGE_1,
    METADATA_2,
    METADATA_3,
    PING_1,
    PROTOCOLS_BY_ID,
    STATUS_1,
    STATUS_2,
    Protocol,
)
from lightclient.wire.requests import RequestReader
from lightclient.wire.responses import ResultCode, encode_chunk, encode_error

_logger = logging.getLogger("lightclient.libp2p")

SERVED: Final = (
    STATUS_2,
    STATUS_1,
    PING_1,
    METADATA_3,
    METADATA_2,
    GOODBYE_1,
    LIGHT_CLIENT_BOOTSTRAP_1,
    LIGHT_CLIENT_UPDATES_BY_RANGE_1,
    LIGHT_CLIENT_FINALITY_UPDATE_1,
    LIGHT_CLIENT_OPTIMISTIC_UPDATE_1,
)
RATE_LIMITED: Final = 139
"""Result code that clients have agreed on for a peer that asks too often."""
MAX_AT_ONCE: Final = 8
"""Requests of a peer that are answered at the same time."""
MAX_IN_VAIN: Final = 16
"""Requests of a peer one after the other that were none or came too fast: it will not stop."""
UPDATES_AT_ONCE: Final = 8
"""Updates that are asked of their source at a time: a peer may never take what it asked for."""
REQUEST_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 30.0


class _Refusal(Exception):
    """An answer that is an error.

    Args:
        is_in_vain: for how the request was made, not for what it asks.
    """

    def __init__(self, code: int, message: str, *, is_in_vain: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.is_in_vain = is_in_vain


@dataclass(slots=True)
class Client:
    """A peer as one who asks.

    Attributes:
        answering: its requests that are being answered.
        in_vain: how many of its last requests were refused for how they were made.
    """

    limiter: RateLimiter = field(default_factory=RateLimiter)
    answering: int = 0
    in_vain: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Responder:
    """Answers requests.

    Args:
        status, metadata: what to say of ourselves.
        light_client: None while we serve nothing.
        on_status: awaited with a peer's status. on_goodbye: called with a peer's reason.
        on_offence: called with a peer, what it did that no honest one does, and whether that can be
            nothing but malice.
        ration: what all peers together may ask for.
    """

    network: Network
    status: Callable[[], Status]
    metadata: Callable[[], Metadata]
    light_client: LightClientData | None
    on_status: Callable[[str, Status], Awaitable[None]]
    on_goodbye: Callable[[str, int], None]
    on_offence: Callable[[str, str, bool], None] = lambda *_: None
    ration: Ration = field(default_factory=Ration)

    async def serve(self, client: Client, protocol_id: str, stream: Stream) -> None:
        """Answer the request on a stream. Raises StreamBroken, trio.TooSlowError."""
        protocol = PROTOCOLS_BY_ID[protocol_id]
        if client.answering >= MAX_AT_ONCE:
            raise StreamBroken("too many requests at once")
        client.answering += 1
        try:
            await self._answer(client, protocol, stream)
        finally:
            client.answering -= 1
        await stream.part()

    async def _answer(self, client: Client, protocol: Protocol, stream: Stream) -> None:
        try:
            with trio.fail_after(REQUEST_SECONDS):
                request = await _read_request(protocol, stream)
            self._check_rate(client, protocol, request)
            request = self._rationed(protocol, request, stream.peer_id)
            made = self._chunks(protocol, request, stream.peer_id)
            with trio.fail_after(ANSWER_SECONDS):
                async with aclosing(made) as chunks:
                    await _write_all(stream, chunks)
        except DecodeError as error:
            self._note_in_vain(client, stream.peer_id)
            await _send_error(stream, ResultCode.INVALID_REQUEST, str(error))
        except _Refusal as refusal:
            if refusal.is_in_vain:
                self._note_in_vain(client, stream.peer_id)
            await _send_error(stream, refusal.code, str(refusal))
        except (StreamBroken, trio.TooSlowError):
            raise
        except Exception:
            _logger.exception("A request of a peer could not be answered: this is a fault")
            await _send_error(stream, ResultCode.SERVER_ERROR, "internal error")

    def _note_in_vain(self, client: Client, peer_id: str) -> None:
        client.in_vain += 1
        if client.in_vain >= MAX_IN_VAIN:
            self.on_offence(
                peer_id, f"{client.in_vain} requests in vain, one after the other", True
            )

    @staticmethod
    def _check_rate(client: Client, protocol: Protocol, request: Any) -> None:
        tokens = _tokens(protocol, request)
        if not client.limiter.take(protocol.name, trio.current_time(), tokens):
            raise _Refusal(RATE_LIMITED, "asked too often", is_in_vain=True)
        client.in_vain = 0

    def _rationed(self, protocol: Protocol, request: Any, peer_id: str) -> Any:
        """As much of a request as there is for this peer while others ask, too."""
        if protocol.kind is None or self.light_client is None:
            return request
        tokens = _tokens(protocol, request)
        granted = self.ration.take(protocol.name, peer_id, trio.current_time(), tokens)
        if not granted:
            # Nothing that is the peer's fault, however often it happens.
            raise _Refusal(RATE_LIMITED, "asked too often by all peers together")
        return request if granted == tokens else replace(request, count=granted)

    async def _chunks(
        self, protocol: Protocol, request: Any, peer_id: str
    ) -> AsyncGenerator[bytes, None]:
        if protocol.kind is not None:
            async with aclosing(self._objects(protocol, request)) as values:
                async for value in values:
                    yield encode_chunk(encode_ssz(value), self._digest(value))
            return
        assert protocol.response is not None
        reply = await self._reply(protocol, request, peer_id)
        yield encode_chunk(protocol.response.encode(reply))

    async def _reply(self, protocol: Protocol, request: Any, peer_id: str) -> Any:
        """What to say where the answer is one plain message."""
        if protocol.name == STATUS_1.name:
            await self.on_status(peer_id, request)
            return self.status()
        if protocol.name == GOODBYE_1.name:
            self.on_goodbye(peer_id, request)
            return request
        return self.metadata() if protocol.name == METADATA_2.name else self.metadata().seq_number

    async def _objects(
        self, protocol: Protocol, request: Any
    ) -> AsyncGenerator[LightClientObject, None]:
        source = self.light_client
        if source is None:
            raise _Refusal(ResultCode.RESOURCE_UNAVAILABLE, "serves no light client data")
        value: LightClientObject | None
        if protocol is LIGHT_CLIENT_UPDATES_BY_RANGE_1:
            end = request.start_period + min(request.count, MAX_REQUEST_LIGHT_CLIENT_UPDATES)
            for start in range(request.start_period, end, UPDATES_AT_ONCE):
                count = min(UPDATES_AT_ONCE, end - start)
                for update in (await source.updates(start, count))[:count]:
                    yield update
            return
        if protocol is LIGHT_CLIENT_BOOTSTRAP_1:
            value = await source.bootstrap(request)
        elif protocol is LIGHT_CLIENT_FINALITY_UPDATE_1:
            value = await source.finality_update()
        else:
            value = await source.optimistic_update()
        if value is None:
            raise _Refusal(ResultCode.RESOURCE_UNAVAILABLE, "not available")
        yield value

    def _digest(self, value: LightClientObject) -> bytes:
        epoch = self.network.compute_epoch_at_slot(value.main_header.beacon.slot)
        return self.network.compute_fork_digest(epoch)


def _tokens(protocol: Protocol, request: Any) -> int:
    """What a request costs: one, or one an item."""
    if protocol is LIGHT_CLIENT_UPDATES_BY_RANGE_1:
        count: int = request.count
        return min(max(count, 1), MAX_REQUEST_LIGHT_CLIENT_UPDATES)
    return 1


async def _read_request(protocol: Protocol, stream: Stream) -> Any:
    reader = RequestReader(protocol)
    # A request without a body is complete at once: its stream may stay open.
    while protocol.request is not None and not reader.is_complete:
        data = await stream.read()
        if not data:
            reader.receive_end()
            break
        reader.receive(data)
    return reader.request


async def _write_all(stream: Stream, chunks: AsyncIterator[bytes]) -> None:
    """Write an answer; it is closed along with its last chunk."""
    last = b""
    try:
        async for chunk in chunks:
            if last:
                await stream.write(last)
            last = chunk
    except StreamBroken:
        raise
    except Exception:
        # What came before stays valid, and an error follows.
        if last:
            await stream.write(last)
        raise
    await stream.write_last(last)


async def _send_error(stream: Stream, code: int, message: str) -> None:
    with trio.move_on_after(REQUEST_SECONDS):
        await stream.write_last(encode_error(code, message))
