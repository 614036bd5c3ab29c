"""Verified headers to many listeners: callbacks, and async iterators with bounded memory.

A listener that is slower than the chain loses the oldest headers it has not read, never the newest.
"""

from __future__ import annotations

import inspect
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

import anyio

from lightclient.sync import VerifiedHeader

HeaderCallback: TypeAlias = Callable[[VerifiedHeader], Awaitable[None] | None]

_KEPT_HEADERS = 1024
_logger = logging.getLogger("lightclient")


class _Subscription:
    def __init__(self) -> None:
        self.headers: deque[VerifiedHeader] = deque(maxlen=_KEPT_HEADERS)
        self.changed = anyio.Event()


class HeaderFeed:
    """One kind of header, to a callback and any number of iterators."""

    def __init__(self, name: str, callback: HeaderCallback | None) -> None:
        self._name = name
        self._callback = callback
        self._subscriptions: set[_Subscription] = set()
        self._closed = False
        self._failure: Exception | None = None

    async def publish(self, header: VerifiedHeader) -> None:
        """Tell all listeners. A callback's exception is logged and harms nobody else."""
        for subscription in self._subscriptions:
            subscription.headers.append(header)
            subscription.changed.set()
        if self._callback is None:
            return
        try:
            result = self._callback(header)
            if inspect.isawaitable(result):
                await result
        except Exception:
            _logger.exception("A %s header callback failed", self._name)

    def close(self, failure: Exception | None = None) -> None:
        """End all iterators, or make them raise ``failure``, once they have read what they have."""
        self._closed = True
        self._failure = failure
        for subscription in self._subscriptions:
            subscription.changed.set()

    async def subscribe(self, first: VerifiedHeader | None) -> AsyncIterator[VerifiedHeader]:
        """Headers from ``first`` (the current one, if there is one) on."""
        subscription = _Subscription()
        if first is not None:
            subscription.headers.append(first)
        self._subscriptions.add(subscription)
        try:
            while True:
                while subscription.headers:
                    yield subscription.headers.popleft()
                if self._closed:
                    if self._failure is not None:
                        raise self._failure
                    return
                subscription.changed = anyio.Event()
                await subscription.changed.wait()
        finally:
            self._subscriptions.discard(subscription)
