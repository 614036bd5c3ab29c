"""The interface that every transport has. It fetches, bounds and decodes; it trusts nothing.

What a transport returns is still unverified: only ``sync.Processor`` makes trust. Failures are
``TransportError`` subclasses (see ``lightclient.errors``) that name the provider safely.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from lightclient.config.network import Network
from lightclient.containers import (
    LightClientBootstrap,
    LightClientFinalityUpdate,
    LightClientOptimisticUpdate,
    LightClientUpdate,
)
from lightclient.errors import TransportError
from lightclient.ssz import Json

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


# What some transports tell besides: hearsay, which is compared and never trusted --------------

Spec: TypeAlias = Mapping[str, Json]
"""A configuration as announced: the specification's keys to text, or to what else came."""


@dataclass(frozen=True, slots=True)
class Genesis:
    """The genesis that a provider names: Unix seconds, and the validators' root (32 bytes)."""

    genesis_time: int
    genesis_validators_root: bytes


class AnnouncesNetwork(Protocol):
    """A transport that can ask which network its provider is on. Not every transport can."""

    async def get_spec(self) -> Spec:
        """The configuration that the provider announces. Raises TransportError."""
        ...

    async def get_genesis(self) -> Genesis:
        """The genesis that the provider announces. Raises TransportError."""
        ...


@dataclass(frozen=True, slots=True)
class ServerTime:
    """What a provider's clock showed while it answered, as far as its headers tell.

    When the answer arrived its clock was between ``earliest_ms`` and ``latest_ms``, Unix
    milliseconds: a Date header has whole seconds, and nobody knows how the time of the round trip
    divides.
    """

    earliest_ms: int
    latest_ms: int

    @property
    def middle_ms(self) -> int:
        """The best guess: half a second more than the header, and half the round trip."""
        return (self.earliest_ms + self.latest_ms) // 2

    @property
    def precision_ms(self) -> int:
        """How far the guess may be off."""
        return (self.latest_ms - self.earliest_ms + 1) // 2
