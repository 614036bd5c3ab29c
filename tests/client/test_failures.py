"""What goes wrong in the client, its callbacks or its transports, and who is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from lightclient.client import LightClient, SyncState
from lightclient.containers import LightClientBootstrap
from lightclient.errors import UnknownBootstrap
from lightclient.protocol import ACCEPTED
from lightclient.sync import NewFinalizedHeader, NewOptimisticHeader, Outcome, VerifiedHeader
from tests.client.failing import Boom, Faulty, Hanging, still_world
from tests.client.world import SLOTS_PER_PERIOD, ChainTransport, TickingWorld, until

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("error", [Boom("mine"), ExceptionGroup("mine", [Boom()]), SystemExit(3)])
async def test_what_the_body_raises_comes_out_as_it_is(error: BaseException) -> None:
    async def body() -> None:
        async with still_world().client():
            await anyio.lowlevel.checkpoint()
            raise error

    with pytest.raises(type(error)) as caught:
        await body()
    assert caught.value is error


async def wait_in_run(client: LightClient) -> None:
    await client.run()


async def wait_in_iterator(client: LightClient) -> None:
    async for _ in client.finalized_headers():
        pass


async def wait_until_synced(client: LightClient) -> None:
    await client.wait_until_synced()


async def wait_elsewhere(client: LightClient) -> None:
    await until(lambda: client._failure)


@pytest.mark.parametrize("wait", [wait_in_run, wait_in_iterator, wait_until_synced, wait_elsewhere])
async def test_a_fault_in_a_task_reaches_the_caller_as_it_is(
    wait: Callable[[LightClient], Any], caplog: pytest.LogCaptureFixture
) -> None:
    world = still_world()
    with anyio.fail_after(60), pytest.raises(Boom, match="a fault in the transport"):
        async with world.client(Faulty(world, "faulty")) as client:
            await wait(client)
    assert "Light client failed" in caplog.text


async def test_what_is_no_exception_but_ends_the_program_is_not_held_back() -> None:
    class Abort(BaseException):
        """Such as KeyboardInterrupt, which may strike in any task."""

    class Aborting(ChainTransport):
        async def get_light_client_bootstrap(self, block_root: bytes) -> LightClientBootstrap:
            raise Abort

    world = still_world()
    with anyio.fail_after(60), pytest.raises(Abort):
        async with world.client(Aborting(world, "aborting")) as client:
            await client.run()


async def test_a_failure_that_was_seen_to_is_not_raised_again_on_leaving() -> None:
    world = still_world()
    async with world.client(Faulty(world, "faulty")) as client:
        with pytest.raises(Boom):
            await client.run()


async def test_an_exception_of_the_body_goes_before_one_of_the_client() -> None:
    world = still_world()

    async def body() -> None:
        async with world.client(Faulty(world, "faulty")):
            await anyio.sleep(0.05)
            raise KeyError("mine")

    with pytest.raises(KeyError):
        await body()


async def test_a_root_that_nobody_will_ever_know_ends_run_with_the_reason() -> None:
    world = TickingWorld(SLOTS_PER_PERIOD, slot_duration_ms=30)
    client = world.client(world.provider(), trusted_block_root=bytes(32))
    with anyio.fail_after(60), pytest.raises(UnknownBootstrap):
        async with client:
            await client.run()
    assert client.status.state is SyncState.BOOTSTRAPPING


async def test_a_callback_that_raises_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def fails(_: VerifiedHeader) -> None:
        raise Boom("in the callback")

    async def fails_later(_: VerifiedHeader) -> None:
        await anyio.lowlevel.checkpoint()
        raise Boom("in the async callback")

    client = still_world().client(on_finalized_header=fails, on_optimistic_header=fails_later)
    async with client:
        await client.wait_until_synced()
    assert "in the callback" in caplog.text
    assert "in the async callback" in caplog.text


async def test_callbacks_are_called_one_at_a_time_and_in_order() -> None:
    world = still_world()
    running = 0
    slots: list[int] = []

    async def slow(header: VerifiedHeader) -> None:
        nonlocal running
        running += 1
        assert running == 1
        await anyio.sleep(0.02)
        slots.append(header.slot)
        running -= 1

    client = world.client(
        Hanging(world, "hanging"), on_finalized_header=slow, on_optimistic_header=slow
    )
    updates = world.chain.updates(0, 3)
    headers = [VerifiedHeader(update.attested_header, world.network) for update in updates]
    async with client, anyio.create_task_group() as tasks:
        for header in headers:  # as when polled and pushed updates come together
            events = (NewFinalizedHeader(header), NewOptimisticHeader(header))
            tasks.start_soon(client._deliver, Outcome(ACCEPTED, events, progress=True))
        await until(lambda: len(slots) == 6)
    assert sorted(slots) == sorted(header.slot for header in headers * 2)
    assert slots[::2] == slots[1::2]  # both calls for one update, then the next
