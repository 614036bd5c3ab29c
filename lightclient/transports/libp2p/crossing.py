"""Between two event loops: a client on asyncio, and the node on trio in a thread of its own.

Calls cross both ways (see ``event_loops``), and cancelling crosses with them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from lightclient.config import Network
from lightclient.containers import (
    LightClientBootstrap,
    LightClientFinalityUpdate,
    LightClientOptimisticUpdate,
)
from lightclient.errors import NotServed, ProviderUnavailable
from lightclient.sync import Outcome
from lightclient.transports.base import Transport, UpdateRange
from lightclient.transports.libp2p.event_loops import EventLoop, LoopGone
from lightclient.transports.pools import Heads, PoolMember
from lightclient.transports.scores import ProviderScore

if TYPE_CHECKING:
    from lightclient.transports.push import PushedUpdate

T = TypeVar("T")


class Guest:
    """A client in another event loop, as the node sees it."""

    def __init__(
        self,
        member: PoolMember,
        home: EventLoop,
        away: EventLoop,
    ) -> None:
        self._member = member
        self._home = home
        self._away = away
        self._transports: dict[Transport, RemoteTransport] = {}

    def join(self, transport: Transport, score: ProviderScore, *, serves: bool) -> None:
        remote = self._transports[transport] = RemoteTransport(transport, self._away)
        with suppress(LoopGone):
            self._home.call_soon(partial(self._member.join, remote, score, serves=serves))

    def leave(self, transport: Transport) -> None:
        remote = self._transports.pop(transport, None)
        if remote is not None:
            with suppress(LoopGone):  # nobody is left to tell
                self._home.call_soon(self._member.leave, remote)

    async def judge(
        self,
        transport: Transport,
        update: LightClientFinalityUpdate | LightClientOptimisticUpdate,
    ) -> Outcome | None:
        remote = self._transports.get(transport)
        if remote is None:
            return None
        try:
            return await self._home.call(self._member.judge, remote, update)
        except LoopGone:
            return None

    def can_judge_pushes(self) -> bool:
        return self._member.can_judge_pushes()

    def heads(self) -> Heads:
        return self._member.heads()


class RemoteTransport:
    """A peer's transport, whose event loop is the node's, to be used from the client's."""

    def __init__(self, transport: Transport, away: EventLoop) -> None:
        self._transport = transport
        self._away = away

    @property
    def name(self) -> str:
        return self._transport.name

    @property
    def held_back(self) -> int:
        return int(getattr(self._transport, "held_back", 0))

    async def open(self, network: Network) -> None:
        """Nothing to do: the pool connects."""

    async def aclose(self) -> None:
        """Nothing to do: the pool disconnects."""

    async def get_light_client_bootstrap(self, block_root: bytes) -> LightClientBootstrap:
        return await self._call(self._transport.get_light_client_bootstrap, block_root)

    async def get_light_client_updates_by_range(self, start_period: int, count: int) -> UpdateRange:
        ask = self._transport.get_light_client_updates_by_range
        return await self._call(ask, start_period, count)

    async def get_light_client_finality_update(self) -> LightClientFinalityUpdate:
        return await self._call(self._transport.get_light_client_finality_update)

    async def get_light_client_optimistic_update(self) -> LightClientOptimisticUpdate:
        return await self._call(self._transport.get_light_client_optimistic_update)

    async def stream_updates(self) -> AsyncGenerator[PushedUpdate, None]:
        for _ in ():
            yield _
        raise NotServed(f"{self.name}: pushes come by gossip", provider=self.name)

    async def _call(self, method: Callable[..., Awaitable[T]], *args: Any) -> T:
        try:
            return await self._away.call(method, *args)
        except LoopGone:
            gone = f"{self.name}: is gone"
        raise ProviderUnavailable(gone, provider=self.name)
