"""Listening to pushed updates: to whom, how long, and how much."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from lightclient.client.fetching import Fetcher
from lightclient.client.following import Follower
from lightclient.client.providers import Provider
from lightclient.client.pushes import MAX_PUSHES_A_SLOT, Listener
from lightclient.containers import LightClientFinalityUpdate
from lightclient.errors import (
    DecodeError,
    MalformedAnswer,
    NotServed,
    ProviderUnavailable,
    RateLimited,
    TransportError,
)
from lightclient.simulator.live_scenes import conflicting
from tests.client.world import SLOTS_PER_PERIOD, ChainTransport, World, ignore, until

pytestmark = pytest.mark.anyio
SLOT_MS = 20


class Stream(ChainTransport):
    """Streams what it was given, then ends, fails or stays silent."""

    def __init__(self, world: World, name: str, items: Sequence[Any], then: Any = None) -> None:
        super().__init__(world, name)
        self.items = items
        self.then = then
        self.opened = self.closed = self.read = 0

    async def stream_updates(self) -> AsyncIterator[Any]:
        self.opened += 1
        try:
            for item in self.items:
                await anyio.lowlevel.checkpoint()
                self.read += 1
                yield item
            if isinstance(self.then, Exception):
                raise self.then
            if self.then == "silence":
                await anyio.sleep_forever()
        finally:
            self.closed += 1


class Plain:
    """An iterator that is no generator: there is nothing to close."""

    def __init__(self, items: Sequence[Any]) -> None:
        self._items = list(items)

    def __aiter__(self) -> Plain:
        return self

    async def __anext__(self) -> Any:
        await anyio.lowlevel.checkpoint()
        if not self._items:
            raise StopAsyncIteration
        return self._items.pop(0)


class Closeable(Plain):
    """The same with something to close."""

    def __init__(self, items: Sequence[Any]) -> None:
        super().__init__(items)
        self.closed = 0

    async def aclose(self) -> None:
        await anyio.lowlevel.checkpoint()
        self.closed += 1


async def synced_fetcher(world: World, *transports: Any) -> Fetcher:
    fetcher = Fetcher.over(
        world.processor(), [world.provider("polled"), *transports], world.clock, ignore
    )
    follower = Follower(fetcher, world.clock, lambda low, _: low)
    for _ in range(4):
        await follower.step()
        world.now_ms += 1
    fetcher.providers.pop(0)
    return fetcher


def world() -> World:
    return World(SLOTS_PER_PERIOD + 30, slot_duration_ms=SLOT_MS)


@asynccontextmanager
async def listening(place: World, fetcher: Fetcher) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Listener(fetcher, place.clock).run)
        yield
        tasks.cancel_scope.cancel()


async def test_it_listens_to_one_provider_at_a_time_and_goes_on_when_a_stream_ends() -> None:
    place = world()
    update = place.chain.optimistic_update()
    ends, silent, third = (
        Stream(place, "ends", [update]),
        Stream(place, "silent", [update], "silence"),
        Stream(place, "third", [update]),
    )
    fetcher = await synced_fetcher(place, ends, silent, third)
    async with listening(place, fetcher):
        await until(lambda: silent.read)
        assert (ends.opened, ends.closed) == (1, 1)
        assert (silent.closed, third.opened) == (0, 0)
    assert silent.closed == 1


async def test_forgeries_that_the_rules_pass_over_end_the_stream_all_the_same() -> None:
    place = World(SLOTS_PER_PERIOD + 30, dense_slots=40, slot_duration_ms=SLOT_MS)
    fetcher = await synced_fetcher(place)
    true = place.chain.finality_update()
    assert true is not None
    other = conflicting(place.chain, true)
    assert isinstance(other, LightClientFinalityUpdate)
    forged = replace(other, sync_aggregate=true.sync_aggregate)
    place.go_to(place.slot + 24)
    follower = Follower(fetcher, place.clock, lambda low, _: low)
    fetcher.providers.append(Provider(place.provider("polled")))
    for _ in range(3):
        await follower.step()
        place.now_ms += 1
    forger = Stream(place, "forger", [forged] * MAX_PUSHES_A_SLOT, "silence")
    fetcher.providers[:] = [Provider(forger)]
    async with listening(place, fetcher):
        await until(lambda: forger.closed)
    assert forger.read <= 2
    assert fetcher.providers[0].verdicts == {"duplicate": forger.read}


@pytest.mark.parametrize(
    "error",
    [
        NotServed("no events", provider="bad"),
        ProviderUnavailable("gone", provider="bad"),
        TransportError("odd", provider="bad"),
    ],
)
async def test_a_stream_that_fails_makes_room_for_the_next_and_is_tried_again(
    error: Exception,
) -> None:
    place = world()
    bad = Stream(place, "bad", [], error)
    good = Stream(place, "good", [place.chain.optimistic_update()])
    fetcher = await synced_fetcher(place, bad, good)
    async with listening(place, fetcher):
        await until(lambda: bad.opened >= 2 and good.opened >= 2)
    assert bad.closed == bad.opened


async def test_nobody_who_pushes_is_asked_ever_more_rarely() -> None:
    place = world()
    silent = Stream(place, "mute", [], NotServed("no events"))
    fetcher = await synced_fetcher(place, silent)
    async with listening(place, fetcher):
        await anyio.sleep(0.5)  # 25 slots: tried after 0, 8 and 24
    assert 1 <= silent.opened <= 3


async def test_a_provider_that_floods_is_not_listened_to() -> None:
    place = world()
    update = place.chain.optimistic_update()
    flood = Stream(place, "flood", [update] * 10_000)
    fetcher = await synced_fetcher(place, flood)
    async with listening(place, fetcher):
        await until(lambda: flood.closed)
        assert flood.read == MAX_PUSHES_A_SLOT + 1


async def test_a_provider_that_lies_is_not_listened_to() -> None:
    place = world()
    update = place.chain.optimistic_update()
    assert update is not None
    aggregate = update.sync_aggregate
    forged = replace(
        update,
        sync_aggregate=replace(
            aggregate, sync_committee_bits=bytes([255 - aggregate.sync_committee_bits[0]]) * 4
        ),
    )
    lies = Stream(place, "lies", [forged, update, update], "silence")
    fetcher = await synced_fetcher(place, lies)
    async with listening(place, fetcher):
        await until(lambda: lies.closed)
    assert lies.read == 1


async def test_a_clock_that_is_slow_makes_no_liar() -> None:
    place = world()
    update = place.chain.optimistic_update()
    honest = Stream(place, "honest", [update], "silence")
    fetcher = await synced_fetcher(place, honest)
    place.set_clock(SLOTS_PER_PERIOD + 28)
    async with listening(place, fetcher):
        await until(lambda: honest.read)
        await anyio.sleep(0.02)
        assert honest.closed == 0


async def test_while_catching_up_it_does_not_listen() -> None:
    place = world()
    stream = Stream(place, "stream", [place.chain.optimistic_update()], "silence")
    fetcher = await synced_fetcher(place, stream)
    place.set_clock(5 * SLOTS_PER_PERIOD)
    async with listening(place, fetcher):
        await anyio.sleep(0.1)
        assert stream.opened == 0
        place.set_clock(SLOTS_PER_PERIOD + 30)
        await until(lambda: stream.read)


async def test_a_provider_that_asked_for_a_pause_is_left_alone() -> None:
    place = world()
    stream = Stream(place, "busy", [], RateLimited("slow down", retry_after=0.4))
    fetcher = await synced_fetcher(place, stream)
    async with listening(place, fetcher):
        await until(lambda: stream.closed)
        await anyio.sleep(0.4)
        assert stream.opened == 1  # by the client's clock no time has passed
        place.now_ms += 400
        await until(lambda: stream.opened == 2)


@pytest.mark.parametrize("error", [DecodeError("junk"), MalformedAnswer("junk", provider="bad")])
async def test_a_provider_that_pushes_junk_is_left_alone_for_a_while(error: Exception) -> None:
    place = world()
    bad = Stream(place, "bad", [], error)
    good = Stream(place, "good", [place.chain.optimistic_update()])
    fetcher = await synced_fetcher(place, bad, good)
    async with listening(place, fetcher):
        await until(lambda: good.opened >= 2)
        assert bad.opened == 1
        place.now_ms += 6 * SLOT_MS
        await until(lambda: bad.opened == 2)


async def test_as_many_are_listened_to_as_must_agree() -> None:
    place = world()
    update = place.chain.optimistic_update()
    streams = [Stream(place, name, [update], "silence") for name in ("one", "two", "three")]
    fetcher = await synced_fetcher(place, *streams)
    fetcher.require(2)
    async with listening(place, fetcher):
        await until(lambda: sum(item.read for item in streams) == 2)
        await anyio.sleep(0.05)
        assert [item.opened for item in streams] == [1, 1, 0]
    assert [item.closed for item in streams] == [1, 1, 0]


async def test_a_stream_that_is_no_generator_will_do() -> None:
    place = world()
    update = place.chain.optimistic_update()
    transport = place.provider("plain")
    transport.stream_updates = lambda: Plain([update])  # type: ignore[method-assign]
    fetcher = await synced_fetcher(place, transport)
    async with listening(place, fetcher):
        await until(lambda: sum(fetcher.providers[0].verdicts.values()))


async def test_a_stream_is_closed_when_it_is_left() -> None:
    place = world()
    stream = Closeable([place.chain.optimistic_update()] * 100)
    transport = place.provider("closeable")
    transport.stream_updates = lambda: stream  # type: ignore[method-assign]
    fetcher = await synced_fetcher(place, transport)
    async with listening(place, fetcher):
        await until(lambda: stream.closed)
