"""One object, from whoever brings it first.

Theory of operation. Asking two providers for everything, as Nimbus does with its peers, would
double what REST providers count and bill. So the best provider is asked alone, and the next one as
soon as it fails or brings nothing new, or is still silent after an eighth of a slot; then the next,
and so on. All that were asked go on until one has brought enough; then the others are cancelled,
and those that were asked before the winner rank behind it from now on.

No provider is asked twice in a race, so memory and connections are bounded by their number. While
there is something to lose by waiting (the head moves each slot), providers that are silent for a
whole slot are given up once another has answered, but not for ever: after two times in a row one is
waited for as long as its transport allows, so that an honest provider that is slow is heard.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import anyio
import anyio.abc

from lightclient.client.asking import Answer
from lightclient.client.providers import Provider
from lightclient.sync import FetchBootstrap, Task
from lightclient.transports.task_groups import bare_task_group

if TYPE_CHECKING:
    from lightclient.client.fetching import Fetcher

OBJECT_PATIENCE_SLOTS: Final = 1 / 8
LAGGARD_PATIENCE_SLOTS: Final = 1
MAX_CUTS: Final = 2


@dataclass(slots=True, eq=False)
class _Runner:
    """A provider that was asked.

    Attributes:
        held_back: what the provider counted then, see ``Provider.note_overtaken``.
        is_late: another was asked because this one took its time.
        answer: None while it is awaited.
    """

    provider: Provider
    started: float
    held_back: int
    is_late: bool = False
    answer: Answer | None = None


@dataclass(slots=True)
class Race:
    """Asks for one object until it is enough.

    Args:
        is_enough: looked at after each answer; None if any progress is.
        at_once: how many are asked at the same time even if none is slow.
    """

    fetcher: Fetcher
    task: Task
    is_enough: Callable[[], bool] | None
    at_once: int
    _progress: bool = False
    _has_answer: bool = False
    _asked: set[Provider] = field(default_factory=set)
    _waiting: deque[Provider] = field(default_factory=deque)
    _running: list[_Runner] = field(default_factory=list)
    _arrived: deque[_Runner] = field(default_factory=deque)
    _changed: anyio.Event = field(default_factory=anyio.Event)

    async def run(self) -> bool:
        """Whether anybody brought progress."""
        self._waiting.extend(self.fetcher.asking_order())
        async with bare_task_group() as tasks:
            await self._judge_answers(tasks)
        return self._progress

    async def _judge_answers(self, tasks: anyio.abc.TaskGroup) -> None:
        while True:
            while self._arrived:
                if await self._judge(self._arrived.popleft()):
                    return
            if not (self._waiting or self._running or self._has_answer):
                rest = self.fetcher.last_resort()
                self._waiting.extend(item for item in rest if item not in self._asked)
            self._start(tasks)
            if not self._running or not await self._wait():
                return

    def _start(self, tasks: anyio.abc.TaskGroup) -> None:
        while self._waiting and sum(not item.is_late for item in self._running) < self.at_once:
            provider = self._waiting.popleft()
            runner = _Runner(provider, anyio.current_time(), provider.held_back)
            self._asked.add(runner.provider)
            self._running.append(runner)
            tasks.start_soon(self._ask, runner)

    async def _ask(self, runner: _Runner) -> None:
        runner.answer = await self.fetcher.ask(runner.provider, self.task)
        self._running.remove(runner)
        self._arrived.append(runner)
        self._changed.set()

    async def _judge(self, runner: _Runner) -> bool:
        """Judge an answer; whether it is enough now."""
        answer, provider = runner.answer, runner.provider
        assert answer is not None
        if answer.fault is not None:
            raise answer.fault
        provider.cuts = 0
        judged = await self.fetcher.judge_all(provider, answer.values)
        self._has_answer = self._has_answer or answer.error is None
        self._progress = self._progress or judged.progress
        if judged.progress and judged.refusal is None and answer.error is None:
            self.fetcher.prefer(provider)
        if not (self._progress if self.is_enough is None else self.is_enough()):
            return False
        if judged.progress:
            for item in self._running:
                if item.started < runner.started:
                    item.provider.note_overtaken(item.held_back)
        return True

    async def _wait(self) -> bool:
        """Wait for an answer, or until another should be asked; False if waiting is over."""
        if not self._arrived:
            self._changed = anyio.Event()
            with anyio.move_on_after(self._patience()) as scope:
                await self._changed.wait()
            if scope.cancelled_caught:
                for item in self._running:
                    item.is_late = True
                return not self._is_over()
        return True

    def _patience(self) -> float:
        slot = self.fetcher.slot_ms / 1000
        if self._waiting:
            return OBJECT_PATIENCE_SLOTS * slot
        ends = [item.started + LAGGARD_PATIENCE_SLOTS * slot for item in self._running]
        return max(max(ends) - anyio.current_time(), OBJECT_PATIENCE_SLOTS * slot)

    def _is_over(self) -> bool:
        """Whether only providers are left that are not worth waiting for."""
        if self._waiting or not self._has_answer or isinstance(self.task, FetchBootstrap):
            return False
        if any(item.provider.cuts >= MAX_CUTS for item in self._running):
            return False
        for item in self._running:
            item.provider.cuts += item.provider.note_overtaken(item.held_back)
        return True
