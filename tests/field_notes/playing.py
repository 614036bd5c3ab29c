"""What most of these tests need: a client on a simulated chain, over real HTTP or in process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio

from lightclient import LightClient, VerifiedHeader
from lightclient.simulator.habits import ServerHabits
from lightclient.simulator.server import serve
from lightclient.transports.base import Transport
from lightclient.transports.rest import RestTransport
from tests.client.world import SLOTS_PER_PERIOD, World

PATIENCE_SECONDS = 60
PERIODS = 4
SLOT = PERIODS * SLOTS_PER_PERIOD + 30


def make_world(slot: int = SLOT, **options: Any) -> World:
    """A chain of some periods that crosses two forks, and the time at its head."""
    return World(slot, **options)


def client_of(world: World, *transports: Transport, **options: Any) -> LightClient:
    """A client by the world's clock that trusts its first bootstrap."""
    return LightClient(
        network=world.network,
        trusted_block_root=options.pop("trusted_block_root", None) or world.root(),
        transports=transports,
        clock=world.clock,
        **options,
    )


async def synced(client: LightClient) -> VerifiedHeader:
    """Wait for the head; returns the optimistic header then."""
    with anyio.fail_after(PATIENCE_SECONDS):
        await client.wait_until_synced()
    header = client.optimistic_header()
    assert header is not None
    return header


@asynccontextmanager
async def served(world: World, *habits: ServerHabits) -> AsyncIterator[list[RestTransport]]:
    """REST transports to servers of the world's chain, one for each of ``habits``."""
    async with anyio.create_task_group() as tasks:
        stopped = anyio.Event()
        urls: list[str] = [""] * len(habits)

        async def run(index: int, *, task_status: anyio.abc.TaskStatus[None]) -> None:
            async with serve(world.chain, habits[index]) as url:
                urls[index] = url
                task_status.started()
                await stopped.wait()

        for index in range(len(habits)):
            await tasks.start(run, index)
        try:
            yield [RestTransport(url, timeout=60) for url in urls]
        finally:
            stopped.set()


async def head_over_http(world: World, *habits: ServerHabits) -> VerifiedHeader:
    """The head that a client gets to from servers with these habits."""
    async with served(world, *habits) as transports:
        return await head_from(world, *transports)


async def head_from(world: World, *transports: Transport, **options: Any) -> VerifiedHeader:
    """The head that a client gets to with these transports; it is the true one."""
    async with client_of(world, *transports, **options) as client:
        header = await synced(client)
    assert header.root in world.chain.blocks_by_root
    return header
