"""How often a peer may ask, and how often we ask a peer: token buckets, sans-I/O.

Our own pace stays below what Lodestar, the strictest server known, tolerates before it disconnects.
"""

from __future__ import annotations

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

OUR_MARGIN: Final = 1.25
"""Our own pace is slower by this: two clocks and a network lie between us and the server."""


class RateLimiter:
    """The quotas of one peer. Times are seconds of a clock that never steps back.

    Args:
        margin: by how much slower tokens come back than the quotas say.
    """

    def __init__(self, margin: float = 1.0, quotas: Mapping[str, Quota] = QUOTAS) -> None:
        self._margin = margin
        self._quotas = quotas
        self._levels: dict[str, tuple[float, float]] = {}

    def take(self, name: str, now: float, tokens: int = 1) -> bool:
        """Whether ``tokens`` were there; they are gone then."""
        if self.seconds_until(name, now, tokens) > 0:
            return False
        quota = self._quotas[name]
        cost = min(tokens, quota.tokens)
        self._levels[name] = (self._level(name, now) - cost, now)
        return True

    def seconds_until(self, name: str, now: float, tokens: int = 1) -> float:
        """How long until ``tokens`` are there; more than a quota has count as all it has."""
        quota = self._quotas[name]
        missing = min(tokens, quota.tokens) - self._level(name, now)
        return max(missing, 0.0) * quota.seconds * self._margin / quota.tokens

    def _level(self, name: str, now: float) -> float:
        quota = self._quotas[name]
        level, then = self._levels.get(name, (float(quota.tokens), now))
        gained = max(now - then, 0.0) * quota.tokens / (quota.seconds * self._margin)
        return min(level + gained, float(quota.tokens))
