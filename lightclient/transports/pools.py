"""The interface of a transport whose providers come and go, such as the peers of a network.

A pool brings each provider as a ``Transport`` of its own, so that scores, hedging and shared
histories work over peers as over REST providers, and hands over what peers push, to be judged
before it is passed on to others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from lightclient.config.network import Network
from lightclient.containers import LightClientFinalityUpdate, LightClientOptimisticUpdate
from lightclient.sync import Outcome, VerifiedHeader
from lightclient.transports.base import Transport
from lightclient.transports.scores import ProviderScore


@dataclass(frozen=True, slots=True)
class Heads:
    """What to tell peers about ourselves: the verified headers, None before there are any.

    Attributes:
        finalized: an epoch's checkpoint; None also while ours is none, as after a forced update.
    """

    finalized: VerifiedHeader | None = None
    optimistic: VerifiedHeader | None = None


class PoolMember(Protocol):
    """Whom a pool serves: a client. All calls are made in the client's own event loop."""

    def join(self, transport: Transport, score: ProviderScore, *, serves: bool) -> None:
        """A provider is there, to be asked if it ``serves``; its ``score`` the pool looks at."""
        ...

    def leave(self, transport: Transport) -> None:
        """A provider is gone."""
        ...

    async def judge(
        self,
        transport: Transport,
        update: LightClientFinalityUpdate | LightClientOptimisticUpdate,
    ) -> Outcome | None:
        """Judge what a provider pushed; None if it cannot be judged now."""
        ...

    def can_judge_pushes(self) -> bool:
        """Whether objects of the head can be judged now. May be called from any thread."""
        ...

    def heads(self) -> Heads:
        """The verified headers. May be called from any thread."""
        ...


@dataclass(frozen=True, slots=True)
class PoolFigures:
    """What a pool looks like, in plain numbers for metrics.

    Attributes:
        peers: providers and others that are connected now.
        gauges: other states now, by name. counters: counts since the start, by name.
    """

    peers: int = 0
    gauges: Mapping[str, float] = field(default_factory=dict)
    counters: Mapping[str, int] = field(default_factory=dict)


class TransportPool(Protocol):
    """Providers that come and go."""

    @property
    def name(self) -> str:
        """What it is, safe to show."""
        ...

    async def run(self, network: Network, member: PoolMember) -> None:
        """Find providers on ``network`` for ``member``, until cancelled.

        Raises:
            LightClientError: what waiting will not mend, such as an address in use.
        """
        ...

    def figures(self) -> PoolFigures:
        """What it looks like now. May be called from any thread."""
        ...
