"""One peer as a provider of light client objects, to be asked like any other."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import anyio.to_thread
import trio

from lightclient.config import Network
from lightclient.containers import (
    LightClientBootstrap,
    LightClientFinalityUpdate,
    LightClientObject,
    LightClientOptimisticUpdate,
    LightClientUpdate,
    Undecoded,
)
from lightclient.errors import (
    DecodeError,
    MalformedAnswer,
    NotServed,
    ProviderRefused,
    ProviderUnavailable,
    RateLimited,
    TransportError,
    UnknownBootstrap,
)
from lightclient.transports.base import MAX_REQUEST_LIGHT_CLIENT_UPDATES, UpdateRange
from lightclient.transports.libp2p.connections import Connection
from lightclient.transports.libp2p.limits import QUOTAS, RequestPace
from lightclient.transports.libp2p.requests import (
    Answer,
    BadAnswer,
    NotSpoken,
    RequestFailed,
    ask,
)
from lightclient.transports.libp2p.serving import RATE_LIMITED
from lightclient.wire.blocks import SignedBlock, read_signed_block
from lightclient.wire.messages import BlocksByRange, UpdatesByRange
from lightclient.wire.protocols import (
    BEACON_BLOCKS_BY_RANGE_2,
    BEACON_BLOCKS_BY_ROOT_2,
    LIGHT_CLIENT_BOOTSTRAP_1,
    LIGHT_CLIENT_FINALITY_UPDATE_1,
    LIGHT_CLIENT_OPTIMISTIC_UPDATE_1,
    LIGHT_CLIENT_UPDATES_BY_RANGE_1,
    Protocol,
)
from lightclient.wire.responses import Chunk, ErrorChunk, ResultCode, decode_object

if TYPE_CHECKING:
    from lightclient.transports.push import PushedUpdate

_SSZ: Final = "application/octet-stream"
_NAME_END: Final = 12
MAX_BYTES_OF_BLOCKS: Final = 64 * 2**20
"""Of one answer: blocks of a few MB are legal, and rare."""


class Libp2pTransport:
    """A connected peer.

    Requests are paced below what servers tolerate; whoever is in a hurry asks another peer.

    Args:
        pace: how often it was asked lately, perhaps on an earlier connection.

    Attributes:
        held_back: how many requests had to wait for that, which is nothing the peer does.
    """

    def __init__(
        self, connection: Connection, network: Network, pace: RequestPace | None = None
    ) -> None:
        self._connection = connection
        self._network = network
        self._pace = pace or RequestPace()
        self.held_back = 0

    def __repr__(self) -> str:
        return f"Libp2pTransport({self.name!r})"

    @property
    def peer_id(self) -> str:
        """Who it is, in base58."""
        return self._connection.peer_id

    @property
    def name(self) -> str:
        """The peer, by the end of its id: all of one kind begin alike."""
        return f"libp2p:{self.peer_id[-_NAME_END:]}"

    async def open(self, network: Network) -> None:
        """Nothing to do: the pool connects."""

    async def aclose(self) -> None:
        """Nothing to do: the pool disconnects."""

    # Objects ------------------------------------------------------------------------------------

    async def get_light_client_bootstrap(self, block_root: bytes) -> LightClientBootstrap:
        """The bootstrap of a 32-byte block root. Raises TransportError."""
        value = await self._object(LIGHT_CLIENT_BOOTSTRAP_1, block_root)
        assert isinstance(value, LightClientBootstrap)
        return value

    async def get_light_client_finality_update(self) -> LightClientFinalityUpdate:
        """The latest finality update. Raises TransportError."""
        value = await self._object(LIGHT_CLIENT_FINALITY_UPDATE_1)
        assert isinstance(value, LightClientFinalityUpdate)
        return value

    async def get_light_client_optimistic_update(self) -> LightClientOptimisticUpdate:
        """The latest optimistic update. Raises TransportError."""
        value = await self._object(LIGHT_CLIENT_OPTIMISTIC_UPDATE_1)
        assert isinstance(value, LightClientOptimisticUpdate)
        return value

    async def get_light_client_updates_by_range(self, start_period: int, count: int) -> UpdateRange:
        """Best updates of ``count`` (1 to 128) sync committee periods from ``start_period``.

        Raises:
            TransportError: nothing usable came.
        """
        if start_period < 0 or not 1 <= count <= MAX_REQUEST_LIGHT_CLIENT_UPDATES:
            raise ValueError(f"cannot ask for {count} periods from {start_period}")
        protocol = LIGHT_CLIENT_UPDATES_BY_RANGE_1
        answer = await self._range(start_period, count)
        error = self._end_of(protocol, answer)
        # Megabytes take long enough to decode that the event loop would notice.
        updates, broken = await anyio.to_thread.run_sync(
            self._decode_updates, protocol, answer.chunks
        )
        if (error := broken or error) is not None and not updates:
            raise error
        return UpdateRange(updates, error)

    async def _range(self, start_period: int, count: int) -> Answer:
        """The answer to as much of a range as the peer lets us ask for."""
        protocol = LIGHT_CLIENT_UPDATES_BY_RANGE_1
        while True:
            asked = min(count, self._pace.most(protocol.name))
            answer = await self._ask(protocol, UpdatesByRange(start_period, asked), asked)
            if not _is_too_much(answer) or asked <= self._pace.most(protocol.name):
                return answer

    def _decode_updates(
        self, protocol: Protocol, chunks: tuple[Chunk, ...]
    ) -> tuple[tuple[LightClientUpdate, ...], TransportError | None]:
        updates: list[LightClientUpdate] = []
        for chunk in chunks:
            try:
                value = self._decoded(protocol, chunk)
            except MalformedAnswer as error:
                return tuple(updates), error
            assert isinstance(value, LightClientUpdate)
            updates.append(value)
        return tuple(updates), None

    async def get_blocks_by_root(self, roots: tuple[bytes, ...]) -> tuple[SignedBlock, ...]:
        """Blocks that are said to have these roots: whether they do is not checked.

        Raises:
            TransportError: nothing usable came.
        """
        return await self._blocks(BEACON_BLOCKS_BY_ROOT_2, roots, len(roots))

    async def get_blocks_by_range(self, start_slot: int, count: int) -> tuple[SignedBlock, ...]:
        """Blocks of ``count`` slots from ``start_slot``, ascending; unverified beyond that.

        Raises:
            TransportError: nothing usable came.
        """
        protocol = BEACON_BLOCKS_BY_RANGE_2
        blocks = await self._blocks(protocol, BlocksByRange(start_slot, count), count)
        slots = [block.slot for block in blocks]
        is_ascending = all(first < second for first, second in pairwise(slots))
        if not is_ascending or any(not 0 <= slot - start_slot < count for slot in slots):
            raise self._failure(MalformedAnswer, f"{protocol.name}: blocks of slots {slots}")
        return blocks

    async def _blocks(
        self, protocol: Protocol, request: Any, count: int
    ) -> tuple[SignedBlock, ...]:
        answer = await self._ask(protocol, request, count, MAX_BYTES_OF_BLOCKS)
        error = self._end_of(protocol, answer)
        if error is not None and (not answer.chunks or isinstance(error, MalformedAnswer)):
            raise error
        try:
            return tuple(
                read_signed_block(chunk.context, chunk.payload, self._network)
                for chunk in answer.chunks
            )
        except DecodeError as wrong:
            reason = f"{protocol.name}: {wrong}"
        raise self._failure(MalformedAnswer, reason)

    async def stream_updates(self) -> AsyncGenerator[PushedUpdate, None]:
        """Nothing: what peers push reaches the client by the pool, whoever was first to tell.

        Raises:
            NotServed: always.
        """
        for _ in ():
            yield _
        raise NotServed(f"{self.name}: pushes come by gossip", provider=self.name)

    # Requests -----------------------------------------------------------------------------------

    async def _object(self, protocol: Protocol, request: Any = None) -> LightClientObject:
        answer = await self._ask(protocol, request)
        if not answer.chunks:
            raise self._end_of(protocol, answer) or self._failure(MalformedAnswer, "empty answer")
        return self._decoded(protocol, answer.chunks[0])

    async def _ask(
        self, protocol: Protocol, request: Any, count: int = 1, max_bytes: int | None = None
    ) -> Answer:
        await self._wait_for_pace(protocol, count)
        try:
            answer = await ask(
                self._connection, protocol, request, self._network, count, max_bytes=max_bytes
            )
        except RequestFailed as error:
            raise self._translated(error) from None
        if protocol.kind is not None and _is_too_much(answer):
            self._pace.slow_down(protocol.name, count)
        return answer

    async def _wait_for_pace(self, protocol: Protocol, tokens: int) -> None:
        if self._pace.seconds_until(protocol.name, trio.current_time(), tokens) > 0:
            self.held_back += 1
        while not self._pace.take(protocol.name, trio.current_time(), tokens):
            pause = self._pace.seconds_until(protocol.name, trio.current_time(), tokens)
            await trio.sleep(max(pause, 0.01))

    def _decoded(self, protocol: Protocol, chunk: Chunk) -> LightClientObject:
        try:
            return decode_object(protocol, chunk, self._network)
        except DecodeError as error:
            reason = f"{protocol.name}: {error}"
        assert protocol.kind is not None
        undecoded = Undecoded(protocol.kind, chunk.payload, _SSZ, digest=chunk.context)
        raise MalformedAnswer(f"{self.name}: {reason}", provider=self.name, undecoded=undecoded)

    # What went wrong ----------------------------------------------------------------------------

    def _end_of(self, protocol: Protocol, answer: Answer) -> TransportError | None:
        """Why an answer ended before its time; None if it is whole."""
        if answer.refusal is not None:
            return self._refused(protocol, answer.refusal)
        return None if answer.failure is None else self._translated(answer.failure)

    def _refused(self, protocol: Protocol, refusal: ErrorChunk) -> TransportError:
        said = f"{protocol.name}: {refusal.name}" + (f' "{refusal.text}"' if refusal.text else "")
        if refusal.code == RATE_LIMITED:
            pause = QUOTAS[protocol.name].seconds
            message = f"{self.name}: {said}"
            return RateLimited(message, provider=self.name, retry_after=pause)
        if refusal.code == ResultCode.INVALID_REQUEST:
            return self._failure(ProviderRefused, said)
        if protocol is LIGHT_CLIENT_BOOTSTRAP_1 and refusal.code == ResultCode.RESOURCE_UNAVAILABLE:
            # Peers do not tell why, and another one may have it.
            message = f"{self.name}: {said}"
            return UnknownBootstrap(message, provider=self.name, reason="not_told")
        return self._failure(ProviderUnavailable, said)

    def _translated(self, error: RequestFailed) -> TransportError:
        if isinstance(error, BadAnswer):
            return self._failure(MalformedAnswer, str(error))
        if isinstance(error, NotSpoken):
            return self._failure(NotServed, str(error))
        return self._failure(ProviderUnavailable, str(error))

    def _failure(self, kind: type[TransportError], text: str) -> TransportError:
        return kind(f"{self.name}: {text}", provider=self.name)


def _is_too_much(answer: Answer) -> bool:
    """Whether the peer says that we ask for too much, or too often, and nothing else."""
    refusal = answer.refusal
    return refusal is not None and refusal.code == RATE_LIMITED and not answer.chunks
