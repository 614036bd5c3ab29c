"""Discovery and whoever it does not know: floods, challenges, handshakes that prove nothing."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightclient.wire.discv5.challenges import (
    CHALLENGE_BURST,
    CHALLENGES_PER_SECOND,
    MAX_CHALLENGES,
)
from lightclient.wire.discv5.engine import Engine
from lightclient.wire.discv5.packets import datagram_of, ordinary_head, whoareyou_head
from lightclient.wire.enr import NodeRecord
from tests.wire.discv5_peers import Peer, challenge_for
from tests.wire.keys import key_of
from tests.wire.udp import NOW, address_of, engine_of, pair, record_of


def test_one_session_cannot_keep_us_busy() -> None:
    peer = Peer()
    answers = sum(len(peer.send(bytes.fromhex("01c20101"))) for _ in range(200))
    assert answers <= 31
    peer.wire.now_ms += 1000
    assert 9 <= sum(len(peer.send(bytes.fromhex("01c20101"))) for _ in range(50)) <= 11


def test_a_flood_of_strange_packets_is_challenged_within_limits() -> None:
    victim = engine_of(1)
    flood = random.Random(7)
    sent = size = 0
    for number in range(5000):
        head = ordinary_head(flood.randbytes(16), flood.randbytes(12), flood.randbytes(32))
        datagram = datagram_of(key_of(1).node_id, head, flood.randbytes(20))
        victim.receive(datagram, address_of(number), NOW + number // 5)
        answers = victim.datagrams()
        sent += len(answers)
        assert all(len(answer.data) <= len(datagram) for answer in answers)
        size = max(size, victim.challenge_count)
    assert sent <= CHALLENGE_BURST + CHALLENGES_PER_SECOND + 1
    assert size <= MAX_CHALLENGES
    assert victim.events() == []


def test_one_address_gets_few_challenges_and_the_same_one_while_it_stands() -> None:
    victim = engine_of(1)
    answers = []
    for number in range(50):
        head = ordinary_head(bytes(16), number.to_bytes(12, "big"), key_of(2).node_id)
        victim.receive(datagram_of(key_of(1).node_id, head, bytes(20)), address_of(2), NOW + number)
        answers += victim.datagrams()
    assert len(answers) <= 21
    assert len({answer.data for answer in answers}) == 1


def test_challenges_are_answered_once_and_only_from_where_the_request_went() -> None:
    victim = engine_of(1)
    victim.ping(record_of(2), NOW)
    [request] = victim.datagrams()
    for number in range(1000):
        victim.receive(challenge_for(request, number.to_bytes(16, "big")), address_of(3), NOW)
    assert victim.datagrams() == []
    for number in range(1000):
        victim.receive(challenge_for(request, number.to_bytes(16, "big")), address_of(2), NOW)
    [handshake] = victim.datagrams()
    victim.receive(challenge_for(handshake, bytes(16)), address_of(2), NOW)
    assert victim.datagrams() == []
    stale = whoareyou_head(bytes(16), bytes(12), bytes(16), 0)
    victim.receive(datagram_of(key_of(1).node_id, stale), address_of(2), NOW)
    assert victim.datagrams() == []


def test_a_handshake_without_a_challenge_or_too_late_opens_nothing() -> None:
    wire, first, second = pair()
    first.ping(record_of(2), NOW)
    [random_packet] = first.datagrams()
    second.receive(random_packet.data, address_of(1), NOW)
    [challenge] = second.datagrams()
    first.receive(challenge.data, address_of(2), NOW)
    [handshake] = first.datagrams()
    second.receive(handshake.data, address_of(3), NOW)  # from another address
    second.receive(handshake.data, address_of(1), NOW + 2000)  # too late
    second.receive(handshake.data, address_of(1), NOW)  # and that challenge is used up
    assert (second.session_count, second.events(), second.datagrams()) == (0, [], [])
    assert wire.deliver() == 0


@pytest.mark.parametrize("at", [40, 75, 100, 140, 180, 250, -1])
def test_a_handshake_that_was_tampered_with_opens_nothing(at: int) -> None:
    _, first, second = pair()
    first.ping(record_of(2), NOW)
    second.receive(first.datagrams()[0].data, address_of(1), NOW)
    first.receive(second.datagrams()[0].data, address_of(2), NOW)
    tampered = bytearray(first.datagrams()[0].data)
    tampered[at] ^= 1
    second.receive(bytes(tampered), address_of(1), NOW)
    assert second.session_count == 0
    assert second.events() == []


@pytest.mark.parametrize("record", [record_of(3), record_of(1)])
def test_a_handshake_under_another_s_name_opens_nothing(record: NodeRecord) -> None:
    # Node 3 claims node 1's id, with a record of its own or with that of node 1.
    _, _, second = pair()
    impostor = Engine(key_of(3), record, random.Random(3).randbytes)
    impostor._key.node_id = key_of(1).node_id
    impostor.ping(record_of(2), NOW)
    second.receive(impostor.datagrams()[0].data, address_of(1), NOW)
    impostor.receive(second.datagrams()[0].data, address_of(2), NOW)
    second.receive(impostor.datagrams()[0].data, address_of(1), NOW)
    assert second.session_count == 0
    assert second.events() == []


@settings(max_examples=60)
@given(st.lists(st.binary(min_size=40, max_size=200), min_size=1, max_size=5), st.integers(0, 2))
def test_packet_fuzz_never_raises_and_never_opens_a_session(rests: list[bytes], flag: int) -> None:
    victim = engine_of(1)
    for rest in rests:
        sizes = (32, 24, len(rest) - 20)
        head = (
            bytes(16)
            + b"discv5\x00\x01"
            + bytes([flag])
            + bytes(12)
            + sizes[flag].to_bytes(2, "big")
            + rest
        )
        victim.receive(datagram_of(key_of(1).node_id, head), address_of(9), NOW)
    assert victim.session_count == 0
    assert victim.events() == []
