"""Calls into an event loop of another thread, in either direction at once, on trio and asyncio.

Nobody here ever blocks until the other loop has taken a call, as anyio's portals do: two loops that
call each other at the same moment would then wait for each other for ever.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import CancelledError, Future
from contextlib import asynccontextmanager, suppress
from contextvars import copy_context
from functools import partial
from threading import Lock
from typing import Any, Generic, TypeVar

import anyio
import anyio.abc
import sniffio

from lightclient.transports.task_groups import bare_task_group

T = TypeVar("T")
_CallSoon = Callable[[Callable[[], object]], object]


class LoopGone(Exception):
    """The event loop that was called has ended, or ends."""


class _Call(Generic[T]):
    """A call on its way; all but the future belongs to the loop that is called."""

    def __init__(self, function: Callable[[], Awaitable[T]]) -> None:
        self.future: Future[T] = Future()
        self._function = function
        self._scope: anyio.CancelScope | None = None

    async def run(self) -> None:
        future = self.future
        if future.cancelled():
            return
        try:
            with anyio.CancelScope() as self._scope:
                result = await self._function()
                if future.set_running_or_notify_cancel():
                    future.set_result(result)
        except Exception as error:  # noqa: BLE001 - it is raised where it was asked for
            if future.set_running_or_notify_cancel():
                future.set_exception(error)
        finally:
            future.cancel()

    def give_up(self) -> None:
        if self._scope is not None:
            self._scope.cancel()


class EventLoop:
    """An event loop as others see it; made by :func:`this_event_loop`."""

    def __init__(self, call_soon: _CallSoon, tasks: anyio.abc.TaskGroup) -> None:
        self._call_soon = call_soon
        self._tasks = tasks
        # Of this loop: that of a caller would tell of another event loop than runs here.
        self._context = copy_context()
        self._lock = Lock()
        self._waiting: set[Future[Any]] = set()
        self._has_ended = False

    def call_soon(self, function: Callable[..., object], *args: object) -> None:
        """Have ``function`` called there, in the order of the calls. Of any thread.

        Raises:
            LoopGone: it will not be called.
        """

        def do() -> None:
            if not self._has_ended:
                self._context.run(function, *args)

        if self._has_ended:
            raise LoopGone
        try:
            self._call_soon(do)
        except RuntimeError:  # of asyncio and of trio: the loop is closed
            raise LoopGone from None

    async def call(self, function: Callable[..., Awaitable[T]], *args: object) -> T:
        """What ``function`` returns there; to be cancelled here cancels it there. Of any loop.

        Raises:
            LoopGone: the loop ended before.
        """
        call = _Call(partial(function, *args))
        done = anyio.Event()
        wake = _current_call_soon()

        def tell(_: Future[T]) -> None:
            with suppress(RuntimeError):  # our own loop is closed: nobody waits
                wake(done.set)

        call.future.add_done_callback(tell)
        with self._lock:
            if self._has_ended:
                raise LoopGone
            self._waiting.add(call.future)
        try:
            self.call_soon(self._tasks.start_soon, call.run)
            await done.wait()
        except anyio.get_cancelled_exc_class():
            if call.future.cancel():
                with suppress(LoopGone):
                    self.call_soon(call.give_up)
            raise
        finally:
            with self._lock:
                self._waiting.discard(call.future)
        try:
            return call.future.result()
        except CancelledError:
            raise LoopGone from None

    def end(self) -> None:
        """Let nobody wait any longer."""
        with self._lock:
            self._has_ended = True
            waiting = list(self._waiting)
        for future in waiting:
            future.cancel()


async def await_future(future: Future[T]) -> T:
    """Await what happens in another thread; to be cancelled cancels it there."""
    done, wake = anyio.Event(), _current_call_soon()
    future.add_done_callback(lambda _: wake(done.set))
    try:
        await done.wait()
    except anyio.get_cancelled_exc_class():
        future.cancel()
        with anyio.CancelScope(shield=True):
            await done.wait()
        raise
    return future.result()


def _current_call_soon() -> _CallSoon:
    """What has a function called in the running event loop, from any thread."""
    if sniffio.current_async_library() == "trio":
        import trio

        return trio.lowlevel.current_trio_token().run_sync_soon
    import asyncio

    return asyncio.get_running_loop().call_soon_threadsafe


@asynccontextmanager
async def this_event_loop() -> AsyncIterator[EventLoop]:
    """The running event loop, to be called from others for as long as the block runs."""
    async with bare_task_group() as tasks:
        loop = EventLoop(_current_call_soon(), tasks)
        try:
            yield loop
        finally:
            loop.end()
