"""Rate limits: token buckets by a clock that is passed in, and a bounded number of them by key."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable


class TokenBucket:
    """Lets ``burst`` things pass at once and ``per_second`` in the long run."""

    def __init__(self, per_second: float, burst: float) -> None:
        self._per_ms = per_second / 1000
        self._burst = burst
        self._tokens = burst
        self._filled_ms: int | None = None

    def take(self, now_ms: int) -> bool:
        """Whether one more may pass at ``now_ms``; a clock that goes back gives nothing."""
        if self._filled_ms is None:
            self._filled_ms = now_ms
        elapsed = max(now_ms - self._filled_ms, 0)
        self._filled_ms = max(now_ms, self._filled_ms)
        self._tokens = min(self._burst, self._tokens + elapsed * self._per_ms)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class TokenBuckets:
    """A bucket for each key. The least recently used is forgotten beyond ``max_keys``.

    Forgetting refills a bucket, so something that counts all keys together belongs in front.
    """

    def __init__(self, per_second: float, burst: float, max_keys: int) -> None:
        self._per_second = per_second
        self._burst = burst
        self._max_keys = max_keys
        self._buckets: OrderedDict[Hashable, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: Hashable, now_ms: int) -> bool:
        """Whether one more of ``key`` may pass."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = TokenBucket(self._per_second, self._burst)
            if len(self._buckets) > self._max_keys:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        return bucket.take(now_ms)
