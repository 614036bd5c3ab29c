"""A client as the member of a pool: its peers become providers, and what they push is judged.

Pushes are judged by one task of the client's, in the order in which they came. A peer that leaves
meanwhile takes nothing with it: what was begun is ended, and listeners are told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import anyio

from lightclient.client.fetching import Fetcher
from lightclient.client.providers import Provider
from lightclient.containers import (
    LightClientFinalityUpdate,
    LightClientOptimisticUpdate,
    LightClientUpdate,
)
from lightclient.sync import Outcome, VerifiedHeader, sync_position
from lightclient.transports.base import Transport
from lightclient.transports.pools import Heads
from lightclient.transports.scores import ProviderScore

MAX_WAITING: Final = 32
"""Pushes that wait to be judged; more are not judged at all."""


@dataclass(slots=True, eq=False)
class _Push:
    provider: Provider
    update: LightClientFinalityUpdate | LightClientOptimisticUpdate
    outcome: Outcome | None = None
    is_judged: anyio.Event = field(default_factory=anyio.Event)


class PoolMembership:
    """See ``transports.pools.PoolMember``.

    Args:
        clock: Unix milliseconds.
        on_join: called when a provider came, which may be what everything waited for.
    """

    def __init__(
        self, fetcher: Fetcher, clock: Callable[[], int], on_join: Callable[[], None]
    ) -> None:
        self._fetcher = fetcher
        self._clock = clock
        self._on_join = on_join
        self._providers: dict[Transport, Provider] = {}
        self._checkpoint: VerifiedHeader | None = None
        self._send, self._receive = anyio.create_memory_object_stream[_Push](MAX_WAITING)

    async def run(self) -> None:
        """Judge what is pushed until cancelled. Raises what judging raises."""
        async with self._send, self._receive:
            async for push in self._receive:
                try:
                    push.outcome = await self._fetcher.judge(push.provider, push.update)
                finally:
                    push.is_judged.set()

    def join(self, transport: Transport, score: ProviderScore, *, serves: bool) -> None:
        """A provider is there, to be asked if it ``serves``."""
        provider = self._providers[transport] = Provider(transport, score=score)
        if serves:
            self._fetcher.providers.append(provider)
            self._on_join()

    def leave(self, transport: Transport) -> None:
        """A provider is gone."""
        provider = self._providers.pop(transport, None)
        if provider in self._fetcher.providers:
            self._fetcher.providers.remove(provider)

    async def judge(
        self,
        transport: Transport,
        update: LightClientFinalityUpdate | LightClientOptimisticUpdate,
    ) -> Outcome | None:
        """Judge what a provider pushed; None if it cannot be judged now."""
        provider = self._providers.get(transport)
        if provider is None or not self.can_judge_pushes():
            return None
        push = _Push(provider, update)
        try:
            self._send.send_nowait(push)
        except (anyio.WouldBlock, anyio.BrokenResourceError, anyio.ClosedResourceError):
            return None
        await push.is_judged.wait()
        return push.outcome

    def can_judge_pushes(self) -> bool:
        """Whether the store is near enough to the head."""
        processor = self._fetcher.processor
        position = sync_position(processor.store, processor.network, self._clock())
        return processor.store is not None and not position.is_catching_up

    def heads(self) -> Heads:
        """The verified headers; as finalized the last that is an epoch's checkpoint."""
        processor = self._fetcher.processor
        finalized = processor.finalized_header
        if finalized is None or _is_checkpoint(finalized, processor.proofs.finalized):
            self._checkpoint = finalized
        return Heads(self._checkpoint, processor.optimistic_header)


def _is_checkpoint(finalized: VerifiedHeader, proof: LightClientUpdate | None) -> bool:
    """Whether a finalized header is what the chain finalized, or at least an epoch's first block.

    A forced update takes the attested block instead, and a trusted block may be any.
    """
    if proof is not None and proof.finalized_header == finalized.header != proof.attested_header:
        return True
    return finalized.slot % finalized.network.preset.slots_per_epoch == 0
