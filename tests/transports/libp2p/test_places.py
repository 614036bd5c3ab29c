"""Who gets a place among our peers, as tables."""

from __future__ import annotations

import itertools

import pytest

from lightclient.transports.libp2p.places import (
    MIN_STAY_SECONDS,
    SIMULTANEOUS_SECONDS,
    Seat,
    kept_for_us,
    missing_peers,
    newer_one_stays,
    useless_one,
    whom_to_replace,
    worst_of,
)

LONG = MIN_STAY_SECONDS


def seat(serves: bool | None, score: int = 300, seconds: float = LONG, **other: bool) -> Seat:
    return Seat(serves=serves, score=score, seconds=seconds, **other)


def test_who_serves_nothing_is_not_counted_among_those_looked_for() -> None:
    assert missing_peers([], 3) == 3
    assert missing_peers([seat(True), seat(None), seat(False)], 3) == 1
    assert missing_peers([seat(True)] * 4 + [seat(True, is_ours=True)], 3) == 0


def test_peers_that_we_chose_are_looked_for_however_many_came_by_themselves() -> None:
    assert kept_for_us(12) == 6
    assert missing_peers([seat(True)] * 40, 12) == 6
    chosen = [seat(True, is_ours=True)] * 5
    assert missing_peers([seat(True)] * 40 + chosen, 12) == 1
    assert missing_peers([*chosen, seat(False, is_ours=True)], 12) == 7
    assert missing_peers([seat(True)], 1) == 0


@pytest.mark.parametrize(
    ("seats", "worst"),
    [
        ([], None),
        ([seat(True, 900), seat(True, 800)], 1),
        ([seat(True, 0), seat(None, 900)], 1),
        ([seat(None, 0), seat(False, 1000)], 1),
        ([seat(False, is_direct=True), seat(True, 1000)], 1),
        ([seat(False, is_direct=True)], None),
        ([seat(False, seconds=LONG - 1), seat(True)], 1),
    ],
)
def test_the_worst_is_who_is_of_least_use_then_of_the_lowest_score(
    seats: list[Seat], worst: int | None
) -> None:
    named = {str(number): item for number, item in enumerate(seats)}
    assert worst_of(named) == (None if worst is None else str(worst))


@pytest.mark.parametrize(
    ("present", "newcomer", "is_replaced"),
    [
        (seat(False), seat(None), True),
        (seat(False), seat(False), False),
        (seat(None), seat(None), False),
        (seat(None, 200), seat(None), True),
        (seat(True, 1), seat(None, 1000), False),
        (seat(True, 500), seat(True, 501), True),
        (seat(True, 500), seat(True, 500), False),
        (seat(True, 1000), seat(None, 300, is_direct=True), True),
        (seat(False, is_direct=True), seat(True, 1000), False),
        (seat(False, seconds=0.0), seat(True, 1000), False),
    ],
)
def test_a_newcomer_takes_the_place_of_the_worst_only_if_it_is_better(
    present: Seat, newcomer: Seat, is_replaced: bool
) -> None:
    assert (whom_to_replace({"a": present}, newcomer) == "a") == is_replaced


def test_only_who_serves_nothing_goes_so_that_others_are_looked_for() -> None:
    assert useless_one({"a": seat(True, 0), "b": seat(False)}) == "b"
    assert useless_one({"a": seat(True, 0), "b": seat(None)}) is None
    assert useless_one({}) is None


def survivor(own: str, other: str, events: list[str], apart: float) -> str:
    """Which dialler's connection is left at ``own`` after connections came up in an order."""
    left = ""
    for dialler in events:
        if not left or newer_one_stays(
            own,
            other,
            old_is_ours=left == own,
            new_is_ours=dialler == own,
            seconds_apart=apart,
        ):
            left = dialler
    return left


def test_of_two_connections_dialled_at_once_both_sides_keep_the_same_one() -> None:
    for first, second in itertools.product((["a", "b"], ["b", "a"]), repeat=2):
        assert survivor("a", "b", first, 1.0) == survivor("b", "a", second, 1.0) == "a"


def test_who_dials_again_later_has_lost_the_older_connection() -> None:
    later = SIMULTANEOUS_SECONDS + 1
    for events in (["a", "b"], ["b", "a"]):
        assert survivor("a", "b", events, later) == events[-1]
        assert survivor("b", "a", events, later) == events[-1]
    assert newer_one_stays("a", "b", old_is_ours=False, new_is_ours=False, seconds_apart=0.1)
