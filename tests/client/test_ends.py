"""How a client ends: stopped, cancelled, timed out, never begun; and what it closes then."""

from __future__ import annotations

import asyncio

import anyio
import anyio.lowlevel
import pytest

from lightclient.client import LightClient
from lightclient.errors import ConfigError, NotSyncedError
from lightclient.sync import VerifiedHeader
from tests.client.failing import Hanging, Watched, still_world
from tests.client.world import until

pytestmark = pytest.mark.anyio


async def test_stopping_ends_run_and_iterators_and_gives_up_what_is_under_way() -> None:
    world = still_world()
    hanging = Hanging(world, "hanging")
    ended: list[str] = []
    with anyio.fail_after(60):
        async with world.client(hanging) as client, anyio.create_task_group() as tasks:

            async def run() -> None:
                await client.run()
                ended.append("run")

            async def iterate() -> None:
                async for _ in client.optimistic_headers():
                    raise AssertionError
                ended.append("iterator")

            async def wait() -> None:
                with pytest.raises(NotSyncedError):
                    await client.wait_until_synced()
                ended.append("wait")

            for work in (run, iterate, wait):
                tasks.start_soon(work)
            await until(lambda: hanging.asked)
            client.stop()
            client.stop()
            await until(lambda: hanging.given_up)
    assert sorted(ended) == ["iterator", "run", "wait"]


async def test_a_callback_may_stop_the_client() -> None:
    client: LightClient

    def stop(_: VerifiedHeader) -> None:
        client.stop()

    client = still_world().client(on_finalized_header=stop)
    with anyio.fail_after(60):
        async with client:
            await client.run()
    assert client.finalized_header() is not None


async def test_headers_can_be_read_to_the_end_after_stopping() -> None:
    client = still_world().client()
    async with client:
        headers = client.finalized_headers()
        await client.wait_until_synced()
        client.stop()
        slots = [header.slot async for header in headers]
    assert slots[-1] == client.finalized_header().slot  # type: ignore[union-attr]


async def test_cancelling_the_caller_ends_everything_and_closes_the_transports() -> None:
    watched = Watched()
    with anyio.CancelScope() as scope:
        async with still_world().client(watched) as client:
            scope.deadline = anyio.current_time() + 0.1
            await client.run()
    assert scope.cancelled_caught
    assert watched.life == ["open", "closed"]


async def test_cancelling_while_it_hangs_in_a_request_is_no_obstacle() -> None:
    hanging = Hanging(still_world(), "hanging")
    scope = anyio.CancelScope()

    async def cancel() -> None:
        await until(lambda: hanging.asked)
        scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cancel)
        with anyio.fail_after(60), scope:
            async with still_world().client(hanging) as client:
                await client.wait_until_synced()
    assert scope.cancelled_caught
    assert hanging.given_up


async def test_all_transports_are_closed_when_one_cannot_be_opened() -> None:
    first, second, third = Watched("first"), Watched("second", fails="open"), Watched("third")
    with pytest.raises(ConfigError, match="cannot be opened"):
        async with still_world().client(first, second, third):
            raise AssertionError
    assert (first.life, second.life, third.life) == (["open", "closed"], ["open", "closed"], [])


async def test_a_transport_that_cannot_be_closed_keeps_no_other_open(
    caplog: pytest.LogCaptureFixture,
) -> None:
    first, second = Watched("first"), Watched("second", fails="close")
    async with still_world().client(first, second):
        pass
    assert first.life[-1] == second.life[-1] == "closed"
    assert "second could not be closed" in caplog.text


async def test_a_client_serves_once() -> None:
    client = still_world().client()
    async with client:
        with pytest.raises(RuntimeError, match="make another"):
            await client.__aenter__()
    with pytest.raises(RuntimeError, match="make another"):
        async with client:
            raise AssertionError


async def test_a_client_that_was_not_entered_says_so() -> None:
    client = still_world().client()
    with pytest.raises(RuntimeError, match="context manager"):
        await client.run()
    with pytest.raises(RuntimeError, match="context manager"):
        await client.wait_until_synced()


async def test_stopped_before_it_was_entered_it_asks_for_nothing() -> None:
    provider = still_world().provider()
    client = still_world().client(provider)
    client.stop()
    with anyio.fail_after(60):
        async with client:
            await client.run()
    assert provider.requests == []


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_asyncios_own_timeouts_end_it_like_any_code() -> None:
    watched = Watched()

    async def run_for_a_moment() -> None:
        async with asyncio.timeout(None) as limit, still_world().client(watched) as client:
            limit.reschedule(asyncio.get_running_loop().time() + 0.1)
            await client.run()

    with pytest.raises(TimeoutError):
        await run_for_a_moment()
    assert watched.life == ["open", "closed"]

    hanging = Hanging(still_world(), "hanging")

    async def follow() -> None:
        async with still_world().client(hanging) as client:
            await client.wait_until_synced()

    task = asyncio.create_task(follow())
    await until(lambda: hanging.asked)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()
