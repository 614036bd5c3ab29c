"""The UDP socket, and who is heard on it while it is flooded."""

from __future__ import annotations

import gc
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import pytest

from lightclient.transports.libp2p.udp import (
    BATCH_SIZE,
    STRANGER_BURST,
    STRANGERS_PER_SECOND,
    Doorkeeper,
    UdpSocket,
)
from lightclient.transports.libp2p.udp_answers import MAX_ANSWER_SOCKETS
from lightclient.wire.discv5.packets import MAX_PACKET_SIZE
from lightclient.wire.enr import Address
from tests.transports.libp2p.platforms import sorted_by_sender

NODE = ("45.1.1.1", 9000)
SIZE = 100


@contextmanager
def sockets(*addresses: str) -> Iterator[list[UdpSocket]]:
    opened: list[UdpSocket] = []
    try:
        for address in addresses:
            opened.append(UdpSocket(address, 0))  # noqa: PERF401 - those before one that fails
        yield opened
    except OSError as error:
        pytest.skip(f"this machine has no such address: {error}")
    finally:
        for item in opened:
            item.close()


def received(item: UdpSocket, count: int = 1) -> list[tuple[bytes, Address]]:
    got: list[tuple[bytes, Address]] = []
    for _ in range(500):
        got += item.receive()
        if len(got) >= count:
            break
        time.sleep(0.01)
    return got


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_datagram_comes_with_the_plain_address_of_its_sender(address: str) -> None:
    with sockets(address, address) as (first, second):
        first.send(b"hello", (address, second.port))
        assert received(second) == [(b"hello", (address, first.port))]


def test_a_socket_for_both_families_speaks_plain_ipv4() -> None:
    with sockets("::", "127.0.0.1") as (both, other):
        other.send(b"there", ("127.0.0.1", both.port))
        assert received(both) == [(b"there", ("127.0.0.1", other.port))]
        both.send(b"back", ("127.0.0.1", other.port))
        assert received(other) == [(b"back", ("127.0.0.1", both.port))]


def test_reading_takes_so_much_at_once_and_of_a_datagram_no_more_than_is_legal() -> None:
    with sockets("127.0.0.1", "127.0.0.1") as (first, second):
        for _ in range(BATCH_SIZE + 10):
            first.send(bytes(5), ("127.0.0.1", second.port))
        time.sleep(0.05)
        assert len(second.receive()) == BATCH_SIZE
        assert len(second.receive()) == 10
        assert second.receive() == []
        first.send(bytes(20_000), ("127.0.0.1", second.port))
        [(data, _)] = received(second)
        assert len(data) == MAX_PACKET_SIZE + 1


@pytest.mark.parametrize(
    "address",
    [("127.0.0.1", 0), ("2600:1901::1", 9000), ("255.255.255.255", 9000), ("240.0.0.1", 9000)],
)
def test_what_cannot_be_sent_is_lost_without_a_word(address: Address) -> None:
    with sockets("127.0.0.1") as (item,):
        item.send(b"x", address)
        item.send(bytes(70_000), ("127.0.0.1", item.port))
        assert item.receive() == []


def test_a_closed_socket_says_so() -> None:
    with sockets("127.0.0.1") as (item,):
        pass
    with pytest.raises(OSError, match=r"."):
        item.receive()


def test_a_port_is_taken_once() -> None:
    with sockets("127.0.0.1") as (item,), pytest.raises(OSError, match=r"."):
        UdpSocket("127.0.0.1", item.port)


# Answers apart ------------------------------------------------------------------------------------


def fill(source: UdpSocket, address: str, victim: UdpSocket) -> None:
    """More than the kernel keeps; not longer than an answer, for which there would be room."""
    victim._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    for _ in range(2000):
        source.send(b"strange", (address, victim.port))


def drained(item: UdpSocket) -> list[tuple[bytes, Address]]:
    got: list[tuple[bytes, Address]] = []
    while batch := item.receive():
        got += batch
    return got


@sorted_by_sender
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_an_answer_arrives_while_strangers_fill_the_buffer(address: str) -> None:
    with sockets(address, address, address) as (victim, node, stranger):
        answer = (b"answer", (address, node.port))
        fill(stranger, address, victim)
        node.send(b"answer", (address, victim.port))
        assert answer not in drained(victim), "the buffer was not full"

        victim.listen_apart((address, node.port))
        fill(stranger, address, victim)
        node.send(b"answer", (address, victim.port))
        assert victim.receive()[0] == answer
        drained(victim)

        victim.listen_together_unless(lambda _: False)
        node.send(b"answer", (address, victim.port))
        assert received(victim) == [answer]
        fill(stranger, address, victim)
        node.send(b"answer", (address, victim.port))
        assert answer not in drained(victim)


@sorted_by_sender
def test_a_socket_for_both_families_hears_answers_apart_of_both() -> None:
    with sockets("::", "127.0.0.1", "::1", "127.0.0.1") as (both, four, six, stranger):
        for address, node in (("127.0.0.1", four), ("::1", six)):
            both.listen_apart((address, node.port))
            fill(stranger, "127.0.0.1", both)
            node.send(b"answer", (address, both.port))
            assert both.receive()[0] == (b"answer", (address, node.port))
            drained(both)


@sorted_by_sender
def test_of_one_that_answers_without_end_few_are_read_at_once() -> None:
    with sockets("127.0.0.1", "127.0.0.1", "127.0.0.1") as (victim, node, other):
        victim.listen_apart(("127.0.0.1", node.port))
        for _ in range(50):
            node.send(b"again", ("127.0.0.1", victim.port))
        other.send(b"other", ("127.0.0.1", victim.port))
        assert [data for data, _ in victim.receive()] == [b"again"] * 4 + [b"other"]


@sorted_by_sender
def test_sockets_for_answers_are_bounded_and_given_back() -> None:
    with sockets("127.0.0.1", "127.0.0.1") as (victim, node):
        for port in range(20_000, 20_000 + 3 * MAX_ANSWER_SOCKETS):
            victim.listen_apart(("127.0.0.1", port))
        assert len(victim._answers) == MAX_ANSWER_SOCKETS
        # Nobody is there: what the kernel says of that is no failure of ours.
        for port in range(20_000, 20_000 + MAX_ANSWER_SOCKETS):
            victim.send(b"question", ("127.0.0.1", port))
        node.send(b"hello", ("127.0.0.1", victim.port))
        assert received(victim) == [(b"hello", ("127.0.0.1", node.port))]
        victim.listen_together_unless(lambda address: address[1] == 20_007)
        assert len(victim._answers) == 1
    gc.collect()


def test_where_no_socket_for_an_answer_can_be_had_it_comes_with_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with sockets("127.0.0.1", "127.0.0.1") as (victim, node):
        monkeypatch.setattr(victim._answers, "_connected", refuse)
        for address in [("127.0.0.1", node.port), ("2600:1901::1", 9000), ("nowhere", 70_000)]:
            victim.listen_apart(address)
        assert len(victim._answers) == 0
        node.send(b"answer", ("127.0.0.1", victim.port))
        assert received(victim) == [(b"answer", ("127.0.0.1", node.port))]


def refuse(_: object) -> object:
    raise OSError(24, "Too many open files")


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["trio", "asyncio"])
async def test_waiting_ends_with_the_first_datagram_on_any_socket() -> None:
    with sockets("127.0.0.1", "127.0.0.1", "127.0.0.1") as (victim, node, stranger):
        victim.listen_apart(("127.0.0.1", node.port))
        for sender in (node, stranger, node):
            sender.send(b"x", ("127.0.0.1", victim.port))
            with anyio.fail_after(30):
                await victim.wait(60)
            assert victim.receive() == [(b"x", ("127.0.0.1", sender.port))]


def test_a_port_that_hears_answers_apart_is_still_taken_once() -> None:
    with sockets("127.0.0.1", "127.0.0.1") as (item, node):
        item.listen_apart(("127.0.0.1", node.port))
        with pytest.raises(OSError, match=r"."):
            UdpSocket("127.0.0.1", item.port)
        port = item.port
        item.close()
        UdpSocket("127.0.0.1", port).close()


# The doorkeeper -----------------------------------------------------------------------------------


def admitted(keeper: Doorkeeper, addresses: list[Address], now_ms: int) -> int:
    return sum(keeper.admits(SIZE, address, now_ms) for address in addresses)


def test_strangers_are_rationed_each_and_together() -> None:
    keeper = Doorkeeper()
    assert admitted(keeper, [NODE] * 1000, 0) == 60
    forged = [(f"45.{n >> 8 & 255}.{n & 255}.9", 9000) for n in range(20_000)]
    assert admitted(keeper, forged, 0) == STRANGER_BURST - 60
    # In the long run, whatever addresses are written on it.
    total = sum(admitted(keeper, forged[:2000], second * 1000) for second in range(1, 6))
    assert total <= 5 * STRANGERS_PER_SECOND


def test_who_we_asked_is_heard_through_a_flood_but_may_not_flood_us_either() -> None:
    keeper = Doorkeeper()
    forged = [(f"45.{n >> 8 & 255}.{n & 255}.9", 9000) for n in range(5_000)]
    admitted(keeper, forged, 0)
    assert not keeper.admits(SIZE, ("45.200.1.1", 9000), 0)
    assert sum(keeper.admits(SIZE, NODE, 0, expected=True) for _ in range(1000)) == 100


def test_datagrams_longer_than_legal_are_not_looked_into() -> None:
    keeper = Doorkeeper()
    for expected in (True, False):
        assert keeper.admits(MAX_PACKET_SIZE, NODE, 0, expected=expected)
        assert not keeper.admits(MAX_PACKET_SIZE + 1, NODE, 0, expected=expected)


def test_what_is_remembered_is_bounded() -> None:
    keeper = Doorkeeper()
    for number in range(5000):
        address = (f"10.1.{number >> 8}.{number & 255}", 9000)
        keeper.admits(SIZE, address, number * 10)
        keeper.admits(SIZE, address, number * 10, expected=True)
    assert len(keeper._nodes) == len(keeper._strangers) == 1024


def test_a_socket_is_closed_when_binding_fails() -> None:
    # One that is not would be a ResourceWarning, hence an error.
    for address in ("203.0.113.1", "2001:db8::1"):
        with pytest.raises(OSError, match=r"."):
            UdpSocket(address, 0)
    gc.collect()
