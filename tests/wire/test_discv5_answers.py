"""What a discovery node is answered: whole, in parts, too much, or not what it asked."""

from __future__ import annotations

import pytest

from lightclient.wire.discv5.engine import FIND_NODE_BURST, FIND_NODES_PER_SECOND
from lightclient.wire.discv5.events import Answered, NewerRecord, NodesFound
from lightclient.wire.discv5.messages import Nodes, Pong, TalkResponse, encode_message
from lightclient.wire.discv5.requests import MAX_RECORDS
from lightclient.wire.enr import NodeRecord, sign_record
from lightclient.wire.rlp import decode_rlp
from tests.wire.discv5_peers import Peer, liar, nodes_at
from tests.wire.keys import key_of
from tests.wire.udp import NOW, address_of, pair, record_of


def test_found_nodes_come_in_several_datagrams_and_are_verified() -> None:
    wire, first, _ = pair()
    records = nodes_at(2, 20, [256])
    wire.parties[address_of(2)] = liar(records)
    first.find_node(record_of(2), (256,), NOW)
    wire.deliver()
    [_, found] = first.events()
    assert isinstance(found, NodesFound)
    assert found.complete
    assert found.found == tuple(records[:16])
    assert all(len(datagram.data) <= 1280 for _, datagram in wire.carried)


def test_all_who_ask_together_get_so_many_long_answers_and_our_own_record_still() -> None:
    wire, asker, asked = pair()
    asked._neighbours = lambda _distances: nodes_at(2, 5, [256])
    asker.ping(record_of(2), NOW)
    wire.deliver()
    peer = (key_of(1).node_id, address_of(1))
    session = asked._sessions.get(peer)
    assert session is not None

    def answers(distances: tuple[int, ...], now_ms: int) -> int:
        for _ in range(1000):
            asked._answer_find_node(bytes(8), distances, peer, session, now_ms)
        return len(asked.datagrams())

    assert answers((256,), NOW) == FIND_NODE_BURST
    assert answers((256,), NOW + 1000) == FIND_NODES_PER_SECOND
    assert answers((0, 256), NOW + 1000) == 1000


def test_distance_zero_asks_for_the_node_s_own_record() -> None:
    wire, first, _ = pair()
    first.find_node(record_of(2), (0,), NOW)
    wire.deliver()
    [_, found] = first.events()
    assert isinstance(found, NodesFound)
    assert found.found == (record_of(2),)


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
