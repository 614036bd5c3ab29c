"""What is remembered of peers, and how often they may ask. Without I/O."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lightclient.transports.libp2p.addresses import PeerAddress, encode_base58
from lightclient.transports.libp2p.limits import OUR_MARGIN, QUOTAS, RateLimiter
from lightclient.transports.libp2p.peers import MAX_CANDIDATES, MAX_REMEMBERED, PeerBook


def address(number: int) -> PeerAddress:
    return PeerAddress("ip4", "127.0.0.1", 1 + number % 65535, encode_base58(b"%d" % number))


class Clock:
    now_ms = 1_000_000

    def __call__(self) -> int:
        return self.now_ms


def low(least: float, _: float) -> float:
    return least


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def book(clock: Clock) -> PeerBook:
    return PeerBook([address(0)], clock, low)


def test_direct_peers_are_dialled_however_many_there_are(book: PeerBook) -> None:
    book.add_candidate(address(1))
    assert book.to_dial(set(), 0) == [address(0)]
    assert book.to_dial(set(), -3) == [address(0)]
    assert book.to_dial(set(), 1) == [address(0), address(1)]
    assert book.to_dial({address(0).peer_id}, 1) == [address(1)]


def test_a_dial_that_fails_is_tried_again_later_each_time(book: PeerBook, clock: Clock) -> None:
    waits = []
    for _ in range(12):
        book.note_dial(address(0).peer_id, succeeded=False)
        start = clock.now_ms
        while not book.to_dial(set(), 0):
            clock.now_ms += 500
        waits.append(clock.now_ms - start)
    assert waits == sorted(waits)
    assert waits[0] <= 2000
    assert 200_000 < waits[-1] <= 300_000


def test_who_drops_us_at_once_is_not_dialled_at_once_again(book: PeerBook, clock: Clock) -> None:
    book.note_dial(address(0).peer_id, succeeded=True)
    book.note_gone(address(0).peer_id)
    assert book.to_dial(set(), 0) == []
    clock.now_ms += 2000
    assert book.to_dial(set(), 0) == [address(0)]


def test_a_ban_ends_by_itself_and_when_the_clock_steps_back(book: PeerBook, clock: Clock) -> None:
    book.ban(address(0).peer_id, 10_000)
    assert book.to_dial(set(), 0) == []
    book.ban(address(0).peer_id, 5_000)
    clock.now_ms += 9_999
    assert book.known(address(0).peer_id).is_banned(clock.now_ms), "the longer one stands"
    clock.now_ms += 1
    assert book.to_dial(set(), 0) == [address(0)]
    book.ban(address(0).peer_id, 10_000)
    clock.now_ms -= 50_000
    assert book.to_dial(set(), 0) == [address(0)]


def test_the_better_are_dialled_first(book: PeerBook, clock: Clock) -> None:
    for number in (1, 2, 3):
        book.add_candidate(address(number))
    book.known(address(3).peer_id).score.note_accepted()
    book.known(address(3).peer_id).score.note_answer()
    book.known(address(1).peer_id).score.note_failure(clock.now_ms, 1000, low)
    assert book.to_dial(set(), 3)[1:] == [address(3), address(2), address(1)]


def test_candidates_by_the_thousand_wash_out_nobody(book: PeerBook) -> None:
    book.add_candidate(address(1))
    for number in range(2, 5000):
        book.add_candidate(address(number))
    assert len(book.to_dial(set(), 10_000)) <= MAX_CANDIDATES
    assert book.to_dial(set(), 10_000)[0] == address(0)
    for number in range(5000, 9000):
        book.known(address(number).peer_id)
    assert len(book._peers) <= MAX_REMEMBERED
    assert book.to_dial(set(), 0) == [address(0)]


def test_nobody_changes_what_the_user_said_of_a_peer(book: PeerBook) -> None:
    book.add_candidate(PeerAddress("ip4", "6.6.6.6", 6, address(0).peer_id))
    assert book.to_dial(set(), 0) == [address(0)]


# Rates ------------------------------------------------------------------------------------------

NAME = "light_client_finality_update"


def drained(limiter: RateLimiter, now: float) -> int:
    return next(count for count in range(1000) if not limiter.take(NAME, now))


def test_a_quota_is_there_at_once_and_comes_back_evenly() -> None:
    limiter = RateLimiter()
    quota = QUOTAS[NAME]
    assert drained(limiter, 0.0) == quota.tokens
    assert limiter.seconds_until(NAME, 0.0) == quota.seconds / quota.tokens
    assert drained(limiter, quota.seconds / quota.tokens) == 1
    assert drained(limiter, 1e9) == quota.tokens
    assert drained(limiter, 0.0) == 0, "a clock that steps back gives nothing"


def test_more_than_a_quota_has_counts_as_all_of_it() -> None:
    limiter = RateLimiter()
    assert limiter.take(NAME, 0.0, 10_000)
    assert not limiter.take(NAME, 0.0)


def _servings(now_and_then: Callable[[RateLimiter, float], bool]) -> int:
    ours, theirs = RateLimiter(OUR_MARGIN), RateLimiter()
    refused = 0
    for tick in range(10_000):
        now = tick / 10
        if now_and_then(ours, now):
            refused += not theirs.take(NAME, now)
    return refused


def test_our_own_pace_never_meets_the_limit_of_a_server_that_has_the_same() -> None:
    assert _servings(lambda ours, now: ours.take(NAME, now)) == 0
