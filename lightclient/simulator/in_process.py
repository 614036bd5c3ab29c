"""A faulty provider without sockets: a chain behind the transport interface, faults in between.

All waiting is by anyio's clock, so that a virtual clock can drive it; no bytes are made, so that a
long simulation is fast.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Iterable
from typing import NoReturn, TypeVar

import anyio
import anyio.lowlevel

from lightclient.config import Network
from lightclient.containers import (
    LightClientBootstrap,
    LightClientFinalityUpdate,
    LightClientObject,
    LightClientOptimisticUpdate,
    LightClientUpdate,
    ObjectKind,
)
from lightclient.errors import (
    MalformedAnswer,
    NotServed,
    ProviderUnavailable,
    RateLimited,
    TransportError,
    UnknownBootstrap,
)
from lightclient.simulator.blocks import SimulatedBlock
from lightclient.simulator.chain import SimulatedChain
from lightclient.simulator.exchange import EVENTS_PATH, Asked, BrokenOff, ConnectionLost, Refusal
from lightclient.simulator.faults import Episode, Fault, FaultSet
from lightclient.simulator.views import ChainView
from lightclient.transports.base import UpdateRange

_PUSH_BUFFER = 64
_DEFAULT_RETRY_AFTER = 0.0
_T = TypeVar("_T", bound=LightClientObject)


class FaultyTransport:
    """One provider of a simulated chain, in process.

    Args:
        chain: what is served, as of its head; it may grow meanwhile.
        faults: a :class:`FaultSet`, or faults to make one of; may be replaced through
            ``transport.faults.faults`` at any time.
        rng: decides which faults act on a request.
        timeout: seconds that a request may take, as a transport over HTTP has it.
        pushes: whether there is an event stream.
        name: shown for the provider.

    Attributes:
        requests: of each kind so far, by ``ObjectKind`` or "events".
    """

    def __init__(
        self,
        chain: SimulatedChain,
        faults: FaultSet | Iterable[Fault] = (),
        rng: random.Random | None = None,
        *,
        timeout: float = 30.0,
        pushes: bool = True,
        name: str = "simulated",
    ) -> None:
        self.chain = chain
        self.faults = faults if isinstance(faults, FaultSet) else FaultSet(faults, rng)
        self.timeout = timeout
        self.pushes = pushes
        self._name = name
        self.requests: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"FaultyTransport({self._name!r}, {', '.join(self.faults.names) or 'honest'})"

    @property
    def name(self) -> str:
        """The provider's name."""
        return self._name

    async def open(self, network: Network) -> None:
        """Nothing to make ready: what is asked for is judged by whoever asks."""

    async def aclose(self) -> None:
        """Nothing to give up."""

    # Requests ----------------------------------------------------------------------------------

    async def get_light_client_bootstrap(self, block_root: bytes) -> LightClientBootstrap:
        """The bootstrap of a 32-byte block root. Raises TransportError."""
        asked = Asked(ObjectKind.BOOTSTRAP, block_root=block_root)
        values, error = await self._ask(asked)
        if not values and error is None:
            reason = "unknown_root"
            if self._view(asked).block_of_root(block_root) is not None:
                reason = "not_finalized"
            raise UnknownBootstrap(
                f"{self.name}: no bootstrap for block 0x{block_root.hex()}",
                provider=self.name,
                reason=reason,
            )
        return self._only(values, error, LightClientBootstrap)

    async def get_light_client_updates_by_range(self, start_period: int, count: int) -> UpdateRange:
        """What came of the range, and why it ended early. Raises TransportError."""
        asked = Asked(ObjectKind.UPDATE, start_period=start_period, count=count)
        values, error = await self._ask(asked)
        if error is not None and not values:
            raise error
        updates = tuple(value for value in values if isinstance(value, LightClientUpdate))
        return UpdateRange(updates, error)

    async def get_light_client_finality_update(self) -> LightClientFinalityUpdate:
        """The latest finality update. Raises TransportError."""
        values, error = await self._ask(Asked(ObjectKind.FINALITY_UPDATE))
        return self._only(values, error, LightClientFinalityUpdate)

    async def get_light_client_optimistic_update(self) -> LightClientOptimisticUpdate:
        """The latest optimistic update. Raises TransportError."""
        values, error = await self._ask(Asked(ObjectKind.OPTIMISTIC_UPDATE))
        return self._only(values, error, LightClientOptimisticUpdate)

    def _only(
        self, values: list[LightClientObject], error: TransportError | None, kind: type[_T]
    ) -> _T:
        if error is not None:
            raise error
        if not values:
            raise NotServed(f"{self.name}: has no {kind.kind} yet", provider=self.name)
        value = values[0]
        assert isinstance(value, kind)
        return value

    def _view(self, asked: Asked) -> ChainView:
        return Episode(
            [f for f in self.faults.faults if f.applies_to(asked)], asked, self.chain
        ).view

    async def _ask(self, asked: Asked) -> tuple[list[LightClientObject], TransportError | None]:
        self._count(asked.kind or "other")
        await anyio.lowlevel.checkpoint()
        episode = self.faults.begin(asked, self.chain)
        with anyio.move_on_after(self.timeout):
            return await self._answer(episode)
        raise self._failure(f"no complete answer within {self.timeout:g} s")

    async def _answer(
        self, episode: Episode
    ) -> tuple[list[LightClientObject], TransportError | None]:
        await self._before(episode)
        return await self._arrived(episode, episode.objects())

    async def _arrived(
        self, episode: Episode, values: list[LightClientObject]
    ) -> tuple[list[LightClientObject], TransportError | None]:
        try:
            return await episode.in_process(values), None
        except BrokenOff as broken:
            if broken.malformed:
                what = f"{self.name}: the answer is unreadable"
                return list(broken.kept), MalformedAnswer(what, provider=self.name)
            return list(broken.kept), self._failure("closed the connection early")

    async def _before(self, episode: Episode) -> None:
        try:
            await episode.before()
        except Refusal as refusal:
            self._raise_refusal(refusal, episode.asked)
        except ConnectionLost as lost:
            what = "cannot be reached" if lost.refused else "closed the connection early"
            raise self._failure(what) from None

    def _raise_refusal(self, refusal: Refusal, asked: Asked) -> NoReturn:
        said = f"{self.name}: HTTP {refusal.status} ({refusal.message})"
        if refusal.status == 429 or (refusal.status == 503 and "Retry-After" in refusal.headers):
            pause = float(refusal.headers.get("Retry-After", _DEFAULT_RETRY_AFTER))
            raise RateLimited(said, provider=self.name, retry_after=pause)
        if refusal.status == 404 and asked.kind is ObjectKind.BOOTSTRAP:
            raise UnknownBootstrap(said, provider=self.name, reason="not_kept")
        if refusal.status in (404, 405, 501):
            raise NotServed(said, provider=self.name)
        raise ProviderUnavailable(said, provider=self.name)

    def _failure(self, what: str) -> ProviderUnavailable:
        return ProviderUnavailable(f"{self.name}: {what}", provider=self.name)

    def _count(self, what: str) -> None:
        self.requests[what] = self.requests.get(what, 0) + 1

    # Events ------------------------------------------------------------------------------------

    async def stream_updates(
        self,
    ) -> AsyncGenerator[LightClientFinalityUpdate | LightClientOptimisticUpdate, None]:
        """The latest updates as the chain grows. Raises NotServed, ProviderUnavailable."""
        self._count("events")
        await anyio.lowlevel.checkpoint()
        if not self.pushes:
            raise NotServed(f"{self.name}: pushes nothing", provider=self.name)
        await self._before(self.faults.begin(Asked(path=EVENTS_PATH), self.chain))
        send, receive = anyio.create_memory_object_stream[SimulatedBlock](_PUSH_BUFFER)

        def note(block: SimulatedBlock) -> None:
            try:
                send.send_nowait(block)
            except (anyio.WouldBlock, anyio.BrokenResourceError, anyio.ClosedResourceError):
                send.close()

        self.chain.listeners.append(note)
        try:
            async for block in receive:
                values, error = await self._pushed(block)
                for value in values:
                    yield value
                if error is not None:
                    raise error
            raise self._failure("ended its event stream")
        finally:
            self.chain.listeners.remove(note)
            send.close()
            receive.close()

    async def _pushed(
        self, block: SimulatedBlock
    ) -> tuple[
        list[LightClientFinalityUpdate | LightClientOptimisticUpdate], TransportError | None
    ]:
        if self.faults.is_down(self.chain):
            raise self._failure("closed the connection early")
        kinds = []
        if self.chain.is_latest_finality(block):
            kinds.append(ObjectKind.FINALITY_UPDATE)
        if self.chain.is_latest_optimistic(block):
            kinds.append(ObjectKind.OPTIMISTIC_UPDATE)
        pushed: list[LightClientFinalityUpdate | LightClientOptimisticUpdate] = []
        for kind in kinds:
            episode = self.faults.begin(Asked(kind, pushed=True), self.chain)
            values, error = await self._arrived(episode, episode.objects())
            for value in values:
                assert isinstance(value, LightClientFinalityUpdate | LightClientOptimisticUpdate)
                pushed.append(value)
            if error is not None:
                return pushed, error
        return pushed, None
