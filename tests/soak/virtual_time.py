"""One virtual time for everything, and what clocks do to it: skew, steps, sleep of the machine.

trio's mock clock makes every ``anyio.sleep`` take no time at all; the order in which trio runs its
tasks is drawn from the seed, so that a run is the same each time.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import anyio.to_thread
import trio
import trio.testing
from trio._core import _run as trio_scheduler

T = TypeVar("T")


class VirtualTime:
    """The true time of a simulated world, and the clock of the machine in it.

    Attributes:
        skew_ms: what the machine's clock is ahead of the true time.
    """

    def __init__(self, start_ms: int) -> None:
        self._start_ms = start_ms
        self._suspended_ms = 0
        self.skew_ms = 0

    def true_ms(self) -> int:
        """Unix milliseconds."""
        return self._start_ms + self._suspended_ms + int(trio.current_time() * 1000)

    def clock_ms(self) -> int:
        """What the machine believes."""
        return self.true_ms() + self.skew_ms

    def suspend(self, duration_ms: int) -> None:
        """Let the machine sleep: time passes, while whoever waits goes on waiting as long."""
        self._suspended_ms += duration_ms


def run_virtually(seed: int, main: Callable[[], Awaitable[T]]) -> T:
    """Run ``main`` on trio in virtual time, the same way for the same seed."""
    with _seeded_scheduling(seed), _threads_inline():
        return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


@contextmanager
def _seeded_scheduling(seed: int) -> Iterator[None]:
    """As trio's hypothesis plugin does: sort what is runnable, then shuffle it by a known draw."""
    scheduler: Any = trio_scheduler
    before = scheduler._ALLOW_DETERMINISTIC_SCHEDULING
    scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True
    state = scheduler._r.getstate()
    scheduler._r.seed(seed)
    try:
        yield
    finally:
        scheduler._r.setstate(state)
        scheduler._ALLOW_DETERMINISTIC_SCHEDULING = before


@contextmanager
def _threads_inline() -> Iterator[None]:
    """Do at once what would run in a thread: a virtual clock does not wait for real threads."""
    threads: Any = anyio.to_thread
    before = threads.run_sync

    async def inline(function: Callable[..., T], *arguments: Any, **_: Any) -> T:
        await anyio.lowlevel.checkpoint()
        return function(*arguments)

    threads.run_sync = inline
    try:
        yield
    finally:
        threads.run_sync = before


def draws_for(*parts: object) -> random.Random:
    """A source of randomness that depends on ``parts`` alone."""
    return random.Random(repr(parts))
