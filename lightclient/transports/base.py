"""The interface that every transport has. It fetches, bounds and decodes; it trusts nothing.

What a transport returns is still unverified: only ``sync.Processor`` makes trust. Failures are
``TransportError`` subclasses (see ``lightclient.errors``) that name the provider safely.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from lightclient.config.network import Network
from lightclient.containers import (
    LightClientBootstrap,
    LightClientFinalityUpdate,
    LightClientOptimisticUpdate,
    LightClientUpdate,
)
from lightclient.errors import TransportError

MAX_REQUEST_LIGHT_CLIENT_UPDATES = 128


@dataclass(frozen=True, slots=True)
class UpdateRange:
    """Answer to a request for a range of updates.

    Attributes:
        updates: what came and could be decoded, in the provider's order: perhaps fewer than asked
            for, with gaps, or more.
        error: why the answer ended early; None if it was whole.
    """

    updates: tuple[LightClientUpdate, ...]
    error: TransportError | None = None


class Transport(Protocol):
    """One provider of light client objects."""

    @property
    def name(self) -> str:
        """The provider, safe to show: without credentials or key-like parts."""
        ...

    async def open(self, network: Network) -> None:
        """Make ready for use on ``network``. Connects to nothing yet."""
        ...

    async def aclose(self) -> None:
        """Give up all connections. May be called twice."""
        ...

    async def get_light_client_bootstrap(self, block_root: bytes) -> LightClientBootstrap:
        """The bootstrap of a 32-byte block root."""
        ...

    async def get_light_client_updates_by_range(self, start_period: int, count: int) -> UpdateRange:
        """Best updates of ``count`` (1 to 128) sync committee periods from ``start_period``."""
        ...

    async def get_light_client_finality_update(self) -> LightClientFinalityUpdate:
        """The latest finality update."""
        ...

    async def get_light_client_optimistic_update(self) -> LightClientOptimisticUpdate:
        """The latest optimistic update."""
        ...

    def stream_updates(
        self,
    ) -> AsyncIterator[LightClientFinalityUpdate | LightClientOptimisticUpdate]:
        """Updates as the provider pushes them; raises NotServed if it cannot push."""
        ...
