"""A blocking face of :class:`LightClient` for scripts and wallets that are not async.

The client runs in a thread of its own; callbacks are called there. Methods may be called from any
other thread; in a callback only :meth:`BlockingLightClient.stop` and what does not wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Self, Unpack, overload

import anyio
from anyio.from_thread import BlockingPortal, start_blocking_portal

from lightclient.client.arguments import ClientArguments
from lightclient.client.conflicts import Conflict
from lightclient.client.light_client import LightClient
from lightclient.client.providers import Provider
from lightclient.client.status import Status
from lightclient.client.subscriptions import HeaderIterator
from lightclient.errors import NotSyncedError
from lightclient.sync import VerifiedHeader


class BlockingLightClient(AbstractContextManager["BlockingLightClient"]):
    """:class:`LightClient` without ``await``; takes the same arguments; a context manager.

    A failure of the client is raised as there.
    """

    def __init__(self, **arguments: Unpack[ClientArguments]) -> None:
        self._client = LightClient(**arguments)
        self._exit_stack = ExitStack()
        self._portal: BlockingPortal | None = None
        self._thread = 0

    def __enter__(self) -> Self:
        if self._portal is not None:
            raise RuntimeError("this client is already running")
        with ExitStack() as stack:
            portal = stack.enter_context(start_blocking_portal(name="lightclient"))
            stack.enter_context(portal.wrap_async_context_manager(self._client))
            self._thread = portal.call(threading.get_ident)
            self._exit_stack = stack.pop_all()
        self._portal = portal
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._portal = None
        self._exit_stack.__exit__(kind, error, trace)

    def close(self) -> None:
        """Leave the context by hand; once is enough."""
        self.__exit__(None, None, None)

    def run(self) -> None:
        """Wait until :meth:`stop` or :meth:`close` is called elsewhere, such as in a callback.

        Raises:
            LightClientError: a failure that cannot heal.
        """
        self._running().call(self._client.run)

    def stop(self) -> None:
        """Stop following: iterators end, :meth:`run` returns; headers can still be read."""
        if threading.get_ident() == self._thread:
            self._client.stop()  # in a callback
        else:
            self._running().call(self._client.stop)

    @overload
    def finalized_header(self, *, max_age: None = None) -> VerifiedHeader | None: ...

    @overload
    def finalized_header(self, *, max_age: float) -> VerifiedHeader: ...

    def finalized_header(self, *, max_age: float | None = None) -> VerifiedHeader | None:
        """The latest finalized header; None before the bootstrap.

        Raises:
            NotSyncedError: with ``max_age`` (seconds): there is none yet.
            StaleError: with ``max_age``: its slot started longer ago than that.
        """
        return self._client.finalized_header(max_age=max_age)

    @overload
    def optimistic_header(self, *, max_age: None = None) -> VerifiedHeader | None: ...

    @overload
    def optimistic_header(self, *, max_age: float) -> VerifiedHeader: ...

    def optimistic_header(self, *, max_age: float | None = None) -> VerifiedHeader | None:
        """The latest header that the sync committee signed; None before the bootstrap.

        Raises as :meth:`finalized_header`.
        """
        return self._client.optimistic_header(max_age=max_age)

    @overload
    def confirmed_finalized_header(self, *, max_age: None = None) -> VerifiedHeader | None: ...

    @overload
    def confirmed_finalized_header(self, *, max_age: float) -> VerifiedHeader: ...

    def confirmed_finalized_header(self, *, max_age: float | None = None) -> VerifiedHeader | None:
        """The latest finalized header that ``min_providers`` served; None before that.

        Raises as :meth:`finalized_header`.
        """
        return self._client.confirmed_finalized_header(max_age=max_age)

    @overload
    def confirmed_optimistic_header(self, *, max_age: None = None) -> VerifiedHeader | None: ...

    @overload
    def confirmed_optimistic_header(self, *, max_age: float) -> VerifiedHeader: ...

    def confirmed_optimistic_header(self, *, max_age: float | None = None) -> VerifiedHeader | None:
        """The latest optimistic header that ``min_providers`` served; None before that.

        Raises as :meth:`finalized_header`.
        """
        return self._client.confirmed_optimistic_header(max_age=max_age)

    @property
    def conflicts(self) -> tuple[Conflict, ...]:
        """The latest pairs of signed headers that contradict each other."""
        return self._client.conflicts

    @property
    def light_client(self) -> LightClient:
        """The client behind this face; what of it is awaited belongs to another thread."""
        return self._client

    @property
    def status(self) -> Status:
        """Where the client stands now."""
        return self._client.status

    @property
    def providers(self) -> tuple[Provider, ...]:
        """The providers in the order in which they are asked."""
        return self._client.providers

    def age(self, header: VerifiedHeader) -> float:
        """Seconds since the start of the header's slot."""
        return self._client.age(header)

    def wait_until_synced(self, timeout: float | None = None) -> VerifiedHeader:
        """Wait for the head of the chain; returns the finalized header then.

        Raises:
            NotSyncedError: ``timeout`` (seconds) passed before, or the client was stopped.
            LightClientError: a failure that cannot heal.
        """
        return self._running().call(self._wait_until_synced, timeout)

    async def _wait_until_synced(self, seconds: float | None) -> VerifiedHeader:
        with anyio.move_on_after(seconds):
            return await self._client.wait_until_synced()
        state = self._client.status.state.value
        failed = [p.last_error for p in self._client.providers if p.last_error is not None]
        last = f"; the last request failed: {failed[0]}" if failed else ""
        raise NotSyncedError(f"not synced after {seconds} seconds, still {state}{last}")

    def finalized_headers(self) -> Iterator[VerifiedHeader]:
        """The current finalized header, then each new one; blocks in between."""
        return self._iterate(self._client.finalized_headers)

    def optimistic_headers(self) -> Iterator[VerifiedHeader]:
        """The current optimistic header, then each new one; blocks in between."""
        return self._iterate(self._client.optimistic_headers)

    def _iterate(self, subscribe: Callable[[], HeaderIterator]) -> Iterator[VerifiedHeader]:
        portal = self._running()
        return self._headers(portal, portal.call(subscribe))

    def _headers(self, portal: BlockingPortal, headers: HeaderIterator) -> Iterator[VerifiedHeader]:
        while self._portal is portal:
            try:
                header = portal.call(_next, headers)
            except (RuntimeError, CancelledError):
                # The portal refuses or gives up calls while the client is closed in another thread.
                if self._portal is portal:
                    raise
                return
            if header is None:
                return
            yield header

    def _running(self) -> BlockingPortal:
        if self._portal is None:
            raise RuntimeError("use the client as a context manager first")
        return self._portal


async def _next(headers: HeaderIterator) -> VerifiedHeader | None:
    return await anext(headers, None)
