"""A light client follows a simulated chain over libp2p, on trio and on asyncio."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("libp2p", reason="the extra [libp2p] is not installed")

import anyio
import anyio.from_thread

from lightclient.client import SyncState
from lightclient.errors import ListenError
from lightclient.transports.libp2p import limits
from lightclient.transports.libp2p.limits import Quota, RateLimiter
from lightclient.transports.libp2p.serving import (
    RATE_LIMITED,
    SERVED,
    Client,
    Responder,
    _Refusal,
)
from lightclient.wire.messages import UpdatesByRange
from lightclient.wire.protocols import LIGHT_CLIENT_UPDATES_BY_RANGE_1, Protocol
from tests.client.world import TickingWorld, World, until
from tests.ports import free_port
from tests.transports.libp2p.world import (
    address_of,
    make_client,
    make_node,
    publish_head,
    running,
)

SLOT = 500


@pytest.mark.anyio
async def test_a_client_bootstraps_catches_up_and_follows_by_gossip() -> None:
    world = TickingWorld(SLOT, slot_duration_ms=2000)
    server = make_node(world)
    async with running(server):
        client = make_client(world, address_of(server))
        async with client:
            with anyio.fail_after(60):
                finalized = await client.wait_until_synced()
                assert finalized.slot > SLOT - 64
                # From here on nobody needs to be asked: gossip brings each head.
                heads = client.optimistic_headers()
                first = await anext(heads)
                await until(lambda: server._gossip.router.peers_of(_topic(world)), 60)
                seen = [first.slot]
                while len(seen) < 4:
                    published_in = world.slot
                    publish_head(world, server)
                    header = await anext(heads)
                    seen.append(header.slot)
                    ends_ms = world.network.slot_start_ms(published_in + 1) - world.clock()
                    await anyio.sleep(max(ends_ms, 0) / 1000 + 0.05)
                assert seen == sorted(set(seen))
            assert client.status.usable_providers == 1


def _topic(world: World) -> str:
    digest = world.network.compute_fork_digest(world.network.compute_epoch_at_slot(world.slot))
    return f"/eth2/{digest.hex()}/light_client_optimistic_update/ssz_snappy"


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_asyncio_program_uses_it_as_well(anyio_backend: str) -> None:
    world = TickingWorld(SLOT)
    server = make_node(world)
    with (
        anyio.from_thread.start_blocking_portal("trio") as portal,
        portal.wrap_async_context_manager(running(server)),
    ):
        client = make_client(world, address_of(server))
        async with client:
            with anyio.fail_after(60):
                await client.wait_until_synced()
            assert client.status.state is SyncState.SYNCED
            assert client.providers[0].name.startswith("libp2p:")
        assert not client.providers


@pytest.mark.anyio
async def test_a_history_comes_from_a_server_that_takes_one_period_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As Lighthouse does: it may be the only one that the user has."""
    quota = Quota(1, 0.2)
    asked: list[int] = []
    limiter = RateLimiter({item.name: quota for item in SERVED})

    def check(_: Client, protocol: Protocol, request: Any) -> None:
        count = request.count if isinstance(request, UpdatesByRange) else 1
        if protocol is LIGHT_CLIENT_UPDATES_BY_RANGE_1:
            asked.append(count)
        if protocol.kind is not None and (
            count > 1 or not limiter.take(protocol.name, anyio.current_time())
        ):
            raise _Refusal(RATE_LIMITED, "Rate limited")

    monkeypatch.setattr(limits, "STRICTEST", quota)
    monkeypatch.setattr(Responder, "_check_rate", staticmethod(check))
    world = TickingWorld(SLOT)
    server = make_node(world)
    async with running(server):
        client = make_client(world, address_of(server))
        async with client:
            with anyio.fail_after(60):
                await client.wait_until_synced()
            (provider,) = client.providers
            assert provider.score.value > 0
    assert asked[0] > 1
    assert set(asked[1:]) == {1}
    assert server.company.figures.joined == 1


@pytest.mark.anyio
async def test_a_client_without_peers_waits_and_begins_with_the_first_that_comes() -> None:
    world = TickingWorld(SLOT)
    server = make_node(world, tcp_port=free_port())
    async with running(server):
        address = address_of(server)
    client = make_client(world, address)
    async with client:
        await anyio.sleep(0.5)
        assert client.status.state is SyncState.BOOTSTRAPPING
        async with running(server):  # at the same port
            with anyio.fail_after(60):
                await client.wait_until_synced()


@pytest.mark.anyio
async def test_a_port_that_is_taken_is_told_and_ends_the_client() -> None:
    world = World(SLOT)
    server = make_node(world)
    async with running(server):
        other = make_node(world)
        object.__setattr__(other._options, "tcp_port", server.port)
        with pytest.raises(ListenError, match="--tcp-port"):
            await other.run()
