"""A light client that knows a boot node and nobody else finds a peer that serves it."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("libp2p", reason="the extra [libp2p] is not installed")

import anyio
from anyio.from_thread import start_blocking_portal

from lightclient.client import LightClient
from lightclient.errors import ListenError
from lightclient.transports.libp2p import discovery
from lightclient.transports.libp2p.discovery import DiscoveryService
from lightclient.transports.libp2p.known_nodes import KnownNodes
from lightclient.transports.libp2p.options import DiscoveryOptions, Libp2pOptions
from lightclient.transports.libp2p.pool import Libp2pPool
from lightclient.transports.libp2p.udp import UdpSocket
from lightclient.wire.enr import NodeRecord
from tests.client.world import TickingWorld, World, until
from tests.transports.libp2p import finders
from tests.transports.libp2p.world import make_node, running

pytestmark = pytest.mark.anyio
SLOT = 500


def client_of(world: World, **options: Any) -> LightClient:
    pool = Libp2pPool(
        Libp2pOptions(
            secret=os.urandom(32),
            listen_address="127.0.0.1",
            tcp_port=0,
            discovery=DiscoveryOptions(**{"udp_port": 0} | options),
        ),
        clock=world.clock,
        rng=random.Random(1),
    )
    return LightClient(
        network=world.network,
        trusted_block_root=world.root(),
        pools=[pool],
        clock=world.clock,
        rng=random.Random(1),
    )


async def follow(world: World, **options: Any) -> None:
    client = client_of(world, **options)
    with anyio.fail_after(60):
        async with client:
            finalized = await client.wait_until_synced()
            assert finalized.slot > SLOT - 64
            assert client.status.usable_providers == 1


@asynccontextmanager
async def network_of(world: World) -> AsyncIterator[NodeRecord]:
    """A boot node, and a peer that serves and that only the boot node knows."""

    def finder(number: int, tcp_port: Callable[[], int], **options: Any) -> DiscoveryService:
        return finders.service(
            number, network=world.network, clock=world.clock, tcp_port=tcp_port, **options
        )

    server, boot = make_node(world), finder(1, lambda: 0)
    async with running(server), finders.running(boot):
        secret = server._options.secret
        told = finder(2, lambda: server.port, start=[boot.record], secret=secret)
        async with finders.running(told):
            await until(lambda: boot.node_count)
            yield boot.record


async def test_a_client_finds_its_provider_from_a_boot_node_and_again_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "_PARTING_SECONDS", 60)  # a disk may be busy
    world = TickingWorld(SLOT)
    async with network_of(world) as boot:
        await follow(world, bootstrap_nodes=[boot], directory=tmp_path)
        assert boot.node_id in {record.node_id for record in KnownNodes(tmp_path).load()}
        await follow(world, directory=tmp_path)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_asyncio_program_finds_its_provider_as_well(anyio_backend: str) -> None:
    world = TickingWorld(SLOT)
    with (
        start_blocking_portal("trio") as portal,
        portal.wrap_async_context_manager(network_of(world)) as boot,
    ):
        await follow(world, bootstrap_nodes=[boot])


@pytest.mark.parametrize("anyio_backend", ["trio", "asyncio"])
async def test_a_udp_port_that_is_taken_ends_the_client_with_a_reason(anyio_backend: str) -> None:
    taken = UdpSocket("127.0.0.1", 0)
    try:
        # The node is starting meanwhile, and stops nevertheless.
        with anyio.fail_after(60), pytest.raises(ListenError, match="--udp-port"):
            async with client_of(World(SLOT), udp_port=taken.port) as client:
                await client.run()
    finally:
        taken.close()
