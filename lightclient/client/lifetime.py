"""How a client's parts live and end: its background tasks, its providers' transports."""

from __future__ import annotations

import logging

import anyio
import anyio.abc

from lightclient.client.providers import Provider

_logger = logging.getLogger("lightclient")


class Background:
    """A task group whose context's body and whose tasks raise their exceptions as they are.

    A plain one wraps the exception of the body it surrounds, here the caller's own code.
    """

    def __init__(self) -> None:
        self._group = anyio.create_task_group()

    async def __aenter__(self) -> anyio.abc.TaskGroup:
        return await self._group.__aenter__()

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._group.__aexit__(None, None, None)
        except BaseExceptionGroup as group:
            # No task lets an Exception through; what comes here is such as KeyboardInterrupt.
            first: BaseException = group
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            raise first from None


async def close_transport(provider: Provider) -> None:
    """Close a transport whatever happens; one that cannot be closed keeps no other open."""
    with anyio.CancelScope(shield=True), anyio.move_on_after(5):
        try:
            await provider.transport.aclose()
        except Exception:
            _logger.exception("Transport %s could not be closed", provider.name)
