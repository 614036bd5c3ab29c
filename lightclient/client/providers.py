"""A provider as the client sees it: its transport, its score, and what was last heard of it.

Bounded whatever a provider does: counts by verdict, the latest few durations, one error.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from lightclient.containers import LightClientObject
from lightclient.errors import MalformedAnswer, RateLimited, TransportError, UnknownBootstrap
from lightclient.protocol import LightClientStore, Verdict
from lightclient.transports.base import Transport
from lightclient.transports.scores import ProviderScore, Uniform

_logger = logging.getLogger("lightclient")

MAX_DURATIONS: Final = 32


@dataclass(frozen=True, slots=True)
class Request:
    """A request that has ended.

    Attributes:
        kind: "bootstrap", "updates", "finality_update" or "optimistic_update".
        seconds: from asking to the decoded answer, or to the end without one.
        error: why it brought nothing, or not all.
        is_cancelled: given up because another provider helped first; says nothing of this one.
    """

    provider: Provider
    kind: str
    seconds: float
    error: TransportError | None = None
    is_cancelled: bool = False


RequestObserver = Callable[[Request], None]
"""Called with each request that has ended; must be quick and must not raise."""

RefusalObserver = Callable[
    ["Provider", LightClientObject, Verdict, LightClientStore | None, int], None
]
"""Called with provider, refused object, verdict, a copy of the store that it was judged by, and the
time (Unix milliseconds); must not raise."""

JudgedObserver = Callable[["Provider", LightClientObject, Verdict, float], None]
"""Called with provider, judged object, verdict, and the seconds that judging took (of a history's
page, its share); must be quick and must not raise."""


@dataclass(slots=True, eq=False)
class Provider:
    """A transport with what was last heard of it.

    Attributes:
        last_error: why the last request failed; None if it was answered.
        verdicts: how many of its objects were judged how, by the verdict's name.
        paused_from_ms, paused_until_ms: the pause that it asked for, Unix milliseconds.
        score: how good it was so far.
        durations: seconds that its latest answers took, newest last.
        wrong_network: what it says it serves in place of our network: then it is left alone.
        cuts: how often in a row it was given up although it might have answered.
    """

    transport: Transport
    last_error: TransportError | None = None
    verdicts: dict[str, int] = field(default_factory=dict)
    paused_from_ms: int = 0
    paused_until_ms: int = 0
    score: ProviderScore = field(default_factory=ProviderScore)
    durations: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_DURATIONS))
    wrong_network: str | None = None
    cuts: int = 0

    @property
    def name(self) -> str:
        """The transport's safe name."""
        return self.transport.name

    @property
    def voice(self) -> str:
        """Who speaks: two URLs of one server are one voice where agreement is counted."""
        return getattr(self.transport, "server", self.name)

    @property
    def held_back(self) -> int:
        """How many requests of ours had to wait: it is asked no more often than it likes."""
        return int(getattr(self.transport, "held_back", 0))

    def note_overtaken(self, held_back: int) -> bool:
        """Another was asked later and helped first; False if that is not held against it.

        Args:
            held_back: as it was when this one was asked: it is not slow if we were.
        """
        if self.held_back != held_back:
            return False
        self.score.note_overtaken()
        return True

    def is_paused(self, now_ms: int) -> bool:
        """Whether to leave it alone now."""
        return self.has_asked_for_pause(now_ms) or self.wrong_network is not None

    def has_asked_for_pause(self, now_ms: int) -> bool:
        """Whether it asked to be left alone now; a clock that steps back ends a pause."""
        return self.paused_from_ms <= now_ms < self.paused_until_ms

    def note_answer(self, seconds: float) -> None:
        """A request was answered as a whole, ``seconds`` after it was made."""
        self.last_error = None
        self.durations.append(seconds)
        self.score.note_answer()

    def note_failure(
        self, error: TransportError, now_ms: int, slot_ms: int, uniform: Uniform
    ) -> None:
        """A request failed. Said once: a provider that stays down is not news at every request."""
        before, self.last_error = self.last_error, error
        is_news = before is None or str(before) != str(error)
        _logger.log(
            logging.WARNING if is_news else logging.DEBUG,
            "Request failed",
            extra={"lc": {"provider": self.name, "reason": error}},
        )
        self.note_pause(error, now_ms)
        if isinstance(error, MalformedAnswer):
            self.score.note_malformed(now_ms, slot_ms, uniform)
        elif not isinstance(error, UnknownBootstrap):  # that is an answer, if not the wished one
            self.score.note_failure(now_ms, slot_ms, uniform)

    def note_pause(self, error: Exception, now_ms: int) -> None:
        """Leave the provider alone for as long as ``error`` says that it asked for."""
        if isinstance(error, RateLimited):
            self.paused_from_ms = now_ms
            self.paused_until_ms = now_ms + int(error.retry_after * 1000)
