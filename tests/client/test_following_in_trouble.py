"""The loop, stepped through by hand, when the clock, the providers or finality fail it."""

from __future__ import annotations

import pytest

from lightclient.client.following import BOOTSTRAP_ROUNDS, Follower
from lightclient.errors import NotServed, ProviderUnavailable, RateLimited, UnknownBootstrap
from lightclient.sync import ForcedUpdatePolicy
from tests.client.stepping import SLOT_MS, finalized, head, pass_slots, settle, synced
from tests.client.world import SLOTS_PER_EPOCH, SLOTS_PER_PERIOD, World

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """No step sleeps, so one backend is enough here."""
    return "asyncio"


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
