"""What valid objects do to the store: whole or not at all, by the specification's thresholds."""

from __future__ import annotations

import random
from dataclasses import fields, replace

import pytest

from lightclient.config.forks import DATA_FORMATS
from lightclient.containers import AnyUpdate, default_sync_committee
from lightclient.protocol import (
    LightClientStore,
    Rule,
    VerdictKind,
    apply_light_client_update,
    get_safety_threshold,
    has_supermajority,
    is_next_sync_committee_known,
    new_light_client_store,
    process_light_client_store_force_update,
    process_light_client_update,
)
from lightclient.protocol.excerpts import (
    create_light_client_finality_update,
    create_light_client_optimistic_update,
)
from tests.protocol.forge import (
    FORK_NAMES,
    PERIOD,
    Forge,
    in_every_kind,
    network_from_genesis,
)
from tests.protocol.judging import NOW, START, judge, sound, store_that_knows

FORGE = Forge(network_from_genesis("electra"))
SIZE = FORGE.size
TWO_THIRDS = -(-SIZE * 2 // 3)


def accept(store: LightClientStore, update: AnyUpdate, forge: Forge = FORGE) -> None:
    assert judge(forge, store, update).kind is VerdictKind.ACCEPTED


# Store ----------------------------------------------------------------------------------------


def test_a_copy_is_a_store_of_its_own_and_assign_takes_everything_over() -> None:
    store = FORGE.store(START)
    copy = store.copy()
    assert copy == store
    accept(copy, sound(FORGE))
    assert copy != store == FORGE.store(START)
    store.assign(copy)
    assert store == copy
    for item in fields(LightClientStore):
        assert getattr(store, item.name) is getattr(copy, item.name)


def test_a_store_s_format_only_ever_rises() -> None:
    store = FORGE.store(START)
    for data_format in DATA_FORMATS:
        before = store.data_format
        store.upgrade(data_format)
        assert store.data_format is max(before, data_format, key=DATA_FORMATS.index)


def test_a_store_from_a_trusted_header_knows_that_header_and_no_more() -> None:
    header = FORGE.bootstrap(START).header
    store = new_light_client_store(header, FORGE.committee(1))
    assert store == FORGE.store(START)
    assert not is_next_sync_committee_known(store)


# Thresholds -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("previous", "current", "threshold"),
    [(0, 0, 0), (1, 0, 0), (2, 0, 1), (0, 3, 1), (9, 4, 4), (4, 9, 4), (32, 32, 16)],
)
def test_the_safety_threshold_is_half_the_best_participation(
    previous: int, current: int, threshold: int
) -> None:
    store = FORGE.store(START)
    store.previous_max_active_participants = previous
    store.current_max_active_participants = current
    assert get_safety_threshold(store) == threshold


def test_an_optimistic_header_needs_more_than_the_safety_threshold() -> None:
    store = FORGE.store(START)
    accept(store, FORGE.update(START + 1, participants=20))
    assert store.current_max_active_participants == 20
    half = FORGE.update(START + 2, participants=10)
    before = store.optimistic_header
    assert judge(FORGE, store, half).rule is Rule.NO_PROGRESS
    assert store.optimistic_header is before
    more = FORGE.update(START + 2, participants=11)
    accept(store, more)
    assert store.optimistic_header == more.attested_header


def test_an_optimistic_header_never_goes_back_nor_sideways() -> None:
    store = FORGE.store(START)
    first = FORGE.update(START + 10)
    accept(store, first)
    other_block = FORGE.update(START + 10, finalized_slot=START - 8)
    assert other_block.attested_header != first.attested_header
    accept(store, other_block)
    assert store.optimistic_header == first.attested_header
    older = FORGE.update(START + 9, finalized_slot=START - 8)
    accept(store, older)  # as the better one for a forced update
    assert store.optimistic_header.beacon.slot == START + 10


@pytest.mark.parametrize("participants", [1, TWO_THIRDS - 1, TWO_THIRDS, SIZE])
def test_finality_needs_two_thirds(participants: int) -> None:
    store = FORGE.store(START)
    update = FORGE.update(START + 24, finalized_slot=START + 8, participants=participants)
    assert has_supermajority(update) is (participants * 3 >= SIZE * 2)
    accept(store, update)
    finalized = store.finalized_header.beacon.slot
    assert finalized == (START + 8 if participants >= TWO_THIRDS else START)
    assert (store.best_valid_update is None) == (participants >= TWO_THIRDS)


def test_finality_of_the_attested_slot_leaves_the_optimistic_header() -> None:
    """Two blocks of one slot: odd, but the specification takes them as they are."""
    store = FORGE.store(START)
    update = FORGE.update(START + 24, finalized_slot=START + 24)
    assert update.finalized_header != update.attested_header
    accept(store, update)
    assert store.finalized_header == update.finalized_header
    assert store.optimistic_header == update.attested_header


def test_participation_is_tracked_even_where_nothing_else_changes() -> None:
    store = FORGE.store(START)
    best = FORGE.update(START + 10, committee=True, participants=TWO_THIRDS)
    accept(store, best)
    accept(store, FORGE.update(START + 10))  # not better without a committee, but of more members
    assert store.current_max_active_participants == SIZE
    assert store.best_valid_update == best


# Committees -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fork_name", FORK_NAMES)
def test_committees_are_followed_from_period_to_period(fork_name: str) -> None:
    forge = Forge(network_from_genesis(fork_name))
    store = forge.store(START)
    for period in range(1, 5):
        start = period * PERIOD
        update = forge.update(start + 40, finalized_slot=start + 24, committee=True)
        verdict = process_light_client_update(
            store, update, 9 * PERIOD, forge.network, forge.signatures
        )
        assert verdict.kind is VerdictKind.ACCEPTED
        assert store.finalized_header == update.finalized_header
        assert store.current_sync_committee == forge.committee(period)
        assert store.next_sync_committee == forge.committee(period + 1)
    assert store.previous_max_active_participants == SIZE


def test_finality_in_the_next_period_without_its_committee_leaves_it_unknown() -> None:
    store = store_that_knows(FORGE)
    start = 2 * PERIOD
    accept(store, FORGE.update(start + 20, finalized_slot=start + 8))
    assert store.current_sync_committee == FORGE.committee(2)
    assert not is_next_sync_committee_known(store)
    assert store.previous_max_active_participants == SIZE
    assert store.current_max_active_participants == 0
    # Now the store covers its own period only.
    beyond = FORGE.update(3 * PERIOD - 2, signature_slot=3 * PERIOD)
    assert judge(FORGE, store, beyond).rule is Rule.PERIOD_NOT_COVERED
    accept(store, FORGE.update(start + 30, finalized_slot=start + 16, committee=True))
    assert store.next_sync_committee == FORGE.committee(3)


@pytest.mark.parametrize(
    ("finalized_slot", "participants", "taken"),
    [
        (START, SIZE, True),
        (START, TWO_THIRDS, True),
        (START, TWO_THIRDS - 1, False),
        (PERIOD, SIZE, True),
        (PERIOD - 8, SIZE, False),  # finality of the period before
        (0, SIZE, False),
        (None, SIZE, False),
    ],
)
def test_a_committee_is_taken_only_with_two_thirds_and_finality_of_its_own_period(
    finalized_slot: int | None, participants: int, taken: bool
) -> None:
    store = FORGE.store(START)
    update = FORGE.update(
        START + 20, finalized_slot=finalized_slot, committee=True, participants=participants
    )
    accept(store, update)
    assert store.next_sync_committee == (FORGE.committee(2) if taken else None)
    assert store.best_valid_update == (None if taken else update)
    assert store.finalized_header.beacon.slot == START


@pytest.mark.parametrize("finalized_slot", [START - 8, START])
def test_finality_that_is_not_newer_is_only_kept_for_a_forced_update(finalized_slot: int) -> None:
    for store in (FORGE.store(START), store_that_knows(FORGE)):
        before = store.copy()
        newest = store.finalized_header.beacon.slot
        update = FORGE.update(newest + 20, finalized_slot=finalized_slot + newest - START)
        accept(store, update)
        assert store.finalized_header is before.finalized_header
        assert store.next_sync_committee is before.next_sync_committee
        assert store.best_valid_update == update


def test_a_proven_all_zero_committee_leaves_the_next_one_unknown() -> None:
    zero = default_sync_committee(SIZE)
    store = FORGE.store(START)
    update = FORGE.update(START + 20, finalized_slot=START + 8, committee=zero)
    assert any(map(any, update.next_sync_committee_branch))
    accept(store, update)
    assert store.finalized_header == update.finalized_header
    assert not is_next_sync_committee_known(store)


def test_applying_to_the_wrong_period_is_an_error_and_not_a_silent_skip() -> None:
    store = FORGE.store(START)
    update = FORGE.update(2 * PERIOD + 20, finalized_slot=2 * PERIOD + 8, committee=True)
    with pytest.raises(ValueError, match="period 2"):
        apply_light_client_update(store, update, FORGE.network)


TIMEOUT = FORGE.network.preset.update_timeout

# Whole or not at all ---------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_a_long_hostile_play_never_leaves_the_store_half_changed(seed: int) -> None:
    """Random updates, sound and broken; ``judge`` compares the store around each of them."""
    draw = random.Random(seed)
    fork_name = draw.choice(FORK_NAMES)
    forge = Forge(network_from_genesis(fork_name))
    store, accepted, refused = forge.store(START), 0, 0
    for _ in range(60):
        attested = store.finalized_header.beacon.slot + draw.randrange(-4, PERIOD // 2)
        update: AnyUpdate = forge.update(
            max(attested, 1),
            finalized_slot=draw.choice([None, 0, max(attested - 16, 1)]),
            committee=draw.random() < 0.5,
            participants=draw.choice([0, 5, TWO_THIRDS, SIZE, SIZE]),
        )
        if draw.random() < 0.1:
            update = replace(update, signature_slot=update.signature_slot + 1)
        if draw.random() < 0.1:
            update = replace(update, attested_header=forge.header(max(attested, 1)))
        update = draw.choice(in_every_kind(update.as_update()))
        before = {item.name: getattr(store, item.name) for item in fields(store)}
        verdict = judge(forge, store, update, now=attested + 8)
        accepted += verdict.kind is VerdictKind.ACCEPTED
        if verdict.kind is not VerdictKind.ACCEPTED:
            refused += 1
            assert all(getattr(store, name) is value for name, value in before.items())
        now = attested + draw.choice([0, 0, TIMEOUT])
        process_light_client_store_force_update(store, now, forge.network)
        assert store.optimistic_header.beacon.slot >= store.finalized_header.beacon.slot
    assert accepted > 2
    assert refused > 5


def test_an_error_halfway_leaves_the_store_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("halfway")

    monkeypatch.setattr("lightclient.protocol.processing.apply_light_client_update", fail)
    store = FORGE.store(START)
    before = store.copy()
    with pytest.raises(RuntimeError, match="halfway"):
        process_light_client_update(store, sound(FORGE), NOW, FORGE.network, FORGE.signatures)
    assert store == before
    store.best_valid_update = before.best_valid_update = FORGE.update(START + 5)
    with pytest.raises(RuntimeError, match="halfway"):
        process_light_client_store_force_update(store, NOW, FORGE.network)
    assert store == before


def test_smaller_kinds_are_processed_as_the_update_they_stand_for() -> None:
    full = FORGE.update(START + 24, finalized_slot=START + 8)
    by_full, by_finality = FORGE.store(START), FORGE.store(START)
    accept(by_full, full)
    accept(by_finality, create_light_client_finality_update(full))
    assert by_full == by_finality
    plain = FORGE.update(START + 24)
    by_full, by_optimistic = FORGE.store(START), FORGE.store(START)
    accept(by_full, plain)
    accept(by_optimistic, create_light_client_optimistic_update(plain))
    assert by_full == by_optimistic


# Signatures ------------------------------------------------------------------------------------


def test_the_committee_of_the_signature_s_period_must_sign() -> None:
    store = store_that_knows(FORGE)
    last = 2 * PERIOD - 1
    crossing = FORGE.update(last, signature_slot=2 * PERIOD)
    accept(store.copy(), crossing)
    by_old = FORGE.signed(crossing, range(SIZE), period=1)
    assert judge(FORGE, store, by_old).rule is Rule.BAD_SIGNATURE
    by_next = FORGE.signed(FORGE.update(last - 1), range(SIZE), period=2)
    assert judge(FORGE, store, by_next).rule is Rule.BAD_SIGNATURE


def test_bits_that_did_not_sign_and_signers_without_a_bit_are_refused() -> None:
    update = FORGE.update(START + 24, participants=20)
    for seats in (range(21), range(19), range(1, 21)):
        claimed = sum(1 << seat for seat in seats).to_bytes(SIZE // 8, "little")
        wrong = replace(update.sync_aggregate, sync_committee_bits=claimed)
        changed = replace(update, sync_aggregate=wrong)
        assert judge(FORGE, FORGE.store(START), changed).rule is Rule.BAD_SIGNATURE


def test_a_signature_for_another_network_or_fork_is_refused() -> None:
    update = FORGE.update(START + 24)
    for network in (
        replace(FORGE.network, genesis_validators_root=bytes(32)),
        network_from_genesis("deneb"),
    ):
        other = Forge(network).signed(update, range(SIZE))
        assert judge(FORGE, FORGE.store(START), other).rule is Rule.BAD_SIGNATURE
