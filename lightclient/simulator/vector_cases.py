"""The cases of our own vectors: what each chain does and which objects a client gets of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

from lightclient.beacon import build_proof, node_root
from lightclient.beacon.types import View
from lightclient.config import DATA_FORMATS, FORKS, Fork
from lightclient.containers import LightClientUpdate, ObjectKind, encode_ssz
from lightclient.simulator.chain import SimulatedChain
from lightclient.simulator.forgery import Forgery, Scene, Stage, all_forgeries
from lightclient.simulator.networks import simulated_network
from lightclient.simulator.vector_files import CaseFiles, hex_of
from lightclient.simulator.vector_walk import Walk

LIGHT_CLIENT_FORKS = FORKS[1:]
FORMAT_FORKS = tuple(fork for fork in FORKS if fork.name in {f.name for f in DATA_FORMATS})
_NEVER_DENSE = 1 << 62


def _walk(root: Path, chain: SimulatedChain, name: str, trusted_slot: int) -> Walk:
    """A ``sync`` case that begins at the block of ``trusted_slot``."""
    network = chain.network
    trusted_block_root = chain.block_at(trusted_slot).root
    first, last = network.fork_at_slot(chain.first_slot), network.fork_at_slot(chain.head.slot)
    walk = Walk(root, chain, first.name, "sync", name, trusted_block_root, last.data_format)
    bootstrap = chain.bootstrap(trusted_block_root)
    assert bootstrap is not None
    walk.bootstrap(bootstrap)
    return walk


# sync ---------------------------------------------------------------------------------------------


def catch_up(
    root: Path, preset: str, epochs: dict[str, int], name: str, *, periods: int, **network: object
) -> None:
    """The best update of each period, as in a sync over a range."""
    blob_schedule = network.get("blob_schedule", ())
    assert isinstance(blob_schedule, tuple)
    chain = SimulatedChain(
        simulated_network(preset, epochs, blob_schedule=blob_schedule),
        dense_from_slot=_NEVER_DENSE,
    )
    period_slots = chain.network.preset.slots_per_sync_committee_period
    chain.advance_to(periods * period_slots - 1)
    first = 1 if periods < len(LIGHT_CLIENT_FORKS) else 0
    walk = _walk(root, chain, name, first * period_slots)
    for update in chain.updates(first, periods):
        walk.accepted(update, chain.head.slot)
    walk.write()


def stalled_finality(root: Path, fork: str) -> None:
    """Finality is lost and too few sign; the client forces its way over a period and recovers."""
    chain = SimulatedChain(
        simulated_network("minimal", {fork: 0}),
        participation=lambda slot: 0.6 if 112 <= slot < 184 else 1.0,
        dense_from_slot=64,
        missed_slots={113, 139, 140, 192},
        non_final_epochs=range(14, 24),
    )
    chain.advance_to(200)
    walk = _walk(root, chain, "stalled_finality", 72)
    for signature_slot in (106, 141, 150):
        walk.accepted(chain.update_signed_by(chain.block_at(signature_slot)), signature_slot)
    walk.force_update(153)
    for signature_slot in (190, 195):
        walk.accepted(chain.update_signed_by(chain.block_at(signature_slot)), signature_slot)
    walk.write()


def fork_crossing(root: Path, before: Fork, after: Fork) -> None:
    """A fork in the middle of a period: signatures and finality on both sides of it."""
    chain = SimulatedChain(
        simulated_network("minimal", {before.name: 0, after.name: 12}),
        dense_from_slot=64,
        participation=0.9,
    )
    chain.advance_to(150)
    walk = _walk(root, chain, f"{before.name}_{after.name}_crossing", 80)
    for signature_slot in (91, 96, 97, 106, 114, 145):
        walk.accepted(chain.update_signed_by(chain.block_at(signature_slot)), signature_slot)
    walk.write()


def sync_cases(root: Path) -> None:
    """All ``sync`` cases."""
    for fork in LIGHT_CLIENT_FORKS:
        catch_up(root, "minimal", {fork.name: 0}, "catch_up", periods=4)
    for fork in FORMAT_FORKS[::2]:
        stalled_finality(root, fork.name)
    for before, after in pairwise(LIGHT_CLIENT_FORKS):
        fork_crossing(root, before, after)
    all_forks = {fork.name: 8 * index for index, fork in enumerate(LIGHT_CLIENT_FORKS)}
    catch_up(root, "minimal", all_forks, "all_forks", periods=8)
    schedule = ((8, 12), (17, 15), (24, 9))
    catch_up(root, "minimal", {"fulu": 0}, "blob_parameters", periods=5, blob_schedule=schedule)
    for name in ("altair", "gloas"):
        catch_up(root, "mainnet", {name: 0}, "catch_up", periods=3)
    catch_up(root, "mainnet", {"capella": 0, "electra": 512}, "capella_electra", periods=4)
    catch_up(root, "gnosis", {"deneb": 0}, "catch_up", periods=3)


# sync_refusals ------------------------------------------------------------------------------------


def refusals(root: Path, fork: str) -> None:
    """A forgery for each rule: a case per bootstrap, and one per stage for the rest."""
    scene = Scene(fork)
    by_stage: dict[Stage, list[Forgery]] = {stage: [] for stage in Stage}
    for forgery in _one_of_each(all_forgeries(scene)):
        by_stage[forgery.stage].append(forgery)
    too_early = [f for f in by_stage[Stage.NO_STORE] if f.kind is not ObjectKind.BOOTSTRAP]
    for forgery in by_stage[Stage.NO_STORE]:
        if forgery.kind is ObjectKind.BOOTSTRAP:
            walk = _refusal_walk(root, scene, forgery.name, forgery.trusted_block_root)
            slot = forgery.value.main_header.beacon.slot if forgery.value else scene.trusted.slot
            walk.refused_bootstrap(forgery, slot)
            _refuse_all(walk, scene, too_early)
            walk.write()
            too_early = too_early[:0]
    for stage in (Stage.NEXT_UNKNOWN, Stage.NEXT_KNOWN, Stage.FOLLOWED):
        walk = _refusal_walk(root, scene, stage.value, scene.trusted.root)
        (bootstrap, _), *updates = scene.before(stage)
        walk.bootstrap(bootstrap)
        for value, current_slot in updates:
            walk.accepted(value, current_slot)
        _refuse_all(walk, scene, by_stage[stage])
        walk.accepted(scene.honest, scene.signature_slot)
        walk.write()


def _one_of_each(forgeries: Iterable[Forgery]) -> Iterator[Forgery]:
    """The first for each rule, kind of object and stage: the tests have all the variants."""
    seen = set()
    for forgery in forgeries:
        key = (forgery.rule, forgery.kind, forgery.stage)
        if key not in seen:
            seen.add(key)
            yield forgery


def _refusal_walk(root: Path, scene: Scene, name: str, trusted_block_root: bytes) -> Walk:
    fork = scene.fork
    return Walk(
        root, scene.chain, fork.name, "sync_refusals", name, trusted_block_root, fork.data_format
    )


def _refuse_all(walk: Walk, scene: Scene, forgeries: Iterable[Forgery]) -> None:
    for forgery in forgeries:
        value = forgery.value
        slot = scene.signature_slot if value is None else value.main_header.beacon.slot
        walk.refused(forgery, slot)


# update_ranking -----------------------------------------------------------------------------------


def update_ranking(root: Path, fork: str) -> None:
    """Updates of a period, best first, each step of the comparison at least once."""
    chain = SimulatedChain(simulated_network("minimal", {fork: 0}), dense_from_slot=64)
    chain.advance_to(128)

    def update(
        attested: int, signed: int, seats: int, *, finality: bool = True
    ) -> LightClientUpdate:
        block = chain.block_at(attested)
        return chain.update_attesting(block, signed, range(seats), with_finality=finality)

    # Slot 84 finalizes slot 64, of its own period; slot 74 finalizes one of the period before.
    # Signed in slot 128 the next committee is not relevant.
    ranked = [
        update(84, 85, 32),
        update(84, 86, 32),
        update(90, 91, 32),
        update(84, 85, 31),
        update(84, 85, 22),
        update(74, 75, 32),
        update(74, 75, 32, finality=False),
        update(84, 85, 32, finality=False),
        update(127, 128, 32),
        update(127, 128, 32, finality=False),
        update(84, 85, 21),
        update(74, 75, 21),
        update(74, 75, 21, finality=False),
        update(127, 128, 21, finality=False),
        update(84, 85, 20),
        update(74, 75, 1, finality=False),
    ]
    files = CaseFiles(root, "minimal", fork, "update_ranking", "update_ranking")
    for index, one in enumerate(ranked):
        files.write_ssz(f"updates_{index}", encode_ssz(one))
    files.write_yaml("meta", {"updates_count": len(ranked)})


# single_merkle_proof ------------------------------------------------------------------------------


def merkle_proofs(root: Path, fork: Fork) -> None:
    """Branches of a whole state and of a whole block body."""
    chain = SimulatedChain(simulated_network("minimal", {fork.name: 0}))
    chain.advance_to(40)
    state, body = chain.head.state, chain.head.block.body
    proofs = {
        "current_sync_committee": (state, fork.current_sync_committee_gindex),
        "next_sync_committee": (state, fork.next_sync_committee_gindex),
        "finality_root": (state, fork.finalized_root_gindex),
        "execution": (body, fork.execution_gindex),
        "execution_block_hash": (body, fork.execution_block_hash_gindex),
    }
    for name, (view, gindex) in proofs.items():
        if gindex:
            _merkle_proof(root, fork, f"{name}_merkle_proof", view, gindex)


def _merkle_proof(root: Path, fork: Fork, name: str, view: View, gindex: int) -> None:
    files = CaseFiles(root, "minimal", fork.name, "single_merkle_proof", name)
    files = files.in_suite(type(view).__name__)
    files.write_ssz("object", bytes(view.encode_bytes()))
    files.write_yaml(
        "proof",
        {
            "leaf": hex_of(node_root(view, gindex)),
            "leaf_index": gindex,
            "branch": [hex_of(node) for node in build_proof(view, gindex)],
        },
    )


def write_all(root: Path) -> None:
    """Every case, below ``root/tests``."""
    sync_cases(root)
    for fork in FORMAT_FORKS:
        refusals(root, fork.name)
        update_ranking(root, fork.name)
    for fork in (FORMAT_FORKS[0], *FORMAT_FORKS[-2:]):
        merkle_proofs(root, fork)
