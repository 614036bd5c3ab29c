"""Each rule in every fork: a sound object is accepted, broken in one place it names that rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from lightclient.config.network import Network
from lightclient.containers import (
    LightClientBootstrap,
    LightClientUpdate,
    zero_branch,
)
from lightclient.protocol import (
    LightClientStore,
    Rule,
    VerdictKind,
    initialize_light_client_store,
)
from tests.protocol.forge import (
    PERIOD,
    Forge,
    hashed,
    in_every_kind,
)
from tests.protocol.judging import (
    FORGES,
    NOW,
    START,
    every_forge,
    judge,
    other_node,
    sound,
    store_that_knows,
    with_broken_execution,
)

# Bootstraps -----------------------------------------------------------------------------------


@every_forge
def test_a_sound_bootstrap_is_accepted(forge: Forge) -> None:
    store = forge.store(START)
    assert store.finalized_header == store.optimistic_header == forge.bootstrap(START).header
    assert store.next_sync_committee is None
    assert store.best_valid_update is None
    assert store.previous_max_active_participants == 0
    assert store.current_max_active_participants == 0
    assert store.data_format is forge.format_at(START)


@every_forge
def test_a_broken_bootstrap_names_the_first_rule_that_it_breaks(forge: Forge) -> None:
    good = forge.bootstrap(START)
    root = good.header.beacon.hash_tree_root()

    def rule_of(bootstrap: LightClientBootstrap, trusted_root: bytes = root) -> Rule | None:
        store, verdict = initialize_light_client_store(trusted_root, bootstrap, forge.network)
        assert (store is None) == (verdict.kind is not VerdictKind.ACCEPTED)
        return verdict.rule

    bad_committee = replace(good, current_sync_committee=forge.committee(2))
    assert rule_of(good) is None
    assert rule_of(good, hashed("other root")) is Rule.BOOTSTRAP_ROOT_MISMATCH
    assert rule_of(bad_committee) is Rule.INVALID_BOOTSTRAP_COMMITTEE_BRANCH
    branch = good.current_sync_committee_branch
    for index in range(len(branch)):
        changed = replace(good, current_sync_committee_branch=other_node(branch, index))
        assert rule_of(changed) is Rule.INVALID_BOOTSTRAP_COMMITTEE_BRANCH
    assert rule_of(bad_committee, hashed("other root")) is Rule.BOOTSTRAP_ROOT_MISMATCH
    if good.data_format.header != "bare":
        bad_header = replace(bad_committee, header=with_broken_execution(good.header))
        assert rule_of(bad_header, hashed("other root")) is Rule.INVALID_BOOTSTRAP_HEADER
    wrong_size = replace(good, current_sync_committee=Forge(_bigger(forge)).committee(1))
    assert rule_of(wrong_size) is Rule.UNDECODABLE


def _bigger(forge: Forge) -> Network:
    return replace(forge.network, preset=replace(forge.network.preset, sync_committee_size=40))


# Updates --------------------------------------------------------------------------------------


@every_forge
def test_sound_updates_of_every_kind_are_accepted(forge: Forge) -> None:
    for update in in_every_kind(sound(forge)):
        store = forge.store(START)
        assert judge(forge, store, update).kind is VerdictKind.ACCEPTED
        assert store.optimistic_header == update.attested_header
        assert store.data_format is update.data_format


Case = tuple[Rule, Callable[[Forge], tuple[LightClientStore, LightClientUpdate, int]]]


def _insufficient_participants(forge: Forge) -> tuple[LightClientStore, LightClientUpdate, int]:
    return forge.store(START), forge.signed(sound(forge), []), NOW


def _invalid_attested_header(forge: Forge) -> tuple[LightClientStore, LightClientUpdate, int]:
    update = sound(forge)
    broken = with_broken_execution(update.attested_header)
    return forge.store(START), replace(update, attested_header=broken), NOW


def _attested_before_finalized(forge: Forge) -> tuple[LightClientStore, LightClientUpdate, int]:
    return forge.store(START), forge.update(START + 24, finalized_slot=START + 25), NOW


def _signature_not_after_attested(forge: Forge) -> tuple[LightClientStore, LightClientUpdate, int]:
    return forge.store(START), forge.update(START + 24, signature_slot=START + 24), NOW


def _signature_slot_in_future(forge: Forge) -> tuple[LightClientStore, LightClientUpdate, int]:
    return forge.store(START), forge.update(NOW, signature_slot=NOW + 1), NOW


def _period_not_covered(forge: Forge) -> tuple[LightClientStore, LightClientUpdate, int]:
    return forge.store(START), forge.update(2 * PERIOD), NOW


def _not_relevant(forge: Forge) -> tuple[LightClientStore, LightClientUpdate, int]:
    return forge.store(START), forge.update(START), NOW


def _unexpected_finalized_header(forge: Forge) -> tuple[LightClientStore, LightClientUpdate, int]:
    update = sound(forge)
    branch = zero_branch(len(update.finality_branch))
    return forge.store(START), replace(update, finality_branch=branch), NOW


def _invalid_genesis_finality(forge: Forge) -> tuple[LightClientStore, LightClientUpdate, int]:
    update = forge.update(START + 24, finalized_slot=0)
    header = update.finalized_header
    not_empty = replace(header, beacon=replace(header.beacon, proposer_index=1))
    return forge.store(START), replace(update, finalized_header=not_empty), NOW


def _invalid_finalized_header(forge: Forge) -> tuple[LightClientStore, LightClientUpdate, int]:
    update = sound(forge)
    broken = with_broken_execution(update.finalized_header)
    return forge.store(START), replace(update, finalized_header=broken), NOW


def _invalid_finality_branch(forge: Forge) -> tuple[LightClientStore, LightClientUpdate, int]:
    update = sound(forge)
    return (
        forge.store(START),
        replace(update, finality_branch=other_node(update.finality_branch)),
        NOW,
    )


def _unexpected_next_committee(forge: Forge) -> tuple[LightClientStore, LightClientUpdate, int]:
    update = sound(forge)
    branch = zero_branch(len(update.next_sync_committee_branch))
    return forge.store(START), replace(update, next_sync_committee_branch=branch), NOW


def _conflicting_next_committee(forge: Forge) -> tuple[LightClientStore, LightClientUpdate, int]:
    other = forge.committee(7)  # proven, even
    return store_that_knows(forge), forge.update(START + 24, committee=other), NOW


def _invalid_next_committee_branch(
    forge: Forge,
) -> tuple[LightClientStore, LightClientUpdate, int]:
    update = sound(forge)
    branch = other_node(update.next_sync_committee_branch)
    return forge.store(START), replace(update, next_sync_committee_branch=branch), NOW


def _bad_signature(forge: Forge) -> tuple[LightClientStore, LightClientUpdate, int]:
    update = sound(forge)
    aggregate = forge.update(START + 23).sync_aggregate
    return forge.store(START), replace(update, sync_aggregate=aggregate), NOW


def _no_progress(forge: Forge) -> tuple[LightClientStore, LightClientUpdate, int]:
    store = store_that_knows(forge)
    update = forge.update(START + 24)
    assert judge(forge, store, update).kind is VerdictKind.ACCEPTED
    return store, update, NOW


CASES: list[Case] = [
    (Rule.INSUFFICIENT_PARTICIPANTS, _insufficient_participants),
    (Rule.INVALID_ATTESTED_HEADER, _invalid_attested_header),
    (Rule.ATTESTED_BEFORE_FINALIZED, _attested_before_finalized),
    (Rule.SIGNATURE_NOT_AFTER_ATTESTED, _signature_not_after_attested),
    (Rule.SIGNATURE_SLOT_IN_FUTURE, _signature_slot_in_future),
    (Rule.PERIOD_NOT_COVERED, _period_not_covered),
    (Rule.NOT_RELEVANT, _not_relevant),
    (Rule.UNEXPECTED_FINALIZED_HEADER, _unexpected_finalized_header),
    (Rule.INVALID_GENESIS_FINALITY, _invalid_genesis_finality),
    (Rule.INVALID_FINALIZED_HEADER, _invalid_finalized_header),
    (Rule.INVALID_FINALITY_BRANCH, _invalid_finality_branch),
    (Rule.UNEXPECTED_NEXT_COMMITTEE, _unexpected_next_committee),
    (Rule.CONFLICTING_NEXT_COMMITTEE, _conflicting_next_committee),
    (Rule.INVALID_NEXT_COMMITTEE_BRANCH, _invalid_next_committee_branch),
    (Rule.BAD_SIGNATURE, _bad_signature),
    (Rule.NO_PROGRESS, _no_progress),
]


def _cases() -> Iterator[Any]:
    for name, forge in FORGES.items():
        for rule, make in CASES:
            # A bare header has nothing that could be invalid.
            bare = forge.format_at(START).header == "bare"
            if bare and rule in {Rule.INVALID_ATTESTED_HEADER, Rule.INVALID_FINALIZED_HEADER}:
                continue
            yield pytest.param(forge, rule, make, id=f"{name}-{rule}")


@pytest.mark.parametrize(("forge", "rule", "make"), list(_cases()))
def test_an_update_that_breaks_a_rule_names_it(
    forge: Forge,
    rule: Rule,
    make: Callable[[Forge], tuple[LightClientStore, LightClientUpdate, int]],
) -> None:
    store, update, now = make(forge)
    assert judge(forge, store, update, now).rule is rule
