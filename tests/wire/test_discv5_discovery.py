"""Look-ups, the node table, and whole discovery nodes in a simulated network."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from lightclient.wire.discv5.discovery import (
    Discovery,
    ExternalAddress,
    LookupFinished,
    NodeFound,
)
from lightclient.wire.discv5.engine import Datagram
from lightclient.wire.discv5.limits import TokenBucket, TokenBuckets
from lightclient.wire.discv5.lookup import MAX_QUESTIONS, Lookup, distances_to_ask
from lightclient.wire.discv5.messages import log_distance
from lightclient.wire.discv5.table import BUCKET_SIZE, NodeTable
from lightclient.wire.enr import Address, NodeRecord
from tests.wire.keys import key_of
from tests.wire.udp import NOW, Party, Wire, address_of, discovery_of, record_of

TARGET = bytes(range(32))
LOCAL = bytes(32)


def public(number: int) -> Address:
    """An address of the public internet, each number in a neighbourhood of its own."""
    return f"45.{number >> 8 & 255}.{number & 255}.7", 9000


def run(lookup: Lookup, network: dict[bytes, list[NodeRecord]]) -> int:
    """Answer every question from what each node of ``network`` knows; gives how many there were."""
    count = 0
    while not lookup.is_done:
        questions = lookup.questions()
        assert questions, "neither done nor asking"
        for record, distances in questions:
            count += 1
            if record.node_id not in network:
                lookup.failed(record.node_id)
                continue
            known = network[record.node_id]
            lookup.answered(
                record.node_id,
                [r for r in known if log_distance(record.node_id, r.node_id) in distances][:16],
            )
    return count


def test_a_look_up_finds_the_nearest_nodes_of_a_network() -> None:
    chooser = random.Random(3)
    records = [record_of(number, address=public(number)) for number in range(1, 200)]
    network = {record.node_id: chooser.sample(records, 60) for record in records}
    lookup = Lookup(TARGET, records[:3], LOCAL)
    assert run(lookup, network) <= MAX_QUESTIONS
    number = int.from_bytes(TARGET, "big")
    nearest = sorted(records, key=lambda r: int.from_bytes(r.node_id, "big") ^ number)
    assert len(lookup.nearest) == BUCKET_SIZE
    assert lookup.nearest[0] == nearest[0]
    assert len(set(lookup.nearest) & set(nearest[:BUCKET_SIZE])) >= 12


def test_a_look_up_asks_three_at_a_time_and_nobody_twice() -> None:
    records = [record_of(number, address=public(number)) for number in range(1, 30)]
    lookup = Lookup(TARGET, records, LOCAL)
    first = lookup.questions()
    assert len(first) == 3
    assert lookup.questions() == []
    lookup.answered(first[0][0].node_id, records)
    [again] = lookup.questions()
    assert again[0] not in [record for record, _ in first]
    lookup.answered(first[0][0].node_id, records)
    lookup.failed(first[0][0].node_id)
    assert lookup.questions() == []


def test_a_look_up_of_nobody_is_done_at_once() -> None:
    lookup = Lookup(TARGET, [], LOCAL)
    assert lookup.is_done
    assert lookup.nearest == []
    only_us = Lookup(TARGET, [record_of(1)], key_of(1).node_id)
    assert only_us.is_done


def test_nodes_that_fail_are_not_among_the_nearest() -> None:
    records = [record_of(number) for number in range(1, 6)]
    lookup = Lookup(TARGET, records, LOCAL)
    run(lookup, {record.node_id: [] for record in records[:2]})
    assert set(lookup.nearest) == set(records[:2])


def test_liars_that_always_know_a_nearer_node_do_not_keep_a_look_up_going() -> None:
    number = int.from_bytes(TARGET, "big")
    ladder = sorted(
        [record_of(n) for n in range(1, 150)],
        key=lambda record: -(int.from_bytes(record.node_id, "big") ^ number),
    )
    lookup = Lookup(TARGET, ladder[:1], LOCAL)
    asked = 0
    while not lookup.is_done:
        for record, _ in lookup.questions():
            asked += 1
            step = ladder.index(record)
            lookup.answered(record.node_id, ladder[step + 1 : step + 2])
    assert asked == MAX_QUESTIONS


def test_one_neighbourhood_gets_few_places_in_a_look_up() -> None:
    crowd = [record_of(number, address=(f"45.1.1.{number}", 9000)) for number in range(1, 100)]
    lookup = Lookup(TARGET, [*crowd, record_of(200, address=public(5))], LOCAL)
    assert run(lookup, {}) == 5


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_distances_to_ask_are_legal_and_begin_with_the_exact_one(node: bytes, goal: bytes) -> None:
    distances = distances_to_ask(node, goal)
    assert 2 <= len(distances) <= 3
    assert all(0 < distance <= 256 for distance in distances)
    if node != goal:
        assert distances[0] == log_distance(node, goal)


def test_the_table_keeps_who_answers_and_forgets_who_does_not() -> None:
    table = NodeTable(LOCAL)
    assert table.answered(record_of(1), NOW)
    assert not table.answered(record_of(1), NOW + 5)
    assert table.answered(record_of(1, sequence=3), NOW) is False
    node_id = key_of(1).node_id
    found = table.get(node_id)
    assert found is not None
    assert found.sequence == 3
    for _ in range(2):
        table.failed(node_id)
    table.answered(record_of(1), NOW + 9)
    for _ in range(3):
        assert node_id in table
        table.failed(node_id)
    assert node_id not in table
    assert len(table) == 0


def test_a_full_bucket_keeps_its_nodes_while_they_answer() -> None:
    table = NodeTable(LOCAL)
    numbers = [n for n in range(1, 200) if log_distance(LOCAL, key_of(n).node_id) == 256]
    for number in numbers[:16]:
        assert table.answered(record_of(number), NOW)
    assert not table.answered(record_of(numbers[16]), NOW)
    table.failed(key_of(numbers[3]).node_id)
    assert table.answered(record_of(numbers[16]), NOW)
    assert key_of(numbers[3]).node_id not in table
    assert len(table) == 16


def test_one_neighbourhood_gets_few_places_in_the_table() -> None:
    table = NodeTable(LOCAL)
    for number in range(1, 250):
        table.answered(record_of(number, address=(f"45.1.1.{number}", 9000)), NOW)
    assert len(table) <= 10
    for number in range(300, 330):
        table.answered(record_of(number), NOW)  # local addresses are not limited
    assert len(table) > 20


def test_the_table_tells_of_nodes_that_answered_last_time() -> None:
    table = NodeTable(LOCAL)
    records = [record_of(number) for number in range(1, 10)]
    for record in records:
        table.answered(record, NOW)
    distance = log_distance(LOCAL, records[0].node_id)
    assert records[0] in table.at_distances([distance])
    table.failed(records[0].node_id)
    assert records[0] not in table.at_distances([distance, distance])
    assert set(table.good_records) == set(records[1:])
    assert table.at_distances([0]) == []
    assert table.closest(records[4].node_id, 1) == [records[4]]


def test_buckets_refill_with_time_and_never_beyond_their_burst() -> None:
    bucket = TokenBucket(per_second=2, burst=3)
    assert [bucket.take(NOW) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(NOW - 10_000)
    assert bucket.take(NOW + 500)
    assert not bucket.take(NOW + 500)
    assert [bucket.take(NOW + 60_000) for _ in range(4)] == [True, True, True, False]
    many = TokenBuckets(1, 1, max_keys=10)
    for key in range(1000):
        assert many.take(key, NOW)
    assert len(many) == 10
    assert not many.take(999, NOW)


def network_of(count: int) -> tuple[Wire, dict[int, Discovery]]:
    """Nodes that all begin with node 1 alone."""
    nodes = {n: discovery_of(n, [record_of(1)] if n > 1 else []) for n in range(1, count + 1)}
    parties: dict[Address, Party] = {address_of(n): node for n, node in nodes.items()}
    return Wire(parties), nodes


def test_nodes_find_each_other_from_one_boot_node() -> None:
    wire, nodes = network_of(14)
    wire.pass_time(10_000)
    events = nodes[14].events()
    found = {event.record.node_id for event in events if isinstance(event, NodeFound)}
    assert len(found) >= 12
    assert any(isinstance(event, LookupFinished) and event.nearest for event in events)
    for node in nodes.values():
        node.wanted = False
    wire.pass_time(40_000, step=2000)
    events += nodes[14].events()
    told = [event for event in events if isinstance(event, ExternalAddress)]
    assert told == [ExternalAddress(address_of(14))]


def test_nodes_that_are_content_ask_little() -> None:
    wire, nodes = network_of(8)
    wire.pass_time(6_000)
    for node in nodes.values():
        node.wanted = False
    wire.carried.clear()
    wire.pass_time(60_000, step=1000)
    sent = sum(source == address_of(5) for source, _ in wire.carried)
    assert sent < 150  # over a minute, answers to seven others included


def test_a_network_that_dies_is_forgotten_and_found_again_from_the_start() -> None:
    wire, nodes = network_of(6)
    wire.pass_time(8_000)
    assert len(nodes[6].table) >= 4

    def everything(_datagram: Datagram) -> bool:
        return True

    def nothing(_datagram: Datagram) -> bool:
        return False

    wire.lost = everything
    wire.pass_time(120_000, step=1000)
    assert len(nodes[6].table) == 0
    wire.lost = nothing
    wire.pass_time(20_000, step=1000)
    assert len(nodes[6].table) >= 4


def test_a_changed_record_spreads() -> None:
    wire, nodes = network_of(4)
    wire.pass_time(10_000)
    nodes[3].record = record_of(3, sequence=9)
    wire.pass_time(60_000, step=1000)
    known = nodes[4].table.get(key_of(3).node_id)
    assert known is not None
    assert known.sequence == 9


def test_a_newer_record_told_by_another_node_is_tried_where_it_says() -> None:
    node = discovery_of(1)
    node.table.answered(record_of(3), NOW)
    moved = record_of(3, sequence=5, address=address_of(33))
    node._take_found(b"", record_of(2), (record_of(3), moved, record_of(4)), NOW)
    assert [datagram.address for datagram in node.datagrams()] == [address_of(33)]


def test_a_node_of_the_internet_cannot_move_into_our_own_network() -> None:
    node = discovery_of(1)
    asked = record_of(3, address=public(3))
    for address, allowed in ((("192.168.1.1", 9000), False), (public(4), True)):
        node.table.answered(asked, NOW)
        moved = record_of(3, sequence=asked.sequence + 1, address=address)
        node._take_found(b"", asked, (moved,), NOW)
        assert [datagram.address for datagram in node.datagrams()] == [address] * allowed
        told = [event.record for event in node.events() if isinstance(event, NodeFound)]
        assert (moved in told) is allowed


def test_our_address_is_what_most_neighbourhoods_see() -> None:
    node = discovery_of(1)
    for number in range(10):  # one neighbourhood has one voice, whatever keys speak with it
        node._vote(record_of(100 + number, address=(f"45.1.1.{number}", 9000)), ("45.9.9.9", 9001))
    assert node.events() == []
    for number in range(3):
        node._vote(record_of(200 + number, address=public(200 + number)), ("45.8.8.8", 9002))
    assert node.events() == [ExternalAddress(("45.8.8.8", 9002))]
    for number in range(3):
        node._vote(record_of(300 + number, address=public(300 + number)), ("45.7.7.7", 9003))
    assert node.events() == []  # three of seven
    node._vote(record_of(200, address=public(200)), ("45.7.7.7", 9003))
    assert node.events() == [ExternalAddress(("45.7.7.7", 9003))]


def test_a_start_without_anyone_goes_on_quietly() -> None:
    alone = discovery_of(1)
    for second in range(20):
        alone.tick(NOW + second * 1000)
        assert alone.datagrams() == []
    assert all(isinstance(event, LookupFinished) for event in alone.events())


@settings(max_examples=30)
@given(st.lists(st.binary(max_size=300), max_size=5), st.integers(0, 50))
def test_random_datagrams_do_no_harm(datagrams: list[bytes], port: int) -> None:
    node = discovery_of(1, [record_of(2)])
    for datagram in datagrams:
        node.receive(datagram, ("192.0.2.1", port), NOW)
        node.tick(NOW)
    assert len(node.table) == 0
