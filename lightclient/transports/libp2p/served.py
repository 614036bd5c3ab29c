"""The interface by which peers are served: whoever has verified objects can be their source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from lightclient.containers import (
    LightClientBootstrap,
    LightClientFinalityUpdate,
    LightClientOptimisticUpdate,
    LightClientUpdate,
)


class LightClientData(Protocol):
    """Where the light client objects that we serve come from: verified ones only."""

    async def bootstrap(self, block_root: bytes) -> LightClientBootstrap | None:
        """The bootstrap of a block, if there is one."""
        ...

    async def updates(self, start_period: int, count: int) -> Sequence[LightClientUpdate]:
        """The best updates of a range of periods, ascending, with gaps left out."""
        ...

    async def finality_update(self) -> LightClientFinalityUpdate | None:
        """The latest finality update, if there is one."""
        ...

    async def optimistic_update(self) -> LightClientOptimisticUpdate | None:
        """The latest optimistic update, if there is one."""
        ...
