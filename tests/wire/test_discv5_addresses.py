"""Nobody steers our datagrams into our own network, or to ports of other services."""

from __future__ import annotations

import random
from ipaddress import ip_address

import pytest

from lightclient.wire.discv5.addresses import may_tell, neighbourhood
from lightclient.wire.discv5.engine import Engine
from lightclient.wire.discv5.events import NodesFound
from lightclient.wire.discv5.messages import log_distance
from lightclient.wire.enr import NodeRecord, endpoint_entries, sign_record
from tests.wire.keys import key_of
from tests.wire.udp import Wire, discovery_of, record_of


def at(ip: str, port: int = 9000, number: int = 1) -> NodeRecord:
    entries = endpoint_entries(ip_address(ip), udp=port)
    return sign_record(key_of(number), 1, {k: v for k, v in entries.items() if v is not None})


@pytest.mark.parametrize(
    ("teller", "told", "allowed"),
    [
        ("45.1.1.1", "45.2.2.2", True),
        ("45.1.1.1", "2600:1901::1", True),
        ("45.1.1.1", "192.168.1.1", False),
        ("45.1.1.1", "10.0.0.1", False),
        ("45.1.1.1", "169.254.1.1", False),
        ("45.1.1.1", "127.0.0.1", False),
        ("2600:1901::1", "fe80::1", False),
        ("2600:1901::1", "::1", False),
        ("192.168.1.2", "192.168.1.1", True),
        ("192.168.1.2", "127.0.0.1", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "10.0.0.1", True),
        ("127.0.0.1", "45.2.2.2", True),
        ("::1", "::1", True),
        ("127.0.0.1", "0.0.0.0", False),
        ("127.0.0.1", "224.0.0.1", False),
        ("127.0.0.1", "255.255.255.255", False),
        ("127.0.0.1", "ff02::1", False),
    ],
)
def test_who_may_tell_of_which_address(teller: str, told: str, allowed: bool) -> None:
    assert may_tell(teller, at(told)) is allowed


def test_low_ports_and_records_without_an_address_are_for_nobody() -> None:
    assert not may_tell("45.1.1.1", at("45.2.2.2", port=53))
    assert not may_tell("45.1.1.1", at("45.2.2.2", port=1024))
    assert may_tell("45.1.1.1", at("45.2.2.2", port=1025))
    assert not may_tell("45.1.1.1", sign_record(key_of(1), 1, {}))


def test_neighbourhoods_are_of_the_internet_only() -> None:
    assert neighbourhood(at("45.1.2.3")) == "45.1.2.0/24"
    assert neighbourhood(at("2600:1901::1")) == "2600:1901::/64"
    assert neighbourhood(at("192.168.1.1")) is None


@pytest.mark.parametrize("claim", ["45.7.7.7", "10.0.0.1"])
def test_a_neighbourhood_is_where_a_node_is_asked_whatever_else_it_says(claim: str) -> None:
    entries = endpoint_entries(ip_address("2600:1901::1"), udp=9000)
    told = {k: v for k, v in entries.items() if v is not None}
    record = sign_record(key_of(1), 1, {**told, b"ip": ip_address(claim).packed})
    assert record.udp_endpoint == ("2600:1901::1", 9000)
    assert neighbourhood(record) == "2600:1901::/64"


@pytest.mark.parametrize("honest", [True, False])
def test_a_node_of_the_internet_can_neither_tell_of_our_network_nor_learn_of_it(
    honest: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = ("45.1.1.1", 9000)
    numbers = [
        n for n in range(10, 99) if log_distance(key_of(2).node_id, key_of(n).node_id) == 256
    ]
    records = [at("192.168.1.1", number=numbers[0]), at("45.3.3.3", number=numbers[1])]
    asker = Engine(key_of(1), record_of(1), random.Random(1).randbytes)
    teller = Engine(
        key_of(2), record_of(2, address=public), random.Random(2).randbytes, lambda _: records
    )
    if not honest:  # tells what it should keep to itself
        monkeypatch.setattr("lightclient.wire.discv5.engine.may_tell", lambda *_: True)
    wire = Wire({("45.9.9.9", 9000): asker, public: teller})
    asker.find_node(teller.record, (256,), 0)
    wire.deliver()
    found = asker.events()[-1]
    assert isinstance(found, NodesFound)
    assert found.found == (records[1],)
    assert found.refused == (0 if honest else 1)


@pytest.mark.parametrize(
    ("claimed", "asked"),
    [
        (("45.1.1.1", 9000), True),  # where it is
        (("45.2.2.2", 9000), True),
        (("127.0.0.1", 9000), False),
        (("192.168.1.1", 9000), False),
        (("45.2.2.2", 53), False),
    ],
)
def test_who_promises_a_newer_record_cannot_have_it_asked_for_anywhere(
    claimed: tuple[str, int], asked: bool
) -> None:
    here, there = ("45.9.9.9", 9000), ("45.1.1.1", 9000)
    liar = Engine(key_of(2), record_of(2, address=claimed), random.Random(2).randbytes)
    node = discovery_of(1)
    wire = Wire({here: node, there: liar})
    us = record_of(1, address=here)
    liar.ping(us, 0)
    wire.deliver()
    liar.record = record_of(2, sequence=2, address=claimed)
    wire.carried.clear()
    liar.ping(us, 0)
    wire.deliver()
    questions = [made.address for source, made in wire.carried if source == here][1:]  # after PONG
    assert questions[:1] == ([claimed] if asked else [])


def test_who_answers_is_kept_where_it_answered_whatever_it_says_of_itself() -> None:
    here, there, next_door = ("45.9.9.9", 9000), ("45.1.1.1", 9000), ("192.168.1.1", 9000)
    moved = record_of(2, sequence=7, address=next_door)
    liar = Engine(key_of(2), moved, random.Random(2).randbytes)
    node = discovery_of(1)
    wire = Wire({here: node, there: liar})
    liar.ping(record_of(1, address=here), 0)
    wire.deliver()
    node.engine.ping(record_of(2, address=there), 0)
    wire.deliver()
    assert [entry.record.udp_endpoint for entry in node.table] == [there]
