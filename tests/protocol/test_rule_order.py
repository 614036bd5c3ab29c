"""The order of the rules: an object that breaks two of them is refused by the earlier one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import pytest

from lightclient.config.forks import DATA_FORMATS
from lightclient.containers import LightClientUpdate, SyncAggregate
from lightclient.protocol import Rule, VerdictKind
from tests.protocol.forge import Forge
from tests.protocol.judging import (
    FORGES,
    NOW,
    START,
    at_slot,
    every_forge,
    judge,
    other_node,
    sound,
    store_that_knows,
    with_broken_execution,
)

# Order ----------------------------------------------------------------------------------------

Breaker = Callable[[Forge, LightClientUpdate], LightClientUpdate]
"""Changes a sound update of a store that knows its next committee so that it breaks one rule."""


BREAKERS: list[tuple[Rule, Breaker]] = [
    (
        Rule.INSUFFICIENT_PARTICIPANTS,
        lambda forge, update: replace(
            update,
            sync_aggregate=SyncAggregate(bytes(4), update.sync_aggregate.sync_committee_signature),
        ),
    ),
    (
        Rule.INVALID_ATTESTED_HEADER,
        lambda forge, update: replace(
            update, attested_header=with_broken_execution(update.attested_header)
        ),
    ),
    (
        Rule.ATTESTED_BEFORE_FINALIZED,
        lambda forge, update: replace(
            update,
            finalized_header=at_slot(
                update.finalized_header, update.attested_header.beacon.slot + 1
            ),
        ),
    ),
    (
        Rule.SIGNATURE_NOT_AFTER_ATTESTED,
        lambda forge, update: replace(update, signature_slot=START),
    ),
    (
        Rule.SIGNATURE_SLOT_IN_FUTURE,
        lambda forge, update: replace(update, signature_slot=NOW + 5),
    ),
    (Rule.PERIOD_NOT_COVERED, lambda forge, update: replace(update, signature_slot=NOW)),
    (
        Rule.INVALID_FINALITY_BRANCH,
        lambda forge, update: replace(
            update, finality_branch=other_node(update.finality_branch, 0)
        ),
    ),
    (
        Rule.INVALID_NEXT_COMMITTEE_BRANCH,
        lambda forge, update: replace(
            update, next_sync_committee_branch=other_node(update.next_sync_committee_branch, 0)
        ),
    ),
    (
        Rule.BAD_SIGNATURE,
        lambda forge, update: replace(
            update,
            sync_aggregate=replace(update.sync_aggregate, sync_committee_signature=b"\xff" * 96),
        ),
    ),
]


PAIRS = [
    pytest.param(data_format.name, first, second, id=f"{data_format.name}-{first[0]}-{second[0]}")
    for data_format in DATA_FORMATS
    for first, second in combinations(BREAKERS, 2)
    # A bare header has nothing that could be invalid.
    if data_format.header != "bare" or Rule.INVALID_ATTESTED_HEADER not in (first[0], second[0])
]


@pytest.mark.parametrize(("fork_name", "first", "second"), PAIRS)
def test_of_two_broken_rules_the_earlier_one_is_named(
    fork_name: str, first: tuple[Rule, Breaker], second: tuple[Rule, Breaker]
) -> None:
    forge = FORGES[f"{fork_name}-{fork_name}"]
    update = sound(forge)
    # Two breaks that write the same field: the later rule's break first, so that both stand.
    broken = first[1](forge, second[1](forge, update))
    assert judge(forge, forge.store(START), broken).rule is first[0]
    assert judge(forge, forge.store(START), second[1](forge, update)).rule is second[0]


@every_forge
def test_a_conflicting_committee_is_told_before_its_branch_is_looked_at(forge: Forge) -> None:
    store = store_that_knows(forge)
    update = forge.update(START + 24, committee=True)
    broken = other_node(update.next_sync_committee_branch)
    conflicting = replace(
        update, next_sync_committee=forge.committee(7), next_sync_committee_branch=broken
    )
    verdict = judge(forge, store, conflicting)
    assert verdict.rule is Rule.CONFLICTING_NEXT_COMMITTEE
    assert verdict.values == {
        "committee_root": forge.committee(7).hash_tree_root(),
        "known_committee_root": forge.committee(2).hash_tree_root(),
        "period": 2,
    }
    unproven = replace(update, next_sync_committee_branch=broken)
    assert judge(forge, store, unproven).rule is Rule.INVALID_NEXT_COMMITTEE_BRANCH


@every_forge
def test_an_irrelevant_update_is_a_duplicate_whatever_else_is_wrong_with_it(forge: Forge) -> None:
    store = forge.store(START)
    update = forge.update(START, finalized_slot=START - 8)
    broken = replace(
        update,
        finality_branch=other_node(update.finality_branch),
        sync_aggregate=replace(update.sync_aggregate, sync_committee_signature=bytes(96)),
    )
    verdict = judge(forge, store, broken)
    assert (verdict.kind, verdict.rule) == (VerdictKind.DUPLICATE, Rule.NOT_RELEVANT)
