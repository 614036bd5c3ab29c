"""Which verified headers enough providers agree on.

A header that is verified is not confirmed yet: one provider may have shown what no other has. With
``min_providers`` of K a header counts as confirmed once K different providers have served an
object with that very header, as the attested one for an optimistic, as the finalized one for a
finalized header. The trusted block needs no confirmation: the user vouches for it.

Nothing here trusts, and no rule of the protocol is bent.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import Final

from lightclient.containers import (
    AnyUpdate,
    LightClientBootstrap,
    LightClientObject,
    LightClientOptimisticUpdate,
)
from lightclient.sync import Event, NewFinalizedHeader, Outcome, VerifiedHeader

MAX_CANDIDATES: Final = 64


@dataclass(slots=True)
class _Candidate:
    """A verified header, and who has served it."""

    event: Event
    providers: set[str]


@dataclass(slots=True)
class _Headers:
    """One kind of header: the latest candidates by root, and the confirmed one."""

    confirmed: VerifiedHeader | None = None
    candidates: OrderedDict[bytes, _Candidate] = field(default_factory=OrderedDict)

    def propose(self, event: Event) -> None:
        self.candidates[event.header.root] = _Candidate(event, set())
        while len(self.candidates) > MAX_CANDIDATES:
            self.candidates.popitem(last=False)

    def vote(self, root: bytes, provider: str, needed: int) -> Event | None:
        """The event of a header that is confirmed by this vote, unless a later one is."""
        candidate = self.candidates.get(root)
        if candidate is None:
            return None
        candidate.providers.add(provider)
        header = candidate.event.header
        is_late = self.confirmed is not None and self.confirmed.slot >= header.slot
        if len(candidate.providers) < needed or is_late:
            return None
        self.confirmed = header
        return candidate.event


class Confirmations:
    """Counts who served which verified header.

    Args:
        min_providers: how many different ones are needed; 1 confirms whatever is verified.
    """

    def __init__(self, min_providers: int = 1) -> None:
        self.min_providers = min_providers
        self._finalized = _Headers()
        self._optimistic = _Headers()

    @property
    def finalized_header(self) -> VerifiedHeader | None:
        """The latest confirmed finalized header; of no meaning if one provider is enough."""
        return self._finalized.confirmed

    @property
    def optimistic_header(self) -> VerifiedHeader | None:
        """The latest confirmed optimistic header; of no meaning if one provider is enough."""
        return self._optimistic.confirmed

    def confirm(self, provider: str, value: LightClientObject, outcome: Outcome) -> Outcome:
        """The outcome of ``value`` with the events of what is confirmed now, and no others."""
        if self.min_providers <= 1:
            return outcome
        if isinstance(value, LightClientBootstrap):
            self._vouch(outcome)
            return outcome
        for event in outcome.events:
            self._headers_of(event).propose(event)
        if outcome.verdict.is_refusal:
            return outcome
        return replace(outcome, events=self._votes(provider, value))

    def withhold(self, outcome: Outcome) -> Outcome:
        """The outcome without events, if one provider is not enough: nobody served the headers.

        So it is after a forced update, and for a state that was restored.
        """
        return replace(outcome, events=()) if self.min_providers > 1 else outcome

    def _votes(self, provider: str, value: AnyUpdate) -> tuple[Event, ...]:
        needed = self.min_providers
        events: list[Event | None] = []
        if not isinstance(value, LightClientOptimisticUpdate):
            root = value.finalized_header.beacon.hash_tree_root()
            events.append(self._finalized.vote(root, provider, needed))
        root = value.attested_header.beacon.hash_tree_root()
        events.append(self._optimistic.vote(root, provider, needed))
        return tuple(event for event in events if event is not None)

    def _vouch(self, outcome: Outcome) -> None:
        for event in outcome.events:
            self._headers_of(event).confirmed = event.header

    def _headers_of(self, event: Event) -> _Headers:
        return self._finalized if isinstance(event, NewFinalizedHeader) else self._optimistic
