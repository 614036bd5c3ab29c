"""Scores: what lowers and raises them, how long a provider is dropped, and that it comes back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightclient.protocol import Rule, verdict_of
from lightclient.protocol.verdicts import ACCEPTED
from lightclient.transports.scores import (
    INVALID,
    LEAST_SCORE,
    MAX_SCORE,
    START_SCORE,
    UNVIABLE_FORK,
    ProviderScore,
    penalty_of,
)

SLOT_MS = 12_000
NOW = 1_700_000_000_000


def middle(low: float, high: float) -> float:
    return (low + high) / 2


def test_what_our_own_state_or_clock_is_not_ready_for_costs_nothing() -> None:
    for rule in (Rule.PERIOD_NOT_COVERED, Rule.NO_BOOTSTRAP, Rule.SIGNATURE_SLOT_IN_FUTURE):
        assert penalty_of(verdict_of(rule)) == 0
    assert penalty_of(verdict_of(Rule.NOT_RELEVANT)) == 0
    assert penalty_of(ACCEPTED) == 0


def test_a_broken_rule_costs_more_than_another_chain() -> None:
    assert penalty_of(verdict_of(Rule.INVALID_FINALITY_BRANCH)) == INVALID
    assert penalty_of(verdict_of(Rule.BAD_SIGNATURE)) == UNVIABLE_FORK


def test_four_failures_in_a_row_drop_a_new_provider_and_a_lie_does_at_once() -> None:
    weak, liar = ProviderScore(), ProviderScore()
    for count in range(1, 5):
        weak.note_failure(NOW, SLOT_MS, middle)
        assert weak.is_dropped(NOW) is (count == 4)
    liar.note_refused(INVALID, NOW, SLOT_MS, middle)
    assert liar.is_dropped(NOW)
    assert liar.availability == START_SCORE  # the one says nothing of the other
    assert weak.honesty == START_SCORE


def test_a_dropped_provider_is_tried_again_ever_more_rarely_but_always() -> None:
    score, now_ms, waits = ProviderScore(), NOW, []
    for _ in range(20):
        score.renew(now_ms)
        while not score.is_dropped(now_ms):
            score.note_refused(UNVIABLE_FORK, now_ms, SLOT_MS, middle)
        waits.append((score.dropped_until_ms - now_ms) // SLOT_MS)
        now_ms = score.dropped_until_ms
    assert waits[:6] == [4, 8, 16, 32, 64, 64]
    assert set(waits[6:]) == {64}
    score.renew(now_ms)
    assert score.value > 0
    assert not score.is_dropped(now_ms)


def test_waits_are_jittered() -> None:
    shortest, longest = ProviderScore(), ProviderScore()
    shortest.note_malformed(NOW, SLOT_MS, lambda low, _: low)
    longest.note_malformed(NOW, SLOT_MS, lambda _, high: high)
    assert longest.dropped_until_ms - shortest.dropped_until_ms >= 2 * SLOT_MS


def test_good_times_make_earlier_drops_forgotten() -> None:
    score = ProviderScore()
    score.note_malformed(NOW, SLOT_MS, middle)
    score.renew(score.dropped_until_ms)
    for _ in range(5):
        score.note_answer()
        score.note_accepted()
    assert score.drops == 0
    assert score.value >= START_SCORE


def test_one_that_was_only_away_is_back_with_its_first_answer() -> None:
    score = ProviderScore()
    for _ in range(12):
        score.note_failure(NOW, SLOT_MS, middle)
    score.note_answer()
    assert not score.is_dropped(NOW)
    liar = ProviderScore()
    liar.note_malformed(NOW, SLOT_MS, middle)
    liar.note_answer()
    assert liar.is_dropped(NOW)


def test_being_slow_ranks_last_but_drops_nobody() -> None:
    score = ProviderScore()
    for _ in range(20):
        score.note_overtaken()
    assert score.value == 0
    assert not score.is_dropped(NOW)


def test_a_clock_that_steps_back_ends_the_time() -> None:
    score = ProviderScore()
    score.note_malformed(NOW, SLOT_MS, middle)
    assert not score.is_dropped(NOW - 1)


EVENTS = st.sampled_from(["answer", "accepted", "overtaken", "failure", "malformed", "refused"])


@given(st.lists(EVENTS, max_size=60))
def test_whatever_happens_the_figures_are_bounded_and_come_back_from_storage(
    events: list[str],
) -> None:
    score, now_ms = ProviderScore(), NOW
    for event in events:
        now_ms += SLOT_MS
        match event:
            case "answer" | "accepted" | "overtaken":
                getattr(score, f"note_{event}")()
            case "refused":
                score.note_refused(INVALID, now_ms, SLOT_MS, middle)
            case _:
                getattr(score, f"note_{event}")(now_ms, SLOT_MS, middle)
        for figure in (score.availability, score.honesty):
            assert LEAST_SCORE <= figure <= MAX_SCORE
        assert score.dropped_until_ms - now_ms <= 80 * SLOT_MS
    assert ProviderScore.from_dict(score.to_dict()) == score
    # Never for ever.
    score.renew(now_ms + 81 * SLOT_MS)
    assert not score.is_dropped(now_ms + 81 * SLOT_MS)
    assert score.value >= 0


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"availability": "good", "honesty": None, "drops": 1.5, "dropped_until_ms": True},
        {"availability": 10**30, "honesty": -(10**30), "drops": -7},
        {"dropped_from_ms": NOW, "dropped_until_ms": 10**30},
    ],
)
def test_nonsense_from_storage_is_bounded(stored: dict[str, object]) -> None:
    score = ProviderScore.from_dict(stored)
    assert LEAST_SCORE <= score.value <= MAX_SCORE
    assert 0 <= score.drops <= 16
    assert not score.is_dropped(NOW + 86_400_000)
