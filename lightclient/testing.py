"""For embedders' tests: a transport that answers from memory.

No network, no threads; what it hands out is judged like anything else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

import anyio
import anyio.lowlevel

from lightclient.config import Network
from lightclient.containers import (
    LightClientBootstrap,
    LightClientFinalityUpdate,
    LightClientOptimisticUpdate,
    LightClientUpdate,
)
from lightclient.errors import NotServed, TransportError, UnknownBootstrap
from lightclient.transports.base import UpdateRange


class MockTransport:
    """Answers from the objects it was given; every attribute may be changed while in use.

    Args:
        bootstraps: by 32-byte block root.
        updates: by sync committee period.
        finality_update, optimistic_update: the latest ones; None is answered with NotServed.
        pushes: what ``stream_updates`` yields; None means that nothing can be pushed.
        error: raised by every request while it is set.
    """

    def __init__(
        self,
        *,
        bootstraps: Mapping[bytes, LightClientBootstrap] | None = None,
        updates: Mapping[int, LightClientUpdate] | None = None,
        finality_update: LightClientFinalityUpdate | None = None,
        optimistic_update: LightClientOptimisticUpdate | None = None,
        pushes: Sequence[LightClientFinalityUpdate | LightClientOptimisticUpdate] | None = None,
        name: str = "mock",
    ) -> None:
        self.bootstraps = dict(bootstraps or {})
        self.updates = dict(updates or {})
        self.finality_update = finality_update
        self.optimistic_update = optimistic_update
        self.pushes = pushes
        self.name = name
        self.error: TransportError | None = None
        self.requests: list[str] = []
        self.network: Network | None = None

    async def open(self, network: Network) -> None:
        """Remember the network."""
        self.network = network

    async def aclose(self) -> None:
        """Nothing to give up."""

    async def _note(self, request: str) -> None:
        self.requests.append(request)
        await anyio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error

    async def get_light_client_bootstrap(self, block_root: bytes) -> LightClientBootstrap:
        """The bootstrap of ``block_root``, or UnknownBootstrap."""
        await self._note("bootstrap")
        if block_root not in self.bootstraps:
            raise UnknownBootstrap(f"no bootstrap for 0x{block_root.hex()}", provider=self.name)
        return self.bootstraps[block_root]

    async def get_light_client_updates_by_range(self, start_period: int, count: int) -> UpdateRange:
        """The updates at hand in that range."""
        await self._note(f"updates {start_period}+{count}")
        periods = range(start_period, start_period + count)
        return UpdateRange(tuple(self.updates[p] for p in periods if p in self.updates))

    async def get_light_client_finality_update(self) -> LightClientFinalityUpdate:
        """The finality update, or NotServed."""
        await self._note("finality_update")
        if self.finality_update is None:
            raise NotServed("no finality update", provider=self.name)
        return self.finality_update

    async def get_light_client_optimistic_update(self) -> LightClientOptimisticUpdate:
        """The optimistic update, or NotServed."""
        await self._note("optimistic_update")
        if self.optimistic_update is None:
            raise NotServed("no optimistic update", provider=self.name)
        return self.optimistic_update

    async def stream_updates(
        self,
    ) -> AsyncIterator[LightClientFinalityUpdate | LightClientOptimisticUpdate]:
        """What was given as ``pushes``, once."""
        await self._note("events")
        if self.pushes is None:
            raise NotServed("no events", provider=self.name)
        for update in self.pushes:
            yield update
