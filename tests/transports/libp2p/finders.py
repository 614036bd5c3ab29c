"""Discovery services on loopback, for tests: seeded, each with a TCP port of its own to tell."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from lightclient.config import Network, network_by_name
from lightclient.transports.libp2p.addresses import PeerAddress, peer_id_of
from lightclient.transports.libp2p.discovery import DiscoveryService
from lightclient.transports.libp2p.options import DiscoveryOptions
from lightclient.transports.task_groups import bare_task_group
from lightclient.wire.enr import NodeRecord
from lightclient.wire.identity import IdentityKey
from tests.client.world import until
from tests.wire.keys import key_of

MAINNET = network_by_name("mainnet")
NOW_MS = MAINNET.slot_start_ms(14_000_000)
_TCP_PORT = 4000


def service(
    number: int,
    start: Iterable[NodeRecord] = (),
    *,
    network: Network = MAINNET,
    found: list[PeerAddress] | None = None,
    wanted: Callable[[], int] = lambda: 1,
    tcp_port: Callable[[], int] | None = None,
    udp_port: int = 0,
    directory: Path | None = None,
    clock: Callable[[], int] = lambda: NOW_MS,
    listen_address: str = "127.0.0.1",
    secret: bytes | None = None,
    learns_address: bool = True,
) -> DiscoveryService:
    seen = found if found is not None else []
    return DiscoveryService(
        DiscoveryOptions(
            udp_port=udp_port,
            bootstrap_nodes=tuple(start),
            directory=directory,
            learns_address=learns_address,
        ),
        key_of(number) if secret is None else IdentityKey(secret),
        network,
        wanted=wanted,
        on_found=seen.append,
        tcp_port=tcp_port or (lambda: _TCP_PORT + number),
        clock=clock,
        listen_address=listen_address,
        random_bytes=random.Random(number).randbytes,
    )


def address_of(number: int) -> PeerAddress:
    peer_id = peer_id_of(key_of(number).public_key)
    return PeerAddress("ip4", "127.0.0.1", _TCP_PORT + number, peer_id)


@asynccontextmanager
async def running(*services: DiscoveryService) -> AsyncIterator[None]:
    """All of ``services``, with records that tell where they are."""
    async with bare_task_group() as tasks:
        for item in services:
            tasks.start_soon(item.run)
        await until(lambda: all(item.port and b"eth2" in item.record.entries for item in services))
        yield
