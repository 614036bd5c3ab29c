"""Discovery on sockets: our own nodes find each other over loopback, whatever else arrives there."""

from __future__ import annotations

import logging
import os
import random
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
import pytest

from tests.client.world import until
from tests.wire.keys import key_of  # skips where the extra is missing

from lightclient.config import Network, network_by_name
from lightclient.errors import ListenError
from lightclient.transports.libp2p.addresses import PeerAddress, peer_id_of
from lightclient.transports.libp2p.discovery import DiscoveryService, dialable_address
from lightclient.transports.libp2p.known_nodes import NODES_FILE, KnownNodes
from lightclient.transports.libp2p.options import DiscoveryOptions
from lightclient.transports.libp2p.udp import READS_PER_TURN, TURN_SECONDS, Doorkeeper, UdpSocket
from lightclient.wire.discv5 import discovery as core
from lightclient.wire.discv5.challenges import MAX_CHALLENGES
from lightclient.wire.discv5.packets import datagram_of, ordinary_head
from lightclient.wire.enr import Address, NodeRecord, endpoint_entries, sign_record
from lightclient.wire.fork_id import fork_entries, fork_id_of
from lightclient.wire.identity import IdentityKey

pytestmark = pytest.mark.anyio
BOTH = pytest.mark.parametrize("anyio_backend", ["trio", "asyncio"])
MAINNET = network_by_name("mainnet")
NOW_MS = MAINNET.slot_start_ms(14_000_000)


def service(
    number: int,
    start: Iterable[NodeRecord] = (),
    *,
    network: Network = MAINNET,
    found: list[PeerAddress] | None = None,
    wanted: Callable[[], int] = lambda: 1,
    tcp_port: int = 4000,
    udp_port: int = 0,
    directory: Path | None = None,
    clock: Callable[[], int] = lambda: NOW_MS,
    listen_address: str = "127.0.0.1",
) -> DiscoveryService:
    seen = found if found is not None else []
    return DiscoveryService(
        DiscoveryOptions(
            udp_port=udp_port, bootstrap_nodes=tuple(start), directory=directory
        ),
        key_of(number),
        network,
        wanted=wanted,
        on_found=seen.append,
        tcp_port=lambda: tcp_port + number,
        clock=clock,
        listen_address=listen_address,
        random_bytes=random.Random(number).randbytes,
    )


@asynccontextmanager
async def running(*services: DiscoveryService) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        for item in services:
            tasks.start_soon(item.run)
        for item in services:
            await until(lambda item=item: item.record.udp_endpoint is not None)
        yield
        tasks.cancel_scope.cancel()


def address_of(number: int, tcp_port: int = 4000) -> PeerAddress:
    peer_id = peer_id_of(key_of(number).public_key)
    return PeerAddress("ip4", "127.0.0.1", tcp_port + number, peer_id)


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
async def test_they_find_each_other_over_ipv6_and_ipv4_on_one_socket() -> None:
    boot = service(1, listen_address="::1")
    try:
        UdpSocket("::1", 0).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    async with running(boot):
        found: list[PeerAddress] = []
        other = service(2, [boot.record], found=found, listen_address="::")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(other.run)
            await until(lambda: bool(found))
            tasks.cancel_scope.cancel()
    assert {(peer.family, peer.host) for peer in found} == {("ip6", "::1")}
