"""One object in, a verdict and perhaps events out; the store never half changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from lightclient.bls import committee as bls_committee
from lightclient.containers import LightClientObject, default_sync_committee
from lightclient.errors import ConfigError
from lightclient.protocol import ACCEPTED, Rule, VerdictKind
from lightclient.sync import NewFinalizedHeader, NewOptimisticHeader, Outcome, Processor
from tests.sync.chains import (
    HEAD,
    NOW,
    PERIOD,
    at,
    bootstrap,
    chain,
    finality_update,
    optimistic_update,
    processor,
    update,
)

NETWORK = chain().network
ROOT = bootstrap().header.beacon.hash_tree_root()


def caught_up(**options: object) -> Processor:
    made = processor(**options)  # type: ignore[arg-type]
    for period in range(4):
        assert made.process(update(period), NOW).verdict == ACCEPTED
    return made


def event_types(outcome: Outcome) -> list[type]:
    return [type(event) for event in outcome.events]


# Before the store ---------------------------------------------------------------------------------


@pytest.mark.parametrize("root", [b"", bytes(31), bytes(33)])
def test_a_root_of_another_length_is_refused(root: bytes) -> None:
    with pytest.raises(ConfigError, match=f"{len(root)} bytes"):
        Processor(NETWORK, root)


@pytest.mark.parametrize("make", [lambda: update(0), finality_update, optimistic_update])
def test_nothing_is_judged_before_the_bootstrap(make: Callable[[], LightClientObject]) -> None:
    fresh = Processor(NETWORK, ROOT)
    outcome = fresh.process(make(), NOW)
    assert outcome.verdict.kind is VerdictKind.MISSING_PARENT
    assert outcome.verdict.rule is Rule.NO_BOOTSTRAP
    assert (outcome.events, outcome.progress, fresh.store) == ((), False, None)


def test_without_a_trusted_root_a_bootstrap_has_nothing_to_stand_on() -> None:
    outcome = Processor(NETWORK, None).process(bootstrap(), NOW)
    assert outcome.verdict.kind is VerdictKind.MISSING_PARENT
    assert not outcome.progress


def test_a_refused_bootstrap_leaves_no_store() -> None:
    fresh = Processor(NETWORK, ROOT)
    outcome = fresh.process(bootstrap(PERIOD), NOW)
    assert outcome.verdict.rule is Rule.BOOTSTRAP_ROOT_MISMATCH
    assert (fresh.store, fresh.finalized_header, outcome.progress) == (None, None, False)
    assert fresh.process(
        bootstrap(), NOW
    ).progress  # and does not stand in the way of the right one


def test_before_genesis_only_the_genesis_bootstrap_is_legal() -> None:
    early = NETWORK.genesis_time_ms - 1
    later = bootstrap(PERIOD)
    fresh = Processor(NETWORK, later.header.beacon.hash_tree_root())
    assert fresh.process(later, early).verdict.is_refusal
    assert fresh.store is None
    assert fresh.process(later, NETWORK.genesis_time_ms).progress
    genesis = bootstrap(0)
    assert genesis.header.beacon.slot == 0
    assert Processor(NETWORK, ROOT).process(genesis, early).progress


def test_the_bootstrap_brings_both_headers_which_nobody_signed() -> None:
    fresh = Processor(NETWORK, ROOT)
    outcome = fresh.process(bootstrap(), NOW)
    assert event_types(outcome) == [NewFinalizedHeader, NewOptimisticHeader]
    header = outcome.events[0].header
    assert header is fresh.finalized_header is fresh.optimistic_header
    assert (header.participants, header.participation, header.signature_slot) == (None, None, None)
    assert header.root == ROOT


def test_a_second_bootstrap_is_a_duplicate_whatever_it_holds() -> None:
    made = processor()
    for again in (bootstrap(), bootstrap(PERIOD)):
        outcome = made.process(again, NOW)
        assert outcome.verdict.kind is VerdictKind.DUPLICATE
        assert outcome.verdict.rule is Rule.BOOTSTRAP_EXISTS
        assert not outcome.progress


# Progress -----------------------------------------------------------------------------------------


def test_an_update_that_moves_both_headers_says_finalized_first() -> None:
    made = processor()
    made.process(update(0), NOW)
    outcome = made.process(update(1), NOW)
    assert outcome.verdict == ACCEPTED
    assert event_types(outcome) == [NewFinalizedHeader, NewOptimisticHeader]
    finalized, optimistic = (event.header for event in outcome.events)
    assert finalized is made.finalized_header
    assert optimistic is made.optimistic_header
    assert finalized.header == update(1).finalized_header
    assert optimistic.header == update(1).attested_header
    for header in (finalized, optimistic):
        assert header.signature_slot == update(1).signature_slot
        assert header.participants == update(1).sync_aggregate.num_active_participants
        assert header.participation == header.participants / 32
    assert optimistic.age(at(optimistic.slot + 2.5)) == 15.0


def test_an_optimistic_update_says_nothing_of_finality() -> None:
    made = caught_up()
    finalized = made.finalized_header
    outcome = made.process(optimistic_update(), NOW)
    assert event_types(outcome) == [NewOptimisticHeader]
    assert made.finalized_header is finalized
    assert outcome.progress


def test_the_same_object_again_is_no_progress() -> None:
    made = caught_up()
    for value in (finality_update(), optimistic_update()):
        assert made.process(value, NOW).progress
        # Applied with finality, it becomes the best candidate once more: accepted, but not news.
        repeated = [made.process(value, NOW) for _ in range(3)]
        assert all((again.events, again.progress) == ((), False) for again in repeated)
        assert repeated[-1].verdict.rule is Rule.NO_PROGRESS


def test_learning_only_a_committee_is_progress_but_no_event() -> None:
    made = processor(slot=update(2).finalized_header.beacon.slot)
    # The optimistic header is taken past what the update brings, by a head of the same period.
    store = made.store
    assert store is not None
    store.optimistic_header = update(2).attested_header
    store.finalized_header = update(2).finalized_header
    outcome = made.process(update(2), NOW)
    assert outcome.verdict == ACCEPTED
    assert outcome.events == ()
    assert outcome.progress
    assert store.next_sync_committee == update(2).next_sync_committee


def test_a_better_candidate_alone_is_accepted_without_progress() -> None:
    made = processor(weak=True)
    assert made.process(update(0, weak=True), NOW).progress
    assert made.process(update(1, weak=True), NOW).verdict == ACCEPTED
    store = made.store
    assert store is not None
    assert store.best_valid_update == update(1, weak=True)
    made.process(update(1, weak=True), NOW)
    less = update(1, weak=True)
    # Weak, but heard: the optimistic header moved before, now only the candidate could.
    store.best_valid_update = None
    outcome = made.process(less, NOW)
    assert outcome.verdict == ACCEPTED
    assert (outcome.events, outcome.progress) == ((), False)


def test_time_is_what_the_caller_says() -> None:
    made = caught_up()
    newest = optimistic_update()
    early = made.process(newest, at(newest.signature_slot) - 1)
    assert early.verdict.rule is Rule.SIGNATURE_SLOT_IN_FUTURE
    assert made.process(newest, at(newest.signature_slot)).progress


def test_what_is_refused_changes_nothing() -> None:
    made = caught_up()
    assert made.store is not None
    before, headers = made.store.copy(), (made.finalized_header, made.optimistic_header)
    aggregate = finality_update().sync_aggregate
    bits = bytes([aggregate.sync_committee_bits[0] ^ 1, *aggregate.sync_committee_bits[1:]])
    forged = replace(finality_update(), sync_aggregate=replace(aggregate, sync_committee_bits=bits))
    outcome = made.process(forged, NOW)
    assert outcome.verdict.rule is Rule.BAD_SIGNATURE
    assert (outcome.events, outcome.progress) == ((), False)
    assert made.store == before
    assert (made.finalized_header, made.optimistic_header) == headers


def test_gaps_are_not_jumped() -> None:
    made = processor()
    outcome = made.process(update(2), NOW)
    assert outcome.verdict.kind is VerdictKind.MISSING_PARENT
    assert outcome.verdict.rule is Rule.PERIOD_NOT_COVERED


# Which committees are compared --------------------------------------------------------------------


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The aggregates that were compared with the sum of their keys, in order."""
    found: list[bytes] = []
    forms: tuple[Any, ...] = (bls_committee._PointKeys, bls_committee._EncodedKeys)
    for form in forms:

        def compare(self: Any, real: Callable[[Any], bool] = form.aggregate_is_sum) -> bool:
            found.append(self._aggregate)
            return real(self)

        monkeypatch.setattr(form, "aggregate_is_sum", compare)
    return found


def aggregates(*periods: int) -> list[bytes]:
    return [chain().keys.committee(period).public.aggregate_pubkey for period in periods]


def test_in_history_only_the_bootstraps_committee_is_compared(compared: list[bytes]) -> None:
    made = caught_up()
    assert compared == aggregates(0)
    # At the head, the committee in use; once for all.
    made.process(finality_update(), NOW)
    made.process(optimistic_update(), NOW)
    made.process(optimistic_update(), NOW)
    assert compared == aggregates(0, 4)


def test_the_comparison_comes_before_the_first_use_at_the_head(compared: list[bytes]) -> None:
    made = caught_up()
    keys: Any = made.signatures.keys_of(chain().keys.committee(4).public)
    at_first_use = []
    real = keys.verify

    def verify(*arguments: bytes) -> bool:
        at_first_use.append(keys.aggregate_checked)
        return real(*arguments)

    keys.verify = verify
    made.process(optimistic_update(), NOW)
    assert at_first_use == [True]


def test_on_request_every_committee_is_compared_once(compared: list[bytes]) -> None:
    made = caught_up(audit_committees=True)
    made.process(optimistic_update(), NOW)
    made.process(finality_update(), NOW)
    assert compared == aggregates(0, 1, 2, 3, 4)


def test_in_history_a_signature_that_fails_has_its_committee_compared(
    compared: list[bytes],
) -> None:
    made = processor()
    made.process(update(0), NOW)
    good = update(1)
    broken = replace(
        good,
        sync_aggregate=replace(
            good.sync_aggregate,
            sync_committee_signature=update(2).sync_aggregate.sync_committee_signature,
        ),
    )
    assert made.process(broken, NOW).verdict.rule is Rule.BAD_SIGNATURE
    assert compared == aggregates(0, 1)
    assert made.process(good, NOW).verdict == ACCEPTED
    assert compared == aggregates(0, 1)


def test_audited_beforehand_nothing_is_left_to_compare(compared: list[bytes]) -> None:
    made = Processor(NETWORK, ROOT)
    made.audit()
    assert compared == []  # no store, nothing to do
    made.process(bootstrap(), NOW)
    made.audit()
    made.process(update(0), NOW)
    made.audit()
    made.audit()
    assert compared == aggregates(0, 1)
    made.process(update(1), at(2 * PERIOD - 1))  # at the head of its time
    assert compared == aggregates(0, 1)


def test_an_update_that_no_known_committee_could_have_signed_costs_no_comparison(
    compared: list[bytes],
) -> None:
    made = processor()
    compared.clear()
    made.process(update(3), at(PERIOD))
    assert compared == []


# Starting from elsewhere --------------------------------------------------------------------------


def test_reset_starts_at_a_header_that_the_caller_vouches_for() -> None:
    made = Processor(NETWORK, None)
    start = bootstrap(2 * PERIOD)
    events = made.reset_to_finalized_header(start.header, start.current_sync_committee, NOW)
    assert [type(event) for event in events] == [NewFinalizedHeader, NewOptimisticHeader]
    store = made.store
    assert store is not None
    assert store.finalized_header == store.optimistic_header == start.header
    assert store.next_sync_committee is None
    assert store.best_valid_update is None
    assert made.process(update(2), NOW).progress


def test_reset_replaces_a_store_whole() -> None:
    made = caught_up()
    start = bootstrap(PERIOD)
    made.reset_to_finalized_header(start.header, start.current_sync_committee)
    assert made.finalized_header is not None
    assert made.finalized_header.slot == start.header.beacon.slot
    assert made.store is not None
    assert made.store.current_max_active_participants == 0
    assert made.process(bootstrap(), NOW).verdict.rule is Rule.BOOTSTRAP_EXISTS


def test_reset_refuses_what_cannot_be_right() -> None:
    made = Processor(NETWORK, None)
    start = bootstrap(2 * PERIOD)
    with pytest.raises(ConfigError, match="committee of 512"):
        made.reset_to_finalized_header(start.header, default_sync_committee(512))
    assert start.header.execution is not None
    lie = replace(start.header, execution=replace(start.header.execution, block_number=1))
    with pytest.raises(ConfigError, match="proves no valid payload"):
        made.reset_to_finalized_header(lie, start.current_sync_committee)
    assert made.store is None


def test_the_clock_of_an_embedder_may_run_over_many_periods_at_once() -> None:
    made = processor()
    far = at(HEAD * 1000)
    for period in range(4):
        assert made.process(update(period), far).progress
