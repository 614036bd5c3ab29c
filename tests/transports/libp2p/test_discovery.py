"""Discovery on sockets: nodes of ours find each other over loopback, and what they make of it."""

from __future__ import annotations

import select
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import anyio
import pytest

from lightclient.config import FAR_FUTURE_EPOCH, BlobParameters, network_by_name
from lightclient.errors import ListenError
from lightclient.transports.libp2p import discovery, supervision
from lightclient.transports.libp2p.addresses import PeerAddress
from lightclient.transports.libp2p.discovery import (
    LONGEST_PAUSE_MS,
    DiscoveryService,
    dialable_address,
)
from lightclient.transports.libp2p.known_nodes import KnownNodes
from lightclient.transports.libp2p.udp import UdpSocket
from lightclient.wire.discv5.discovery import Discovery, ExternalAddress
from lightclient.wire.discv5.requests import REQUEST_TIMEOUT_MS
from lightclient.wire.enr import Address, NodeRecord, endpoint_entries, sign_record
from lightclient.wire.fork_id import fork_entries, fork_id_of
from lightclient.wire.rlp import Item
from tests.client.world import until
from tests.transports.libp2p.finders import MAINNET, NOW_MS, address_of, running, service
from tests.wire.keys import key_of

pytestmark = pytest.mark.anyio
BOTH = pytest.mark.parametrize("anyio_backend", ["trio", "asyncio"])
EPOCH = MAINNET.compute_epoch_at_slot(MAINNET.slot_at_time_ms(NOW_MS))
LATER = replace(MAINNET, blob_schedule=(*MAINNET.blob_schedule, BlobParameters(EPOCH + 10, 33)))
"""The same network, by who has planned another fork."""
OURS = fork_entries(MAINNET, EPOCH)


def record(
    number: int, ip: str = "45.1.1.1", tcp: int = 9000, fork: Mapping[bytes, Item] = OURS
) -> NodeRecord:
    entries = endpoint_entries(ip_address(ip), tcp=tcp, udp=9000) | dict(fork)
    return sign_record(key_of(number), 1, {k: v for k, v in entries.items() if v is not None})


# Finding ------------------------------------------------------------------------------------------


@BOTH
async def test_nodes_that_know_only_the_boot_node_find_each_other() -> None:
    boot = service(1)
    async with running(boot):
        found: dict[int, list[PeerAddress]] = {2: [], 3: []}
        others = [service(n, [boot.record], found=found[n]) for n in (2, 3)]
        async with running(*others):
            await until(lambda: address_of(3) in found[2] and address_of(2) in found[3])
            assert boot.node_count == 2
            assert address_of(2) not in found[2]


@BOTH
async def test_a_node_on_ipv6_is_found_from_a_socket_for_both() -> None:
    try:
        UdpSocket("::1", 0).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    found: list[PeerAddress] = []
    third = service(3)
    boot = service(1, [], listen_address="::1")
    async with running(boot, third):
        start = [boot.record, third.record]
        async with running(service(2, start, found=found, listen_address="::")):
            await until(lambda: {peer.host for peer in found} == {"::1", "127.0.0.1"})
            await until(
                lambda: boot._core.engine.session_count and third._core.engine.session_count
            )


async def test_nodes_of_other_networks_are_asked_but_not_told_of() -> None:
    found: list[PeerAddress] = []
    boot, other, ours = service(1, network=network_by_name("hoodi")), service(2), service(3)
    async with running(boot):
        other = service(2, [boot.record], network=network_by_name("sepolia"))
        ours = service(3, [boot.record])
        async with running(other, ours):
            await until(lambda: boot.node_count == 2, 20)
            finder = service(4, [boot.record], found=found)
            async with running(finder):
                await until(lambda: finder.node_count == 3, 30)
                assert set(found) == {address_of(3)}


async def test_who_parts_from_us_at_the_next_fork_is_told_of_if_nobody_else_is_there() -> None:
    finder = service(1)
    told: list[PeerAddress] = []
    finder._on_found = told.append
    soon = record(2, fork=fork_entries(LATER, EPOCH))
    finder._offer(soon)
    finder._offer(record(3))
    assert [peer.peer_id for peer in told] == [address_of(3).peer_id]
    finder._finish_lookup(1)
    assert len(told) == 1
    finder._offer(soon)
    assert len(told) == 1
    finder._finish_lookup(2)
    assert [peer.peer_id for peer in told] == [address_of(n).peer_id for n in (3, 2)]


async def test_boot_nodes_on_our_fork_are_told_of_before_anyone_answers() -> None:
    found: list[PeerAddress] = []
    elsewhere = fork_entries(network_by_name("hoodi"), EPOCH)
    start = [record(2), record(3, fork=elsewhere), record(4, fork={b"eth2": b"?"})]
    await service(1, start, found=found)._begin()
    assert [str(peer) for peer in found] == [f"/ip4/45.1.1.1/tcp/9000/p2p/{address_of(2).peer_id}"]


# What strangers may have us dial ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ip", "port", "allowed"),
    [
        ("45.1.1.1", 9000, True),
        ("45.1.1.1", 22, False),
        # Discovery itself let nobody tell of these but who is next to them.
        ("192.168.1.1", 9000, True),
        ("127.0.0.1", 9000, True),
    ],
)
def test_ports_of_other_services_are_not_dialled(ip: str, port: int, allowed: bool) -> None:
    assert (dialable_address(record(2, ip, port)) is not None) is allowed


@pytest.mark.parametrize("ip", ["127.0.0.1", "192.168.1.1", "169.254.169.254", "224.0.1.1"])
def test_an_address_for_tcp_alone_must_be_of_the_internet(ip: str) -> None:
    entries = endpoint_entries(ip_address("2600:1901::1"), udp=9000)
    entries |= endpoint_entries(ip_address(ip), tcp=9000)
    given = {k: v for k, v in entries.items() if v is not None}
    trap = sign_record(key_of(2), 1, given)
    assert trap.udp_endpoint == ("2600:1901::1", 9000)
    assert trap.tcp_endpoint == (ip, 9000)
    assert dialable_address(trap) is None
    given[b"ip"] = ip_address("45.1.1.1").packed
    assert dialable_address(sign_record(key_of(2), 1, given)) is not None


# Pace ---------------------------------------------------------------------------------------------


def test_look_ups_are_made_while_peers_are_wanted_and_less_often_while_they_bring_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_ms = 10_000_000
    looked: list[int] = []
    monkeypatch.setattr(Discovery, "look_up", lambda core, _, now: looked.append(now))
    wanted = 1
    finder = service(1, wanted=lambda: wanted)

    def minute() -> int:
        nonlocal now_ms
        before = len(looked)
        for _ in range(120):
            now_ms += 500
            finder._tick(now_ms)
            if looked and looked[-1] == now_ms:
                finder._core._looked_ms = now_ms
                finder._finish_lookup(now_ms)
        return len(looked) - before

    first = minute()
    assert 3 <= first <= 6
    for _ in range(5):
        minute()
    assert minute() <= 1 + 60_000 // LONGEST_PAUSE_MS
    finder._offer(record(2))  # somebody new: it is worth looking again
    now_ms += LONGEST_PAUSE_MS
    assert minute() >= 3
    wanted = 0
    minute()
    assert minute() == 0


# Our own record -----------------------------------------------------------------------------------


def test_our_record_follows_the_forks_and_the_ports() -> None:
    now_ms, port = LATER.slot_start_ms(LATER.compute_start_slot_at_epoch(EPOCH + 10)) - 1, 4001
    node = service(1, network=LATER, clock=lambda: now_ms, tcp_port=lambda: port)
    node.port = 9123
    node._tick(1)
    before = node.record
    told = fork_id_of(before)
    assert told is not None
    assert told.fork_digest == MAINNET.compute_fork_digest(EPOCH)
    assert told.next_fork_epoch == EPOCH + 10
    assert before.tcp_endpoint == ("127.0.0.1", 4001)
    assert before.udp_endpoint == ("127.0.0.1", 9123)
    node._tick(2)
    assert node.record is before, "nothing changed, yet it is another record"
    now_ms += 1
    port = 4002
    node._tick(3)
    told = fork_id_of(node.record)
    assert told is not None
    assert told.fork_digest == LATER.compute_fork_digest(EPOCH + 10)
    assert told.next_fork_epoch == FAR_FUTURE_EPOCH
    assert node.record.tcp_endpoint == ("127.0.0.1", 4002)
    assert node.record.sequence > before.sequence
    assert node._core.record is node.record


def endpoints(node: DiscoveryService) -> tuple[Address | None, Address | None]:
    return node.record.udp_endpoint, node.record.tcp_endpoint


def test_an_address_that_others_see_is_told_unless_one_was_given() -> None:
    node = service(1, listen_address="0.0.0.0")
    node.port = 9123
    node._tick(1)
    assert endpoints(node) == (None, None)
    node._core._events.append(ExternalAddress(("45.6.7.8", 31000)))
    node._tell(1)
    node._tick(2)
    assert endpoints(node) == (("45.6.7.8", 31000), ("45.6.7.8", 4001))
    node._core._events.append(ExternalAddress(("2600:1901::7", 31000)))
    node._tell(1)
    node._tick(3)
    assert endpoints(node) == (("2600:1901::7", 31000), ("2600:1901::7", 4001))
    mute = service(3, listen_address="0.0.0.0", learns_address=False)
    mute._core._events.append(ExternalAddress(("45.6.7.8", 31000)))
    mute._tell(1)
    mute._tick(1)
    assert endpoints(mute) == (None, None)
    told = service(2, listen_address="127.0.0.1")
    told._core._events.append(ExternalAddress(("45.6.7.8", 31000)))
    told._tell(1)
    told._tick(1)
    assert told.record.tcp_endpoint == ("127.0.0.1", 4002)


def test_who_tells_no_address_does_not_tell_the_one_it_listens_at_either() -> None:
    mute = service(1, listen_address="127.0.0.1", learns_address=False)
    mute._tick(1)
    assert endpoints(mute) == (None, None)


def test_an_address_of_a_local_network_is_told_until_others_see_another() -> None:
    node = service(1, listen_address="192.168.7.7")
    node._tick(1)
    assert endpoints(node)[1] == ("192.168.7.7", 4001)
    node._core._events.append(ExternalAddress(("45.6.7.8", 31000)))
    node._tell(1)
    node._tick(2)
    assert endpoints(node) == (("45.6.7.8", 31000), ("45.6.7.8", 4001))
    public = service(2, listen_address="45.1.1.1")
    public._core._events.append(ExternalAddress(("45.6.7.8", 31000)))
    public._tell(1)
    public._tick(1)
    assert endpoints(public)[1] == ("45.1.1.1", 4002)


def test_the_record_of_a_later_run_replaces_the_earlier_one() -> None:
    first = service(1)
    first._tick(1)
    later = service(1, clock=lambda: NOW_MS + 1000)
    assert later.record.sequence > first.record.sequence


# Starts and restarts ------------------------------------------------------------------------------


@BOTH
async def test_nodes_that_answered_are_kept_for_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "_PARTING_SECONDS", 60)  # a disk may be busy
    found: list[PeerAddress] = []
    async with running(peer := service(1)):
        async with running(first := service(2, [peer.record], directory=tmp_path)):
            await until(lambda: first.node_count)
        assert KnownNodes(tmp_path).load() == [peer.record]
        async with running(again := service(3, directory=tmp_path, found=found)):
            await until(lambda: again.node_count)
    assert found[0] == address_of(1)


async def test_a_port_that_is_taken_is_told_with_what_to_do() -> None:
    taken = UdpSocket("127.0.0.1", 0)
    try:
        with pytest.raises(ListenError, match=r"port \d+ \(UDP\).*--udp-port"):
            await service(1, udp_port=taken.port).run()
    finally:
        taken.close()


@contextmanager
def running_elsewhere(node: DiscoveryService) -> Iterator[None]:
    """In a thread of its own, which goes on while ours sleeps."""
    stopped = threading.Event()

    async def run() -> None:
        async with running(node):
            await until(stopped.is_set, 120)

    thread = threading.Thread(target=anyio.run, args=(run,))
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


@BOTH
async def test_an_answer_that_came_while_this_machine_slept_is_not_too_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[UdpSocket] = []
    slept_ms = 0

    def open_socket(address: str, port: int) -> UdpSocket:
        opened.append(UdpSocket(address, port))
        return opened[-1]

    with running_elsewhere(boot := service(1)):
        await until(lambda: b"eth2" in boot.record.entries)
        monkeypatch.setattr(discovery, "UdpSocket", open_socket)
        monkeypatch.setattr(
            discovery, "_now_ms", lambda: int(anyio.current_time() * 1000) + slept_ms
        )
        async with running(node := service(2, [boot.record])):
            await until(lambda: node.node_count)
            await until(lambda: not node._core.engine.pending_count)
            sent = node.figures.sent
            node._core.look_up(bytes(32), int(anyio.current_time() * 1000))
            await until(lambda: node.figures.sent > sent)
            if node._core.engine.pending_count == 1:
                # Nothing of ours runs until the answer is there.
                assert select.select([opened[-1]._answers.readable], [], [], 60)[0]
                slept_ms = REQUEST_TIMEOUT_MS + 500
            await until(lambda: not node._core.engine.pending_count)
            assert [entry.failures for entry in node._core.table] == [0]


@BOTH
async def test_a_socket_that_fails_is_opened_again_at_the_same_port(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(supervision, "FIRST_RESTART_SECONDS", 0.01)
    failures: list[OSError] = []
    receive = UdpSocket.receive

    def fail_once(self: UdpSocket) -> object:
        if failures:
            raise failures.pop()
        return receive(self)

    async with running(node := service(1)):
        port, core = node.port, node._core
        monkeypatch.setattr(UdpSocket, "receive", fail_once)
        failures.append(OSError(5, "Input/output error"))
        await until(lambda: node.figures.restarts == 1)
        await anyio.sleep(0.1)
        found: list[PeerAddress] = []
        async with running(service(2, [node.record], found=found)):
            await until(lambda: node.node_count)
        assert node.port == port
        assert node._core is core, "what was known is gone"
    assert "Input/output error" in [getattr(r, "lc", {}).get("reason") for r in caplog.records]


@BOTH
async def test_a_fault_in_the_protocol_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(supervision, "FIRST_RESTART_SECONDS", 0.01)
    async with running(peer := service(1)), running(node := service(2, [peer.record])):
        await until(lambda: node.node_count)

        def stumble(*_: object) -> None:
            raise RuntimeError("a fault")

        monkeypatch.setattr(node._core, "tick", stumble)
        await until(lambda: node.figures.restarts)
        await until(lambda: node.node_count)
    assert "Discovery ended; it is started again" in caplog.text


async def test_without_boot_nodes_it_says_so_and_waits_to_be_found(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running(alone := service(1)), running(service(2, [alone.record])):
        await until(lambda: alone.node_count)
    assert "No boot nodes are known" in caplog.text
