"""How good a provider was so far: a model without I/O, for REST providers and libp2p peers alike.

Availability (does it answer?) and honesty (is what it says true?) are kept apart: an honest
provider that is often down and a liar that is always there want different treatment. The figures
are those of the Nimbus peer scores; unlike there, nobody is dropped for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Final

from lightclient.protocol import Rule, Verdict, VerdictKind

START_SCORE: Final = 300
MAX_SCORE: Final = 1000
LEAST_SCORE: Final = -1000
"""No deeper: how long somebody is dropped is for the back-off to say, not for the score."""
PROBATION_SCORE: Final = 100
"""At least so much has a provider whose time is over: a single failure does not drop it again."""

ACCEPTED: Final = 100
INVALID: Final = -1000
UNVIABLE_FORK: Final = -200
NO_ANSWER: Final = -100
MALFORMED: Final = -1000

_FIRST_DROP_SLOTS: Final = 4
_LONGEST_DROP_SLOTS: Final = 64
_MAX_DROPS: Final = 16
_LONGEST_STORED_DROP_MS: Final = 86_400_000

Uniform = Callable[[float, float], float]
"""Draws from a range, as ``random.uniform`` does."""


def penalty_of(verdict: Verdict) -> int:
    """What a judged object costs its provider's honesty; not more than 0.

    Nothing for an object that our own state or clock is not ready for: what cannot be judged yet
    proves no lie, and whether ``signature_slot_in_future`` is one depends on what others say.
    """
    if verdict.rule is Rule.SIGNATURE_SLOT_IN_FUTURE:
        return 0
    if verdict.kind is VerdictKind.INVALID:
        return INVALID
    return UNVIABLE_FORK if verdict.kind is VerdictKind.UNVIABLE_FORK else 0


@dataclass(slots=True)
class ProviderScore:
    """Two figures from -1000 to 1000, and the time for which the provider is dropped.

    It is dropped when a figure falls below 0: for some slots, twice as many each time it happens
    again, up to a bound, with jitter. All times are Unix milliseconds.

    Attributes:
        availability: rises with answers, falls with requests that fail or take too long.
        honesty: rises with accepted objects, falls with refused ones and with malformed answers.
        drops: how often it was dropped since it last was as good as new.
    """

    availability: int = START_SCORE
    honesty: int = START_SCORE
    drops: int = 0
    dropped_from_ms: int = 0
    dropped_until_ms: int = 0

    @property
    def value(self) -> int:
        """What to order providers by: the weaker of the two."""
        return min(self.availability, self.honesty)

    def is_dropped(self, now_ms: int) -> bool:
        """Whether to leave the provider alone; a clock that steps back ends the time."""
        return self.dropped_from_ms <= now_ms < self.dropped_until_ms

    def renew(self, now_ms: int) -> None:
        """Once its time is over, give a dropped provider another chance."""
        if self.value < 0 and not self.is_dropped(now_ms):
            self.availability = max(self.availability, PROBATION_SCORE)
            self.honesty = max(self.honesty, PROBATION_SCORE)

    # What happened ------------------------------------------------------------------------------

    def note_answer(self) -> None:
        """A request was answered, with whatever."""
        if self.availability < 0 <= self.honesty:
            # It was only away, and is back before its time is over.
            self.availability, self.dropped_until_ms = 0, self.dropped_from_ms
        self.availability = _bounded(self.availability + ACCEPTED)
        self._forget_drops()

    def note_accepted(self) -> None:
        """An object of it was accepted."""
        self.honesty = _bounded(self.honesty + ACCEPTED)
        self._forget_drops()

    def note_overtaken(self) -> None:
        """Another was asked later and helped first. Being slow ranks a provider last, no more."""
        if self.availability > 0:
            self.availability = max(self.availability + NO_ANSWER, 0)

    def note_failure(self, now_ms: int, slot_ms: int, uniform: Uniform) -> None:
        """A request failed or was not answered in time."""
        self._lower("availability", NO_ANSWER, now_ms, slot_ms, uniform)

    def note_malformed(self, now_ms: int, slot_ms: int, uniform: Uniform) -> None:
        """An answer broke a bound or could not be decoded."""
        self._lower("honesty", MALFORMED, now_ms, slot_ms, uniform)

    def note_refused(self, penalty: int, now_ms: int, slot_ms: int, uniform: Uniform) -> None:
        """An object was refused; ``penalty`` as :func:`penalty_of` gives it."""
        if penalty:
            self._lower("honesty", penalty, now_ms, slot_ms, uniform)

    def _lower(self, name: str, by: int, now_ms: int, slot_ms: int, uniform: Uniform) -> None:
        setattr(self, name, _bounded(getattr(self, name) + by))
        if self.value >= 0 or self.is_dropped(now_ms):
            return
        slots = min(_FIRST_DROP_SLOTS << self.drops, _LONGEST_DROP_SLOTS)
        self.drops = min(self.drops + 1, _MAX_DROPS)
        self.dropped_from_ms = now_ms
        self.dropped_until_ms = now_ms + int(slot_ms * slots * uniform(0.75, 1.25))

    def _forget_drops(self) -> None:
        if self.value >= START_SCORE:
            self.drops = 0

    # In plain values ----------------------------------------------------------------------------

    def to_dict(self) -> dict[str, int]:
        """All attributes by name, to be stored."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> ProviderScore:
        """The score that :meth:`to_dict` gave; what is missing or no figure counts as new."""
        score = cls()
        for item in fields(cls):
            value = values.get(item.name)
            if isinstance(value, int) and not isinstance(value, bool):
                setattr(score, item.name, value)
        score.availability = _bounded(score.availability)
        score.honesty = _bounded(score.honesty)
        score.drops = min(max(score.drops, 0), _MAX_DROPS)
        score.dropped_until_ms = min(
            score.dropped_until_ms, score.dropped_from_ms + _LONGEST_STORED_DROP_MS
        )
        return score


def _bounded(score: int) -> int:
    return min(max(score, LEAST_SCORE), MAX_SCORE)
