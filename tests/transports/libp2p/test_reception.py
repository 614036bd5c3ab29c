"""Who is let in: places and handshakes for each address, each network and all together."""

from __future__ import annotations

import pytest

pytest.importorskip("libp2p", reason="the extra [libp2p] is not installed")


from lightclient.transports.libp2p import reception
from lightclient.transports.libp2p.reception import Reception


def test_an_address_has_half_of_the_places_and_a_router_of_ours_all() -> None:
    counts = Reception(10)
    assert [counts.take_place("45.1.1.1") for _ in range(6)] == [True] * 5 + [False]
    assert not counts.admits("45.1.1.1", 0)
    assert counts.admits("45.1.2.2", 0)
    counts.leave_place("45.1.1.1")
    assert counts.take_place("45.1.1.1")
    assert [counts.take_place("172.17.0.1") for _ in range(6)] == [True] * 5 + [False]
    assert not counts.admits("45.1.2.2", 0), "all places are taken"


@pytest.mark.parametrize("form", ["45.1.1.{}", "2a00:1450:1:{:x}::1"])
def test_whoever_owns_a_network_has_half_of_the_places(form: str) -> None:
    counts = Reception(10)
    assert [counts.take_place(form.format(number)) for number in range(9)].count(True) == 5
    assert not counts.admits(form.format(100), 0)
    assert counts.take_place("46.1.1.1")
    for number in range(5):
        counts.leave_place(form.format(number))
    assert counts.take_place(form.format(100))


def test_a_subnet_of_ipv6_is_one_address_and_a_mapped_one_is_itself() -> None:
    counts = Reception(8)
    taken = [counts.take_place(f"2a00:1450:1:2::{number:x}") for number in range(5)]
    assert taken == [True] * 4 + [False]
    assert reception.network_of("::ffff:45.1.1.1") == "45.1.1.1"
    assert reception.network_of("fe80::1%eth0") == "fe80::/64"


def test_handshakes_have_a_rate_for_each_address_and_for_all() -> None:
    counts = Reception(1000)
    admitted = sum(counts.admits("45.1.1.1", ms) for ms in range(0, 10_000, 10))
    assert admitted <= reception.BURST_OF_ADDRESS + 10 * reception.PER_SECOND_OF_ADDRESS
    everywhere = (f"45.1.{n // 250}.{n % 250}" for n in range(10_000))
    admitted = sum(counts.admits(host, 10_000 + n) for n, host in enumerate(everywhere))
    assert admitted <= reception.BURST + 11 * reception.PER_SECOND
    assert counts.admits("45.2.2.2", 60_000)
    local = [counts.admits("127.0.0.1", 120_000) for _ in range(2 * reception.BURST_OF_ADDRESS)]
    assert all(local), "this machine's programs share no rate of an address"
    # Whoever comes and goes leaves nothing.
    counts.begin("45.2.2.2")
    counts.end("45.2.2.2")
    assert not counts._half_open
