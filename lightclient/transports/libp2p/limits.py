"""How often a peer may ask, and how often we ask a peer. Sans-I/O.

Peers get token buckets. Our own pace stays below what Lodestar, the strictest of the servers that
disconnect, tolerates, however a server counts. Lighthouse allows less, and says so: it is then
asked less.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lightclient.wire.protocols import (
    BEACON_BLOCKS_BY_RANGE_2,
    BEACON_BLOCKS_BY_ROOT_2,
    GOODBYE_1,
    LIGHT_CLIENT_BOOTSTRAP_1,
    LIGHT_CLIENT_FINALITY_UPDATE_1,
    LIGHT_CLIENT_OPTIMISTIC_UPDATE_1,
    LIGHT_CLIENT_UPDATES_BY_RANGE_1,
    METADATA_3,
    PING_1,
    STATUS_1,
)


@dataclass(frozen=True, slots=True)
class Quota:
    """So many at once, which come back evenly over ``seconds``."""

    tokens: int
    seconds: float


QUOTAS: Final[Mapping[str, Quota]] = {
    STATUS_1.name: Quota(5, 15),
    PING_1.name: Quota(4, 10),
    METADATA_3.name: Quota(4, 10),
    GOODBYE_1.name: Quota(2, 10),
    LIGHT_CLIENT_BOOTSTRAP_1.name: Quota(5, 15),
    LIGHT_CLIENT_UPDATES_BY_RANGE_1.name: Quota(128, 10),
    LIGHT_CLIENT_FINALITY_UPDATE_1.name: Quota(2, 12),
    LIGHT_CLIENT_OPTIMISTIC_UPDATE_1.name: Quota(2, 12),
    BEACON_BLOCKS_BY_ROOT_2.name: Quota(128, 10),
    BEACON_BLOCKS_BY_RANGE_2.name: Quota(128, 10),
}
"""By the name of a protocol, whatever its version; lists cost a token an item."""

STRICTEST: Final = Quota(1, 10)
"""Lighthouse's for each light client protocol; it refuses more than one update in a request."""

OUR_MARGIN: Final = 1.25
"""Our own pace is slower by this: two clocks and a network lie between us and the server."""


class RateLimiter:
    """The quotas of one peer, which come back evenly.

    Times are seconds of a clock that never steps back.
    """

    def __init__(self, quotas: Mapping[str, Quota] = QUOTAS) -> None:
        self._quotas = quotas
        self._levels: dict[str, tuple[float, float]] = {}

    def take(self, name: str, now: float, tokens: int = 1) -> bool:
        """Whether ``tokens`` were there; they are gone then. More than a quota counts as all."""
        quota = self._quotas[name]
        cost, level = min(tokens, quota.tokens), self._level(quota, name, now)
        if cost > level:
            return False
        self._levels[name] = (level - cost, now)
        return True

    def _level(self, quota: Quota, name: str, now: float) -> float:
        level, then = self._levels.get(name, (float(quota.tokens), now))
        gained = max(now - then, 0.0) * quota.tokens / quota.seconds
        return min(level + gained, float(quota.tokens))


class RequestPace:
    """How often we ask one peer: in no stretch of a quota's time more than the quota has.

    That is within a token bucket, too, and within any other way to count. Times as above.
    """

    def __init__(self, margin: float = OUR_MARGIN, quotas: Mapping[str, Quota] = QUOTAS) -> None:
        self._margin = margin
        self._quotas = quotas
        self._taken: dict[str, deque[tuple[float, int]]] = {}

    def most(self, name: str) -> int:
        """The most tokens that one request may ask for."""
        return self._quotas[name].tokens

    def slow_down(self, name: str, tokens: int = 1) -> None:
        """A request for ``tokens`` was refused as too much or too soon: expect the strictest."""
        self._quotas = {**self._quotas, name: STRICTEST}
        if tokens > STRICTEST.tokens:
            # Refused for its size: less may be asked for at once.
            self._taken.pop(name, None)

    def take(self, name: str, now: float, tokens: int = 1) -> bool:
        """Whether ``tokens`` may be asked for now; they count as asked for then."""
        if self.seconds_until(name, now, tokens) > 0:
            return False
        cost = min(max(tokens, 1), self._quotas[name].tokens)
        self._taken[name].append((now, cost))
        return True

    def seconds_until(self, name: str, now: float, tokens: int = 1) -> float:
        """How long until ``tokens`` may be asked for; more than a quota has count as all it has."""
        quota, window = self._quotas[name], self._quotas[name].seconds * self._margin
        taken = self._taken.setdefault(name, deque())
        while taken and taken[0][0] + window <= now:
            taken.popleft()
        excess = sum(cost for _, cost in taken) + min(max(tokens, 1), quota.tokens) - quota.tokens
        for then, cost in taken:
            if excess <= 0:
                break
            excess -= cost
            if excess <= 0:
                return then + window - now
        return 0.0
