"""Forced updates: when no finality comes, the best update stands in for it, and not before."""

from __future__ import annotations

import pytest

from lightclient.containers import AnyUpdate
from lightclient.protocol import (
    LightClientStore,
    Rule,
    VerdictKind,
    is_next_sync_committee_known,
    process_light_client_store_force_update,
)
from tests.protocol.forge import PERIOD, Forge, network_from_genesis, network_of
from tests.protocol.judging import NOW, START, judge, sound, store_that_knows

FORGE = Forge(network_from_genesis("electra"))
SIZE = FORGE.size

TIMEOUT = FORGE.network.preset.update_timeout


def accept(store: LightClientStore, update: AnyUpdate) -> None:
    assert judge(FORGE, store, update).kind is VerdictKind.ACCEPTED


def force(store: LightClientStore, now: int) -> bool:
    before = store.copy()
    changed = process_light_client_store_force_update(store, now, FORGE.network)
    assert changed == (store != before)
    return changed


def test_a_forced_update_waits_for_the_timeout() -> None:
    store = FORGE.store(START)
    accept(store, FORGE.update(START + 20, participants=5))
    assert not force(store, START)
    assert not force(store, START + TIMEOUT)
    assert force(store, START + TIMEOUT + 1)
    assert not force(store, START + 10 * TIMEOUT)


def test_nothing_is_forced_without_a_best_update() -> None:
    store = FORGE.store(START)
    assert not force(store, START + 10 * TIMEOUT)
    accept(store, sound(FORGE))  # finalizes, so that none is kept
    assert not force(store, START + 10 * TIMEOUT)


def test_a_forced_update_takes_the_attested_header_for_finalized() -> None:
    store = FORGE.store(START)
    best = FORGE.update(START + 20, committee=True, participants=5)
    accept(store, best)
    assert force(store, START + TIMEOUT + 1)
    assert store.finalized_header == best.attested_header
    assert store.next_sync_committee == FORGE.committee(2)
    assert store.best_valid_update is None
    assert best.finalized_header.is_default  # the update itself is untouched


def test_a_forced_update_prefers_the_finalized_header_where_it_is_newer() -> None:
    store = FORGE.store(START)
    best = FORGE.update(START + 20, finalized_slot=START + 8, committee=True, participants=5)
    accept(store, best)
    assert force(store, START + TIMEOUT + 1)
    assert store.finalized_header == best.finalized_header


@pytest.mark.parametrize("finalized_slot", [0, START - 8, START])
def test_a_forced_update_with_older_finality_takes_the_attested_header(finalized_slot: int) -> None:
    store = FORGE.store(START)
    best = FORGE.update(START + 20, finalized_slot=finalized_slot, committee=True, participants=5)
    accept(store, best)
    assert force(store, START + TIMEOUT + 1)
    assert store.finalized_header == best.attested_header


def test_a_forced_update_into_the_next_period_moves_the_committees() -> None:
    store = store_that_knows(FORGE)
    best = FORGE.update(2 * PERIOD + 10, committee=True, participants=5)
    accept(store, best)
    assert not force(store, START + 8 + TIMEOUT)
    assert force(store, START + 8 + TIMEOUT + 1)
    assert store.finalized_header == store.optimistic_header == best.attested_header
    assert store.current_sync_committee == FORGE.committee(2)
    assert store.next_sync_committee == FORGE.committee(3)
    assert store.previous_max_active_participants == SIZE
    assert store.current_max_active_participants == 0


def test_a_forced_update_without_a_committee_leaves_the_next_one_unknown() -> None:
    store = store_that_knows(FORGE)
    accept(store, FORGE.update(2 * PERIOD + 10, participants=20))
    assert force(store, NOW)
    assert store.current_sync_committee == FORGE.committee(2)
    assert not is_next_sync_committee_known(store)


def test_a_forced_update_raises_the_optimistic_header_if_it_lags() -> None:
    store = FORGE.store(START)
    accept(store, FORGE.update(START + 5))
    lagging = FORGE.update(START + 20, committee=True, participants=16)
    assert judge(FORGE, store, lagging).rule is Rule.NO_PROGRESS  # half, so not safe
    store.best_valid_update = lagging
    assert force(store, START + TIMEOUT + 1)
    assert store.optimistic_header == store.finalized_header == lagging.attested_header


def test_a_forced_update_raises_the_format_of_the_store() -> None:
    network = network_of({"phase0": 0, "altair": 0, "bellatrix": 0, "capella": 10})
    forge = Forge(network)
    store = forge.store(START)
    assert store.data_format.name == "altair"
    store.best_valid_update = forge.update(START + 20, participants=5)
    assert process_light_client_store_force_update(store, START + TIMEOUT + 1, network)
    assert store.data_format.name == "capella"
