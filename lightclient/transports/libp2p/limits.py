"""How often a peer may ask, and all of them together, and how often we ask a peer. Sans-I/O.

Peers get token buckets, and fair shares of one for all where that runs short. Our own pace stays
below what Lodestar, the strictest of the servers that disconnect, tolerates, however a server
counts. Lighthouse allows less, and says so: it is then asked less.
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

QUOTAS_OF_ALL: Final[Mapping[str, Quota]] = {
    LIGHT_CLIENT_BOOTSTRAP_1.name: Quota(60, 15),
    LIGHT_CLIENT_UPDATES_BY_RANGE_1.name: Quota(512, 10),
    LIGHT_CLIENT_FINALITY_UPDATE_1.name: Quota(120, 12),
    LIGHT_CLIENT_OPTIMISTIC_UPDATE_1.name: Quota(120, 12),
}
"""Of all peers together: some 10 % of a core. What is not here is answered in a few bytes."""

MOST_WHEN_SHORT: Final = 2
"""Tokens that a request gets at most where they run short: a list is answered in part then."""
MAX_DEBTORS: Final = 1024

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


class Ration:
    """The quotas of all peers together, in fair shares where they run short.

    While more than half of a quota is there, whoever asks gets. Below, only who has paid for what
    it had before, and what it pays with is its share of half of what comes back. So the many who
    ask all the time cannot have the rest, and who asks seldom finds it there. Times as above.
    """

    def __init__(self, quotas: Mapping[str, Quota] = QUOTAS_OF_ALL) -> None:
        self._shares = {name: _Shares(quota) for name, quota in quotas.items()}

    def take(self, name: str, peer: str, now: float, tokens: int = 1) -> int:
        """How many of ``tokens`` (1 or more) there are for ``peer``; they are gone then."""
        shares = self._shares.get(name)
        return tokens if shares is None else shares.take(peer, now, tokens)


class _Shares:
    """One quota, and what each peer that had of it has yet to pay."""

    def __init__(self, quota: Quota) -> None:
        self._quota = quota
        self._level = float(quota.tokens)
        self._then = 0.0
        self._debts: dict[str, float] = {}
        self._paid_at = 0.0

    def take(self, peer: str, now: float, tokens: int) -> int:
        quota = self._quota
        gained = max(now - self._then, 0.0) * quota.tokens / quota.seconds
        self._level, self._then = min(self._level + gained, float(quota.tokens)), now
        if now - self._paid_at >= 1.0:
            self._pay(now)
        cost = min(tokens, int(self._level - quota.tokens / 2))
        if cost <= 0:
            cost = 0 if peer in self._debts else min(tokens, int(self._level), MOST_WHEN_SHORT)
        if not cost:
            return 0
        self._level -= cost
        self._debts[peer] = self._debts.get(peer, 0.0) + cost
        if len(self._debts) > MAX_DEBTORS:
            del self._debts[next(iter(self._debts))]
        return cost

    def _pay(self, now: float) -> None:
        seconds, self._paid_at = now - self._paid_at, now
        if self._debts:
            paid = seconds * self._quota.tokens / self._quota.seconds / 2 / len(self._debts)
            self._debts = {peer: debt - paid for peer, debt in self._debts.items() if debt > paid}


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
