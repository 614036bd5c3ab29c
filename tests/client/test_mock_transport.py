"""``lightclient.testing.MockTransport`` as an embedder's test would use it."""

from __future__ import annotations

from functools import cache

import anyio
import pytest

from lightclient import LightClient, NotServed, ProviderUnavailable, Transport, UnknownBootstrap
from lightclient.testing import MockTransport
from tests.client.world import SLOTS_PER_PERIOD, World, until

pytestmark = pytest.mark.anyio


@cache
def still_world() -> World:
    return World(2 * SLOTS_PER_PERIOD + 30)


def filled(**options: object) -> MockTransport:
    world = still_world()
    bootstrap = world.chain.bootstrap(world.root())
    assert bootstrap is not None
    return MockTransport(
        bootstraps={world.root(): bootstrap},
        updates=dict(enumerate(world.chain.updates(0, 3))),
        finality_update=world.chain.finality_update(),
        optimistic_update=world.chain.optimistic_update(),
        **options,  # type: ignore[arg-type]
    )


async def test_a_client_syncs_from_what_it_was_given() -> None:
    world = still_world()
    transport = filled(name="mine")
    async with LightClient(
        network=world.network,
        trusted_block_root=world.root(),
        transports=[transport],
        clock=world.clock,
    ) as client:
        await client.wait_until_synced()
        await until(lambda: client.optimistic_header().slot == world.slot - 1)  # type: ignore[union-attr]
        assert client.providers[0].name == "mine"
    assert transport.network is world.network
    assert transport.requests[0] == "bootstrap"


async def test_it_is_a_transport_and_refuses_like_one() -> None:
    transport: Transport = MockTransport()
    await transport.open(still_world().network)
    with pytest.raises(UnknownBootstrap):
        await transport.get_light_client_bootstrap(bytes(32))
    with pytest.raises(NotServed):
        await transport.get_light_client_finality_update()
    with pytest.raises(NotServed):
        await transport.get_light_client_optimistic_update()
    with pytest.raises(NotServed):
        await anext(transport.stream_updates())
    assert (await transport.get_light_client_updates_by_range(0, 5)).updates == ()
    await transport.aclose()
    await transport.aclose()


async def test_an_error_can_be_switched_on_and_off() -> None:
    transport = filled()
    transport.error = ProviderUnavailable("down")
    with pytest.raises(ProviderUnavailable):
        await transport.get_light_client_updates_by_range(0, 2)
    transport.error = None
    assert len((await transport.get_light_client_updates_by_range(1, 5)).updates) == 2
    assert transport.requests == ["updates 0+2", "updates 1+5"]


async def test_pushes_are_streamed_in_order() -> None:
    world = still_world()
    updates = [world.chain.optimistic_update(), world.chain.finality_update()]
    transport = filled(pushes=updates)
    with anyio.fail_after(60):
        assert [update async for update in transport.stream_updates()] == updates
