"""Objects that break exactly one rule, in every fork: one function per rule of the protocol.

Each forgery is as honest as it can be apart from what its rule forbids: proofs are made from states
that say the forged thing, and signatures are true, so that no other test would catch it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from lightclient.beacon import build_proof
from lightclient.bls.encoding import G2_INFINITY
from lightclient.config import DataFormat, Network
from lightclient.containers import (
    LightClientHeader,
    LightClientObject,
    LightClientUpdate,
    ObjectKind,
    SyncAggregate,
    encode_ssz,
    zero_branch,
)
from lightclient.protocol import Rule, compute_signature_fork_version
from lightclient.protocol.derivation import block_to_light_client_header
from lightclient.protocol.excerpts import (
    create_light_client_finality_update,
    create_light_client_optimistic_update,
)
from lightclient.simulator.blocks import SimulatedBlock
from lightclient.simulator.scenes import Forgery, Scene, Stage

__all__ = ["FORGERS", "Forgery", "Scene", "Stage", "all_forgeries"]

_Branch = tuple[bytes, ...]
_Maker = Callable[[Scene], Iterator[Forgery]]
FORGERS: dict[Rule, _Maker] = {}
"""The function that forges for each rule. Some yield nothing in a fork where nothing can break."""


def _forges(rule: Rule) -> Callable[[_Maker], _Maker]:
    def register(maker: _Maker) -> _Maker:
        FORGERS[rule] = maker
        return maker

    return register


def all_forgeries(scene: Scene) -> Iterator[Forgery]:
    """Every forgery that there is in the scene's fork."""
    for maker in FORGERS.values():
        yield from maker(scene)


def _flipped(branch: _Branch) -> _Branch:
    first = branch[0]
    return (bytes([first[0] ^ 1]) + first[1:], *branch[1:])


def _with_wrong_proof(header: LightClientHeader) -> LightClientHeader:
    return replace(header, execution_branch=_flipped(header.execution_branch))


def _with_other_execution(header: LightClientHeader) -> LightClientHeader:
    if header.execution is not None:
        execution = replace(header.execution, block_number=header.execution.block_number + 1)
        return replace(header, execution=execution)
    return replace(header, execution_block_hash=b"\x11" * 32)


# Bytes --------------------------------------------------------------------------------------------


@_forges(Rule.UNDECODABLE)
def undecodable_bytes(scene: Scene) -> Iterator[Forgery]:
    """Cut off, too long, empty, and with an offset that points elsewhere."""
    objects: list[LightClientObject] = [
        scene.bootstrap,
        scene.honest,
        create_light_client_finality_update(scene.honest),
        create_light_client_optimistic_update(scene.honest),
    ]
    for value in objects:
        stage = Stage.NO_STORE if value.kind is ObjectKind.BOOTSTRAP else Stage.NEXT_KNOWN
        encoded = encode_ssz(value)
        # One byte more or less could be a longer or shorter extra_data, which stands at the end.
        variants = {"truncated": encoded[:-64], "trailing": encoded + bytes(64), "empty": b""}
        if value.data_format.header == "payload":
            variants["wrong_offset"] = bytes([encoded[0] ^ 1]) + encoded[1:]
        base = scene.forgery(Rule.UNDECODABLE, "", value, stage)
        for name, changed in variants.items():
            yield replace(base, name=f"{name}_{value.kind}", value=None, encoded=changed)


# Bootstraps ---------------------------------------------------------------------------------------


@_forges(Rule.BOOTSTRAP_EXISTS)
def bootstrap_exists(scene: Scene) -> Iterator[Forgery]:
    """The same bootstrap again."""
    yield scene.forgery(
        Rule.BOOTSTRAP_EXISTS, "bootstrap_again", scene.bootstrap, Stage.NEXT_UNKNOWN
    )


@_forges(Rule.INVALID_BOOTSTRAP_HEADER)
def invalid_bootstrap_header(scene: Scene) -> Iterator[Forgery]:
    """A header whose execution is not proven, or which leaves it out."""
    rule, bootstrap, stage = Rule.INVALID_BOOTSTRAP_HEADER, scene.bootstrap, Stage.NO_STORE
    if scene.fork.data_format.header != "bare":
        for name, change in _HEADER_CHANGES.items():
            changed = replace(bootstrap, header=change(bootstrap.header))
            yield scene.forgery(rule, f"bootstrap_{name}", changed, stage)
        return
    later = scene.forged_block(scene.later_fork_slot)
    header = _without_execution(later, bootstrap.data_format, scene.network)
    yield scene.forgery(
        rule,
        "bootstrap_without_execution",
        replace(bootstrap, header=header),
        stage,
        trusted_block_root=later.root,
    )


_HEADER_CHANGES: dict[str, Callable[[LightClientHeader], LightClientHeader]] = {
    "wrong_execution_branch": _with_wrong_proof,
    "other_execution": _with_other_execution,
}


def _without_execution(
    block: SimulatedBlock, data_format: DataFormat, network: Network
) -> LightClientHeader:
    return LightClientHeader(data_format, block_to_light_client_header(block.block, network).beacon)


@_forges(Rule.BOOTSTRAP_ROOT_MISMATCH)
def bootstrap_root_mismatch(scene: Scene) -> Iterator[Forgery]:
    """The honest bootstrap of another block."""
    block = scene.other_trusted
    other = scene.chain.bootstrap(block.root) if block is not None else None
    if other is None:
        return
    rule = Rule.BOOTSTRAP_ROOT_MISMATCH
    yield scene.forgery(rule, "bootstrap_of_another_block", other, Stage.NO_STORE)


@_forges(Rule.INVALID_BOOTSTRAP_COMMITTEE_BRANCH)
def invalid_bootstrap_committee_branch(scene: Scene) -> Iterator[Forgery]:
    """A wrong branch, another committee, and the next committee with its own branch."""
    rule, bootstrap = Rule.INVALID_BOOTSTRAP_COMMITTEE_BRANCH, scene.bootstrap
    branch = _flipped(bootstrap.current_sync_committee_branch)
    changed = replace(bootstrap, current_sync_committee_branch=branch)
    yield scene.forgery(rule, "bootstrap_wrong_branch", changed, Stage.NO_STORE)
    changed = replace(bootstrap, current_sync_committee=scene.other_committee())
    yield scene.forgery(rule, "bootstrap_other_committee", changed, Stage.NO_STORE)
    attesting = scene.chain.update_attesting(scene.trusted, scene.trusted.slot + 1)
    changed = replace(
        bootstrap,
        current_sync_committee=attesting.next_sync_committee,
        current_sync_committee_branch=attesting.next_sync_committee_branch,
    )
    yield scene.forgery(rule, "bootstrap_next_committee", changed, Stage.NO_STORE)


# Updates ------------------------------------------------------------------------------------------


@_forges(Rule.NO_BOOTSTRAP)
def no_bootstrap(scene: Scene) -> Iterator[Forgery]:
    """An honest update, too early."""
    yield from scene.updates(Rule.NO_BOOTSTRAP, "too_early", scene.honest, Stage.NO_STORE)


@_forges(Rule.INSUFFICIENT_PARTICIPANTS)
def insufficient_participants(scene: Scene) -> Iterator[Forgery]:
    """Nobody signed; the signature is infinity, which is the sum of no signatures."""
    bits = bytes(len(scene.honest.sync_aggregate.sync_committee_bits))
    changed = replace(scene.honest, sync_aggregate=SyncAggregate(bits, G2_INFINITY))
    yield from scene.updates(Rule.INSUFFICIENT_PARTICIPANTS, "nobody_signed", changed)


@_forges(Rule.INVALID_ATTESTED_HEADER)
def invalid_attested_header(scene: Scene) -> Iterator[Forgery]:
    """An attested header whose execution is not proven, or which leaves it out."""
    rule, honest = Rule.INVALID_ATTESTED_HEADER, scene.honest
    if scene.fork.data_format.header != "bare":
        for name, change in _HEADER_CHANGES.items():
            changed = replace(honest, attested_header=change(honest.attested_header))
            yield from scene.updates(rule, f"attested_{name}", changed)
        return
    later = scene.forged_block(scene.later_fork_slot + 1)
    header = _without_execution(later, honest.data_format, scene.network)
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


@_forges(Rule.ATTESTED_BEFORE_FINALIZED)
def attested_before_finalized(scene: Scene) -> Iterator[Forgery]:
    """A signed state that finalizes a block of a later slot."""
    later = scene.later_block
    attested = scene.forged_block(scene.signature_slot - 1, finalized=scene.checkpoint(later))
    update = scene.chain.update_attesting(attested, scene.signature_slot, finalized=later)
    rule = Rule.ATTESTED_BEFORE_FINALIZED
    yield scene.forgery(rule, "finalizes_the_future", update)
    finality_update = create_light_client_finality_update(update)
    yield scene.forgery(rule, "finalizes_the_future_finality", finality_update)


@_forges(Rule.SIGNATURE_NOT_AFTER_ATTESTED)
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


@_forges(Rule.SIGNATURE_SLOT_IN_FUTURE)
def signature_slot_in_future(scene: Scene) -> Iterator[Forgery]:
    """An honest update one slot before its time."""
    rule = Rule.SIGNATURE_SLOT_IN_FUTURE
    for forgery in scene.updates(rule, "from_the_future", scene.honest):
        yield replace(forgery, current_slot=scene.signature_slot - 1)


@_forges(Rule.PERIOD_NOT_COVERED)
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


@_forges(Rule.NOT_RELEVANT)
def not_relevant(scene: Scene) -> Iterator[Forgery]:
    """An honest update attested before the finalized header, its committee known."""
    old = scene.chain.update_signed_by(scene.chain.block_at(scene.trusted.slot + 2))
    yield from scene.updates(Rule.NOT_RELEVANT, "old", old)
    optimistic_update = create_light_client_optimistic_update(
        scene.chain.update_signed_by(scene.chain.block_at(scene.trusted.slot - 3))
    )
    rule, name = Rule.NOT_RELEVANT, "old_without_committee"
    yield scene.forgery(rule, name, optimistic_update, Stage.NEXT_UNKNOWN)


# Finality -----------------------------------------------------------------------------------------


def _finality(scene: Scene, rule: Rule, name: str, update: LightClientUpdate) -> Iterator[Forgery]:
    yield scene.forgery(rule, name, update)
    finality_update = create_light_client_finality_update(update)
    yield scene.forgery(rule, f"{name}_finality", finality_update)


@_forges(Rule.UNEXPECTED_FINALIZED_HEADER)
def unexpected_finalized_header(scene: Scene) -> Iterator[Forgery]:
    """A finalized header with an empty branch."""
    branch = zero_branch(len(scene.honest.finality_branch))
    changed = replace(scene.honest, finality_branch=branch)
    yield from _finality(
        scene, Rule.UNEXPECTED_FINALIZED_HEADER, "finality_without_branch", changed
    )


@_forges(Rule.INVALID_GENESIS_FINALITY)
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
    yield from _finality(scene, Rule.INVALID_GENESIS_FINALITY, "genesis_header", changed)


@_forges(Rule.INVALID_FINALIZED_HEADER)
def invalid_finalized_header(scene: Scene) -> Iterator[Forgery]:
    """A finalized header whose execution is not proven.

    Nothing before Capella: a header that leaves out its execution there has a later slot than any
    attested header of the same format can have.
    """
    if scene.fork.data_format.header == "bare":
        return
    honest = scene.honest
    for name, change in _HEADER_CHANGES.items():
        changed = replace(honest, finalized_header=change(honest.finalized_header))
        yield from _finality(scene, Rule.INVALID_FINALIZED_HEADER, f"finalized_{name}", changed)


@_forges(Rule.INVALID_FINALITY_BRANCH)
def invalid_finality_branch(scene: Scene) -> Iterator[Forgery]:
    """A wrong branch, and a true block that the attested state does not finalize."""
    rule, honest = Rule.INVALID_FINALITY_BRANCH, scene.honest
    changed = replace(honest, finality_branch=_flipped(honest.finality_branch))
    yield from _finality(scene, rule, "wrong_finality_branch", changed)
    block = scene.unfinalized_block.block
    header = block_to_light_client_header(block, scene.network, honest.data_format)
    yield from _finality(
        scene, rule, "finality_of_another_block", replace(honest, finalized_header=header)
    )


# Next sync committee ------------------------------------------------------------------------------


@_forges(Rule.UNEXPECTED_NEXT_COMMITTEE)
def unexpected_next_committee(scene: Scene) -> Iterator[Forgery]:
    """The true next committee with an empty branch."""
    branch = zero_branch(len(scene.honest.next_sync_committee_branch))
    changed = replace(scene.honest, next_sync_committee_branch=branch)
    rule = Rule.UNEXPECTED_NEXT_COMMITTEE
    for stage in (Stage.NEXT_UNKNOWN, Stage.NEXT_KNOWN):
        yield scene.forgery(rule, f"committee_without_branch_{stage}", changed, stage)


@_forges(Rule.CONFLICTING_NEXT_COMMITTEE)
def conflicting_next_committee(scene: Scene) -> Iterator[Forgery]:
    """A signed state with another next committee than the known one, and one without proof."""
    rule = Rule.CONFLICTING_NEXT_COMMITTEE
    other = scene.other_committee()
    attested = scene.forged_block(scene.signature_slot - 1, next_sync_committee=other)
    update = scene.chain.update_attesting(attested, scene.signature_slot)
    yield scene.forgery(rule, "other_committee_proven", update)
    changed = replace(scene.honest, next_sync_committee=other)
    yield scene.forgery(rule, "other_committee_not_proven", changed)


@_forges(Rule.INVALID_NEXT_COMMITTEE_BRANCH)
def invalid_next_committee_branch(scene: Scene) -> Iterator[Forgery]:
    """A wrong branch, and another committee while the true one is unknown."""
    rule, honest = Rule.INVALID_NEXT_COMMITTEE_BRANCH, scene.honest
    branch = _flipped(honest.next_sync_committee_branch)
    changed = replace(honest, next_sync_committee_branch=branch)
    for stage in (Stage.NEXT_UNKNOWN, Stage.NEXT_KNOWN):
        yield scene.forgery(rule, f"wrong_committee_branch_{stage}", changed, stage)
    changed = replace(honest, next_sync_committee=scene.other_committee())
    yield scene.forgery(rule, "other_committee_unknown", changed, Stage.NEXT_UNKNOWN)


# Signatures ---------------------------------------------------------------------------------------


@_forges(Rule.BAD_SIGNATURE)
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
    yield from _finality(scene, rule, "signature_by_next_committee_full", changed)


def _negated(aggregate: SyncAggregate) -> bytes:
    signature = aggregate.sync_committee_signature
    return bytes([signature[0] ^ 0x20]) + signature[1:]


@_forges(Rule.NO_PROGRESS)
def no_progress(scene: Scene) -> Iterator[Forgery]:
    """The last optimistic update again, and an honest one with an older header."""
    rule, stage = Rule.NO_PROGRESS, Stage.FOLLOWED
    yield scene.forgery(rule, "optimistic_update_again", scene.followed_update, stage)
    attested = scene.chain.block_at(scene.signature_slot - 3)
    older = scene.chain.update_attesting(attested, attested.slot + 1, range(3))
    optimistic_update = create_light_client_optimistic_update(older)
    yield scene.forgery(rule, "older_optimistic_update", optimistic_update, stage)
