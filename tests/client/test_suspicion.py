"""Objects from the future: whose clock is wrong, and who is blamed for it."""

from __future__ import annotations

import pytest

from lightclient.client.fetching import Fetcher
from lightclient.client.following import Follower
from lightclient.client.suspicion import FutureSlots
from lightclient.sync import FetchOptimisticUpdate
from tests.client.world import SLOTS_PER_PERIOD, ChainTransport, World, ignore

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_two_who_are_ahead_make_our_clock_the_suspect_and_blame_nobody() -> None:
    future = FutureSlots()
    assert not future.note_future("one", 108, 100)
    assert not future.note_future("one", 109, 100)
    assert future.suspected_slot is None
    assert future.note_future("two", 106, 101)
    assert [future.suspected_slot, future.slots_ahead] == [101, 5]
    assert future.note_present("three", 101, 101) == []


def test_one_alone_is_blamed_once_another_is_where_our_clock_is() -> None:
    future = FutureSlots()
    future.note_future("one", 108, 100)
    assert future.note_present("two", 98, 101) == []  # it may only lag
    assert future.note_present("two", 102, 102) == ["one"]
    assert future.note_present("two", 103, 103) == []  # once


def test_what_was_long_ago_or_before_the_clock_was_set_back_counts_no_more() -> None:
    future = FutureSlots()
    future.note_future("one", 108, 100)
    assert not future.note_future("two", 300, 200)
    assert future.note_present("three", 50, 50) == []
    assert future.suspected_slot is None


def test_who_is_ahead_of_a_clock_that_is_slow_by_a_part_of_a_slot_is_not_blamed() -> None:
    future = FutureSlots()
    for slot in range(100, 110):
        assert future.note_present("polled", slot, slot) == []
        future.note_future("pushes", slot + 1, slot)


async def synced(world: World, *transports: ChainTransport) -> Fetcher:
    found = Fetcher.over(world.processor(), transports, world.clock, ignore)
    loop = Follower(found, world.clock, lambda low, _: low)
    for _ in range(6):
        await loop.step()
        world.now_ms += 1
    return found


async def test_with_a_slow_clock_no_honest_provider_loses_anything() -> None:
    world = World(SLOTS_PER_PERIOD + 30)
    found = await synced(world, world.provider("one"), world.provider("two"))
    before = [item.score.honesty for item in found.providers]
    world.chain.advance_to(world.slot + 5)  # ours stands still
    for _ in range(3):
        assert not await found.perform(FetchOptimisticUpdate(), lambda: False)
    assert [item.score.honesty for item in found.providers] == before
    assert found.future.suspected_slot == world.slot


async def test_who_alone_sends_objects_from_the_future_pays_when_it_is_known() -> None:
    world = World(SLOTS_PER_PERIOD + 30)
    ahead, good = world.provider("ahead"), world.provider("good")
    found = await synced(world, good, ahead)
    by_name = {item.name: item for item in found.providers}
    before = by_name["ahead"].score.honesty
    present = world.chain.head.slot
    future = World(present + 7).chain.optimistic_update()
    assert future is not None
    outcome = await found.judge(by_name["ahead"], future)
    assert outcome.verdict.rule is not None
    assert by_name["ahead"].score.honesty == before
    world.go_to(world.slot + 1)
    await found.perform(FetchOptimisticUpdate())
    assert by_name["ahead"].score.honesty == before - 200
