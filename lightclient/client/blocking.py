"""A blocking face of :class:`LightClient` for scripts and wallets that are not async.

The client runs in a thread of its own; callbacks are called there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Any, Self

import anyio
from anyio.from_thread import BlockingPortal, start_blocking_portal

from lightclient.client.light_client import LightClient, Status
from lightclient.errors import NotSyncedError
from lightclient.sync import VerifiedHeader


class BlockingLightClient(AbstractContextManager["BlockingLightClient"]):
    """:class:`LightClient` without ``await``; takes the same arguments; a context manager."""

    def __init__(self, **arguments: Any) -> None:
        self._client = LightClient(**arguments)
        self._exit_stack = ExitStack()
        self._portal: BlockingPortal | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._portal = stack.enter_context(start_blocking_portal())
            stack.enter_context(self._portal.wrap_async_context_manager(self._client))
            self._exit_stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exit_stack.__exit__(kind, error, trace)
        self._portal = None

    def close(self) -> None:
        """Leave the context by hand."""
        self.__exit__(None, None, None)

    @property
    def finalized_header(self) -> VerifiedHeader | None:
        """The latest finalized header; None before the bootstrap."""
        return self._client.finalized_header

    @property
    def optimistic_header(self) -> VerifiedHeader | None:
        """The latest header that the sync committee signed; None before the bootstrap."""
        return self._client.optimistic_header

    @property
    def status(self) -> Status:
        """Where the client stands now."""
        return self._client.status

    def age(self, header: VerifiedHeader) -> float:
        """Seconds since the start of the header's slot."""
        return self._client.age(header)

    def wait_until_synced(self, timeout: float | None = None) -> VerifiedHeader:
        """Wait for the head of the chain; returns the finalized header then.

        Raises:
            NotSyncedError: ``timeout`` (seconds) passed before.
            LightClientError: a failure that cannot heal.
        """
        return self._running().call(self._wait_until_synced, timeout)

    async def _wait_until_synced(self, seconds: float | None) -> VerifiedHeader:
        try:
            with anyio.fail_after(seconds):
                return await self._client.wait_until_synced()
        except TimeoutError:
            raise NotSyncedError(f"not synced after {seconds} seconds") from None

    def finalized_headers(self) -> Iterator[VerifiedHeader]:
        """The current finalized header, then each new one; blocks in between."""
        return self._iterate(self._client.finalized_headers)

    def optimistic_headers(self) -> Iterator[VerifiedHeader]:
        """The current optimistic header, then each new one; blocks in between."""
        return self._iterate(self._client.optimistic_headers)

    def _iterate(
        self, subscribe: Callable[[], AsyncIterator[VerifiedHeader]]
    ) -> Iterator[VerifiedHeader]:
        portal, headers = self._running(), subscribe()
        while (header := portal.call(_next, headers)) is not None:
            yield header

    def _running(self) -> BlockingPortal:
        if self._portal is None:
            raise RuntimeError("use the client as a context manager first")
        return self._portal


async def _next(headers: AsyncIterator[VerifiedHeader]) -> VerifiedHeader | None:
    return await anext(headers, None)
