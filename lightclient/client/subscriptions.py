"""Verified headers to many listeners: the log, callbacks, async iterators with bounded memory.

A listener that is slower than the chain loses the oldest headers it has not read, never the newest.
"""

from __future__ import annotations

import inspect
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Self, TypeAlias
from weakref import ref

import anyio
import anyio.lowlevel

from lightclient.sync import VerifiedHeader

HeaderCallback: TypeAlias = Callable[[VerifiedHeader], Awaitable[None] | None]

MAX_UNREAD_HEADERS = 1024
_logger = logging.getLogger("lightclient")


class HeaderIterator(AsyncIterator[VerifiedHeader]):
    """Headers as they come; may be left at any time.

    Listens from the moment it is made. An object and not an async generator, so that nothing needs
    closing when a loop over it is left: once dropped it is forgotten.
    """

    def __init__(self, feed: HeaderFeed, first: VerifiedHeader | None) -> None:
        self._feed = feed
        self._unread: deque[VerifiedHeader] = deque(maxlen=MAX_UNREAD_HEADERS)
        self._changed: anyio.Event | None = None
        self._is_closed = False
        if first is not None:
            self._unread.append(first)

    def push(self, header: VerifiedHeader) -> None:
        """One more header to read."""
        if self._is_closed:
            return
        if len(self._unread) == MAX_UNREAD_HEADERS:
            _logger.debug("A slow listener loses the oldest header that it has not read")
        self._unread.append(header)
        self.wake()

    def wake(self) -> None:
        """Let whoever waits look again."""
        if self._changed is not None:
            self._changed.set()

    async def __anext__(self) -> VerifiedHeader:
        await anyio.lowlevel.checkpoint()
        while not self._unread:
            if self._is_closed:
                raise StopAsyncIteration
            if self._feed.is_closed:
                self._feed.raise_failure()
                raise StopAsyncIteration
            if self._changed is None or self._changed.is_set():
                self._changed = anyio.Event()
            await self._changed.wait()
        return self._unread.popleft()

    async def aclose(self) -> None:
        """End the iteration; may be left out."""
        self._is_closed = True
        self._unread.clear()
        self.wake()
        await anyio.lowlevel.checkpoint()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class HeaderFeed:
    """One kind of header, to a callback and any number of iterators."""

    def __init__(self, name: str, callback: HeaderCallback | None) -> None:
        self.name = name
        self._callback = callback
        self._iterators: list[ref[HeaderIterator]] = []
        self._failure: Exception | None = None
        self.latest: VerifiedHeader | None = None
        self.is_closed = False
        self.has_raised = False

    def log(self, header: VerifiedHeader) -> None:
        """Tell the log of ``header``, with what is proven of its execution and its signers."""
        fields: dict[str, object] = {"slot": header.slot, "root": header.root, "fork": header.fork}
        if header.execution_block_hash is not None:
            fields["execution_block_hash"] = header.execution_block_hash
        if header.execution_block_number is not None:
            fields["execution_block_number"] = header.execution_block_number
        if header.participants is not None:
            fields["participants"] = f"{header.participants}/{header.sync_committee_size}"
        _logger.info("New LC %s header", self.name, extra={"lc": fields})

    def push(self, header: VerifiedHeader) -> None:
        """Hand ``header`` to all iterators."""
        self.latest = header
        for iterator in self._listening():
            iterator.push(header)

    async def call(self, header: VerifiedHeader) -> None:
        """Call the callback; its exception is logged and harms nobody else."""
        if self._callback is None:
            return
        try:
            result = self._callback(header)
            if inspect.isawaitable(result):
                await result
        except Exception:
            _logger.exception("A %s header callback failed", self.name)

    def close(self, failure: Exception | None = None) -> None:
        """End all iterators, or make them raise ``failure``, once they have read what they have."""
        self.is_closed = True
        self._failure = failure
        for iterator in self._listening():
            iterator.wake()

    def raise_failure(self) -> None:
        """Raise what the feed was closed with, if anything."""
        if self._failure is not None:
            self.has_raised = True
            raise self._failure

    def subscribe(self, first: VerifiedHeader | None) -> HeaderIterator:
        """Headers from ``first`` (the current one, if there is one) on."""
        iterator = HeaderIterator(self, first)
        self._iterators.append(ref(iterator))
        return iterator

    def _listening(self) -> list[HeaderIterator]:
        """The iterators still held by somebody, perhaps in another thread; forgets the others."""
        held = [(reference, reference()) for reference in self._iterators]
        self._iterators = [reference for reference, iterator in held if iterator is not None]
        return [iterator for _, iterator in held if iterator is not None]
