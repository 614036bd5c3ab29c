"""The loop, stepped through by hand: what is asked when, whatever the clock and providers do."""

from __future__ import annotations

import pytest

from lightclient.client.following import BOOTSTRAP_ROUNDS, Follower
from lightclient.errors import (
    NotServed,
    ProviderUnavailable,
    RateLimited,
    UnknownBootstrap,
)
from lightclient.sync import ForcedUpdatePolicy
from tests.client.world import SLOTS_PER_EPOCH, SLOTS_PER_PERIOD, World

pytestmark = pytest.mark.anyio
SLOT_MS = 6_000


@pytest.fixture
def anyio_backend() -> str:
    """No step sleeps, so one backend is enough here."""
    return "asyncio"


async def settle(world: World, follower: Follower, limit: int = 40) -> None:
    """Step until nothing is due any more; time stands still but for the shortest sleeps."""
    for _ in range(limit):
        await follower.step()
        delay_ms = follower.delay_ms()
        if delay_ms > 1:
            return
        world.now_ms += delay_ms
    raise AssertionError("the loop does not come to rest")


async def pass_slots(world: World, follower: Follower, slots: int) -> None:
    """Let time pass as the loop sleeps through it."""
    until_ms = world.now_ms + slots * SLOT_MS
    for _ in range(20 * slots):
        world.now_ms += follower.delay_ms()
        if world.now_ms > until_ms:
            return
        world.chain.advance_to(world.slot)
        await follower.step()
    raise AssertionError("the loop is busy")


def head(follower: Follower) -> int:
    header = follower._processor.optimistic_header
    assert header is not None
    return header.slot


def finalized(follower: Follower) -> int:
    header = follower._processor.finalized_header
    assert header is not None
    return header.slot


# Getting there ------------------------------------------------------------------------------------


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


# The head -----------------------------------------------------------------------------------------


async def synced(world: World, *transports: object, slot: int = 0) -> Follower:
    follower = world.follower(*transports, slot=slot)  # type: ignore[arg-type]
    await settle(world, follower)
    return follower


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


# The clock ----------------------------------------------------------------------------------------


async def test_after_days_asleep_it_catches_up_at_once() -> None:
    world = World(2 * SLOTS_PER_PERIOD + 30, dense_from_slot=10**6)
    world.chain = World(2 * SLOTS_PER_PERIOD + 30).chain
    provider = world.provider()
    follower = await synced(world, provider)
    provider.drain()
    sparse = World(40 * SLOTS_PER_PERIOD + 30)
    # The same validators and seed: the same chain, seen weeks later.
    world.chain, world.now_ms = sparse.chain, sparse.now_ms
    assert follower.delay_ms() <= SLOT_MS
    await follower.step()
    assert provider.drain()[0].startswith("updates ")


async def test_falling_behind_overrides_what_was_planned_before() -> None:
    world = World(SLOTS_PER_PERIOD + 30)
    provider = world.provider()
    follower = await synced(world, provider)
    follower.next_sync_ms = follower.next_head_ms = world.now_ms + 10**12
    provider.drain()
    world.go_to(world.slot + 1)
    await follower.step()
    assert provider.drain() == []
    world.set_clock(4 * SLOTS_PER_PERIOD)
    await follower.step()
    # Only one of the three has been made: the rest is asked for again.
    assert provider.drain() == ["updates 1+3", "updates 2+2"]


async def test_it_never_sleeps_longer_than_a_slot() -> None:
    world = World(SLOTS_PER_PERIOD + 40)
    follower = await synced(world)
    follower.next_sync_ms = follower.next_head_ms = world.now_ms + 10**9
    assert follower.delay_ms() == SLOT_MS


async def test_a_clock_that_steps_back_does_not_leave_it_waiting() -> None:
    world = World(2 * SLOTS_PER_PERIOD + 40)
    provider = world.provider()
    follower = world.follower(provider)
    world.set_clock(10**7)  # years ahead: everything is asked for, in vain from some period on
    await settle(world, follower)
    assert follower.next_sync_ms > world.network.slot_start_ms(10**7)
    world.go_to(2 * SLOTS_PER_PERIOD + 41)
    provider.drain()
    await settle(world, follower)
    assert head(follower) == world.slot - 1
    assert follower.next_head_ms <= world.now_ms + 2 * SLOT_MS
    assert follower.next_sync_ms <= world.now_ms + SLOTS_PER_PERIOD * SLOT_MS


async def test_a_clock_that_was_some_slots_ahead_does_not_stop_the_polls() -> None:
    world = World(SLOTS_PER_PERIOD + 30)
    follower = await synced(world)
    world.set_clock(world.slot + 20)
    await follower.step()
    world.go_to(SLOTS_PER_PERIOD + 31)
    await follower.step()
    assert head(follower) == world.slot - 1


async def test_a_clock_that_is_trimmed_by_milliseconds_triggers_nothing() -> None:
    world = World(2 * SLOTS_PER_PERIOD + 40)
    provider = world.provider()
    follower = await synced(world, provider)
    provider.drain()
    for _ in range(5):
        world.now_ms -= 20
        await follower.step()
    assert provider.drain() == []


async def test_before_genesis_it_waits_without_hurry() -> None:
    world = World(SLOTS_PER_PERIOD)
    provider = world.provider()
    follower = world.follower(provider, slot=8)
    world.now_ms = world.network.genesis_time_ms - 100 * SLOT_MS
    await pass_slots(world, follower, 5)
    assert follower._processor.store is None
    assert set(provider.drain()) == {"bootstrap"}
    world.go_to(SLOTS_PER_PERIOD)
    await settle(world, follower)
    assert head(follower) == world.slot - 1


# Giving up ----------------------------------------------------------------------------------------


async def rounds(world: World, follower: Follower, count: int) -> None:
    for _ in range(count):
        await follower.step()
        world.now_ms = follower.next_sync_ms


async def test_a_root_that_every_provider_rules_out_ends_it_after_some_rounds() -> None:
    world = World(SLOTS_PER_PERIOD)
    one, two = world.provider("one"), world.provider("two")
    one.error = UnknownBootstrap("not there", provider="one", reason="not_epoch_boundary")
    two.error = NotServed("no light client data here", provider="two")
    follower = world.follower(two, one)
    await rounds(world, follower, BOOTSTRAP_ROUNDS - 1)
    with pytest.raises(UnknownBootstrap, match="not there"):
        await follower.step()


async def test_providers_without_light_client_data_end_it_too() -> None:
    world = World(SLOTS_PER_PERIOD)
    provider = world.provider()
    provider.error = NotServed("no light client data here", provider="good")
    follower = world.follower(provider)
    await rounds(world, follower, BOOTSTRAP_ROUNDS - 1)
    with pytest.raises(NotServed):
        await follower.step()


@pytest.mark.parametrize(
    "hope",
    [
        ProviderUnavailable("down", provider="two"),
        UnknownBootstrap("wait", provider="two", reason="not_finalized"),
        UnknownBootstrap("who knows", provider="two", reason="not_told"),
    ],
)
async def test_one_provider_that_may_still_have_it_keeps_it_going(hope: Exception) -> None:
    world = World(SLOTS_PER_PERIOD)
    one, two = world.provider("one"), world.provider("two")
    one.error = UnknownBootstrap("not there", provider="one")
    two.error = hope  # type: ignore[assignment]
    follower = world.follower(one, two)
    await rounds(world, follower, 3 * BOOTSTRAP_ROUNDS)
    two.error = None
    await rounds(world, follower, 1)
    assert follower._processor.store is not None


async def test_rounds_of_refusal_are_counted_only_in_a_row() -> None:
    world = World(SLOTS_PER_PERIOD)
    provider = world.provider()
    follower = world.follower(provider)
    unknown = UnknownBootstrap("not there", provider="good")
    for _ in range(3):
        provider.error = unknown
        await rounds(world, follower, BOOTSTRAP_ROUNDS - 1)
        provider.error = ProviderUnavailable("down", provider="good")
        await rounds(world, follower, 1)


async def test_a_provider_that_asks_for_a_pause_gets_it() -> None:
    world = World(SLOTS_PER_PERIOD)
    provider = world.provider()
    provider.error = RateLimited("slow down", provider="good", retry_after=20 * SLOT_MS / 1000)
    follower = world.follower(provider)
    await follower.step()
    provider.error = None
    provider.drain()
    await pass_slots(world, follower, 19)
    assert provider.drain() == []
    await pass_slots(world, follower, 3)
    assert provider.drain()[0] == "bootstrap"


# Forced updates -----------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [ForcedUpdatePolicy.NEVER, ForcedUpdatePolicy.SPEC_TIMEOUT])
async def test_without_finality_for_a_period_only_a_policy_that_says_so_goes_on(
    policy: ForcedUpdatePolicy, caplog: pytest.LogCaptureFixture
) -> None:
    start = 2 * SLOTS_PER_PERIOD
    first_epoch = start // SLOTS_PER_EPOCH
    world = World(start - 8, non_final_epochs=range(first_epoch, first_epoch + 1000))
    follower = world.follower(world.provider(), forced_update=policy)
    await settle(world, follower)
    await pass_slots(world, follower, SLOTS_PER_PERIOD + 20)
    if policy is ForcedUpdatePolicy.NEVER:
        assert finalized(follower) < start
    else:
        assert finalized(follower) > start
        assert "Forced update" in caplog.text


@pytest.mark.parametrize("is_back_online", [True, False])
async def test_a_machine_that_slept_for_a_period_asks_before_it_goes_on_without_finality(
    is_back_online: bool, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(2 * SLOTS_PER_PERIOD + 30)
    provider = world.provider()
    follower = world.follower(provider, forced_update=ForcedUpdatePolicy.SPEC_TIMEOUT)
    await settle(world, follower)
    await pass_slots(world, follower, 5)
    assert follower._processor.store is not None
    assert follower._processor.store.best_valid_update is not None
    before = finalized(follower)
    world.go_to(world.slot + SLOTS_PER_PERIOD + 8)
    if not is_back_online:
        provider.error = ProviderUnavailable("down", provider="good")
    await pass_slots(world, follower, 2)
    assert "Forced update" not in caplog.text
    assert (finalized(follower) > before) is is_back_online
