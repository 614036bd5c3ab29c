"""Updates whose finality or next sync committee is not proven, or proven and another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lightclient.beacon import build_proof
from lightclient.containers import zero_branch
from lightclient.protocol import Rule
from lightclient.protocol.derivation import block_to_light_client_header
from lightclient.simulator.forgery.changes import HEADER_CHANGES, flipped, with_finality_update
from lightclient.simulator.scenes import Forgery, Scene, Stage


def unexpected_finalized_header(scene: Scene) -> Iterator[Forgery]:
    """A finalized header with an empty branch."""
    branch = zero_branch(len(scene.honest.finality_branch))
    changed = replace(scene.honest, finality_branch=branch)
    yield from with_finality_update(
        scene, Rule.UNEXPECTED_FINALIZED_HEADER, "finality_without_branch", changed
    )


def invalid_genesis_finality(scene: Scene) -> Iterator[Forgery]:
    """The true genesis header, which a signed state finalizes by its root."""
    genesis = scene.chain.blocks[0]
    slot = scene.signature_slot - 1
    attested = scene.forged_block(slot, finalized=scene.checkpoint(genesis))
    update = scene.chain.update_attesting(attested, scene.signature_slot, with_finality=False)
    changed = replace(
        update,
        finalized_header=block_to_light_client_header(
            genesis.block, scene.network, update.data_format
        ),
        finality_branch=tuple(build_proof(attested.state, scene.fork.finalized_root_gindex)),
    )
    yield from with_finality_update(scene, Rule.INVALID_GENESIS_FINALITY, "genesis_header", changed)


def invalid_finalized_header(scene: Scene) -> Iterator[Forgery]:
    """A finalized header whose execution is not proven.

    Nothing before Capella: a header that leaves out its execution there has a later slot than any
    attested header of the same format can have.
    """
    if scene.fork.data_format.header == "bare":
        return
    honest = scene.honest
    for name, change in HEADER_CHANGES.items():
        changed = replace(honest, finalized_header=change(honest.finalized_header))
        yield from with_finality_update(
            scene, Rule.INVALID_FINALIZED_HEADER, f"finalized_{name}", changed
        )


def invalid_finality_branch(scene: Scene) -> Iterator[Forgery]:
    """A wrong branch, and a true block that the attested state does not finalize."""
    rule, honest = Rule.INVALID_FINALITY_BRANCH, scene.honest
    changed = replace(honest, finality_branch=flipped(honest.finality_branch))
    yield from with_finality_update(scene, rule, "wrong_finality_branch", changed)
    block = scene.unfinalized_block.block
    header = block_to_light_client_header(block, scene.network, honest.data_format)
    yield from with_finality_update(
        scene, rule, "finality_of_another_block", replace(honest, finalized_header=header)
    )


def unexpected_next_committee(scene: Scene) -> Iterator[Forgery]:
    """The true next committee with an empty branch."""
    branch = zero_branch(len(scene.honest.next_sync_committee_branch))
    changed = replace(scene.honest, next_sync_committee_branch=branch)
    rule = Rule.UNEXPECTED_NEXT_COMMITTEE
    for stage in (Stage.NEXT_UNKNOWN, Stage.NEXT_KNOWN):
        yield scene.forgery(rule, f"committee_without_branch_{stage}", changed, stage)


def conflicting_next_committee(scene: Scene) -> Iterator[Forgery]:
    """A signed state with another next committee than the known one, and one without proof."""
    rule = Rule.CONFLICTING_NEXT_COMMITTEE
    other = scene.other_committee()
    attested = scene.forged_block(scene.signature_slot - 1, next_sync_committee=other)
    update = scene.chain.update_attesting(attested, scene.signature_slot)
    yield scene.forgery(rule, "other_committee_proven", update)
    changed = replace(scene.honest, next_sync_committee=other)
    yield scene.forgery(rule, "other_committee_not_proven", changed)


def invalid_next_committee_branch(scene: Scene) -> Iterator[Forgery]:
    """A wrong branch, and another committee while the true one is unknown."""
    rule, honest = Rule.INVALID_NEXT_COMMITTEE_BRANCH, scene.honest
    branch = flipped(honest.next_sync_committee_branch)
    changed = replace(honest, next_sync_committee_branch=branch)
    for stage in (Stage.NEXT_UNKNOWN, Stage.NEXT_KNOWN):
        yield scene.forgery(rule, f"wrong_committee_branch_{stage}", changed, stage)
    changed = replace(honest, next_sync_committee=scene.other_committee())
    yield scene.forgery(rule, "other_committee_unknown", changed, Stage.NEXT_UNKNOWN)
