"""What is remembered of peers, and how often they may ask. Without I/O."""

from __future__ import annotations

import random

import pytest

from lightclient.transports.libp2p.addresses import PeerAddress, encode_base58
from lightclient.transports.libp2p.limits import OUR_MARGIN, QUOTAS, RateLimiter, RequestPace
from lightclient.transports.libp2p.peers import (
    MAX_CANDIDATES,
    MAX_CANDIDATES_OF_ADDRESS,
    MAX_CANDIDATES_OF_NEIGHBOURHOOD,
    MAX_DIALLED_OF_NEIGHBOURHOOD,
    MAX_REMEMBERED,
    PeerBook,
)
from tests.transports.libp2p.peer_books import HOUR_MS, Clock, address, low


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
    assert len(book.to_dial(set(), 10_000)) == MAX_CANDIDATES + 1
    assert book.to_dial(set(), 10_000)[0] == address(0)
    for number in range(5000, 9000):
        book.known(address(number).peer_id)
    assert len(book._peers) <= MAX_REMEMBERED + 1
    assert book.to_dial(set(), 0) == [address(0)]
    assert address(1) in book.to_dial(set(), 10_000)


def told(host: str, number: int) -> PeerAddress:
    family = "ip6" if ":" in host else "ip4"
    peer_id = encode_base58(b"%s%d" % (host.encode(), number))
    return PeerAddress(family, host, 1024 + number, peer_id)


def candidates(book: PeerBook) -> int:
    return sum(known.address is not None for _, known in book)


def test_nobody_has_us_dial_one_machine_under_many_names(book: PeerBook) -> None:
    for host in ("45.1.1.1", "2a00:1450:1:2::1"):
        before = candidates(book)
        for number in range(50):
            book.add_candidate(told(host, number))
        assert candidates(book) == before + MAX_CANDIDATES_OF_ADDRESS
    before = candidates(book)
    book.add_candidate(told("2a00:1450:1:2::2", 1))  # the same machine's subnet
    assert candidates(book) == before
    book.add_candidate(told("45.1.1.2", 1))
    book.add_candidate(told("45.1.1.1", 2))  # known already: it may have moved
    assert candidates(book) == before + 1
    # On a network of one's own many may be behind one address.
    for number in range(20):
        book.add_candidate(told("192.168.1.5", number))
    assert candidates(book) == before + 21
    assert len(book.to_dial(set(), 10_000)) >= 21


@pytest.mark.parametrize("form", ["45.1.1.{}", "2a00:1450:1:{:x}::1"])
def test_whoever_owns_a_network_is_a_few_of_those_whom_we_choose(book: PeerBook, form: str) -> None:
    for number in range(250):
        book.add_candidate(told(form.format(number), number))
    assert candidates(book) == MAX_CANDIDATES_OF_NEIGHBOURHOOD + 1
    first = book.to_dial(set(), 12)
    assert len(first) == MAX_DIALLED_OF_NEIGHBOURHOOD + 1, "and the one whom the user named"
    # Neither those that are connected let more in, nor those that are dialled already.
    there = {item.peer_id for item in first}
    assert book.to_dial(there, 12) == []
    elsewhere = [told(f"46.1.{number}.1", number) for number in range(20)]
    for item in elsewhere:
        book.add_candidate(item)
    assert len(book.to_dial(there, 12)) == 12
    assert set(book.to_dial(there, 100)) == set(elsewhere)
    # Once one of them is gone another may come.
    there.discard(next(item.peer_id for item in first if "127" not in item.host))
    assert len(book.to_dial(there, 100)) == 21


def full_book(book: PeerBook) -> set[PeerAddress]:
    for number in range(1, MAX_CANDIDATES + 1):
        book.add_candidate(address(number))
    assert len(book.to_dial(set(), 10_000)) == MAX_CANDIDATES + 1
    return set(book.to_dial(set(), 10_000))


def test_a_candidate_who_could_not_be_reached_makes_room_for_a_new_one(
    book: PeerBook, clock: Clock
) -> None:
    before = full_book(book)
    for _ in range(3):
        book.note_dial(address(7).peer_id, succeeded=False)
    clock.now_ms += HOUR_MS // 2
    book.add_candidate(address(1000))
    book.add_candidate(address(1001))  # nobody else is hopeless
    assert set(book.to_dial(set(), 10_000)) ^ before == {address(7), address(1000)}


def test_candidates_that_nobody_told_of_for_long_make_room_for_new_ones(
    book: PeerBook, clock: Clock
) -> None:
    full_book(book)
    clock.now_ms += HOUR_MS + 1
    for number in range(1, 101):
        book.add_candidate(address(number))  # told of again
    for number in range(1000, 1000 + MAX_CANDIDATES):
        book.add_candidate(address(number))
    left = set(book.to_dial(set(), 10_000))
    assert {address(number) for number in range(101)} <= left
    assert len(left & {address(number) for number in range(1000, 2000)}) == MAX_CANDIDATES - 100


def test_a_candidate_that_makes_room_keeps_its_ban(book: PeerBook, clock: Clock) -> None:
    full_book(book)
    book.ban(address(7).peer_id, 4 * HOUR_MS)
    clock.now_ms += HOUR_MS + 1
    for number in range(1000, 1000 + MAX_CANDIDATES):
        book.add_candidate(address(number))
    assert book.known(address(7).peer_id).is_banned(clock.now_ms)


def test_neither_strangers_nor_the_banned_wash_out_bans_candidates_or_who_is_here(
    book: PeerBook,
) -> None:
    book.add_candidate(address(1))
    book.ban(address(2).peer_id, HOUR_MS)
    here = book.known(address(3).peer_id)
    here.is_connected = True
    for number in range(10_000, 15_000):
        book.known(address(number).peer_id)
    assert len(book._peers) <= MAX_REMEMBERED + 2
    assert book.banned_count == 1
    for number in range(20_000, 25_000):
        book.ban(address(number).peer_id, HOUR_MS)
    assert len(book._peers) <= MAX_REMEMBERED + 2
    assert book.to_dial(set(), 10) == [address(0), address(1)]
    assert book.known(address(3).peer_id) is here


def test_who_serves_nothing_is_dialled_last_and_not_soon_again(
    book: PeerBook, clock: Clock
) -> None:
    for number in (1, 2):
        book.add_candidate(address(number))
    book.known(address(1).peer_id).serves = False
    assert book.to_dial(set(), 2)[1:] == [address(2), address(1)]
    book.note_useless(address(1).peer_id)
    assert book.to_dial(set(), 2)[1:] == [address(2)]
    clock.now_ms += HOUR_MS
    assert address(1) in book.to_dial(set(), 2)


def test_nobody_changes_what_the_user_said_of_a_peer(book: PeerBook) -> None:
    book.add_candidate(PeerAddress("ip4", "6.6.6.6", 6, address(0).peer_id))
    assert book.to_dial(set(), 0) == [address(0)]


# Rates ------------------------------------------------------------------------------------------

NAME = "light_client_finality_update"
UPDATES = "light_client_updates_by_range"
ASKED_BY_US = ("light_client_bootstrap", UPDATES, NAME, "light_client_optimistic_update")


def drained(limiter: RateLimiter, now: float) -> int:
    return next(count for count in range(1000) if not limiter.take(NAME, now))


def test_a_quota_is_there_at_once_and_comes_back_evenly() -> None:
    limiter = RateLimiter()
    quota = QUOTAS[NAME]
    assert drained(limiter, 0.0) == quota.tokens
    assert drained(limiter, quota.seconds / quota.tokens) == 1
    assert drained(limiter, 1e9) == quota.tokens
    assert drained(limiter, 0.0) == 0, "a clock that steps back gives nothing"


def test_more_than_a_quota_has_counts_as_all_of_it() -> None:
    for limiter in (RateLimiter(), RequestPace()):
        assert limiter.take(NAME, 0.0, 10_000)
        assert not limiter.take(NAME, 0.0)


def test_our_own_limits_are_those_that_lodestar_is_known_to_have() -> None:
    assert [(QUOTAS[name].tokens, QUOTAS[name].seconds) for name in ASKED_BY_US] == [
        (5, 15),
        (128, 10),
        (2, 12),
        (2, 12),
    ]


def asked(name: str, rng: random.Random) -> list[tuple[float, int]]:
    """When we asked for how much, being as eager as our pace lets us be."""
    pace, now = RequestPace(), 0.0
    times: list[tuple[float, int]] = []
    for _ in range(500):
        tokens = rng.choice((1, 3, 32, 128)) if name == UPDATES else 1
        now += max(pace.seconds_until(name, now, tokens), rng.choice((0.0, 0.1, 5.0)))
        if pace.take(name, now, tokens):
            times.append((now, tokens))
    return times


@pytest.mark.parametrize("name", ASKED_BY_US)
def test_no_stretch_of_time_holds_more_requests_than_a_server_allows(name: str) -> None:
    quota, bucket = QUOTAS[name], RateLimiter()
    times = asked(name, random.Random(name))
    assert len(times) > 200
    for start, _ in times:
        within = [cost for then, cost in times if start <= then < start + quota.seconds]
        assert sum(within) <= quota.tokens
    # Nor does it for one that counts by a bucket that fills evenly.
    assert all(bucket.take(name, then, cost) for then, cost in times)


def test_the_wait_that_is_told_is_long_enough_and_not_longer() -> None:
    pace = RequestPace()
    assert pace.take(NAME, 0.0)
    assert pace.take(NAME, 4.0)
    assert pace.seconds_until(NAME, 5.0) == pytest.approx(12 * OUR_MARGIN - 5)
    assert not pace.take(NAME, 12 * OUR_MARGIN - 0.01)
    assert pace.take(NAME, 12 * OUR_MARGIN)
    assert pace.seconds_until(NAME, 12 * OUR_MARGIN) == pytest.approx(4.0)
