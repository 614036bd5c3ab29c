"""What an operator sees of a node: its metrics, and the peers in the line of each slot."""

from __future__ import annotations

import pytest

pytest.importorskip("libp2p", reason="the extra [libp2p] is not installed")

import sys
import threading
from typing import Any

import anyio

from lightclient.transports.libp2p.muxers import ReceiveBudget
from lightclient_cli.follow import _peer_count
from tests.client.scraping import scraped, value
from tests.client.world import TickingWorld, until
from tests.transports.libp2p.world import address_of, make_client, make_node, publish_head, running

pytestmark = pytest.mark.anyio
SLOT = 500


async def test_a_client_on_the_network_shows_its_peers_traffic_and_gossip() -> None:
    world = TickingWorld(SLOT)
    server = make_node(world)
    async with running(server):
        client = make_client(world, address_of(server))
        before = scraped(client)
        assert value(before, "libp2p_peers") == 0
        async with client:
            with anyio.fail_after(60):
                await client.wait_until_synced()
            await until(lambda: server._gossip.router.topics, 60)
            digest = world.network.compute_fork_digest(
                world.network.compute_epoch_at_slot(world.slot)
            )
            name = f"/eth2/{digest.hex()}/light_client_optimistic_update/ssz_snappy"
            await until(lambda: server._gossip.router.peers_of(name), 60)
            assert publish_head(world, server)
            (pool,) = client.pools
            await until(lambda: pool.figures().counters["gossip_received"] > 0, 60)
            samples = scraped(client)
            assert value(samples, "libp2p_peers") == value(samples, "libp2p_peers_outbound") == 1
            assert value(samples, "libp2p_peers_serving") == 1
            assert value(samples, "libp2p_peers_joined_total") == 1
            # A bootstrap, a few updates and a head: more than 10 KB, and far less than a megabyte.
            assert 10_000 < value(samples, "libp2p_received_bytes_total") < 1_000_000
            assert 0 < value(samples, "libp2p_sent_bytes_total") < 100_000
            assert value(samples, "libp2p_gossip_received_total") >= 1
            assert value(samples, "libp2p_restarts_total") == 0
            assert server.traffic.sent == pytest.approx(
                value(scraped(client), "libp2p_received_bytes_total"), rel=0.2
            )
            assert _peer_count(client) == 1
        assert _peer_count(client) == 0


def test_unread_bytes_are_counted_from_another_thread_while_connections_come_and_go() -> None:
    """So it is for whoever scrapes metrics of a client on asyncio."""

    class Muxer:
        buffered_bytes = 1

    budget: Any = ReceiveBudget()  # of what is told as many bytes as a multiplexer
    is_over = threading.Event()
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def come_and_go() -> None:
        present: list[Muxer] = []
        while not is_over.is_set():
            present = [*present[-16:], Muxer()]
            budget.join(present[-1])

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        counts = [budget.total for _ in range(5000)]
    finally:
        is_over.set()
        thread.join()
        sys.setswitchinterval(usual)
    assert max(counts) <= 18
