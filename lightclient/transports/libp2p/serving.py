"""What peers ask of us: status, ping, metadata and goodbye always, light client data if we have it.

Every request is bounded in size, in time and in number. An answer ends by closing our side, also
when it is an error.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import trio

from lightclient.config import Network
from lightclient.containers import LightClientObject, encode_ssz
from lightclient.errors import DecodeError
from lightclient.transports.libp2p.limits import RateLimiter
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
REQUEST_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 30.0
_PARTING_SECONDS: Final = 5.0


class _Refusal(Exception):
    """An answer that is an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True)
class Client:
    """A peer as one who asks.

    Attributes:
        answering: its requests that are being answered.
    """

    limiter: RateLimiter = field(default_factory=RateLimiter)
    answering: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Responder:
    """Answers requests.

    Args:
        status, metadata: what to say of ourselves.
        light_client: None while we serve nothing.
        on_status: awaited with a peer's status. on_goodbye: called with a peer's reason.
    """

    network: Network
    status: Callable[[], Status]
    metadata: Callable[[], Metadata]
    light_client: LightClientData | None
    on_status: Callable[[str, Status], Awaitable[None]]
    on_goodbye: Callable[[str, int], None]

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
        await _part(stream)

    async def _answer(self, client: Client, protocol: Protocol, stream: Stream) -> None:
        try:
            with trio.fail_after(REQUEST_SECONDS):
                request = await _read_request(protocol, stream)
            self._check_rate(client, protocol, request)
            with trio.fail_after(ANSWER_SECONDS):
                async for chunk in self._chunks(protocol, request, stream.peer_id):
                    await stream.write(chunk)
        except DecodeError as error:
            await _send_error(stream, ResultCode.INVALID_REQUEST, str(error))
        except _Refusal as refusal:
            await _send_error(stream, refusal.code, str(refusal))
        except (StreamBroken, trio.TooSlowError):
            raise
        except Exception:
            _logger.exception("A request of a peer could not be answered: this is a fault")
            await _send_error(stream, ResultCode.SERVER_ERROR, "internal error")

    @staticmethod
    def _check_rate(client: Client, protocol: Protocol, request: Any) -> None:
        tokens = 1
        if protocol is LIGHT_CLIENT_UPDATES_BY_RANGE_1:
            tokens = min(max(request.count, 1), MAX_REQUEST_LIGHT_CLIENT_UPDATES)
        if not client.limiter.take(protocol.name, trio.current_time(), tokens):
            raise _Refusal(RATE_LIMITED, "asked too often")

    async def _chunks(self, protocol: Protocol, request: Any, peer_id: str) -> AsyncIterator[bytes]:
        if protocol.kind is not None:
            for value in await self._objects(protocol, request):
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

    async def _objects(self, protocol: Protocol, request: Any) -> Sequence[LightClientObject]:
        source = self.light_client
        if source is None:
            raise _Refusal(ResultCode.RESOURCE_UNAVAILABLE, "serves no light client data")
        value: LightClientObject | None
        if protocol is LIGHT_CLIENT_UPDATES_BY_RANGE_1:
            count = min(request.count, MAX_REQUEST_LIGHT_CLIENT_UPDATES)
            return (await source.updates(request.start_period, count))[:count]
        if protocol is LIGHT_CLIENT_BOOTSTRAP_1:
            value = await source.bootstrap(request)
        elif protocol is LIGHT_CLIENT_FINALITY_UPDATE_1:
            value = await source.finality_update()
        else:
            value = await source.optimistic_update()
        if value is None:
            raise _Refusal(ResultCode.RESOURCE_UNAVAILABLE, "not available")
        return [value]

    def _digest(self, value: LightClientObject) -> bytes:
        epoch = self.network.compute_epoch_at_slot(value.main_header.beacon.slot)
        return self.network.compute_fork_digest(epoch)


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


async def _send_error(stream: Stream, code: int, message: str) -> None:
    with trio.move_on_after(REQUEST_SECONDS):
        await stream.write(encode_error(code, message))


async def _part(stream: Stream) -> None:
    """Close, and let the peer read to the end before the stream is forgotten."""
    await stream.close()
    with trio.move_on_after(_PARTING_SECONDS):
        while await stream.read():
            pass
    await stream.reset()
