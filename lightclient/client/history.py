"""A history, page by page from two providers at a time, judged in order.

Theory of operation. Pages of 32 periods are handed out, the oldest first, to the two best providers
that have nothing to do: while one page is judged the next ones come. At most three pages are held,
judged, downloaded or under way, however long the history is and however fast a provider sends, and
each page is judged once. What is not in a page (it was short, had a gap, broke off, held a lie) is
asked for again, of whoever has not been tried for it yet, and of who sent a part of it once more if
there is no other; only when nobody is left the history ends for now.

A page that everything else waits for and that takes its time is also asked for elsewhere: the first
that brings it wins, and who was overtaken gets no more pages as long as somebody else is there.
Each time that happens there is more patience with the next, so that a slow line of our own is not
filled with the same page from everybody.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import anyio
import anyio.abc

from lightclient.client.asking import Answer
from lightclient.client.providers import Provider
from lightclient.containers import LightClientObject
from lightclient.sync import FetchUpdates, next_task, sync_position
from lightclient.transports.task_groups import bare_task_group

if TYPE_CHECKING:
    from lightclient.client.fetching import Fetcher

PERIODS_PER_PAGE: Final = 32
"""A history is asked for in pages of this many periods (128 may be): memory holds a few pages, and
one takes about as long to judge as the next one to come."""
PAGES_HELD: Final = 3
PROVIDERS_AT_ONCE: Final = 2
PAGE_PATIENCE_SLOTS: Final = 1 / 2
_MORE_PATIENCE: Final = 1.5


@dataclass(slots=True, eq=False)
class _Download:
    """A page asked of one provider; ``is_late`` once it was asked for elsewhere too.

    ``held_back`` is what the provider counted then, see ``Provider.note_overtaken``.
    """

    provider: Provider
    page: _Page
    scope: anyio.CancelScope
    started: float
    held_back: int
    is_late: bool = False


@dataclass(slots=True, eq=False)
class _Page:
    """Periods from ``start`` up to, not including, ``end``, of which nothing is judged yet.

    Attributes:
        tried: who could not bring it further.
        short: who brought a part of it.
        downloads: under way.
        arrived: answers to be judged, with the downloads that brought them.
        is_judged: an answer is being judged now.
    """

    start: int
    end: int
    tried: set[Provider] = field(default_factory=set)
    short: set[Provider] = field(default_factory=set)
    downloads: list[_Download] = field(default_factory=list)
    arrived: deque[tuple[_Download, Answer]] = field(default_factory=deque)
    is_judged: bool = False

    @property
    def is_idle(self) -> bool:
        """Whether nothing is at hand for it and nothing is under way."""
        return not (self.downloads or self.arrived or self.is_judged)


class History:
    """Brings the store forward from a task's first period as far as anybody helps."""

    def __init__(self, fetcher: Fetcher, task: FetchUpdates) -> None:
        self._fetcher = fetcher
        self._processor = fetcher.processor
        self._network = fetcher.processor.network
        self._next_period = task.start_period
        self._asked_for = task.start_period + task.count
        self._pages: deque[_Page] = deque()
        self._downloads: list[_Download] = []
        self._liars: set[Provider] = set()
        self._slow: set[Provider] = set()
        self._least_patience = PAGE_PATIENCE_SLOTS * fetcher.slot_ms / 1000
        self._patience = self._least_patience
        self._progress = False
        self._changed = anyio.Event()
        self._tasks: anyio.abc.TaskGroup | None = None

    async def run(self) -> bool:
        """Whether anybody brought progress."""
        async with bare_task_group() as self._tasks:
            await self._judge_pages()
        return self._progress

    # Judging ------------------------------------------------------------------------------------

    async def _judge_pages(self) -> None:
        while True:
            self._start_downloads()
            if not self._pages:
                return
            page = self._pages[0]
            if page.arrived:
                await self._judge(page, *page.arrived.popleft())
            elif page.downloads or self._able_providers(page):
                await self._wait()
            else:
                return  # nobody is left to ask

    async def _judge(self, page: _Page, download: _Download, answer: Answer) -> None:
        if answer.fault is not None:
            raise answer.fault
        provider = download.provider
        values = self._in_a_row(answer.values, page)
        page.is_judged = True
        judged = await self._fetcher.judge_all(provider, values)
        page.is_judged = False
        self._progress = self._progress or judged.progress
        if judged.is_lie:
            self._liars.add(provider)
        reached = self._reached_period()
        if answer.error is not None or judged.refusal is not None or reached <= page.start:
            page.tried.add(provider)
        elif reached < page.end:
            page.short.add(provider)
        elif judged.progress:
            self._fetcher.prefer(provider)
        page.start = max(page.start, reached)
        if page.start >= page.end:
            self._patience = max(self._least_patience, 2 * answer.seconds)
            self._note_overtaken(page, download)
        while self._pages and self._pages[0].end <= reached:
            self._drop_first_page()

    def _in_a_row(
        self, values: Iterable[LightClientObject], page: _Page
    ) -> list[LightClientObject]:
        """What can be judged now: from the page's first period on, up to the first gap."""
        period = self._network.compute_sync_committee_period_at_slot
        found: list[LightClientObject] = []
        for value in values:
            ahead = period(value.main_header.beacon.slot) - page.start
            if ahead > len(found):
                break
            if ahead == len(found):
                found.append(value)
        return found

    def _reached_period(self) -> int:
        """The first period of which an update is missing; none is at the head."""
        store, now_ms = self._processor.store, self._fetcher.clock()
        task = next_task(sync_position(store, self._network, now_ms))
        if isinstance(task, FetchUpdates):
            return task.start_period
        return max(page.end for page in self._pages)

    def _note_overtaken(self, page: _Page, winner: _Download) -> None:
        for download in page.downloads:
            provider, is_late = download.provider, download.started < winner.started
            if is_late and provider.note_overtaken(download.held_back):
                self._slow.add(provider)

    def _drop_first_page(self) -> None:
        for download in self._pages.popleft().downloads:
            download.scope.cancel()

    async def _wait(self) -> None:
        if self._changed.is_set():
            self._changed = anyio.Event()
        with anyio.move_on_after(self._patience):
            await self._changed.wait()

    # Downloading --------------------------------------------------------------------------------

    def _start_downloads(self) -> None:
        """Hand out pages to whoever is idle. Called whenever something has changed."""
        for page in self._pages:
            if page.is_idle:
                self._start(page)
        while len(self._pages) < PAGES_HELD and self._is_room():
            page_or_none = self._next_page()
            if page_or_none is None or not self._start(page_or_none):
                break
            self._pages.append(page_or_none)
            self._next_period = page_or_none.end
        if self._pages and not (self._pages[0].arrived or self._pages[0].is_judged):
            self._ask_elsewhere(self._pages[0])

    def _is_room(self) -> bool:
        return sum(not item.is_late for item in self._downloads) < PROVIDERS_AT_ONCE

    def _next_page(self) -> _Page | None:
        end = max(self._asked_for, self._current_period())
        if not self._pages and self._next_period < self._asked_for:
            end = self._asked_for  # never more at first than was planned
        stop = min(end, self._next_period + PERIODS_PER_PAGE)
        return _Page(self._next_period, stop) if self._next_period < stop else None

    def _current_period(self) -> int:
        slot = self._network.slot_at_time_ms(self._fetcher.clock())
        return self._network.compute_sync_committee_period_at_slot(slot)

    def _ask_elsewhere(self, page: _Page) -> None:
        """Ask another provider for a page that takes too long."""
        late = anyio.current_time() - self._patience
        if page.downloads and all(item.started <= late for item in page.downloads):
            for item in page.downloads:
                item.is_late = True
            if self._start(page):
                self._patience *= _MORE_PATIENCE

    def _start(self, page: _Page) -> bool:
        provider = self._idle_provider(page)
        if provider is None:
            return False
        now = anyio.current_time()
        download = _Download(provider, page, anyio.CancelScope(), now, provider.held_back)
        page.downloads.append(download)
        self._downloads.append(download)
        assert self._tasks is not None  # pages are handed out within ``run`` only
        self._tasks.start_soon(
            self._download, download, FetchUpdates(page.start, page.end - page.start)
        )
        return True

    def _able_providers(self, page: _Page) -> list[Provider]:
        """Who may still help with a page, busy or not, best first."""
        out = page.tried | self._liars
        able = [item for item in self._fetcher.asking_order() if item not in out]
        # Servers may cap their answers; who does so on purpose is not to set everybody's pace.
        able.sort(key=lambda item: item in page.short)
        quick = [item for item in able if item not in self._slow | page.short]
        return quick or able or [item for item in self._fetcher.last_resort() if item not in out]

    def _idle_provider(self, page: _Page) -> Provider | None:
        busy = {item.provider for item in self._downloads}
        return next((item for item in self._able_providers(page) if item not in busy), None)

    async def _download(self, download: _Download, task: FetchUpdates) -> None:
        page = download.page
        answer: Answer | None = None
        with download.scope:
            answer = await self._fetcher.ask(download.provider, task)
        self._downloads.remove(download)
        page.downloads.remove(download)
        if answer is not None:
            if answer.values or answer.fault is not None:
                page.arrived.append((download, answer))
            else:
                page.tried.add(download.provider)
        self._changed.set()
        self._start_downloads()
