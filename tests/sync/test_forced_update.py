"""When the best valid update is applied without finality: never, by timeout, or as Nimbus does."""

from __future__ import annotations

import pytest

from lightclient.containers import LightClientObject
from lightclient.protocol import VerdictKind
from lightclient.protocol.excerpts import (
    create_light_client_finality_update,
    create_light_client_optimistic_update,
)
from lightclient.sync import ForcedUpdatePolicy, NewFinalizedHeader, Outcome, Processor
from tests.sync.chains import NOW, PERIOD, at, bootstrap, processor, update

UPDATE_TIMEOUT = PERIOD
# Nimbus's times, in its slots of 12 seconds.
HALF_HOUR = 150
QUARTER_HOUR = 75
FIVE_SECONDS = 5 / 12
START = 1000.0
"""A slot long after the last object, in which the waiting begins."""


def stuck(policy: ForcedUpdatePolicy) -> Processor:
    """In period 0 with its next committee known; of period 1 only a weak update exists."""
    made = processor(weak=True, forced_update=policy)
    assert made.process(update(0, weak=True), at(START)).progress
    assert made.process(update(1, weak=True), at(START)).verdict.kind is VerdictKind.ACCEPTED
    assert made.store is not None
    assert made.store.best_valid_update is not None
    return made


def repeat(made: Processor, slot: float) -> Outcome | None:
    """The same update again, as of ``slot``; then a tick."""
    outcome = made.process(update(1, weak=True), at(slot))
    assert outcome.verdict.kind is VerdictKind.DUPLICATE
    return made.tick(at(slot))


def test_by_default_it_never_happens() -> None:
    made = processor(weak=True)
    made.process(update(0, weak=True), NOW)
    made.process(update(1, weak=True), NOW)
    assert made._forced_updates.policy is ForcedUpdatePolicy.NEVER
    for slot in range(300):
        assert repeat(made, START + slot) is None
    assert made.tick(at(10**6)) is None


def test_by_the_specifications_timeout_it_happens_a_period_after_the_finalized_slot() -> None:
    made = stuck(ForcedUpdatePolicy.SPEC_TIMEOUT)
    assert made.store is not None
    finalized_slot = made.store.finalized_header.beacon.slot
    assert made.tick(at(finalized_slot + UPDATE_TIMEOUT)) is None
    outcome = made.tick(at(finalized_slot + UPDATE_TIMEOUT + 1))
    assert outcome is not None
    assert outcome.progress
    assert NewFinalizedHeader in {type(event) for event in outcome.events}
    assert made.finalized_header is not None
    # It came with finality; too few had signed to apply it before.
    assert made.finalized_header.header == update(1, weak=True).finalized_header
    assert made.store.best_valid_update is None
    assert made.tick(at(10**6)) is None  # once


def test_without_a_store_or_a_candidate_there_is_nothing_to_force() -> None:
    root = bootstrap(weak=True).header.beacon.hash_tree_root()
    network = processor().network
    fresh = Processor(network, root, forced_update=ForcedUpdatePolicy.SPEC_TIMEOUT)
    assert fresh.tick(at(10**6)) is None
    fresh.process(bootstrap(weak=True), NOW)
    assert fresh.tick(at(10**6)) is None


def test_as_nimbus_it_takes_a_hundred_repetitions_and_half_an_hour() -> None:
    made = stuck(ForcedUpdatePolicy.NIMBUS)
    begin = START + QUARTER_HOUR
    for count in range(99):
        assert repeat(made, begin + count) is None
    # The ninety-ninth came long after half an hour; one is missing.
    assert begin + 98 - START > HALF_HOUR
    assert made.tick(at(begin + 200)) is None
    outcome = repeat(made, begin + 201)
    assert outcome is not None
    assert outcome.progress


def test_as_nimbus_half_an_hour_must_pass_however_many_repetitions_come() -> None:
    made = stuck(ForcedUpdatePolicy.NIMBUS)
    slot = START + QUARTER_HOUR
    for _ in range(150):
        assert repeat(made, slot) is None
        slot += FIVE_SECONDS
    assert slot < START + HALF_HOUR
    assert made.tick(at(START + HALF_HOUR) - 1) is None
    assert made.tick(at(START + HALF_HOUR)) is not None


def test_as_nimbus_nothing_counts_in_the_first_quarter_of_an_hour() -> None:
    made = stuck(ForcedUpdatePolicy.NIMBUS)
    slot = START
    while slot < START + QUARTER_HOUR - 1:
        repeat(made, slot)
        slot += FIVE_SECONDS
    assert made._forced_updates.duplicates == 0
    repeat(made, START + QUARTER_HOUR)
    assert made._forced_updates.duplicates == 1


def test_as_nimbus_a_repetition_counts_once_in_five_seconds() -> None:
    made = stuck(ForcedUpdatePolicy.NIMBUS)
    begin = START + QUARTER_HOUR
    for milliseconds in range(0, 2500, 100):  # slots of 6 s: five seconds of 12 are 2.5 s here
        made.process(update(1, weak=True), at(begin) + milliseconds)
    assert made._forced_updates.duplicates == 1
    made.process(update(1, weak=True), at(begin) + 2500)
    assert made._forced_updates.duplicates == 2


def test_as_nimbus_other_duplicates_do_not_count() -> None:
    made = stuck(ForcedUpdatePolicy.NIMBUS)
    others: list[LightClientObject] = [
        bootstrap(weak=True),
        create_light_client_finality_update(update(1, weak=True)),
        create_light_client_optimistic_update(update(1, weak=True)),
    ]
    for count in range(5):
        for other in others:
            outcome = made.process(other, at(START + QUARTER_HOUR + count))
            assert outcome.verdict.kind is VerdictKind.DUPLICATE
    assert made._forced_updates.duplicates == 0


def test_as_nimbus_an_update_that_becomes_the_candidate_is_no_repetition() -> None:
    made = stuck(ForcedUpdatePolicy.NIMBUS)
    assert made.store is not None
    made.store.best_valid_update = None
    outcome = made.process(update(1, weak=True), at(START + HALF_HOUR))
    assert outcome.verdict.kind is VerdictKind.ACCEPTED
    assert made._forced_updates.duplicates == 0


@pytest.mark.parametrize("forced", [False, True])
def test_as_nimbus_progress_starts_the_counting_afresh(forced: bool) -> None:
    made = stuck(ForcedUpdatePolicy.NIMBUS)
    outcomes = [repeat(made, START + HALF_HOUR + count) for count in range(99 + forced)]
    assert (outcomes[-1] is not None) is forced
    if not forced:
        made._forced_updates.note_progress(at(START + 300))
    assert made._forced_updates.duplicates == 0
    assert made.tick(at(START + 301)) is None


def test_as_nimbus_a_clock_that_steps_back_starts_the_counting_afresh() -> None:
    made = stuck(ForcedUpdatePolicy.NIMBUS)
    repeat(made, START - 500)
    begin = START - 500 + QUARTER_HOUR
    outcomes = [repeat(made, begin + count) for count in range(100)]
    assert outcomes[:-1] == [None] * 99
    assert outcomes[-1] is not None


def test_after_a_reset_without_a_time_the_counting_starts_with_the_next_object() -> None:
    made = stuck(ForcedUpdatePolicy.NIMBUS)
    first = bootstrap(weak=True)
    made.reset_to_finalized_header(first.header, first.current_sync_committee)
    assert made.process(update(0, weak=True), at(START)).progress
    made.process(update(1, weak=True), at(START))
    made._forced_updates.note_progress(None)
    for count in range(QUARTER_HOUR - 1):
        repeat(made, START + count)
    assert made._forced_updates.duplicates == 0
