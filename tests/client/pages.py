"""A history in pages: providers that answer for each after a while, and how long it all takes."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from lightclient.client.fetching import Fetcher
from lightclient.client.history import PAGE_PATIENCE_SLOTS
from lightclient.containers import LightClientUpdate
from lightclient.sync import FetchBootstrap, FetchUpdates
from lightclient.transports.base import UpdateRange
from tests.client.world import ChainTransport, World, ignore

PERIODS = 12
PAGE = 2
SLOT = 6.0
PATIENCE = PAGE_PATIENCE_SLOTS * SLOT
Change = Callable[[list[LightClientUpdate]], UpdateRange]


def whole(found: list[LightClientUpdate]) -> UpdateRange:
    return UpdateRange(tuple(found))


class Paged(ChainTransport):
    """Answers each range after a while, in its own way; keeps count of all that are under way."""

    under_way = 0
    most_under_way = 0

    def __init__(
        self, world: World, name: str, seconds: float = 1.0, change: Change = whole
    ) -> None:
        super().__init__(world, name)
        self.seconds = seconds
        self.change = change
        self.cancelled = 0

    async def get_light_client_updates_by_range(self, start_period: int, count: int) -> UpdateRange:
        Paged.under_way += 1
        Paged.most_under_way = max(Paged.most_under_way, Paged.under_way)
        try:
            await self._note(f"{start_period}+{count}")
            await anyio.sleep(self.seconds)
        except anyio.get_cancelled_exc_class():
            self.cancelled += 1
            raise
        finally:
            Paged.under_way -= 1
        return self.change(self.chain.updates(start_period, count))


async def bootstrapped(world: World, *transports: ChainTransport) -> Fetcher:
    Paged.under_way = Paged.most_under_way = 0
    found = Fetcher.over(world.processor(), transports, world.clock, ignore)
    good = Fetcher.over(found.processor, [world.provider()], world.clock, ignore)
    assert await good.perform(FetchBootstrap())
    return found


async def timed(found: Fetcher) -> float:
    start = anyio.current_time()
    assert await found.perform(FetchUpdates(0, PERIODS))
    return anyio.current_time() - start
