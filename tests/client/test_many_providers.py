"""One honest provider of five is enough, whatever the others do. In virtual time."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio
import pytest

from lightclient.client import LightClient
from lightclient.simulator.faults import Fault, fault_names, faults_from_seed, make_fault
from lightclient.simulator.in_process import FaultyTransport
from lightclient.sync import VerifiedHeader
from tests.client.virtual import anyio_backend, threads_inline  # noqa: F401 - fixtures
from tests.client.world import SLOTS_PER_PERIOD, World

pytestmark = pytest.mark.anyio
SLOT = 6.0
PERIODS = 3
SLOTS_TO_GO = 40


class VirtualWorld(World):
    """A world whose clock is the event loop's, from the middle of a slot on."""

    def __init__(self, slot: int) -> None:
        self._started = anyio.current_time()
        super().__init__(slot)

    def clock(self) -> int:
        return self.now_ms + int((anyio.current_time() - self._started) * 1000)

    @property
    def slot(self) -> int:
        return self.network.slot_at_time_ms(self.clock())


class Witness:
    """Notes each header that was told and is not of the true chain."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.false: list[VerifiedHeader] = []
        self.told = 0

    def __call__(self, header: VerifiedHeader) -> None:
        self.told += 1
        if self.world.chain.block_of_root(header.root) is None:
            self.false.append(header)


def batched(names: Sequence[str], size: int) -> list[Sequence[str]]:
    return [names[start : start + size] for start in range(0, len(names), size)]


def cast(world: World, faults: Sequence[Sequence[Fault]], seed: int) -> list[FaultyTransport]:
    """Those who misbehave, and an honest one at a place that the seed draws."""
    rng = random.Random(seed)
    transports = [
        FaultyTransport(world.chain, item, random.Random(number), name=f"bad {number}")
        for number, item in enumerate(faults)
    ]
    honest = FaultyTransport(world.chain, name="honest")
    transports.insert(rng.randint(0, len(transports)), honest)
    return transports


@asynccontextmanager
async def following(
    world: World, transports: Sequence[FaultyTransport], seed: int
) -> AsyncIterator[tuple[LightClient, Witness]]:
    witness = Witness(world)
    client = world.client(
        *transports,
        rng=random.Random(seed),
        on_finalized_header=witness,
        on_optimistic_header=witness,
    )

    async def grow() -> None:
        while True:
            world.chain.advance_to(world.slot)
            await anyio.sleep(SLOT / 4)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(grow)
        async with client:
            yield client, witness
        tasks.cancel_scope.cancel()


async def slots_to_the_head(client: LightClient, world: World, most: int) -> int:
    """Slots until the true head is known, or one slot less."""
    first = world.slot
    for _ in range(4 * most):
        header = client.optimistic_header()
        if header is not None and header.slot >= world.slot - 2:
            return world.slot - first
        await anyio.sleep(SLOT / 4)
    raise AssertionError(f"{client.optimistic_header()} in slot {world.slot} after {most} slots")


@pytest.mark.parametrize("names", batched(fault_names(), 4), ids="+".join)
async def test_four_that_always_misbehave_do_not_keep_it_from_the_head(
    names: Sequence[str],
) -> None:
    world = VirtualWorld(PERIODS * SLOTS_PER_PERIOD + 30)
    rng = random.Random(names[0])
    transports = cast(world, [[make_fault(name, rng)] for name in names], seed=len(names[0]))
    async with following(world, transports, 1) as (client, witness):
        await slots_to_the_head(client, world, SLOTS_TO_GO)
        await anyio.sleep(20 * SLOT)
        assert await slots_to_the_head(client, world, 2) <= 2
    assert witness.told
    assert not witness.false


@pytest.mark.parametrize("seed", range(4))
async def test_four_with_drawn_faults_do_not_keep_it_from_the_head(seed: int) -> None:
    world = VirtualWorld(PERIODS * SLOTS_PER_PERIOD + 30)
    rng = random.Random(f"cast {seed}")
    faults = [faults_from_seed(rng, rng.randint(1, 3)) for _ in range(4)]
    transports = cast(world, faults, seed)
    async with following(world, transports, seed) as (client, witness):
        await slots_to_the_head(client, world, SLOTS_TO_GO)
        for _ in range(3):
            await anyio.sleep(10 * SLOT)
            assert await slots_to_the_head(client, world, 4) <= 4
    assert not witness.false


async def test_with_nobody_honest_nothing_false_is_shown() -> None:
    world = VirtualWorld(PERIODS * SLOTS_PER_PERIOD + 30)
    rng = random.Random(1)
    names = [name for name in fault_names() if name.startswith("forged_")]
    faults = [[make_fault(rng.choice(names), rng)] for _ in range(5)]
    transports = [
        FaultyTransport(world.chain, item, rng, name=f"bad {number}")
        for number, item in enumerate(faults)
    ]
    async with following(world, transports, 1) as (_, witness):
        await anyio.sleep(100 * SLOT)
    assert not witness.false


async def test_an_only_provider_that_had_trouble_is_used_again() -> None:
    world = VirtualWorld(PERIODS * SLOTS_PER_PERIOD + 30)
    only = FaultyTransport(world.chain, name="only")
    for fault in ("junk_body", "refusing", "forged_bad_signature"):
        only.faults.faults = (make_fault(fault, random.Random(1)),)
        async with following(world, [only], 1) as (client, _):
            await anyio.sleep(30 * SLOT)
            only.faults.faults = ()
            await slots_to_the_head(client, world, SLOTS_TO_GO)
            score = client.providers[0].score
            await anyio.sleep(20 * SLOT)
            assert score.value > 0
