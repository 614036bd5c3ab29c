"""What has to be proven, by whom, and how the proofs may be written down."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lightclient.protocol import Rule, VerdictKind
from lightclient.protocol.excerpts import (
    create_light_client_finality_update,
    create_light_client_optimistic_update,
)
from lightclient.ssz import ZERO_NODE
from tests.protocol.forge import (
    PERIOD,
    Forge,
    hashed,
    in_every_kind,
    network_from_genesis,
)
from tests.protocol.judging import START, at_slot, every_forge, judge, other_node, sound


@every_forge
def test_an_old_update_that_brings_the_missing_committee_is_relevant(forge: Forge) -> None:
    store = forge.store(START + 24)
    update = forge.update(START + 8, finalized_slot=START - 8, committee=True)
    assert judge(forge, store, update).kind is VerdictKind.ACCEPTED
    assert store.next_sync_committee == forge.committee(2)
    assert store.finalized_header == forge.bootstrap(START + 24).header
    assert judge(forge, store, update).rule is Rule.NOT_RELEVANT
    # Of the period before, it is not.
    before = forge.update(PERIOD - 1, committee=True, signature_slot=PERIOD)
    assert judge(forge, forge.store(START), before).rule is Rule.NOT_RELEVANT


@every_forge
def test_finality_of_genesis_is_an_empty_header_and_the_zero_root(forge: Forge) -> None:
    update = forge.update(START + 24, finalized_slot=0)
    assert judge(forge, forge.store(START), update).kind is VerdictKind.ACCEPTED
    proven_not_zero = forge.state(START + 24, finalized_root=hashed("not zero"))
    header = forge.header(START + 24, proven_not_zero.node(1), update.data_format)
    wrong_leaf = forge.fully_signed(
        replace(
            update,
            attested_header=header,
            finality_branch=proven_not_zero.branch(
                forge.network.fork_at_slot(START).finalized_root_gindex,
                update.data_format.finality_branch_depth,
            ),
        )
    )
    assert judge(forge, forge.store(START), wrong_leaf).rule is Rule.INVALID_FINALITY_BRANCH


@every_forge
def test_a_finalized_header_at_slot_zero_is_refused_even_with_its_proof(forge: Forge) -> None:
    finalized = at_slot(forge.header(8), 0)
    state = forge.state(START + 24, finalized_root=finalized.beacon.hash_tree_root())
    update = forge.update(START + 24, finalized_slot=0)
    proven = forge.fully_signed(
        replace(
            update,
            attested_header=forge.header(START + 24, state.node(1), update.data_format),
            finalized_header=finalized,
            finality_branch=state.branch(
                forge.network.fork_at_slot(START).finalized_root_gindex,
                update.data_format.finality_branch_depth,
            ),
        )
    )
    assert judge(forge, forge.store(START), proven).rule is Rule.INVALID_GENESIS_FINALITY


@every_forge
def test_the_empty_header_of_an_update_without_finality_is_not_tested(forge: Forge) -> None:
    """Not even where slot 0 has an execution payload that an empty header does not prove."""
    update = forge.update(START + 24)
    assert update.finalized_header.is_default
    assert judge(forge, forge.store(START), update).kind is VerdictKind.ACCEPTED
    almost = replace(
        update.finalized_header,
        beacon=replace(update.finalized_header.beacon, parent_root=b"\1" + bytes(31)),
    )
    broken = replace(update, finalized_header=almost)
    assert judge(forge, forge.store(START), broken).rule is Rule.UNEXPECTED_FINALIZED_HEADER


@every_forge
def test_every_node_of_every_branch_counts(forge: Forge) -> None:
    """The zero nodes in front of a normalised branch too."""
    update, store = sound(forge), forge.store(START)

    def rule_of(**changed: Any) -> Rule | None:
        return judge(forge, store, replace(update, **changed)).rule

    for field, rule in (
        ("finality_branch", Rule.INVALID_FINALITY_BRANCH),
        ("next_sync_committee_branch", Rule.INVALID_NEXT_COMMITTEE_BRANCH),
    ):
        branch = getattr(update, field)
        for index in range(len(branch)):
            assert rule_of(**{field: other_node(branch, index)}) is rule
    for field, rule in (
        ("attested_header", Rule.INVALID_ATTESTED_HEADER),
        ("finalized_header", Rule.INVALID_FINALIZED_HEADER),
    ):
        header = getattr(update, field)
        for index in range(len(header.execution_branch)):
            broken = other_node(header.execution_branch, index)
            assert rule_of(**{field: replace(header, execution_branch=broken)}) is rule


@every_forge
@pytest.mark.parametrize("field", ["finality_branch", "next_sync_committee_branch"])
def test_branches_of_a_length_that_no_decoder_yields_are_refused(forge: Forge, field: str) -> None:
    update = sound(forge)
    branch = getattr(update, field)
    for wrong in ((hashed("x"), *branch), (*branch, ZERO_NODE), branch[1:], branch[:-1], ()):
        changed: dict[str, Any] = {field: wrong}
        verdict = judge(forge, forge.store(START), replace(update, **changed))
        # A zero node in front proves nothing: leaving it out changes nothing.
        harmless = wrong == branch[1:] and branch[0] == ZERO_NODE
        assert verdict.is_refusal != harmless


@every_forge
def test_participation_is_counted_and_compared_by_the_bits_that_fit(forge: Forge) -> None:
    update = sound(forge)
    bits = update.sync_aggregate.sync_committee_bits
    for wrong in (bits + b"\xff", bits + b"\0", bits[:-1], b""):
        aggregate = replace(update.sync_aggregate, sync_committee_bits=wrong)
        for changed in in_every_kind(replace(update, sync_aggregate=aggregate)):
            assert judge(forge, forge.store(START), changed).rule is Rule.UNDECODABLE


def test_a_committee_whose_size_is_no_multiple_of_eight_is_judged_alike() -> None:
    preset = replace(network_from_genesis("electra").preset, sync_committee_size=12)
    forge = Forge(network_from_genesis("electra", preset))
    assert len(forge.update(START + 24).sync_aggregate.sync_committee_bits) == 2
    for make in (
        lambda update: update,
        create_light_client_finality_update,
        create_light_client_optimistic_update,
    ):
        store = forge.store(START)
        assert judge(forge, store, make(sound(forge))).kind is VerdictKind.ACCEPTED
    # Two thirds of 12, not of the 16 that the bits have room for.
    store = forge.store(START)
    update = forge.update(START + 24, finalized_slot=START + 8, participants=8)
    assert (
        judge(forge, store, create_light_client_finality_update(update)).kind
        is VerdictKind.ACCEPTED
    )
    assert store.finalized_header.beacon.slot == START + 8
    padding = replace(update.sync_aggregate, sync_committee_bits=b"\xff\x10")
    stray = replace(update, sync_aggregate=padding)
    assert judge(forge, forge.store(START), stray).rule is Rule.BAD_SIGNATURE
