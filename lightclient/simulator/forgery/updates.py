"""Updates that break a rule about who signed what and when, or bring nothing new."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lightclient.bls.encoding import G2_INFINITY
from lightclient.containers import SyncAggregate
from lightclient.protocol import Rule, compute_signature_fork_version
from lightclient.protocol.excerpts import (
    create_light_client_finality_update,
    create_light_client_optimistic_update,
)
from lightclient.simulator.forgery.changes import (
    HEADER_CHANGES,
    with_finality_update,
    without_execution,
)
from lightclient.simulator.scenes import Forgery, Scene, Stage


def no_bootstrap(scene: Scene) -> Iterator[Forgery]:
    """An honest update, too early."""
    yield from scene.updates(Rule.NO_BOOTSTRAP, "too_early", scene.honest, Stage.NO_STORE)


def insufficient_participants(scene: Scene) -> Iterator[Forgery]:
    """Nobody signed; the signature is infinity, which is the sum of no signatures."""
    bits = bytes(len(scene.honest.sync_aggregate.sync_committee_bits))
    changed = replace(scene.honest, sync_aggregate=SyncAggregate(bits, G2_INFINITY))
    yield from scene.updates(Rule.INSUFFICIENT_PARTICIPANTS, "nobody_signed", changed)


def invalid_attested_header(scene: Scene) -> Iterator[Forgery]:
    """An attested header whose execution is not proven, or which leaves it out."""
    rule, honest = Rule.INVALID_ATTESTED_HEADER, scene.honest
    if scene.fork.data_format.header != "bare":
        for name, change in HEADER_CHANGES.items():
            changed = replace(honest, attested_header=change(honest.attested_header))
            yield from scene.updates(rule, f"attested_{name}", changed)
        return
    later = scene.forged_block(scene.later_fork_slot + 1)
    header = without_execution(later, honest.data_format, scene.network)
    signature_slot = later.slot + 1
    full = scene.chain.update_attesting(later, signature_slot)
    changed = replace(
        honest,
        attested_header=header,
        next_sync_committee=full.next_sync_committee,
        next_sync_committee_branch=full.next_sync_committee_branch,
        finalized_header=replace(honest.finalized_header, beacon=full.finalized_header.beacon),
        finality_branch=full.finality_branch,
        sync_aggregate=full.sync_aggregate,
        signature_slot=signature_slot,
    )
    yield from scene.updates(rule, "attested_without_execution", changed)


def attested_before_finalized(scene: Scene) -> Iterator[Forgery]:
    """A signed state that finalizes a block of a later slot."""
    later = scene.later_block
    attested = scene.forged_block(scene.signature_slot - 1, finalized=scene.checkpoint(later))
    update = scene.chain.update_attesting(attested, scene.signature_slot, finalized=later)
    rule = Rule.ATTESTED_BEFORE_FINALIZED
    yield scene.forgery(rule, "finalizes_the_future", update)
    finality_update = create_light_client_finality_update(update)
    yield scene.forgery(rule, "finalizes_the_future_finality", finality_update)


def signature_not_after_attested(scene: Scene) -> Iterator[Forgery]:
    """Signed in the attested slot itself, and before it."""
    header = scene.honest.attested_header.beacon
    for name, slot in (("in_its_slot", header.slot), ("before_its_slot", header.slot - 1)):
        changed = replace(
            scene.honest,
            sync_aggregate=scene.chain.sign(header, slot),
            signature_slot=slot,
        )
        yield from scene.updates(Rule.SIGNATURE_NOT_AFTER_ATTESTED, f"signed_{name}", changed)


def signature_slot_in_future(scene: Scene) -> Iterator[Forgery]:
    """An honest update one slot before its time."""
    rule = Rule.SIGNATURE_SLOT_IN_FUTURE
    for forgery in scene.updates(rule, "from_the_future", scene.honest):
        yield replace(forgery, current_slot=scene.signature_slot - 1)


def period_not_covered(scene: Scene) -> Iterator[Forgery]:
    """Honest signatures of the next period (unknown committee), of the one after, and of before."""
    rule, chain = Rule.PERIOD_NOT_COVERED, scene.chain
    next_period = chain.update_signed_by(chain.block_at(2 * scene.period_slots + 5))
    yield from scene.updates(rule, "signed_next_period", next_period, Stage.NEXT_UNKNOWN)
    far = 3 * scene.period_slots + 1
    after_next = chain.update_attesting(chain.head, far)
    for forgery in scene.updates(rule, "signed_period_after_next", after_next):
        yield replace(forgery, current_slot=far)
    before = chain.update_signed_by(chain.block_at(scene.period_slots - 2))
    yield from scene.updates(rule, "signed_previous_period", before)


def not_relevant(scene: Scene) -> Iterator[Forgery]:
    """An honest update attested before the finalized header, its committee known."""
    old = scene.chain.update_signed_by(scene.chain.block_at(scene.trusted.slot + 2))
    yield from scene.updates(Rule.NOT_RELEVANT, "old", old)
    optimistic_update = create_light_client_optimistic_update(
        scene.chain.update_signed_by(scene.chain.block_at(scene.trusted.slot - 3))
    )
    rule, name = Rule.NOT_RELEVANT, "old_without_committee"
    yield scene.forgery(rule, name, optimistic_update, Stage.NEXT_UNKNOWN)


def bad_signature(scene: Scene) -> Iterator[Forgery]:
    """Signatures by others, over something else, by fewer than claimed, and no signature at all."""
    chain, honest, slot = scene.chain, scene.honest, scene.signature_slot
    header = honest.attested_header.beacon
    everybody = honest.sync_aggregate.sync_committee_bits
    committee = chain.committee_at_slot(slot)
    next_committee = chain.committee_at_slot(slot + scene.period_slots)
    version = compute_signature_fork_version(slot, scene.network)
    other_version = bytes([version[0] ^ 0x80]) + version[1:]
    signatures = {
        "by_next_committee": chain.sign(header, slot, committee=next_committee),
        "other_header": chain.sign(replace(header, proposer_index=9999), slot),
        "other_fork": chain.sign(header, slot, fork_version=other_version),
        "one_missing": SyncAggregate(
            everybody, chain.sign(header, slot, range(committee.size - 1)).sync_committee_signature
        ),
        "one_unclaimed": SyncAggregate(
            bytes([everybody[0] & 0xFE]) + everybody[1:],
            honest.sync_aggregate.sync_committee_signature,
        ),
        "infinity": SyncAggregate(everybody, G2_INFINITY),
        "zeros": SyncAggregate(everybody, bytes(96)),
        "negated": SyncAggregate(everybody, _negated(honest.sync_aggregate)),
    }
    rule = Rule.BAD_SIGNATURE
    for name, aggregate in signatures.items():
        changed = replace(honest, sync_aggregate=aggregate)
        optimistic_update = create_light_client_optimistic_update(changed)
        yield scene.forgery(rule, f"signature_{name}", optimistic_update)
    changed = replace(honest, sync_aggregate=signatures["zeros"])
    yield from scene.updates(rule, "signature_zeros_next_unknown", changed, Stage.NEXT_UNKNOWN)
    changed = replace(honest, sync_aggregate=signatures["by_next_committee"])
    yield from with_finality_update(scene, rule, "signature_by_next_committee_full", changed)


def _negated(aggregate: SyncAggregate) -> bytes:
    signature = aggregate.sync_committee_signature
    return bytes([signature[0] ^ 0x20]) + signature[1:]


def no_progress(scene: Scene) -> Iterator[Forgery]:
    """The last optimistic update again, and an honest one with an older header."""
    rule, stage = Rule.NO_PROGRESS, Stage.FOLLOWED
    yield scene.forgery(rule, "optimistic_update_again", scene.followed_update, stage)
    attested = scene.chain.block_at(scene.signature_slot - 3)
    older = scene.chain.update_attesting(attested, attested.slot + 1, range(3))
    optimistic_update = create_light_client_optimistic_update(older)
    yield scene.forgery(rule, "older_optimistic_update", optimistic_update, stage)
