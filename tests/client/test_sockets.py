"""Requests that are given up leave nothing behind: over real HTTP, on asyncio and trio."""

from __future__ import annotations

import gc
import random
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
import pytest

from lightclient.client.fetching import Fetcher
from lightclient.client.providers import Provider, Request
from lightclient.simulator.faults import make_fault
from lightclient.simulator.habits import ServerHabits
from lightclient.simulator.server import serve
from lightclient.sync import FetchBootstrap, FetchOptimisticUpdate, FetchUpdates
from lightclient.transports.rest import RestTransport
from lightclient.transports.scores import ProviderScore
from tests.client.world import SLOTS_PER_PERIOD, World, ignore

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="counts sockets in /proc"),
]
PERIODS = 4
RACES = 12  # a transport has eight connections: a leak would use them up


def sockets() -> int:
    """Open sockets of this process, the servers' own among them."""
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found += str(entry.readlink()).startswith("socket:")
        except OSError:
            continue
    return found


def period_of(found: Fetcher) -> int:
    store = found.processor.store
    assert store is not None
    return store.finalized_header.beacon.slot // SLOTS_PER_PERIOD


async def settled(most: int) -> int:
    """Sockets once they are no more than ``most``, or after a while."""
    gc.collect()
    for _ in range(100):
        if sockets() <= most:
            break
        await anyio.sleep(0.02)
    return sockets()


@asynccontextmanager
async def served(world: World, *faults: str) -> AsyncIterator[tuple[Fetcher, list[ServerHabits]]]:
    """A fetcher over one server for each fault and an honest one, which comes last."""
    habits = [ServerHabits() for _ in (*faults, "honest")]
    for item, name in zip(habits, faults, strict=False):
        item.faults.faults = (make_fault(name, random.Random(name)),)
    async with AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(serve(world.chain, item)) for item in habits]
        transports = [RestTransport(url) for url in urls]
        for transport in transports:
            await transport.open(world.network)
            stack.push_async_callback(transport.aclose)
        found = Fetcher.over(world.processor(), transports, world.clock, ignore)
        good = Fetcher.over(found.processor, transports[-1:], world.clock, ignore)
        assert await good.perform(FetchBootstrap())
        yield found, habits


@pytest.fixture(scope="module")
def world() -> World:
    # An eighth of a slot, after which the next provider is asked, is 25 ms.
    return World(PERIODS * SLOTS_PER_PERIOD + 30, slot_duration_ms=200)


class Answered:
    """Whether a provider has answered since the last time; and how many were given up."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.has_answered = False
        self.given_up = 0

    def __call__(self, request: Request) -> None:
        self.has_answered |= request.provider is self.provider
        self.given_up += request.is_cancelled

    def is_enough(self) -> bool:
        was, self.has_answered = self.has_answered, False
        return was


@pytest.mark.parametrize("fault", ["silent", "dripping"])
async def test_requests_that_are_given_up_release_their_connections(
    world: World, fault: str
) -> None:
    async with served(world, fault, fault) as (found, habits):
        assert await found.perform(FetchUpdates(0, PERIODS))
        honest = found.providers[0]  # who helped last comes first
        answered = Answered(honest)
        found.on_request.append(answered)
        before = sockets()
        for _ in range(RACES):
            found.providers[:] = [item for item in found.providers if item is not honest]
            found.providers.append(honest)
            for item in found.providers:  # as if they were as good as the honest one
                item.score = ProviderScore()
            with anyio.fail_after(60):
                await found.perform(FetchOptimisticUpdate(), answered.is_enough)
        assert answered.given_up >= RACES
        # A connection or two to each server are kept to be used again, at both ends.
        assert await settled(before + 8) <= before + 8
        for each in habits:
            each.faults.faults = ()
        for provider in found.providers:
            await provider.transport.get_light_client_optimistic_update()


@pytest.mark.parametrize("fault", ["redirect_circle", "redirect_without_end", "endless_body"])
async def test_what_fails_over_http_costs_little_time_and_no_connections(
    world: World, fault: str
) -> None:
    async with served(world, fault, fault, fault, fault) as (found, _):
        start = anyio.current_time()
        assert await found.perform(FetchUpdates(0, PERIODS))
        assert await found.perform(FetchOptimisticUpdate())
        assert anyio.current_time() - start < 20
        assert period_of(found) == PERIODS - 1
        assert await settled(24) <= 24
