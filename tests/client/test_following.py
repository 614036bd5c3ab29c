"""The loop, stepped through by hand: what is asked when, on the way to the head and there."""

from __future__ import annotations

import pytest

from lightclient.errors import ProviderUnavailable
from tests.client.stepping import SLOT_MS, finalized, head, pass_slots, settle, synced
from tests.client.world import SLOTS_PER_EPOCH, SLOTS_PER_PERIOD, World

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """No step sleeps, so one backend is enough here."""
    return "asyncio"


async def test_it_bootstraps_catches_up_by_ranges_and_then_asks_for_the_head() -> None:
    world = World(5 * SLOTS_PER_PERIOD + 30)
    provider = world.provider()
    follower = world.follower(provider)
    await settle(world, follower)
    assert provider.drain() == [
        "bootstrap",
        "updates 0+5",
        "finality_update",
        "optimistic_update",
    ]
    assert head(follower) == world.slot - 1
    assert finalized(follower) == 5 * SLOTS_PER_PERIOD + 8


async def test_bootstrapped_in_the_current_period_it_asks_for_the_next_committee_at_once() -> None:
    world = World(3 * SLOTS_PER_PERIOD + 40)
    provider = world.provider()
    follower = world.follower(provider, slot=3 * SLOTS_PER_PERIOD)
    await settle(world, follower)
    assert provider.drain()[:2] == ["bootstrap", "updates 3+1"]
    store = follower._processor.store
    assert store is not None
    assert store.next_sync_committee is not None


async def test_a_long_way_is_asked_for_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightclient.sync.planner.MAX_PERIODS_PER_REQUEST", 8)
    monkeypatch.setattr("lightclient.client.history.PERIODS_PER_PAGE", 8)
    world = World(19 * SLOTS_PER_PERIOD + 30)
    provider = world.provider()
    follower = world.follower(provider)
    await settle(world, follower)
    assert provider.drain()[:4] == ["bootstrap", "updates 0+8", "updates 8+8", "updates 16+3"]
    assert head(follower) == world.slot - 1


async def test_without_a_bootstrap_it_sleeps_until_the_next_try_instead_of_spinning() -> None:
    world = World(SLOTS_PER_PERIOD)
    provider = world.provider()
    provider.error = ProviderUnavailable("down", provider="good")
    follower = world.follower(provider)
    await follower.step()
    assert provider.drain() == ["bootstrap"]
    assert follower.delay_ms() == SLOT_MS * 10 // 12
    await follower.step()
    assert provider.drain() == []
    await pass_slots(world, follower, 10)
    assert provider.drain() == ["bootstrap"] * 12


async def test_at_the_head_it_neither_spins_nor_asks_more_than_once_a_slot() -> None:
    world = World(2 * SLOTS_PER_PERIOD + 30)
    provider = world.provider()
    follower = world.follower(provider)
    await settle(world, follower)
    provider.drain()
    # Long enough for the planner's next time, with head tasks, to pass again and again.
    await pass_slots(world, follower, SLOTS_PER_PERIOD - 30)
    asked = provider.drain()
    assert asked.count("optimistic_update") <= SLOTS_PER_PERIOD - 30
    assert asked.count("finality_update") == 4  # one an epoch
    assert head(follower) >= world.slot - 2


async def test_it_follows_over_period_boundaries_and_learns_each_committee_in_its_period() -> None:
    world = World(SLOTS_PER_PERIOD + 30)
    provider = world.provider()
    follower = world.follower(provider)
    await settle(world, follower)
    for period in range(2, 4):
        await pass_slots(world, follower, period * SLOTS_PER_PERIOD + 60 - world.slot)
        store = follower._processor.store
        assert store is not None
        assert store.finalized_header.beacon.slot // SLOTS_PER_PERIOD == period
        assert store.next_sync_committee is not None
        assert head(follower) >= world.slot - 2
    updates = [item for item in provider.drain() if item.startswith("updates")]
    assert [item for item in updates if not item.endswith("+1")] == ["updates 0+1"][1:]
    assert updates[0] == "updates 0+1"


async def test_a_committee_that_cannot_be_learnt_at_first_is_asked_for_again_in_time() -> None:
    # Nobody signs enough in the first half of the period: no committee is final before.
    start = 2 * SLOTS_PER_PERIOD
    weak = range(start, start + 36)
    world = World(
        start + 30, participation=lambda slot: 0.5 if slot in weak else 0.95, dense_slots=30
    )
    provider = world.provider()
    follower = world.follower(provider, slot=start - SLOTS_PER_PERIOD)
    await settle(world, follower)
    await pass_slots(world, follower, start + 62 - world.slot)
    store = follower._processor.store
    assert store is not None
    assert store.finalized_header.beacon.slot >= start
    assert store.next_sync_committee is not None


async def test_pushed_headers_make_polling_needless() -> None:
    world = World(SLOTS_PER_PERIOD + 40)
    provider = world.provider()
    follower = await synced(world, provider)
    provider.drain()
    for slot in range(world.slot + 1, world.slot + 13):
        world.go_to(slot, 0.2)
        pushes = [world.chain.optimistic_update(), world.chain.finality_update()]
        for update in pushes:
            assert update is not None
            await follower._fetcher.judge(follower._fetcher.providers[0], update)
        world.set_clock(slot, 0.5)
        await follower.step()
    assert [item for item in provider.drain() if not item.startswith("updates")] == []


async def test_a_provider_that_pushes_old_news_does_not_stop_the_polls() -> None:
    world = World(SLOTS_PER_PERIOD + 40)
    provider = world.provider()
    follower = await synced(world, provider)
    provider.drain()
    old = world.chain.optimistic_update()
    assert old is not None
    for slot in range(world.slot + 1, world.slot + 5):
        world.go_to(slot, 0.2)
        await follower._fetcher.judge(follower._fetcher.providers[0], old)
        world.set_clock(slot, 0.5)
        await follower.step()
        assert head(follower) == slot - 1
    assert provider.drain().count("optimistic_update") >= 3


async def test_empty_slots_do_not_make_it_ask_everybody() -> None:
    base = SLOTS_PER_PERIOD + 40
    world = World(base, missed_slots={base + 2})
    first, second = world.provider("first"), world.provider("second")
    follower = await synced(world, first, second)
    second.drain()
    for slot in range(base + 1, base + 5):
        world.go_to(slot)
        await follower.step()
    assert second.drain() == []
    assert head(follower) == base + 3


async def test_a_lagging_provider_makes_room_for_a_current_one() -> None:
    world = World(2 * SLOTS_PER_PERIOD + 30)
    slow, good = world.provider("slow", lag=5), world.provider("good")
    follower = await synced(world, slow, good)
    for _ in range(3):
        world.go_to(world.slot + 1)
        await follower.step()
        assert head(follower) == world.slot - 1
    assert [item.name for item in follower._fetcher.providers] == ["good", "slow"]
    slow.drain()
    world.go_to(world.slot + 1)
    await follower.step()
    assert slow.drain() == []


async def test_finality_is_not_asked_for_before_it_can_be_known() -> None:
    world = World(SLOTS_PER_PERIOD + 41)
    provider = world.provider()
    follower = await synced(world, provider)
    provider.drain()
    asked = {}
    for slot in range(world.slot + 1, world.slot + 2 * SLOTS_PER_EPOCH + 1):
        world.go_to(slot)
        await follower.step()
        asked[slot % SLOTS_PER_EPOCH] = provider.drain().count("finality_update")
    # The epoch's first block is signed in its second slot, and finalizes.
    assert asked == {0: 0, 1: 1, 2: 0, 3: 0, 4: 0, 5: 0, 6: 0, 7: 0}


async def test_an_empty_first_slot_of_an_epoch_does_not_make_it_ask_again_and_again() -> None:
    start = SLOTS_PER_PERIOD + 40
    world = World(start + 17, missed_slots={start, start + 8}, dense_slots=40)
    provider = world.provider()
    follower = await synced(world, provider)
    assert finalized(follower) == start - 1  # stands for the checkpoint of the epoch from start on
    provider.drain()
    for slot in range(start + 18, start + 24):
        world.go_to(slot)
        await follower.step()
    assert "finality_update" not in provider.drain()
