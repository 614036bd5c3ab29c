"""Fetchers over a chain of some periods, and providers that answer ranges in ways of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lightclient.client.fetching import Fetcher
from lightclient.containers import LightClientUpdate
from lightclient.sync import FetchBootstrap, FetchUpdates
from lightclient.transports.base import UpdateRange
from tests.client.world import SLOTS_PER_PERIOD, ChainTransport, World, ignore

PERIODS = 6
WHOLE = FetchUpdates(0, PERIODS)


class Ranged(ChainTransport):
    """Answers ranges in a way of its own."""

    def __init__(
        self, world: World, answer: Callable[[list[LightClientUpdate]], UpdateRange], name: str
    ) -> None:
        super().__init__(world, name)
        self.answer = answer

    async def get_light_client_updates_by_range(self, start_period: int, count: int) -> UpdateRange:
        await self._note(f"updates {start_period}+{count}")
        return self.answer(self.chain.updates(start_period, count))


def fetcher(world: World, *transports: ChainTransport) -> Fetcher:
    return Fetcher.over(world.processor(), transports, world.clock, ignore)


async def bootstrapped(world: World, *transports: ChainTransport) -> Fetcher:
    found = fetcher(world, *transports)
    good = fetcher(world, world.provider())
    good.processor = found.processor
    assert await good.perform(FetchBootstrap())
    return found


def period_of(found: Fetcher) -> int:
    store = found.processor.store
    assert store is not None
    return store.finalized_header.beacon.slot // SLOTS_PER_PERIOD


def forged(update: LightClientUpdate) -> LightClientUpdate:
    aggregate = update.sync_aggregate
    bits = bytes([aggregate.sync_committee_bits[0] ^ 1, *aggregate.sync_committee_bits[1:]])
    return replace(update, sync_aggregate=replace(aggregate, sync_committee_bits=bits))
