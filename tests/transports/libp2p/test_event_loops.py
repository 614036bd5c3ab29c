"""Two event loops in two threads call each other, whatever either is doing."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import anyio
import anyio.lowlevel
import pytest
import sniffio
from anyio.from_thread import BlockingPortal, start_blocking_portal

from lightclient.transports.libp2p.event_loops import EventLoop, LoopGone, this_event_loop

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextmanager
def elsewhere(backend: str) -> Iterator[tuple[BlockingPortal, EventLoop]]:
    """An event loop in another thread."""
    with (
        start_blocking_portal(backend) as portal,
        portal.wrap_async_context_manager(this_event_loop()) as loop,
    ):
        yield portal, loop


OTHER = {"asyncio": "trio", "trio": "asyncio"}


async def where(*said: str) -> tuple[str, int, tuple[str, ...]]:
    await anyio.lowlevel.checkpoint()
    return sniffio.current_async_library(), threading.get_ident(), said


async def test_what_is_called_runs_there_and_its_result_comes_back(anyio_backend: str) -> None:
    with elsewhere(OTHER[anyio_backend]) as (_, loop):
        library, thread, said = await loop.call(where, "a", "b")
        assert (library, said) == (OTHER[anyio_backend], ("a", "b"))
        assert thread != threading.get_ident()
        assert sniffio.current_async_library() == anyio_backend


async def test_two_loops_that_call_each_other_at_once_never_wait_for_each_other(
    anyio_backend: str,
) -> None:
    calls = 300
    async with this_event_loop() as here:
        with elsewhere(OTHER[anyio_backend]) as (_, there):

            async def back_and_forth(loop: EventLoop) -> None:
                for _ in range(calls):
                    await loop.call(where)

            async with anyio.create_task_group() as tasks:
                with anyio.fail_after(60):
                    for _ in range(2):
                        tasks.start_soon(back_and_forth, there)
                        tasks.start_soon(there.call, back_and_forth, here)
                    # A call within a call within a call.
                    await there.call(here.call, there.call, here.call, where)


async def test_a_failure_is_raised_where_it_was_asked_for(anyio_backend: str) -> None:
    async def fail() -> None:
        raise LookupError("of a test")

    with elsewhere(OTHER[anyio_backend]) as (_, loop):
        with pytest.raises(LookupError, match="of a test"):
            await loop.call(fail)
        assert await loop.call(where)  # it goes on


async def test_to_be_cancelled_here_cancels_it_there(anyio_backend: str) -> None:
    begun, ended = threading.Event(), threading.Event()

    async def linger() -> None:
        begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    with elsewhere(OTHER[anyio_backend]) as (_, loop):
        with anyio.move_on_after(0.2) as scope:
            await loop.call(linger)
        assert scope.cancelled_caught
        assert ended.wait(60) or not begun.is_set()


async def test_nobody_waits_for_a_loop_that_ends(anyio_backend: str) -> None:
    begun = anyio.Event()

    async def linger() -> None:
        await here.call(_set, begun)
        await anyio.sleep_forever()

    async def wait_in_vain(loop: EventLoop) -> None:
        with pytest.raises(LoopGone):
            await loop.call(linger)

    async with (
        this_event_loop() as here,
        anyio.create_task_group() as tasks,
        _ending(OTHER[anyio_backend]) as loop,
    ):
        tasks.start_soon(wait_in_vain, loop)
        with anyio.fail_after(60):
            await begun.wait()
    with pytest.raises(LoopGone):
        await loop.call(where)
    with pytest.raises(LoopGone):
        loop.call_soon(begun.set)


async def _set(event: anyio.Event) -> None:
    event.set()


@asynccontextmanager
async def _ending(backend: str) -> AsyncIterator[EventLoop]:
    """As ``elsewhere``, ended by a worker thread, while this event loop goes on."""
    manager = elsewhere(backend)
    _, loop = await anyio.to_thread.run_sync(manager.__enter__)
    try:
        yield loop
    finally:
        await anyio.to_thread.run_sync(manager.__exit__, None, None, None)


async def test_functions_are_called_in_the_order_in_which_they_were_asked_for(
    anyio_backend: str,
) -> None:
    seen: list[int] = []
    with elsewhere(OTHER[anyio_backend]) as (_, loop):
        for number in range(100):
            loop.call_soon(seen.append, number)
        await loop.call(where)
    assert seen == list(range(100))
