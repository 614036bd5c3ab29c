"""Pushed updates in a whole client: told though nobody who is asked has them, and ended."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from lightclient.containers import LightClientOptimisticUpdate
from tests.client.world import SLOTS_PER_PERIOD, ChainTransport, World, until

pytestmark = pytest.mark.anyio


class Pushing(ChainTransport):
    """Pushes what a test hands it, and says when its stream was closed."""

    def __init__(self, world: World) -> None:
        super().__init__(world, "pushing")
        self.send, self.receive = anyio.create_memory_object_stream[Any](32)
        self.is_stream_closed = False
        self.frozen: LightClientOptimisticUpdate | None = None

    async def get_light_client_optimistic_update(self) -> LightClientOptimisticUpdate:
        return self.frozen or await super().get_light_client_optimistic_update()

    async def aclose(self) -> None:
        self.send.close()
        self.receive.close()

    async def stream_updates(self) -> AsyncIterator[Any]:
        try:
            async for update in self.receive:
                yield update
        finally:
            self.is_stream_closed = True


async def test_pushed_updates_are_delivered_though_who_is_asked_has_none() -> None:
    world = World(SLOTS_PER_PERIOD + 30, slot_duration_ms=50)
    pushing = Pushing(world)
    async with world.client(pushing) as client:
        await client.wait_until_synced()
        await until(lambda: client.optimistic_header().slot == world.slot - 1)  # type: ignore[union-attr]
        pushing.frozen = world.chain.optimistic_update()
        world.go_to(world.slot + 1, 0.1)
        update = world.chain.optimistic_update()
        with anyio.fail_after(60):
            headers = client.optimistic_headers()
            await anext(headers)
            await pushing.send.send(update)
            assert (await anext(headers)).slot == world.slot - 1


async def test_the_event_stream_is_closed_on_leaving_and_on_a_lie() -> None:
    world = World(SLOTS_PER_PERIOD + 30, slot_duration_ms=50)
    honest, lying = Pushing(world), Pushing(world)
    update = world.chain.optimistic_update()
    assert update is not None
    async with world.client(lying, honest) as client:
        await client.wait_until_synced()
        await lying.send.send(replace(update, signature_slot=update.attested_header.beacon.slot))
        await until(lambda: lying.is_stream_closed)
        assert not honest.is_stream_closed
    assert honest.is_stream_closed
