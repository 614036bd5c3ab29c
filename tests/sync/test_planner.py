"""What to ask for and when, as tables: pure functions of a few periods and a clock reading."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightclient.config import Network
from lightclient.simulator import simulated_network
from lightclient.sync import (
    MAX_PERIODS_PER_REQUEST,
    FetchBootstrap,
    FetchFinalityUpdate,
    FetchOptimisticUpdate,
    FetchUpdates,
    SyncPosition,
    Task,
    milliseconds_until_next_task,
    next_poll_ms,
    next_task,
    sync_position,
)

MAINNET_SLOT = 12_000
GENESIS = 1_600_000_000


def network(preset: str = "mainnet", slot_duration_ms: int = MAINNET_SLOT) -> Network:
    return simulated_network(preset, genesis_time=GENESIS, slot_duration_ms=slot_duration_ms)


def position(
    finalized: int | None,
    optimistic: int | None,
    current: int,
    *,
    known: bool = False,
    same: bool = False,
) -> SyncPosition:
    return SyncPosition(finalized, optimistic, current, known, same)


@pytest.mark.parametrize(
    ("place", "task"),
    [
        # No store.
        (position(None, None, 100), FetchBootstrap()),
        # The next committee of the store's period is missing.
        (position(7, 7, 7, same=True), FetchUpdates(7, 1)),
        (position(7, 7, 8), FetchUpdates(7, 1)),
        (position(7, 7, 9), FetchUpdates(7, 2)),
        (position(7, 7, 135), FetchUpdates(7, 128)),
        (position(7, 7, 136), FetchUpdates(7, 128)),
        (position(7, 7, 10_000), FetchUpdates(7, 128)),
        # Known, but periods behind: the current one is left to the head.
        (position(7, 7, 9, known=True), FetchUpdates(8, 1)),
        (position(7, 8, 10, known=True), FetchUpdates(8, 2)),
        (position(7, 7, 136, known=True), FetchUpdates(8, 128)),
        (position(7, 7, 137, known=True), FetchUpdates(8, 128)),
        # At the head.
        (position(7, 7, 7, known=True), FetchFinalityUpdate()),
        (position(7, 8, 8, known=True), FetchFinalityUpdate()),
        (position(7, 7, 8, known=True, same=True), FetchOptimisticUpdate()),
        (position(7, 7, 7, known=True, same=True), FetchOptimisticUpdate()),
        # A clock that is behind the store asks for nothing odd.
        (position(7, 7, 3), FetchUpdates(7, 1)),
        (position(7, 7, 3, known=True, same=True), FetchOptimisticUpdate()),
    ],
)
def test_the_next_task_follows_from_the_periods(place: SyncPosition, task: Task) -> None:
    assert next_task(place) == task


@given(
    finalized=st.integers(0, 10**6),
    ahead=st.integers(0, 1),
    behind=st.integers(-10, 10**6),
    known=st.booleans(),
    same=st.booleans(),
)
def test_a_request_never_asks_for_more_than_a_page_nor_before_the_store(
    finalized: int, ahead: int, behind: int, known: bool, same: bool
) -> None:
    current = max(finalized + behind, 0)
    task = next_task(SyncPosition(finalized, finalized + ahead * known, current, known, same))
    if isinstance(task, FetchUpdates):
        assert 1 <= task.count <= MAX_PERIODS_PER_REQUEST
        assert task.start_period in (finalized, finalized + 1)
        assert task.start_period + task.count <= max(current, finalized + 1)


def test_a_long_way_is_paged_without_a_hole_or_an_overlap() -> None:
    finalized, known = 10, False
    requested: list[int] = []
    while (place := position(finalized, finalized, 400, known=known)).is_catching_up:
        task = next_task(place)
        assert isinstance(task, FetchUpdates)
        requested += range(task.start_period, task.start_period + task.count)
        finalized, known = requested[-1], True
    # The last one leads to the committee of the current period, whose own update is not asked for.
    assert requested == list(range(10, 400))


@pytest.mark.parametrize(
    ("place", "is_catching_up"),
    [
        (position(None, None, 0), True),
        (position(7, 7, 7), False),
        (position(7, 7, 8), True),
        (position(7, 7, 8, known=True), False),
        (position(7, 7, 9, known=True), True),
        (position(7, 7, 3), False),
    ],
)
def test_the_head_can_be_verified_while_its_committee_is_known(
    place: SyncPosition, is_catching_up: bool
) -> None:
    assert place.is_catching_up is is_catching_up


# Waiting ------------------------------------------------------------------------------------------


def bounds(
    place: SyncPosition, net: Network, now_ms: int, *, progress: bool = False
) -> tuple[float, float]:
    """The shortest and the longest wait in slots, with every draw at its end."""
    shortest, longest = (
        milliseconds_until_next_task(place, net, now_ms, progress=progress, uniform=end)
        for end in (lambda low, _: low, lambda _, high: high)
    )
    return shortest / net.slot_duration_ms, longest / net.slot_duration_ms


SLOT_LENGTHS = pytest.mark.parametrize("slot_ms", [12_000, 6_000, 5_000, 120, 24_000])
LEAST = 10 / 12  # Nimbus's ten seconds
LONGEST = 30 / 12


@SLOT_LENGTHS
@pytest.mark.parametrize(
    "place", [position(None, None, 9), position(7, 7, 8), position(7, 8, 9, known=True)]
)
def test_catching_up_goes_on_at_once_and_pauses_ten_to_thirty_seconds_without_progress(
    place: SyncPosition, slot_ms: int
) -> None:
    net = network(slot_duration_ms=slot_ms)
    now_ms = net.slot_start_ms(9 * 8192)
    assert bounds(place, net, now_ms, progress=True) == (0, 0)
    assert bounds(place, net, now_ms) == pytest.approx((LEAST, LONGEST), abs=1 / slot_ms)


@SLOT_LENGTHS
@pytest.mark.parametrize("progress", [False, True])
def test_with_the_head_beyond_finality_the_wait_ends_before_the_period_does(
    slot_ms: int, progress: bool
) -> None:
    net = network(slot_duration_ms=slot_ms)
    place = position(7, 7, 7, known=True)
    start_of_last_slot = net.slot_start_ms(8 * 8192 - 1)
    for slots_left in (8000, 800, 80):
        now_ms = start_of_last_slot - slots_left * slot_ms
        found = bounds(place, net, now_ms, progress=progress)
        assert found == pytest.approx((slots_left / 8, 3 * slots_left / 8), abs=1 / slot_ms)
    for slots_left in (6, 1, 0, -1):  # an eighth of it is less than the least wait
        now_ms = start_of_last_slot - slots_left * slot_ms
        found = bounds(place, net, now_ms, progress=progress)
        assert found == pytest.approx((LEAST, LONGEST), abs=1 / slot_ms)


@SLOT_LENGTHS
@pytest.mark.parametrize("progress", [False, True])
def test_with_everything_finalized_the_wait_is_a_share_of_a_whole_period(
    slot_ms: int, progress: bool
) -> None:
    net = network(slot_duration_ms=slot_ms)
    place = position(7, 7, 7, known=True, same=True)
    now_ms = net.slot_start_ms(8 * 8192 - 1)
    found = bounds(place, net, now_ms, progress=progress)
    assert found == pytest.approx((8192 / 8, 3 * 8192 / 8), abs=1 / slot_ms)


@pytest.mark.parametrize("same", [False, True])
def test_a_missing_committee_is_asked_for_at_once_after_progress_and_before_the_period_ends(
    same: bool,
) -> None:
    net = network()
    place = position(7, 7, 7, same=same)
    now_ms = net.slot_start_ms(8 * 8192 - 1) - 800 * net.slot_duration_ms
    assert bounds(place, net, now_ms, progress=True) == (0, 0)
    assert bounds(place, net, now_ms) == pytest.approx((100, 300), abs=1)


def test_retries_for_a_missing_committee_reach_into_the_last_slots_of_the_period() -> None:
    net = network()
    rng = random.Random(1)
    place = position(7, 7, 7)
    now_ms, end_ms = net.slot_start_ms(7 * 8192), net.slot_start_ms(8 * 8192)
    tries = []
    while now_ms < end_ms:
        tries.append(now_ms)
        now_ms += milliseconds_until_next_task(
            place, net, now_ms, progress=False, uniform=rng.uniform
        )
    assert 8 < len(tries) < 60
    assert end_ms - tries[-1] < 4 * net.slot_duration_ms


@given(
    known=st.booleans(),
    same=st.booleans(),
    progress=st.booleans(),
    finalized=st.none() | st.integers(0, 9),
    slot=st.integers(0, 9 * 8192),
    share=st.floats(0, 1),
)
def test_a_wait_is_never_negative_nor_longer_than_three_eighths_of_a_period(
    known: bool, same: bool, progress: bool, finalized: int | None, slot: int, share: float
) -> None:
    net = network()
    wait_ms = milliseconds_until_next_task(
        SyncPosition(finalized, finalized, slot // 8192, known, same),
        net,
        net.slot_start_ms(slot),
        progress=progress,
        uniform=lambda low, high: low + share * (high - low),
    )
    assert 0 <= wait_ms <= 3 / 8 * 8192 * net.slot_duration_ms


@SLOT_LENGTHS
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_head_is_polled_once_a_slot_around_its_middle(slot_ms: int, share: float) -> None:
    net = network(slot_duration_ms=slot_ms)
    now_ms, polls = net.slot_start_ms(1000), []
    for _ in range(20):
        now_ms = next_poll_ms(net, now_ms, lambda low, high: low + share * (high - low))
        polls.append(now_ms)
    assert [net.slot_at_time_ms(poll) for poll in polls] == list(range(1000, 1020))
    for poll in polls:
        into_slot = (poll - net.slot_start_ms(net.slot_at_time_ms(poll))) / slot_ms
        assert 0.4 - 2 / slot_ms <= into_slot <= 0.6


def test_a_poll_is_not_repeated_in_its_slot_when_the_next_draw_falls_later() -> None:
    net = network()
    first = next_poll_ms(net, net.slot_start_ms(50), lambda low, _: low)
    second = next_poll_ms(net, first, lambda _, high: high)
    assert net.slot_at_time_ms(second) == 51


def test_before_genesis_the_first_poll_is_in_the_genesis_slot() -> None:
    net = network()
    poll = next_poll_ms(net, net.genesis_time_ms - 10**9, lambda low, _: low)
    assert net.genesis_time_ms < poll < net.slot_start_ms(1)


def test_the_position_before_genesis_is_in_the_first_period() -> None:
    net = network()
    assert sync_position(None, net, net.genesis_time_ms - 1) == SyncPosition(None, None, 0)
