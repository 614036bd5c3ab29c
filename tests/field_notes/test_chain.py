"""What the chain and the clock do: few signers, no finality, forks, other presets, sleep."""

from __future__ import annotations

import json
import random
import re
import tracemalloc
from pathlib import Path
from typing import Any

import anyio
import pytest

from lightclient import StaleError, SyncState, VerifiedHeader
from lightclient.client.schedules import schedule_changes
from lightclient.config import FORKS, Network, Preset
from lightclient.protocol import Rule
from lightclient.simulator import SimulatedChain, simulated_network
from lightclient.simulator.faults import make_fault
from lightclient.simulator.habits import Answer, Received, ServerHabits
from lightclient.simulator.in_process import FaultyTransport
from lightclient.sync import ForcedUpdatePolicy, Processor
from tests.client.world import SLOTS_PER_PERIOD, TickingWorld, until
from tests.field_notes.playing import SLOT, client_of, head_from, make_world, served, synced

pytestmark = pytest.mark.anyio


# Insufficient participation ---------------------------------------------------------------------


def processor_of(chain: SimulatedChain, **options: Any) -> Processor:
    """A processor that starts at the chain's first bootstrap."""
    root = chain.trusted_block_root()
    bootstrap = chain.bootstrap(root)
    assert bootstrap is not None
    processor = Processor(chain.network, root, **options)
    assert processor.process(bootstrap, now_ms(chain)).progress
    return processor


def finalized(processor: Processor) -> VerifiedHeader:
    header = processor.finalized_header
    assert header is not None
    return header


def now_ms(chain: SimulatedChain, slots: int = 1) -> int:
    return chain.network.slot_start_ms(chain.head.slot + slots)


async def test_a_second_finality_update_with_more_signers_finalizes_what_the_first_could_not() -> (
    None
):
    network = simulated_network("minimal", {"electra": 0})
    few = 45
    chain = SimulatedChain(network, participation=lambda slot: 0.5 if slot < few else 0.9)
    chain.advance_to(few - 1)
    processor = processor_of(chain)
    first = chain.finality_update()
    assert first is not None
    before = finalized(processor)
    processor.process(first, now_ms(chain))
    assert finalized(processor) == before
    assert processor.store is not None
    assert processor.store.best_valid_update is not None

    chain.advance_to(few + 1)
    second = chain.finality_update()
    assert second is not None
    # The same finalized header, under more signatures.
    assert second.finalized_header == first.finalized_header
    outcome = processor.process(second, now_ms(chain))
    assert outcome.progress
    assert finalized(processor).slot == second.finalized_header.beacon.slot
    assert finalized(processor).participation == pytest.approx(0.9, abs=0.02)


async def test_every_header_says_how_many_signed_it() -> None:
    world = make_world(participation=0.75)
    head = await head_from(world, world.provider())
    assert head.participants == 24
    assert head.sync_committee_size == 32
    assert head.participation == 0.75


# Finality stalls --------------------------------------------------------------------------------


class NoFinality:
    """From an epoch on nothing is finalized."""

    def __init__(self, first: int) -> None:
        self.first = first

    def __contains__(self, epoch: object) -> bool:
        return isinstance(epoch, int) and epoch >= self.first


async def test_without_finality_the_head_is_followed_and_the_lag_is_told() -> None:
    # Within one period: beyond it, the next committee would be missing, too.
    slot = 4 * SLOTS_PER_PERIOD + 62
    stall = 4 * 8 + 4
    world = make_world(slot, dense_slots=120, non_final_epochs=NoFinality(stall))
    async with client_of(world, world.provider()) as client:
        head = await synced(client)
        finalized = client.finalized_header()
        assert finalized is not None
        status = client.status
    assert head.slot - finalized.slot > 5 * 8
    assert finalized.slot < stall * 8
    assert status.state is SyncState.SYNCED
    assert "finality_lag" in [reason.code for reason in status.reasons]


@pytest.mark.parametrize("policy", [ForcedUpdatePolicy.NEVER, ForcedUpdatePolicy.SPEC_TIMEOUT])
async def test_going_on_without_finality_is_the_users_choice(policy: ForcedUpdatePolicy) -> None:
    network = simulated_network("minimal", {"electra": 0})
    chain = SimulatedChain(network, non_final_epochs=NoFinality(8))
    chain.advance_to(SLOTS_PER_PERIOD + 20)
    processor = processor_of(chain, forced_update=policy)
    for update in chain.updates(0, 3):
        processor.process(update, now_ms(chain))
    head = chain.optimistic_update()
    assert head is not None
    assert processor.process(head, now_ms(chain)).progress
    before = finalized(processor)
    later = now_ms(chain, 2 * SLOTS_PER_PERIOD)
    processor.tick(later)
    assert (finalized(processor).slot > before.slot) is (policy is not ForcedUpdatePolicy.NEVER)


# Clock ------------------------------------------------------------------------------------------


async def test_a_slow_clock_is_told_and_nobody_is_blamed_for_it() -> None:
    world = make_world()
    world.set_clock(SLOT - 4)  # the chain is four slots ahead of this machine
    providers = [FaultyTransport(world.chain, name=name) for name in ("one", "two")]
    async with client_of(world, *providers) as client:
        await until(lambda: client.finalized_header() is not None, seconds=20)
        await anyio.sleep(0.5)
        for provider in client.providers:
            assert provider.score.honesty >= 300
        latest = world.chain.optimistic_update()
        assert latest is not None
        outcome = client.processor.process(latest, world.clock())
        assert outcome.verdict.rule is Rule.SIGNATURE_SLOT_IN_FUTURE
        assert "clock" in outcome.verdict.hint


async def test_a_clock_that_is_hours_off_is_measured_against_servers() -> None:
    world = TickingWorld(SLOT, slot_duration_ms=200)
    # Simulated time is years from the servers' Date: that is the skew.
    async with (
        served(world, ServerHabits(), ServerHabits()) as transports,
        client_of(world, *transports) as client,
    ):
        await until(lambda: client.status.clock_skew is not None, seconds=20)
        assert abs(client.status.clock_skew or 0) > 3600


# Stale data -------------------------------------------------------------------------------------


async def test_old_headers_are_not_handed_out_as_new() -> None:
    world = make_world(SLOT, slot_duration_ms=50)  # the clock stands
    frozen = FaultyTransport(world.chain, [make_fault("frozen", random.Random(1))])
    async with client_of(world, frozen) as client:
        await synced(client)
        assert client.status.is_ready
        assert client.optimistic_header(max_age=5) is not None
        world.set_clock(world.slot + 40)
        with pytest.raises(StaleError) as caught:
            client.optimistic_header(max_age=1)
        assert caught.value.age > 1
        with pytest.raises(StaleError):
            client.finalized_header(max_age=1)
        assert not client.status.is_ready


# Memory, hangs ----------------------------------------------------------------------------------


async def test_stopping_is_quick_whatever_hangs() -> None:
    world = make_world()
    silent = [
        FaultyTransport(
            world.chain, [make_fault("silent", random.Random(n))], timeout=600, name=str(n)
        )
        for n in range(3)
    ]
    with anyio.fail_after(60):
        async with client_of(world, *silent) as client:
            await until(lambda: any(item.faults.injected for item in silent))
            assert client.status.state is SyncState.BOOTSTRAPPING


async def test_a_flood_of_duplicates_and_lies_leaves_memory_as_it_was() -> None:
    world = make_world()
    processor = processor_of(world.chain)
    for update in world.chain.updates(0, 10):
        processor.process(update, world.clock())
    latest = world.chain.optimistic_update()
    assert latest is not None
    lies = [
        FaultyTransport(world.chain, [make_fault("forged_bad_signature", random.Random(n))])
        for n in range(3)
    ]
    forged = [await lie.get_light_client_optimistic_update() for lie in lies]

    def flood(times: int) -> None:
        for _ in range(times):
            for value in (latest, *forged):
                processor.process(value, world.clock())

    flood(20)
    tracemalloc.start()
    try:
        flood(5)
        before = tracemalloc.get_traced_memory()[0]
        flood(50)
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert after - before < 50_000


# Hard forks -------------------------------------------------------------------------------------


async def test_every_known_fork_is_crossed_while_following() -> None:
    forks = {fork.name: 2 * index for index, fork in enumerate(FORKS[1:])}
    chain = SimulatedChain(simulated_network("minimal", forks))
    chain.advance_to(8 * (2 * len(forks) + 6))
    processor = processor_of(chain)
    seen: list[VerifiedHeader] = []
    for block in chain.blocks[1:]:
        period = chain.network.compute_sync_committee_period_at_slot(block.slot)
        known = chain.network.compute_sync_committee_period_at_slot(finalized(processor).slot)
        if period > known:
            for update in chain.updates(period - 1, 1):
                processor.process(update, now_ms(chain))
        try:
            update = chain.update_signed_by(block)
        except ValueError:
            continue
        outcome = processor.process(update, now_ms(chain))
        assert not outcome.verdict.is_refusal, outcome.verdict
        seen += [event.header for event in outcome.events]
    assert {header.fork for header in seen} == {fork.name for fork in FORKS[1:]}
    last = seen[-1]
    assert last.is_parent_execution_block
    assert last.execution_block_number is None


def announced(network: Network, **changes: object) -> dict[str, Any]:
    from lightclient.simulator import config_mapping

    return {**config_mapping(network), **changes}


async def test_a_fork_that_this_version_does_not_know_is_told_before_it_comes() -> None:
    world = make_world(slot_duration_ms=200)

    def announce(request: Received, answer: Answer) -> Answer:
        if request.path.endswith("/config/spec"):
            spec = announced(world.network, ZYZZYVA_FORK_EPOCH="99999", ZYZZYVA_FORK_VERSION="0x63")
            answer.body = json.dumps({"data": {k: str(v) for k, v in spec.items()}}).encode()
        return answer

    async with (
        served(world, ServerHabits(intercept=announce)) as transports,
        client_of(world, *transports) as client,
    ):
        await synced(client)
        await until(lambda: "zyzzyva" in str(client.status.reasons), seconds=20)
        # Compared, not trusted: the client goes on as before.
        assert client.status.state is SyncState.SYNCED


async def test_what_a_server_announces_changes_no_schedule() -> None:
    network = make_world().network
    changes = schedule_changes(network, announced(network, ELECTRA_FORK_EPOCH=1))
    assert [change.fork for change in changes] == ["electra"]
    assert network.fork_epoch("electra") != 1


# Gnosis -----------------------------------------------------------------------------------------

ODD_PRESET = Preset(
    name="minimal",
    slots_per_epoch=6,
    epochs_per_sync_committee_period=5,
    sync_committee_size=32,
    min_sync_committee_participants=1,
    slot_duration_ms=5_000,
)


async def test_slots_epochs_and_periods_of_any_length_are_followed() -> None:
    network = simulated_network(
        ODD_PRESET, {"capella": 0, "electra": 7}, genesis_time=1_700_000_000
    )
    slot = 4 * ODD_PRESET.slots_per_sync_committee_period + 11
    chain = SimulatedChain(network, dense_from_slot=slot - 20)
    chain.advance_to(slot)

    class Odd:
        """As much of a World as is needed."""

        network = chain.network

        @staticmethod
        def root() -> bytes:
            return chain.trusted_block_root()

        @staticmethod
        def clock() -> int:
            return chain.network.slot_start_ms(slot) + 100

    async with client_of(Odd, FaultyTransport(chain)) as client:  # type: ignore[arg-type]
        head = await synced(client)
        assert slot - head.slot < 12
        assert client.status.current_period == 4
        assert client.status.finalized_period == 3  # two epochs are nearly half a period


async def test_no_code_of_the_library_assumes_mainnets_numbers(checkout: Path) -> None:
    # Where presets and configurations are defined they may stand; elsewhere they are a mistake.
    forbidden = re.compile(r"(?<![\w.])(12_?000|12\.0|8_?192|512)(?![\w.])")
    found = []
    for room in ("protocol", "sync", "client"):
        for path in (checkout / "lightclient" / room).rglob("*.py"):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                code = line.partition("#")[0]
                if forbidden.search(code) and '"""' not in code and "SLOTS_PER" not in code:
                    found.append(f"{path.name}:{number}: {code.strip()}")
    assert found == []


# Resume -----------------------------------------------------------------------------------------


async def test_after_a_restart_it_goes_on_without_a_bootstrap(tmp_path: Path) -> None:
    world = make_world()
    await head_from(world, world.provider(), data_dir=tmp_path)
    provider = world.provider()
    async with client_of(world, provider, data_dir=tmp_path) as client:
        await synced(client)
    asked = provider.drain()
    assert "bootstrap" not in asked
    assert not any(request.startswith("updates 0") for request in asked)
