"""Forgeries of what a chain serves at this moment, for servers that lie about it.

``scenes`` sets a stage for each rule; here the stage is whatever the client happens to have, so
that only those rules are of use that an object can break by itself.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

from lightclient.containers import (
    LightClientBootstrap,
    LightClientObject,
    LightClientUpdate,
    ObjectKind,
)
from lightclient.errors import DeriveError
from lightclient.protocol import Rule
from lightclient.protocol.excerpts import (
    create_light_client_finality_update,
    create_light_client_optimistic_update,
)
from lightclient.simulator.blocks import SimulatedBlock
from lightclient.simulator.chain import SimulatedChain
from lightclient.simulator.forgery import FORGERS
from lightclient.simulator.scenes import Scene

BOOTSTRAP_RULES = (
    Rule.INVALID_BOOTSTRAP_HEADER,
    Rule.BOOTSTRAP_ROOT_MISMATCH,
    Rule.INVALID_BOOTSTRAP_COMMITTEE_BRANCH,
)
UPDATE_RULES = (
    Rule.INSUFFICIENT_PARTICIPANTS,
    Rule.INVALID_ATTESTED_HEADER,
    Rule.ATTESTED_BEFORE_FINALIZED,
    Rule.SIGNATURE_NOT_AFTER_ATTESTED,
    Rule.SIGNATURE_SLOT_IN_FUTURE,
    Rule.UNEXPECTED_FINALIZED_HEADER,
    Rule.INVALID_GENESIS_FINALITY,
    Rule.INVALID_FINALIZED_HEADER,
    Rule.INVALID_FINALITY_BRANCH,
    Rule.UNEXPECTED_NEXT_COMMITTEE,
    Rule.CONFLICTING_NEXT_COMMITTEE,
    Rule.INVALID_NEXT_COMMITTEE_BRANCH,
    Rule.BAD_SIGNATURE,
)
_FINALITY_RULES = frozenset(
    {
        Rule.ATTESTED_BEFORE_FINALIZED,
        Rule.UNEXPECTED_FINALIZED_HEADER,
        Rule.INVALID_GENESIS_FINALITY,
        Rule.INVALID_FINALIZED_HEADER,
        Rule.INVALID_FINALITY_BRANCH,
    }
)
_COMMITTEE_RULES = frozenset(
    {
        Rule.UNEXPECTED_NEXT_COMMITTEE,
        Rule.CONFLICTING_NEXT_COMMITTEE,
        Rule.INVALID_NEXT_COMMITTEE_BRANCH,
    }
)
# Before Capella a header can break these only by belonging to a later fork.
_EXECUTION_RULES = frozenset({Rule.INVALID_BOOTSTRAP_HEADER, Rule.INVALID_ATTESTED_HEADER})
# Signed, and proven by a state that says so: who does not know the true committee yet, believes.
_SIGNED_LIES = frozenset({"other_committee_proven"})
_FUTURE_EPOCHS = 1000


def kinds_breaking(rule: Rule) -> frozenset[ObjectKind]:
    """The kinds of objects that can break one of the rules above."""
    if rule in BOOTSTRAP_RULES:
        return frozenset({ObjectKind.BOOTSTRAP})
    if rule in _COMMITTEE_RULES:
        return frozenset({ObjectKind.UPDATE})
    if rule in _FINALITY_RULES:
        return frozenset({ObjectKind.UPDATE, ObjectKind.FINALITY_UPDATE})
    return frozenset(ObjectKind) - {ObjectKind.BOOTSTRAP}


def live_forgeries(
    chain: SimulatedChain, value: LightClientObject, rule: Rule
) -> list[LightClientObject]:
    """Objects of the kind of ``value``, an honest object of ``chain``, that break ``rule``.

    Empty where no object of that kind and fork can.
    """
    scene = LiveScene(chain, value)
    if rule in _EXECUTION_RULES and scene.fork.data_format.header == "bare":
        return []
    if rule is Rule.SIGNATURE_SLOT_IN_FUTURE:
        return [_of_kind(_from_the_future(scene), value.kind)]
    try:
        forgeries = list(FORGERS[rule](scene))
    except DeriveError:
        return []  # at a fork's first blocks some lies fit into no format
    return [
        forgery.value
        for forgery in forgeries
        if forgery.kind is value.kind
        and forgery.value is not None
        and forgery.name not in _SIGNED_LIES
    ]


def conflicting(chain: SimulatedChain, value: LightClientObject) -> LightClientObject:
    """A true signature of the whole committee under another block in the attested slot.

    A bootstrap has no signature, and is given back as it is.
    """
    if isinstance(value, LightClientBootstrap):
        return value
    scene = LiveScene(chain, value)
    sibling = scene.forged_block(scene.trusted.slot)
    finalized = chain.finalized_block_of(sibling)
    update = chain.update_attesting(sibling, scene.signature_slot, finalized=finalized)
    return _of_kind(update, value.kind)


def _from_the_future(scene: Scene) -> LightClientUpdate:
    slot = scene.signature_slot + _FUTURE_EPOCHS * scene.epoch_slots
    header = scene.honest.attested_header.beacon
    return replace(scene.honest, signature_slot=slot, sync_aggregate=scene.chain.sign(header, slot))


def _of_kind(update: LightClientUpdate, kind: ObjectKind) -> LightClientObject:
    if kind is ObjectKind.FINALITY_UPDATE:
        return create_light_client_finality_update(update)
    if kind is ObjectKind.OPTIMISTIC_UPDATE:
        return create_light_client_optimistic_update(update)
    return update


class LiveScene(Scene):
    """The stage at an object that a chain really serves.

    Args:
        value: an honest object of ``chain``.
    """

    def __init__(self, chain: SimulatedChain, value: LightClientObject) -> None:
        preset = chain.network.preset
        self.chain = chain
        self.epoch_slots = preset.slots_per_epoch
        self.period_slots = preset.slots_per_sync_committee_period
        self.head_slot = chain.head.slot
        self.trusted = self._block_of(value)
        self.fork = self.trusted.fork
        self.signature_slot = getattr(value, "signature_slot", self.trusted.slot + 1)

    def _block_of(self, value: LightClientObject) -> SimulatedBlock:
        return self.chain.blocks_by_root[value.main_header.beacon.hash_tree_root()]

    @cached_property
    def honest(self) -> LightClientUpdate:
        """The full update of the object's block, signed by everybody."""
        return self.chain.update_attesting(self.trusted, self.signature_slot)

    @property
    def other_trusted(self) -> SimulatedBlock | None:
        """The newest other block with a bootstrap."""
        for root in reversed(self.chain.trusted_block_roots()):
            if root != self.trusted.root:
                return self.chain.blocks_by_root[root]
        return None

    @property
    def later_block(self) -> SimulatedBlock:
        """One that nobody has seen yet."""
        return self.forged_block(self.signature_slot + self.epoch_slots)

    @property
    def unfinalized_block(self) -> SimulatedBlock:
        """The attested block itself."""
        return self.trusted
