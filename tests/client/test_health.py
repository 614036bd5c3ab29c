"""Synced, stale, stuck: when, why, and what is logged of it."""

from __future__ import annotations

import logging
from dataclasses import replace

import anyio
import pytest

from lightclient import LightClient
from lightclient.client.health import (
    FINALITY_LAG_EPOCHS,
    STUCK_EPOCHS,
    HealthReport,
    HealthWatch,
    Vitals,
    assess,
)
from lightclient.client.status import Health, Reason, SyncState
from lightclient.config import Network, network_by_name
from lightclient.errors import ProviderUnavailable
from tests.client.world import SLOTS_PER_EPOCH, SLOTS_PER_PERIOD, World

pytestmark = pytest.mark.anyio

NETWORKS = [network_by_name(name) for name in ("mainnet", "gnosis")] + [World(1).network]
HEAD = SLOTS_PER_PERIOD + 30


@pytest.fixture
def anyio_backend() -> str:
    """One is enough: time passes by hand."""
    return "asyncio"


def well(network: Network) -> Vitals:
    slot = 1000 * network.preset.slots_per_epoch
    return Vitals(
        state=SyncState.SYNCED,
        was_synced=True,
        idle_slots=1,
        head_slot=slot - 1,
        finalized_slot=slot - 3 * network.preset.slots_per_epoch,
        current_slot=slot,
        providers=2,
        usable_providers=2,
    )


def codes(report: HealthReport) -> list[str]:
    return [reason.code for reason in report.reasons]


# Definitions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_each_state_is_defined_in_epochs_of_its_network(network: Network) -> None:
    epoch = network.preset.slots_per_epoch
    vitals = well(network)
    assert assess(vitals, network) == HealthReport(Health.SYNCED)

    behind = replace(vitals, state=SyncState.SYNCING, head_slot=vitals.current_slot - 2 * epoch - 1)
    report = assess(behind, network)
    assert (report.health, codes(report)) == (Health.STALE, ["head_behind"])
    assert str(2 * epoch + 1) in report.reasons[0].sentence

    fresh = replace(behind, was_synced=False)
    assert assess(fresh, network).health is Health.STARTING

    for before in (behind, fresh):
        limit = STUCK_EPOCHS * epoch
        assert assess(replace(before, idle_slots=limit), network).health is not Health.STUCK
        stuck = assess(replace(before, idle_slots=limit + 1), network)
        assert stuck.health is Health.STUCK
        assert codes(stuck) == ["head_behind", "no_progress"]

    # A chain without blocks for a while is no reason to worry as long as the head is recent.
    assert assess(replace(vitals, idle_slots=10**6), network).health is Health.SYNCED


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_finality_lags_from_where_the_chain_itself_says_so(network: Network) -> None:
    epoch = network.preset.slots_per_epoch
    vitals = well(network)
    for lag, expected in ((FINALITY_LAG_EPOCHS, []), (FINALITY_LAG_EPOCHS + 1, ["finality_lag"])):
        slot = vitals.current_slot - lag * epoch
        # The first slots of the epoch may be empty: its checkpoint's block is then older.
        for missing in (0, epoch - 1):
            report = assess(replace(vitals, finalized_slot=slot - missing), network)
            assert (report.health, codes(report)) == (Health.SYNCED, expected)


def test_reasons_name_what_to_do() -> None:
    network = NETWORKS[0]
    nobody = replace(
        well(network), state=SyncState.BOOTSTRAPPING, was_synced=False, head_slot=None,
        finalized_slot=None, usable_providers=0,
    )  # fmt: skip
    report = assess(nobody, network)
    assert codes(report) == ["no_provider", "no_bootstrap"]
    assert "add another one" in report.reasons[0].sentence
    early = assess(replace(nobody, is_before_genesis=True), network)
    assert (early.health, codes(early)) == (Health.STARTING, ["before_genesis"])
    slow = assess(replace(well(network), is_clock_slow=True, head_slot=10**9), network)
    assert slow.health is Health.STALE
    other = Reason("fork_ahead", "update")
    assert assess(replace(well(network), concerns=(other,)), network).reasons == (other,)


def test_time_asleep_and_a_clock_set_back_are_no_time_without_progress() -> None:
    network = NETWORKS[0]
    slot = network.slot_duration_ms
    watch = HealthWatch(network)
    now = network.genesis_time_ms
    for passed, expected in ((0, 0), (slot, 1), (100 * slot, 3), (-500 * slot, 3), (slot, 4)):
        now += passed
        watch.tick(now, "the same")
        assert watch.idle_slots == expected
    watch.tick(now, "another")
    assert watch.idle_slots == 0


# A client -----------------------------------------------------------------------------------------


async def stepped(client: LightClient, world: World, slots: int, *, moves: bool = True) -> None:
    for _ in range(slots):
        if moves:
            world.go_to(world.slot + 1)
        else:
            world.set_clock(world.slot + 1)
        await client._follower.step()
        await client.watch.tick()


def health_of(client: LightClient) -> Health:
    return client.status.health


def begun(world: World) -> LightClient:
    client = world.client()
    client._delivery = anyio.Lock()
    return client


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    words = ("Stale", "Stuck", "Synced again", "On the way again", "Finality")
    return [
        (record.levelname, record.message.partition(":")[0])
        for record in caplog.records
        if record.message.startswith(words)
    ]


async def test_a_client_whose_providers_fail_becomes_stale_then_stuck_and_recovers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    world = World(HEAD)
    client = begun(world)
    await stepped(client, world, 8)
    assert health_of(client) is Health.SYNCED
    transport = client.providers[0].transport
    transport.error = ProviderUnavailable("down", provider="good")  # type: ignore[attr-defined]
    await stepped(client, world, 2 * SLOTS_PER_EPOCH - 2)
    assert health_of(client) is Health.SYNCED
    await stepped(client, world, 4)
    status = client.status
    assert status.health is Health.STALE
    assert [reason.code for reason in status.reasons] == ["no_provider", "head_behind"]
    await stepped(client, world, 3 * SLOTS_PER_EPOCH)
    assert health_of(client) is Health.STUCK
    transport.error = None  # type: ignore[attr-defined]
    client._follower.next_sync_ms = client._follower.next_head_ms = 0
    await stepped(client, world, 4 * SLOTS_PER_EPOCH)
    assert health_of(client) is Health.SYNCED
    told = lines(caplog)
    assert told[:2] == [("WARNING", "Stale"), ("WARNING", "Stuck")]
    assert told[-1] == ("INFO", "Synced again")
    assert len(told) <= 4
    reasons = [vars(r)["lc"]["reason"] for r in caplog.records if r.message.startswith("Stale")]
    assert "add another one" in reasons[0]


async def test_after_days_of_sleep_it_is_stale_at_once_and_never_stuck() -> None:
    world = World(HEAD)
    client = begun(world)
    await stepped(client, world, 8)
    world.go_to(world.slot + 3 * SLOTS_PER_PERIOD)
    await client.watch.tick()
    assert health_of(client) is Health.STALE
    await stepped(client, world, 20)
    assert health_of(client) is Health.SYNCED


async def test_finality_that_stops_and_comes_back_is_told_once_each(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    first = HEAD // SLOTS_PER_EPOCH + 1
    world = World(HEAD, non_final_epochs=range(first, first + 9))
    client = begun(world)
    await stepped(client, world, 18 * SLOTS_PER_EPOCH)
    assert lines(caplog) == [("WARNING", "Finality lags"), ("INFO", "Finality is back")]
    assert health_of(client) is Health.SYNCED


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was told, at whatever level another test left the logger."""
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]


async def test_nothing_is_told_while_all_is_well(caplog: pytest.LogCaptureFixture) -> None:
    world = World(HEAD)
    client = begun(world)
    await stepped(client, world, 4 * SLOTS_PER_EPOCH)
    assert warnings_of(caplog) == []
    assert client.status.reasons == ()


async def test_over_fork_and_period_boundaries_a_client_stays_well(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(23 * SLOTS_PER_EPOCH)  # electra begins with the next epoch, and a period
    client = begun(world)
    await stepped(client, world, 10)
    for _ in range(12 * SLOTS_PER_EPOCH):
        await stepped(client, world, 1)
        assert health_of(client) is Health.SYNCED
    assert warnings_of(caplog) == []


async def test_before_genesis_nothing_is_late() -> None:
    world = World(HEAD)
    client = begun(world)
    world.now_ms = world.network.genesis_time_ms - 3_600_000
    for _ in range(6 * SLOTS_PER_EPOCH):
        world.now_ms += world.network.slot_duration_ms
        await client.watch.tick()
    status = client.status
    assert status.health is Health.STARTING
    assert [reason.code for reason in status.reasons] == ["before_genesis"]


async def test_a_clock_set_back_leaves_the_headers_and_says_what_is_wrong() -> None:
    world = World(HEAD)
    client = begun(world)
    await stepped(client, world, 8)
    head = client.optimistic_header()
    world.set_clock(HEAD - SLOTS_PER_PERIOD)
    await client.watch.tick()
    await client._follower.step()
    await client.watch.tick()
    assert client.optimistic_header() == head
    assert "clock_slow" in [reason.code for reason in client.status.reasons]
    assert health_of(client) is Health.STALE
    world.go_to(HEAD + 20)
    await stepped(client, world, 5)
    assert health_of(client) is Health.SYNCED
    assert client.status.reasons == ()
