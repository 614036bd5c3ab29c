"""What of a server's answer is worth judging."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightclient.containers import LightClientUpdate
from lightclient.sync import FetchUpdates, usable_updates
from tests.sync.chains import PERIOD, chain, update

NETWORK = chain().network


def periods(updates: list[LightClientUpdate]) -> list[int]:
    return [item.attested_header.beacon.slot // PERIOD for item in updates]


@pytest.mark.parametrize(
    ("sent", "usable"),
    [
        ([1, 2, 3], [1, 2, 3]),
        ([], []),
        ([1], [1]),  # short
        ([1, 3], [1, 3]),  # gapped
        ([3, 1, 2], [1, 2, 3]),  # out of order
        ([1, 1, 2, 2], [1, 2]),  # twice
        ([0, 1, 2, 3, 4], [1, 2, 3]),  # more than was asked for, on both ends
        ([0, 4], []),
    ],
)
def test_of_each_period_asked_for_one_is_used_in_order(sent: list[int], usable: list[int]) -> None:
    found = usable_updates([update(period) for period in sent], FetchUpdates(1, 3), NETWORK)
    assert periods(found) == usable


def test_an_update_signed_by_the_next_periods_committee_is_not_the_periods() -> None:
    odd = replace(update(1), signature_slot=2 * PERIOD)
    assert usable_updates([odd], FetchUpdates(1, 1), NETWORK) == []
    assert usable_updates([odd, update(1)], FetchUpdates(1, 1), NETWORK) == [update(1)]


@given(
    sent=st.lists(st.integers(0, 4), max_size=12), start=st.integers(0, 5), count=st.integers(1, 5)
)
def test_what_is_used_rises_and_lies_in_the_range(sent: list[int], start: int, count: int) -> None:
    found = periods(
        usable_updates([update(period) for period in sent], FetchUpdates(start, count), NETWORK)
    )
    assert found == sorted(set(found))
    assert set(found) == set(sent) & set(range(start, start + count))
