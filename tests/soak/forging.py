"""What attackers offer who have no true committee's keys; and what traitors in a committee can.

Every forgery is noted, so that one that gets accepted is known for what it is. Attackers may have
the keys of a committee of the past, or of the same validators on another network: both are useless.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import TypeAlias

from lightclient.bls.encoding import G2_INFINITY
from lightclient.containers import (
    AnyUpdate,
    LightClientBootstrap,
    LightClientObject,
    LightClientOptimisticUpdate,
    LightClientUpdate,
    SyncAggregate,
    decode_ssz,
    encode_ssz,
)
from lightclient.errors import DecodeError
from lightclient.protocol.excerpts import (
    create_light_client_finality_update,
    create_light_client_optimistic_update,
)
from tests.soak.blocks import hashed
from tests.soak.chain import FunctionalChain

Trick: TypeAlias = Callable[["Attacker", AnyUpdate, random.Random], AnyUpdate]


class Attacker:
    """Makes forgeries of what a true chain would serve, and knows each of them again.

    Args:
        false: a chain of the same network that is sound in itself, with committees of its own.
    """

    def __init__(self, true: FunctionalChain, false: FunctionalChain) -> None:
        self.true = true
        self.false = false
        self.offered: Counter[str] = Counter()
        self.treason: set[bytes] = set()
        self._labels: dict[bytes, str] = {}

    def label_of(self, value: LightClientObject) -> str | None:
        """How ``value`` was forged; None for an object that was not."""
        return self._labels.get(_identity(value)) if self._labels else None

    def note(self, value: LightClientObject, label: str) -> LightClientObject:
        """Remember ``value`` as forged, by its bytes."""
        self.offered[label] += 1
        self._labels[_identity(value)] = label
        return value

    def forge(self, honest: LightClientObject, draw: random.Random) -> LightClientObject:
        """A forgery in place of ``honest``.

        Raises:
            DecodeError: damage that no decoder lets through.
        """
        if draw.random() < 0.25:
            return self._flip_a_bit(honest, draw)
        if isinstance(honest, LightClientBootstrap):
            slot = self.false.block_slot(honest.header.beacon.slot)
            other = self.false.bootstrap(slot)
            if draw.random() < 0.5:
                other = replace(honest, current_sync_committee=other.current_sync_committee)
            return self.note(other, "bootstrap")
        name = draw.choice(sorted(TRICKS))
        forged = TRICKS[name](self, honest, draw)
        return honest if forged is honest else self.note(forged, name)

    def _flip_a_bit(self, honest: LightClientObject, draw: random.Random) -> LightClientObject:
        network = self.true.network
        encoded = bytearray(encode_ssz(honest))
        for _ in range(draw.choice((1, 1, 2, 8))):
            encoded[draw.randrange(len(encoded))] ^= 1 << draw.randrange(8)
        try:
            damaged = decode_ssz(honest.kind, bytes(encoded), network, [honest.data_format])
        except DecodeError:
            self.offered["undecodable"] += 1
            raise
        if _differs_only_in_signature_slot(honest, damaged):
            return honest  # the one field that nobody signs: moved within a period it means nothing
        return self.note(damaged, "flipped bit")

    # Traitors ----------------------------------------------------------------------------------

    def betray(
        self, honest: LightClientOptimisticUpdate, draw: random.Random, share: float
    ) -> LightClientOptimisticUpdate:
        """A block beside the chain that a share of the true committee signed after all."""
        slot = honest.attested_header.beacon.slot
        beside = self.false.block(self.false.block_slot(slot))
        size = self.true.network.preset.sync_committee_size
        signers = max(1, int(size * share))
        absent = sorted(draw.sample(range(size), size - signers))
        aggregate = self.true.sign(beside.header, honest.signature_slot, absent)
        header = self.false.header_of(beside)
        self.treason.add(header.beacon.hash_tree_root())
        self.offered["treason (signed by true members)"] += 1
        return LightClientOptimisticUpdate(
            header.data_format, header, aggregate, honest.signature_slot
        )


def _identity(value: LightClientObject) -> bytes:
    return sha256(value.kind.encode() + encode_ssz(value)).digest()


def _differs_only_in_signature_slot(one: LightClientObject, other: LightClientObject) -> bool:
    if isinstance(one, LightClientBootstrap) or isinstance(other, LightClientBootstrap):
        return one == other
    return replace(other, signature_slot=one.signature_slot) == one


# Tricks -------------------------------------------------------------------------------------------


def _false_header(
    attacker: Attacker, honest: AnyUpdate, aggregate: SyncAggregate | None = None
) -> AnyUpdate:
    slot = honest.attested_header.beacon.slot
    block = attacker.false.block(attacker.false.block_slot(slot))
    header = attacker.false.header_of(block, honest.data_format)
    return replace(
        honest, attested_header=header, sync_aggregate=aggregate or honest.sync_aggregate
    )


def _true_signature_on_false_header(
    attacker: Attacker, honest: AnyUpdate, _: random.Random
) -> AnyUpdate:
    return _false_header(attacker, honest)


def _false_committee(attacker: Attacker, honest: AnyUpdate, _: random.Random) -> AnyUpdate:
    false = attacker.false
    block = false.block(false.block_slot(honest.attested_header.beacon.slot))
    signature = false.sign(block.header, honest.signature_slot, [])
    return _false_header(attacker, honest, signature)


def _whole_false_update(attacker: Attacker, honest: AnyUpdate, _: random.Random) -> AnyUpdate:
    """An update of a chain that is sound in itself, signed by its own committee."""
    false = attacker.false
    block = false.block(false.block_slot(honest.attested_header.beacon.slot))
    signature = false.sign(block.header, honest.signature_slot, [])
    made = false.update_of(block, signature, honest.signature_slot)
    if isinstance(honest, LightClientUpdate):
        return made
    if isinstance(honest, LightClientOptimisticUpdate):
        return create_light_client_optimistic_update(made)
    return create_light_client_finality_update(made)


def _committee_of_the_past(attacker: Attacker, honest: AnyUpdate, _: random.Random) -> AnyUpdate:
    true, false = attacker.true, attacker.false
    period = true.network.compute_sync_committee_period_at_slot(honest.signature_slot)
    if period == 0:
        return honest
    block = false.block(false.block_slot(honest.attested_header.beacon.slot))
    past = true.keys.committee(period - 1)
    signature = true.sign(block.header, honest.signature_slot, [], committee=past)
    return _false_header(attacker, honest, signature)


def _signed_for_another_network(
    attacker: Attacker, honest: AnyUpdate, _: random.Random
) -> AnyUpdate:
    true, false = attacker.true, attacker.false
    block = false.block(false.block_slot(honest.attested_header.beacon.slot))
    network = true.network
    true.network = replace(network, genesis_validators_root=hashed("another network"))
    try:
        signature = true.sign(block.header, honest.signature_slot, [])
    finally:
        true.network = network
    return _false_header(attacker, honest, signature)


def _more_bits_than_signers(attacker: Attacker, honest: AnyUpdate, _: random.Random) -> AnyUpdate:
    size = attacker.true.network.preset.sync_committee_size
    bits = ((1 << size) - 1).to_bytes(-(-size // 8), "little")
    if bits == honest.sync_aggregate.sync_committee_bits:
        return honest
    return replace(honest, sync_aggregate=replace(honest.sync_aggregate, sync_committee_bits=bits))


def _nobody_signed(attacker: Attacker, honest: AnyUpdate, _: random.Random) -> AnyUpdate:
    empty = bytes(len(honest.sync_aggregate.sync_committee_bits))
    return _false_header(attacker, honest, SyncAggregate(empty, G2_INFINITY))


def _other_finality(attacker: Attacker, honest: AnyUpdate, draw: random.Random) -> AnyUpdate:
    if isinstance(honest, LightClientOptimisticUpdate):
        return _false_header(attacker, honest)
    false = attacker.false
    slot = honest.finalized_header.beacon.slot
    if slot < false.first_slot:
        return honest
    header = false.header_of(false.block(false.block_slot(slot)), honest.data_format)
    return replace(honest, finalized_header=header)


def _other_committee(attacker: Attacker, honest: AnyUpdate, _: random.Random) -> AnyUpdate:
    if not isinstance(honest, LightClientUpdate) or honest.next_sync_committee.is_default:
        return honest
    period = attacker.true.network.compute_sync_committee_period_at_slot
    committee = attacker.false.keys.committee(period(honest.attested_header.beacon.slot) + 1)
    return replace(honest, next_sync_committee=committee.public)


def _from_the_future(attacker: Attacker, honest: AnyUpdate, draw: random.Random) -> AnyUpdate:
    ahead = attacker.true.network.preset.slots_per_sync_committee_period * draw.randrange(3, 9)
    return replace(honest, signature_slot=honest.signature_slot + ahead)


TRICKS: dict[str, Trick] = {
    "false header, true signature": _true_signature_on_false_header,
    "false committee": _false_committee,
    "whole false update": _whole_false_update,
    "committee of the past": _committee_of_the_past,
    "signed for another network": _signed_for_another_network,
    "more bits than signers": _more_bits_than_signers,
    "nobody signed": _nobody_signed,
    "other finality": _other_finality,
    "other next committee": _other_committee,
    "from the future": _from_the_future,
}
