"""Two discovery nodes and what comes between them: handshakes, losses, lies and floods."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightclient.wire.discv5.challenges import (
    CHALLENGE_BURST,
    CHALLENGES_PER_SECOND,
    MAX_CHALLENGES,
)
from lightclient.wire.discv5.ciphers import encrypt
from lightclient.wire.discv5.engine import Datagram, Engine
from lightclient.wire.discv5.events import (
    Answered,
    Asked,
    NewerRecord,
    NodesFound,
    RequestFailed,
    SessionOpened,
)
from lightclient.wire.discv5.messages import Nodes, Pong, TalkResponse, encode_message, log_distance
from lightclient.wire.discv5.packets import (
    HandshakePacket,
    WhoAreYouPacket,
    datagram_of,
    decode_packet,
    ordinary_head,
    whoareyou_head,
)
from lightclient.wire.discv5.requests import MAX_PENDING, MAX_PENDING_PER_PEER, MAX_RECORDS
from lightclient.wire.discv5.sessions import SESSION_LIFETIME_MS
from lightclient.wire.enr import NodeRecord, sign_record
from lightclient.wire.rlp import decode_rlp
from tests.wire.keys import key_of
from tests.wire.udp import address_of, engine_of, pair, record_of

NOW = 1_000_000


def test_a_ping_is_answered_with_a_handshake_in_between() -> None:
    wire, first, second = pair()
    request_id = first.ping(record_of(2), NOW)
    assert wire.deliver() == 4  # random, challenge, handshake with the ping, pong
    [opened, answered] = first.events()
    assert opened == SessionOpened(record_of(2), address_of(2), initiated=True)
    assert isinstance(answered, Answered)
    assert answered.request_id == request_id
    assert answered.answer == Pong(answered.request_id, 1, *address_of(1))
    assert second.events() == [
        SessionOpened(record_of(1), address_of(1), initiated=False),
        Asked(record_of(1), address_of(1)),
    ]
    first.ping(record_of(2), NOW)
    assert wire.deliver() == 2
    second.ping(record_of(1), NOW)
    assert wire.deliver() == 2


def test_requests_made_at_once_share_one_handshake() -> None:
    wire, first, _ = pair()
    for _ in range(5):
        first.ping(record_of(2), NOW)
    assert wire.deliver() == 3 + 4 + 5
    assert sum(isinstance(event, Answered) for event in first.events()) == 5
    assert first.pending_count == 0


def test_both_may_open_at_once() -> None:
    wire, first, second = pair()
    first.ping(record_of(2), NOW)
    second.ping(record_of(1), NOW)
    wire.deliver()
    for engine in (first, second):
        assert any(isinstance(event, Answered) for event in engine.events())
    for engine, other in ((first, 2), (second, 1)):
        for _ in range(3):
            engine.ping(record_of(other), NOW)
            assert wire.deliver() == 2


def test_any_loss_is_got_over_by_asking_again() -> None:
    for dropped in range(6):
        wire, first, _ = pair()
        seen = 0

        def lost(_datagram: Datagram, dropped: int = dropped) -> bool:
            nonlocal seen
            seen += 1
            return seen == dropped + 1

        wire.lost = lost
        for _ in range(3):
            first.ping(record_of(2), wire.now_ms)
            wire.deliver()
            wire.pass_time(3000)
        events = first.events()
        answered = sum(isinstance(event, Answered) for event in events)
        failed = sum(isinstance(event, RequestFailed) for event in events)
        assert answered >= 2, dropped
        assert answered + failed == 3
        assert first.pending_count == 0


def test_a_restarted_peer_is_recognised_by_its_challenge() -> None:
    wire, first, _ = pair()
    first.ping(record_of(2), NOW)
    wire.deliver()
    first.events()
    wire.parties[address_of(2)] = engine_of(2)
    first.ping(record_of(2), NOW)
    assert wire.deliver() == 4
    assert any(isinstance(event, Answered) for event in first.events())


def test_requests_under_keys_that_the_peer_lost_are_all_sent_again() -> None:
    wire, first, _ = pair()
    first.ping(record_of(2), NOW)
    wire.deliver()
    first.events()
    wire.parties[address_of(2)] = engine_of(2)
    for _ in range(3):
        first.ping(record_of(2), NOW)
    wire.deliver()
    assert sum(isinstance(event, Answered) for event in first.events()) == 3


def test_what_waited_for_a_handshake_that_never_came_tries_one_of_its_own() -> None:
    wire, first, _ = pair()
    first.ping(record_of(2), NOW)
    assert len(first.datagrams()) == 1  # and it is lost
    second_id = first.ping(record_of(2), NOW + 1000)
    assert first.datagrams() == []
    wire.now_ms = NOW + 2000
    first.tick(wire.now_ms)
    wire.deliver()
    failed, _, answered = first.events()
    assert isinstance(failed, RequestFailed)
    assert isinstance(answered, Answered)
    assert answered.request_id == second_id


def test_our_record_is_sent_to_those_who_have_none_or_an_older_one() -> None:
    for known, sent in ((0, record_of(1).raw), (1, b""), (2, b"")):
        engine = engine_of(1)
        engine.ping(record_of(2), NOW)
        [request] = engine.datagrams()
        engine.receive(challenge_for(request, bytes(16), known), address_of(2), NOW)
        handshake = decode_packet(engine.datagrams()[0].data, key_of(2).node_id)
        assert isinstance(handshake, HandshakePacket)
        assert handshake.record == sent


def test_no_nonce_is_used_twice_even_with_bad_randomness() -> None:
    peer = Peer()
    assert peer.session is not None
    nonces = {peer.session.next_nonce(bytes(8)) for _ in range(1000)}
    assert len(nonces) == 1000
    assert {len(nonce) for nonce in nonces} == {12}


def test_keys_are_not_used_for_ever() -> None:
    wire, first, _ = pair()
    first.ping(record_of(2), NOW)
    wire.deliver()
    wire.now_ms += SESSION_LIFETIME_MS + 1
    first.ping(record_of(2), wire.now_ms)
    assert wire.deliver() == 4


def test_a_silent_node_costs_its_time_and_no_more() -> None:
    wire, first, _ = pair()
    del wire.parties[address_of(2)]
    waiting = [first.ping(record_of(2), NOW) for _ in range(3)]
    wire.deliver()
    assert first.next_deadline_ms == NOW + 2000
    wire.pass_time(2000)
    failed = [event.request_id for event in first.events() if isinstance(event, RequestFailed)]
    assert failed == waiting
    assert first.pending_count == 0
    assert not first.next_deadline_ms


def nodes_at(number: int, count: int, distances: Sequence[int]) -> list[NodeRecord]:
    """Records whose node ids are at one of ``distances`` of node ``number``."""
    found: list[NodeRecord] = []
    candidate = 100
    while len(found) < count:
        candidate += 1
        if log_distance(key_of(number).node_id, key_of(candidate).node_id) in distances:
            found.append(record_of(candidate))
    return found


def test_found_nodes_come_in_several_datagrams_and_are_verified() -> None:
    wire, first, _ = pair()
    records = nodes_at(2, 20, [256])
    wire.parties[address_of(2)] = Engine(
        key_of(2), record_of(2), random.Random(2).randbytes, lambda _distances: records
    )
    first.find_node(record_of(2), (256,), NOW)
    wire.deliver()
    [_, found] = first.events()
    assert isinstance(found, NodesFound)
    assert found.complete
    assert found.found == tuple(records[:16])
    assert all(len(datagram.data) <= 1280 for _, datagram in wire.carried)


def test_distance_zero_asks_for_the_node_s_own_record() -> None:
    wire, first, _ = pair()
    first.find_node(record_of(2), (0,), NOW)
    wire.deliver()
    [_, found] = first.events()
    assert isinstance(found, NodesFound)
    assert found.found == (record_of(2),)


def liar(records: Sequence[NodeRecord]) -> Engine:
    return Engine(key_of(2), record_of(2), random.Random(2).randbytes, lambda _distances: records)


def test_records_that_were_not_asked_for_or_not_signed_are_dropped_and_counted() -> None:
    wire, first, _ = pair()
    right, wrong = nodes_at(2, 1, [256])[0], nodes_at(2, 1, [255])[0]
    forged = NodeRecord(right.sequence + 1, right.entries, right.signature)
    wire.parties[address_of(2)] = liar([right, wrong, forged, record_of(1)])
    first.find_node(record_of(2), (256,), NOW)
    wire.deliver()
    found = first.events()[-1]
    assert isinstance(found, NodesFound)
    assert found.found == (right,)
    assert found.refused >= 2


class Peer:
    """Node 2 by hand: it opens a session with an engine and then sends what it likes."""

    def __init__(self) -> None:
        self.wire, self.victim, self.engine = pair()
        self.engine.ping(record_of(1), NOW)
        self.wire.deliver()
        self.victim.events()
        self.session = self.engine._sessions.get((key_of(1).node_id, address_of(1)))
        assert self.session is not None

    def send(self, plaintext: bytes) -> list[Datagram]:
        assert self.session is not None
        nonce = self.session.next_nonce(bytes(8))
        head = ordinary_head(bytes(16), nonce, key_of(2).node_id)
        sealed = encrypt(self.session.send_key, nonce, plaintext, head)
        self.victim.receive(
            datagram_of(key_of(1).node_id, head, sealed), address_of(2), self.wire.now_ms
        )
        return self.victim.datagrams()


def test_answers_without_end_are_cut() -> None:
    peer = Peer()
    request_id = peer.victim.find_node(record_of(2), (256,), NOW)
    assert request_id is not None
    peer.victim.datagrams()
    items = tuple(decode_rlp(record.raw) for record in nodes_at(2, 4, [256]))
    for _ in range(300):
        peer.send(encode_message(Nodes(request_id, 255, items)))
    [found] = peer.victim.events()
    assert isinstance(found, NodesFound)
    assert len(found.found) == 4


def test_signatures_are_checked_for_few_records_of_one_answer() -> None:
    peer = Peer()
    request_id = peer.victim.find_node(record_of(2), (256,), NOW)
    assert request_id is not None
    for number in range(16):
        junk = tuple((bytes([number, item]),) for item in range(10))
        peer.send(encode_message(Nodes(request_id, 16, junk)))
    [found] = peer.victim.events()
    assert isinstance(found, NodesFound)
    assert found.refused == MAX_RECORDS


def test_parts_of_an_answer_count_when_the_rest_never_comes() -> None:
    peer = Peer()
    request_id = peer.victim.find_node(record_of(2), (256,), NOW)
    assert request_id is not None
    items = tuple(decode_rlp(record.raw) for record in nodes_at(2, 2, [256]))
    peer.send(encode_message(Nodes(request_id, 3, items)))
    assert peer.victim.events() == []
    peer.victim.tick(NOW + 2000)
    [found] = peer.victim.events()
    assert isinstance(found, NodesFound)
    assert (len(found.found), found.complete) == (2, False)


def test_answers_that_nobody_asked_for_are_dropped() -> None:
    peer = Peer()
    request_id = peer.victim.ping(record_of(2), NOW)
    assert request_id is not None
    peer.victim.datagrams()
    for message in (
        Pong(b"other", 1, "10.0.0.1", 1),
        TalkResponse(request_id, b"not a pong"),
        Nodes(request_id, 1, ()),
    ):
        assert peer.send(encode_message(message)) == []
    assert peer.victim.events() == []
    peer.send(encode_message(Pong(request_id, 1, "10.0.0.1", 1)))
    peer.send(encode_message(Pong(request_id, 1, "10.0.0.1", 1)))
    assert len(peer.victim.events()) == 1


def test_a_newer_record_is_told_of() -> None:
    peer = Peer()
    peer.send(bytes.fromhex("01c20105"))
    assert peer.victim.events()[-1] == NewerRecord(record_of(2), 5)


def test_other_protocols_are_answered_with_nothing() -> None:
    wire, first, _ = pair()
    first.talk(record_of(2), b"discv5-test", b"hello", NOW)
    wire.deliver()
    [_, answered] = first.events()
    assert isinstance(answered, Answered)
    assert answered.answer == TalkResponse(answered.request_id, b"")


def test_what_would_not_fit_in_a_datagram_is_not_asked() -> None:
    wire, first, _ = pair()
    with pytest.raises(ValueError, match="one datagram"):
        first.talk(record_of(2), b"p", bytes(512), NOW)
    with pytest.raises(ValueError, match="distances"):
        first.find_node(record_of(2), range(17), NOW)
    first.record = sign_record(key_of(1), 2, {b"x": bytes(150)})
    first.talk(record_of(2), b"p", bytes(511), NOW)
    wire.deliver()
    assert any(isinstance(event, Answered) for event in first.events())


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


def challenge_for(datagram: Datagram, id_nonce: bytes, sequence: int = 0) -> bytes:
    packet = decode_packet(datagram.data, key_of(2).node_id)
    assert not isinstance(packet, WhoAreYouPacket)
    head = whoareyou_head(bytes(16), packet.nonce, id_nonce, sequence)
    return datagram_of(key_of(1).node_id, head)


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


def test_requests_are_bounded() -> None:
    engine = engine_of(1)
    for _ in range(MAX_PENDING_PER_PEER + 3):
        engine.ping(record_of(2), NOW)
    assert engine.pending_count == MAX_PENDING_PER_PEER
    for number in range(3, MAX_PENDING + 20):
        engine.ping(record_of(number), NOW)
    assert engine.pending_count == MAX_PENDING
    assert engine.ping(record_of(2), NOW) is None


def test_nodes_without_an_address_and_ourselves_are_not_asked() -> None:
    engine = engine_of(1)
    assert engine.ping(sign_record(key_of(2), 1, {}), NOW) is None
    assert engine.ping(record_of(1), NOW) is None
    assert engine.datagrams() == []


def test_sessions_are_bounded_and_the_oldest_makes_room() -> None:
    from lightclient.wire.discv5.sessions import RecentlyUsed

    kept: RecentlyUsed[int] = RecentlyUsed(3)
    for number in range(5):
        kept.put((bytes([number]), address_of(number)), number)
        assert kept.get((bytes([0]), address_of(0))) == (0 if number < 5 else None)
    assert len(kept) == 3
    assert kept.get((bytes([1]), address_of(1))) is None
    assert kept.get((bytes([4]), address_of(4))) == 4


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4), st.integers(0, 5))
def test_damaged_datagrams_in_an_exchange_do_no_harm(
    damage: list[tuple[int, int]], which: int
) -> None:
    wire, first, _ = pair()
    first.ping(record_of(2), NOW)
    count = 0
    for _ in range(20):
        for source, party in list(wire.parties.items()):
            for datagram in party.datagrams():
                data = bytearray(datagram.data)
                if count == which:
                    for at, change in damage:
                        data[at % len(data)] ^= change
                count += 1
                wire.parties[datagram.address].receive(bytes(data), source, NOW)
    wire.pass_time(3000)
    first.ping(record_of(2), wire.now_ms)
    wire.deliver()
    assert any(isinstance(event, Answered) for event in first.events())


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


def test_only_who_was_asked_is_expected_and_only_until_the_answer_or_its_time() -> None:
    wire, first, second = pair()
    there = address_of(2)
    assert not first.expects(there)
    first.ping(second.record, wire.now_ms)
    first.ping(second.record, wire.now_ms)
    assert first.expects(there)
    assert not first.expects((there[0], there[1] + 1))
    wire.deliver()
    assert first.session_count == 1
    assert not first.expects(there)
    assert not second.expects(address_of(1)), "it answered and challenged, but asked nothing"
    wire.lost = lambda _: True
    first.ping(second.record, wire.now_ms)
    wire.pass_time(10_000)
    assert not first.expects(there)
    assert not first._pending._by_address
