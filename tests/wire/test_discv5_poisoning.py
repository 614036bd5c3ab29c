"""Nodes that answer and lie: they gain no places by it, cost others none, and keep nobody busy."""

from __future__ import annotations

import pytest

from lightclient.wire.discv5.discovery import Discovery, ExternalAddress, NodeFound
from lightclient.wire.discv5.events import NewerRecord, RequestFailed
from lightclient.wire.discv5.requests import MAX_PENDING
from lightclient.wire.discv5.table import NodeTable
from lightclient.wire.enr import Address, NodeRecord
from tests.wire.udp import NOW, Wire, address_of, discovery_of, record_of

LOCAL = bytes(32)


def public(number: int) -> Address:
    """An address of the public internet, each number in a neighbourhood of its own."""
    return f"45.{number >> 8 & 255}.{number & 255}.7", 9000


def told(node: Discovery, by: NodeRecord, *found: NodeRecord) -> None:
    node._take_found(b"", by, found, NOW)


def test_a_node_that_says_it_moved_is_asked_there_before_it_is_believed() -> None:
    node, liar = discovery_of(1), discovery_of(3)
    here, there = record_of(3), record_of(3, sequence=2, address=address_of(33))
    node.table.answered(here, NOW)
    told(node, here, there)
    assert node.table.get(here.node_id) == here
    wire = Wire({address_of(1): node, address_of(33): liar})
    wire.deliver()
    assert node.table.get(here.node_id) == there, "it answered there"


def test_one_network_cannot_fill_the_table_by_saying_that_its_nodes_moved() -> None:
    table = NodeTable(LOCAL)
    for number in range(1, 200):
        table.answered(record_of(number, address=(f"45.1.1.{number}", 9000)), NOW)
        # That it does answer from the other network, too, makes no more room there.
        table.answered(record_of(number, 2, (f"45.2.2.{number}", 9000)), NOW)
    assert len(table) <= 10


def test_a_node_does_not_lose_its_place_by_an_old_record_of_it() -> None:
    node = discovery_of(1)
    old, new = record_of(3), record_of(3, sequence=2, address=address_of(33))
    node.table.answered(new, NOW)
    for _ in range(5):
        node._handle(RequestFailed(b"", old), NOW)
    assert node.table.get(new.node_id) == new
    for _ in range(3):
        node._handle(RequestFailed(b"", new), NOW)
    assert node.table.get(new.node_id) is None


def test_who_answers_where_a_node_was_does_not_keep_its_place() -> None:
    table = NodeTable(LOCAL)
    old, new = record_of(3), record_of(3, sequence=2, address=address_of(33))
    table.answered(new, NOW)
    for _ in range(2):
        table.failed(new.node_id)
        table.answered(old, NOW)
    assert table.get(new.node_id) == new
    table.failed(new.node_id)
    assert table.get(new.node_id) is None


def test_an_old_record_of_a_known_node_is_passed_on_as_the_newer_one() -> None:
    node = discovery_of(1)
    old, new = record_of(3), record_of(3, sequence=2, address=address_of(33))
    node.table.answered(new, NOW)
    told(node, record_of(2), old)
    assert [event.record for event in node.events() if isinstance(event, NodeFound)] == [new]


def test_promises_of_newer_records_leave_room_for_our_own_questions() -> None:
    node = discovery_of(1)
    for number in range(100, 300):
        for _ in range(8):
            node._handle(NewerRecord(record_of(number), 9), NOW)
    assert node.engine.pending_count <= MAX_PENDING // 8
    node.datagrams()
    node.look_up(bytes(32), NOW)
    assert len(node.datagrams()) == 0, "nobody is known"
    node.table.answered(record_of(2), NOW)
    node.look_up(bytes(32), NOW)
    assert [datagram.address for datagram in node.datagrams()] == [address_of(2)]


@pytest.mark.parametrize(
    "seen",
    [
        ("127.0.0.1", 9000),
        ("192.168.1.7", 9000),
        ("0.0.0.0", 9000),
        ("224.0.0.1", 9000),
        ("255.255.255.255", 9000),
        ("::", 9000),
        ("ff02::1", 9000),
        ("::ffff:10.0.0.1", 9000),
        ("45.9.9.9", 0),
        ("45.9.9.9", 53),
    ],
)
def test_an_address_that_cannot_be_ours_is_not_learnt(seen: Address) -> None:
    node = discovery_of(1)
    for number in range(9):
        node._vote(record_of(100 + number, address=public(number)), seen)
    assert node.events() == []
    for number in range(3):
        node._vote(record_of(200 + number, address=public(number)), ("45.8.8.8", 9000))
    assert node.events() == [ExternalAddress(("45.8.8.8", 9000))], "nor does it count as a vote"


def test_an_ipv4_address_is_the_same_however_it_is_told() -> None:
    node = discovery_of(1)
    for number, ip in enumerate(("45.8.8.8", "::ffff:45.8.8.8", "::ffff:2d08:808")):
        node._vote(record_of(200 + number, address=public(number)), (ip, 9000))
    assert node.events() == [ExternalAddress(("45.8.8.8", 9000))]
