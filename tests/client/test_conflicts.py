"""Two signed headers that contradict each other: found, kept, told, and verified again."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lightclient.client.conflicts import ConflictKind, ConflictPolicy, ConflictWatch
from lightclient.client.evidence import FILE_NAMES, MAX_FOLDERS, judge_evidence, write_evidence
from lightclient.client.fetching import Fetcher
from lightclient.client.following import Follower
from lightclient.client.reporting import MAX_CONFLICTS, ConflictReporter
from lightclient.containers import LightClientFinalityUpdate, LightClientOptimisticUpdate
from lightclient.errors import ConfigError, ConflictingHeaders, DecodeError
from lightclient.protocol import Rule
from lightclient.simulator.live_scenes import conflicting
from lightclient.sync import Processor
from tests.client.world import SLOTS_PER_PERIOD, ChainTransport, TickingWorld, World, ignore, until

pytestmark = pytest.mark.anyio
SLOT = SLOTS_PER_PERIOD + 45


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def world() -> World:
    return World(SLOT, dense_slots=40)


async def synced(world: World, *transports: ChainTransport) -> Fetcher:
    found = Fetcher.over(world.processor(), transports or [world.provider()], world.clock, ignore)
    loop = Follower(found, world.clock, lambda low, _: low)
    for _ in range(6):
        await loop.step()
        world.now_ms += 1
    return found


def reporter(found: Fetcher, policy: str, directory: Path | None = None) -> ConflictReporter:
    made = ConflictReporter(found.processor, policy, directory)
    found.on_conflict = made.report
    return made


def optimistic(world: World) -> LightClientOptimisticUpdate:
    update = world.chain.optimistic_update()
    assert update is not None
    return update


def finality(world: World) -> LightClientFinalityUpdate:
    update = world.chain.finality_update()
    assert update is not None
    return update


def weakened(world: World, update: Any, seats: int) -> Any:
    """The same, signed by the first ``seats`` members only."""
    header, slot = update.attested_header.beacon, update.signature_slot
    return replace(update, sync_aggregate=world.chain.sign(header, slot, range(seats)))


async def test_another_block_in_the_slot_of_the_head_is_a_conflict(world: World) -> None:
    found = await synced(world)
    kept = reporter(found, "continue")
    other = conflicting(world.chain, optimistic(world))
    await found.judge(found.providers[0], other)
    (conflict,) = kept.conflicts
    assert conflict.kind is ConflictKind.ATTESTED
    assert conflict.position == optimistic(world).attested_header.beacon.slot
    assert conflict.first.root != conflict.second.root
    assert conflict.second.value == other


async def test_an_old_object_that_the_rules_pass_over_is_a_conflict_too(world: World) -> None:
    found = await synced(world)
    old = finality(world)
    other = conflicting(world.chain, old)
    world.go_to(SLOT + 24)
    loop = Follower(found, world.clock, lambda low, _: low)
    for _ in range(3):
        await loop.step()
        world.now_ms += 1
    kept = reporter(found, "continue")
    outcome = await found.judge(found.providers[0], other)
    assert outcome.verdict.rule is Rule.NOT_RELEVANT  # nothing of it was checked by that
    assert len(kept.conflicts) == 1


async def test_each_pair_is_told_of_once(world: World) -> None:
    found = await synced(world)
    kept = reporter(found, "continue")
    other = conflicting(world.chain, optimistic(world))
    for _ in range(3):
        await found.judge(found.providers[0], other)
    assert len(kept.conflicts) == 1


async def test_a_forged_contradiction_is_none_and_costs_its_provider(world: World) -> None:
    liar = world.provider("liar")
    found = await synced(world, liar)
    kept = reporter(found, "halt")
    true = finality(world)
    other = conflicting(world.chain, true)
    assert isinstance(other, LightClientFinalityUpdate)
    forged = replace(other, sync_aggregate=true.sync_aggregate)
    world.go_to(SLOT + 24)
    loop = Follower(found, world.clock, lambda low, _: low)
    for _ in range(3):
        await loop.step()
        world.now_ms += 1
    before = found.providers[0].score.honesty
    await found.judge(found.providers[0], forged)
    assert not kept.conflicts
    assert found.providers[0].score.honesty == before - 200


@pytest.mark.parametrize(("seats", "is_conflict"), [(1, False), (16, False), (17, True)])
async def test_it_takes_more_than_half_of_the_committee(
    world: World, seats: int, is_conflict: bool
) -> None:
    found = await synced(world)
    kept = reporter(found, "continue")
    other = weakened(world, conflicting(world.chain, optimistic(world)), seats)
    await found.judge(found.providers[0], other)
    assert bool(kept.conflicts) is is_conflict


async def test_what_few_members_signed_first_hides_no_conflict_of_what_most_signed(
    world: World,
) -> None:
    found = await synced(world)
    kept = reporter(found, "continue")
    world.go_to(SLOT + 1)
    true = optimistic(world)
    few = weakened(world, conflicting(world.chain, true), 1)
    for value in (few, true, conflicting(world.chain, true)):
        await found.judge(found.providers[0], value)
    (conflict,) = kept.conflicts
    assert conflict.first.value == true


async def test_empty_slots_reorganisations_and_repeats_are_no_conflict(world: World) -> None:
    found = await synced(world, world.provider("one"), world.provider("slow", lag=4))
    kept = reporter(found, "halt")
    loop = Follower(found, world.clock, lambda low, _: low)
    for slot in range(SLOT + 1, SLOT + 60):
        world.go_to(slot)
        await loop.step()
        for provider in found.providers:
            chain = provider.transport.chain  # type: ignore[attr-defined]
            await found.judge(provider, chain.optimistic_update())
            await found.judge(provider, chain.finality_update())
    assert not kept.conflicts


async def test_with_the_policy_to_halt_nothing_of_the_second_is_taken_over(world: World) -> None:
    found = await synced(world)
    reporter(found, "halt")
    store = found.processor.store
    assert store is not None
    before = store.copy()
    other = conflicting(world.chain, optimistic(world))
    with pytest.raises(ConflictingHeaders, match="both signed"):
        await found.judge(found.providers[0], other)
    assert store == before


@pytest.mark.parametrize("policy", ["halt", "continue"])
async def test_the_client_ends_or_goes_on_as_it_was_told(
    policy: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class TwoFaced(ChainTransport):
        async def get_light_client_optimistic_update(self) -> LightClientOptimisticUpdate:
            update = await super().get_light_client_optimistic_update()
            if self.is_lying:
                update = conflicting(self.world.chain, update)  # type: ignore[assignment]
            return update

        is_lying = False

    world = TickingWorld(SLOT, slot_duration_ms=300)
    honest, other = world.provider("honest"), TwoFaced(world, "other")
    client = world.client(
        honest, other, min_providers=2, conflict_policy=policy, evidence_dir=tmp_path
    )
    failure: Exception | None = None
    with caplog.at_level(logging.WARNING, "lightclient"):
        try:
            async with client:
                await client.wait_until_synced()
                other.is_lying = True
                if policy == "halt":
                    await client.run()
                # Said when the evidence is on disk.
                await until(lambda: "Conflicting headers" in caplog.text, seconds=30)
        except ConflictingHeaders as error:
            failure = error
    assert client.conflicts
    folder = min(tmp_path.iterdir())  # noqa: ASYNC240 - nothing waits for this test
    assert isinstance(failure, ConflictingHeaders) is (policy == "halt")
    if isinstance(failure, ConflictingHeaders):
        assert failure.evidence == folder
        assert str(folder) in str(failure)
    assert "Conflicting headers" in caplog.text
    again = world.client(world.provider("one"), conflict_policy=policy, evidence_dir=tmp_path)
    if policy == "halt":
        with pytest.raises(ConflictingHeaders, match="evidence in"):
            await again.__aenter__()
        again = world.client(
            world.provider("one"),
            conflict_policy=policy,
            evidence_dir=tmp_path,
            trusted_block_root=world.chain.trusted_block_root(SLOT - 40),
        )
    async with again:
        await again.wait_until_synced()


async def test_evidence_of_another_chain_or_beyond_reading_stops_no_start(
    world: World, tmp_path: Path
) -> None:
    found = await synced(world)
    kept = reporter(found, "halt", tmp_path)
    await kept.refuse_known()
    (tmp_path / "20220101T000000Z-damaged").mkdir()
    (tmp_path / "20220101T000000Z-damaged" / FILE_NAMES[0]).write_bytes(b"{")
    elsewhere = tmp_path / "elsewhere"
    processor = found.processor
    network = replace(processor.network, genesis_validators_root=bytes(32))
    await kept.refuse_known()
    with pytest.raises(ConflictingHeaders):
        await found.judge(found.providers[0], conflicting(world.chain, finality(world)))
    with pytest.raises(ConflictingHeaders, match="trusted-block-root"):
        await kept.refuse_known()
    other = Processor(network, processor.trusted_block_root, backend=processor.signatures.backend)
    for directory in (tmp_path, elsewhere):
        await ConflictReporter(other, "halt", directory).refuse_known()


async def test_evidence_is_judged_again_from_its_folder_alone(world: World, tmp_path: Path) -> None:
    found = await synced(world)
    kept = reporter(found, "continue", tmp_path / "evidence")
    await found.judge(found.providers[0], conflicting(world.chain, finality(world)))
    (folder,) = (tmp_path / "evidence").iterdir()
    readme = (folder / "README.txt").read_text()
    assert "verify --evidence" in readme
    first, second = ((folder / name).read_bytes() for name in FILE_NAMES)
    report = judge_evidence(first, second, found.processor.signatures.backend)
    assert report.conflict == str(kept.conflicts[0])
    assert not any(verdict.is_refusal for verdict in report.verdicts)
    with pytest.raises(DecodeError):
        judge_evidence(first, second[:-9], found.processor.signatures.backend)


async def test_evidence_with_a_forged_signature_proves_nothing(
    world: World, tmp_path: Path
) -> None:
    found = await synced(world)
    kept = reporter(found, "continue")
    true = finality(world)
    await found.judge(found.providers[0], conflicting(world.chain, true))
    conflict = kept.conflicts[0]
    forged = replace(conflict.second.value, sync_aggregate=true.sync_aggregate)
    damaged = replace(conflict, second=replace(conflict.second, value=forged))
    folder = write_evidence(tmp_path, damaged, found.processor)
    first, second = ((folder / name).read_bytes() for name in FILE_NAMES)
    report = judge_evidence(first, second, found.processor.signatures.backend)
    assert report.conflict is None
    assert report.verdicts[1].rule is Rule.BAD_SIGNATURE
    same = judge_evidence(first, first, found.processor.signatures.backend)
    assert same.conflict is None


async def test_what_cannot_be_written_is_said_and_harms_nothing(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    found = await synced(world)
    kept = reporter(found, "continue", tmp_path / "file")
    await found.judge(found.providers[0], conflicting(world.chain, optimistic(world)))
    assert len(kept.conflicts) == 1
    assert "Evidence cannot be written" in caplog.text


async def test_the_number_of_folders_is_bounded(world: World, tmp_path: Path) -> None:
    found = await synced(world)
    kept = reporter(found, "continue")
    await found.judge(found.providers[0], conflicting(world.chain, optimistic(world)))
    for number in range(MAX_FOLDERS):
        (tmp_path / f"{number}").mkdir()
    with pytest.raises(OSError, match="already"):
        write_evidence(tmp_path, kept.conflicts[0], found.processor)
    for _ in range(2 * MAX_CONFLICTS):
        await kept.report(kept.conflicts[0])
    assert len(kept.conflicts) == MAX_CONFLICTS


async def test_memory_of_what_was_seen_is_bounded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightclient.client.conflicts.MAX_SIGHTINGS", 5)
    found = await synced(world)
    loop = Follower(found, world.clock, lambda low, _: low)
    for slot in range(SLOT + 1, SLOT + 20):
        world.go_to(slot)
        await loop.step()
    assert len(found.conflicts._sightings) == 5


def test_a_policy_that_does_not_exist_is_refused(world: World) -> None:
    with pytest.raises(ConfigError, match="halt, continue"):
        world.client(world.provider(), conflict_policy="pray")


async def test_two_settled_committees_of_one_period_are_a_conflict(world: World) -> None:
    found = await synced(world)
    watch = ConflictWatch(found.processor)
    assert ConflictPolicy("halt") is ConflictPolicy.HALT
    update = world.chain.best_update(1)
    assert update is not None
    claims = {kind: root for kind, _, root in watch._claims(update)}
    assert ConflictKind.COMMITTEE in claims
    unsettled = replace(
        update,
        finalized_header=world.chain.update_signed_by(world.chain.block_at(70)).finalized_header,
    )
    kinds = {kind for kind, _, _ in watch._claims(unsettled)}
    assert ConflictKind.COMMITTEE not in kinds
