"""Counts and durations of one client, kept in plain numbers.

Cheap enough to be kept always; ``metrics`` shows them to Prometheus. Bounded: the labels are
providers, kinds of objects and requests, verdicts and results, all of them few.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from lightclient.client.fetching import Fetcher
from lightclient.client.providers import Provider, Request
from lightclient.containers import LightClientObject
from lightclient.errors import (
    MalformedAnswer,
    NotServed,
    ProviderRefused,
    RateLimited,
    TransportError,
    UnknownBootstrap,
)
from lightclient.protocol import Verdict

REQUEST_SECONDS: Final = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
JUDGING_SECONDS: Final = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
MAX_PROVIDERS: Final = 64
"""More providers than this share one label."""
OTHERS: Final = "others"


@dataclass(slots=True)
class Durations:
    """A histogram of seconds: how many fell at or below each bound, and above all of them."""

    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def note(self, seconds: float) -> None:
        """One more."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds


def result_of(request: Request) -> str:
    """How a request ended, in a word."""
    if request.is_cancelled:
        return "cancelled"
    if request.error is None:
        return "answered"
    return _result_of_error(request.error)


def _result_of_error(error: TransportError) -> str:
    words: tuple[tuple[type[TransportError], str], ...] = (
        (RateLimited, "rate_limited"),
        (MalformedAnswer, "malformed"),
        (UnknownBootstrap, "unknown_bootstrap"),
        (NotServed, "not_served"),
        (ProviderRefused, "refused"),
    )
    return next((word for kind, word in words if isinstance(error, kind)), "unavailable")


class Measures:
    """Observes a client's requests and verdicts.

    Attributes:
        verdicts: by provider, kind of object, verdict.
        rules: refusals by rule.
        requests: by provider, kind of request, result.
        request_seconds: of requests that were answered, by provider.
        judging_seconds: by kind of object.
    """

    def __init__(self, fetcher: Fetcher) -> None:
        self.verdicts: Counter[tuple[str, ...]] = Counter()
        self.rules: Counter[str] = Counter()
        self.requests: Counter[tuple[str, ...]] = Counter()
        self.request_seconds: dict[str, Durations] = {}
        self.judging_seconds: dict[str, Durations] = {}
        self._names: set[str] = set()
        fetcher.on_request.append(self._note_request)
        fetcher.on_judged.append(self._note_judged)

    def label_of(self, provider: Provider) -> str:
        """The provider's name, or what all beyond the first ones are called together."""
        if provider.name not in self._names and len(self._names) >= MAX_PROVIDERS:
            return OTHERS
        self._names.add(provider.name)
        return provider.name

    def _note_request(self, request: Request) -> None:
        name = self.label_of(request.provider)
        self.requests[name, request.kind, result_of(request)] += 1
        if request.error is None and not request.is_cancelled:
            self.request_seconds.setdefault(name, Durations(REQUEST_SECONDS)).note(request.seconds)

    def _note_judged(
        self, provider: Provider, value: LightClientObject, verdict: Verdict, seconds: float
    ) -> None:
        kind = value.kind.value
        self.verdicts[self.label_of(provider), kind, verdict.kind.value] += 1
        if verdict.is_refusal and verdict.rule is not None:
            self.rules[verdict.rule.value] += 1
        self.judging_seconds.setdefault(kind, Durations(JUDGING_SECONDS)).note(seconds)
