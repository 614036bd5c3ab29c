"""Finds headers that contradict each other although the committee has signed both.

No light client can tell which of the two is true, so the contradiction itself is what people must
hear of. It takes more than half of a committee behind each of them: then members have signed both.
Anything less can be had from a single dishonest member, or from a proposer of two blocks.

An object that contradicts a known header is often refused or passed over before its signature is
looked at. Therefore each header is kept with the store that its object was judged by, and a suspect
is judged by a copy of that very store. Both objects with their stores are the evidence.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from lightclient.containers import AnyUpdate, LightClientOptimisticUpdate, LightClientUpdate
from lightclient.protocol import (
    LightClientStore,
    Rule,
    Verdict,
    VerdictKind,
    is_finality_update,
    is_sync_committee_update,
    process_light_client_update,
)
from lightclient.sync import Processor

MAX_SIGHTINGS: Final = 128
MAX_KNOWN_CONFLICTS: Final = 256


class ConflictPolicy(StrEnum):
    """What to do about two headers that contradict each other and are both signed."""

    HALT = "halt"
    """End the client with an error: people must look at it."""
    CONTINUE = "continue"
    """Keep the evidence, say it aloud, and go on by the protocol's rules."""


class ConflictKind(StrEnum):
    """What two objects contradict each other about."""

    ATTESTED = "attested_header"
    """Two blocks of one slot."""
    FINALIZED = "finalized_header"
    """Two finalized blocks of one slot."""
    COMMITTEE = "next_sync_committee"
    """Two committees of one period."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """An object whose signature holds.

    Attributes:
        store: what it was judged by.
        root: of the header or committee in question, 32 bytes.
        time_ms: when, Unix milliseconds.
        verdict: how the copy of ``store`` judges it.
    """

    value: AnyUpdate
    store: LightClientStore
    provider: str
    root: bytes
    time_ms: int
    verdict: Verdict

    @property
    def participants(self) -> int:
        """Members of the committee behind it."""
        return self.value.sync_aggregate.num_active_participants


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two signed objects that contradict each other.

    Attributes:
        position: the slot in question, or the period of the committees.
    """

    kind: ConflictKind
    position: int
    first: Sighting
    second: Sighting

    def __str__(self) -> str:
        what = "period" if self.kind is ConflictKind.COMMITTEE else "slot"
        one, two = self.first, self.second
        return (
            f"two {self.kind.replace('_', ' ')}s of {what} {self.position}, both signed:"
            f" 0x{one.root.hex()} by {one.participants} members (from {one.provider}),"
            f" 0x{two.root.hex()} by {two.participants} (from {two.provider})"
        )


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What comparing an object with the known ones led to.

    Attributes:
        is_forged: it contradicts a known header, and its signature does not hold.
    """

    conflict: Conflict | None = None
    is_forged: bool = False


class ConflictWatch:
    """Remembers the latest signed headers and committees, and compares each object with them."""

    def __init__(self, processor: Processor) -> None:
        self._processor = processor
        self._sightings: OrderedDict[tuple[ConflictKind, int], Sighting] = OrderedDict()
        self._known: OrderedDict[tuple[ConflictKind, int, bytes], None] = OrderedDict()

    def compare(self, provider: str, value: AnyUpdate, now_ms: int) -> Suspicion:
        """Whether ``value`` contradicts what a majority signed; call before it is judged.

        Each pair is told of once. Costs a signature check only if something differs.
        """
        for kind, position, root in self._claims(value):
            known = self._sightings.get((kind, position))
            if known is None or known.root == root or (kind, position, root) in self._known:
                continue
            store = self._store_for(known, value)
            verdict = self._judged_by(store, value, now_ms)
            if not _holds(verdict):
                return Suspicion(is_forged=verdict.rule is Rule.BAD_SIGNATURE)
            second = Sighting(value, store, provider, root, now_ms, verdict)
            if self._has_majority(second):
                self._remember_conflict((kind, position, root))
                return Suspicion(Conflict(kind, position, known, second))
        return Suspicion()

    def remember(
        self,
        provider: str,
        value: AnyUpdate,
        verdict: Verdict,
        store: LightClientStore,
        now_ms: int,
    ) -> None:
        """Keep an object that was judged by ``store``, if that proved its signature.

        Not if it takes no majority: what a single member signs must not stand for its slot.
        """
        if not _holds(verdict):
            return
        for kind, position, root in self._claims(value):
            sighting = Sighting(value, store, provider, root, now_ms, verdict)
            if (kind, position) not in self._sightings and self._has_majority(sighting):
                self._sightings[kind, position] = sighting
                while len(self._sightings) > MAX_SIGHTINGS:
                    self._sightings.popitem(last=False)

    def _claims(self, value: AnyUpdate) -> Iterator[tuple[ConflictKind, int, bytes]]:
        """What an object says: of which slot or period, and the root there."""
        attested = value.attested_header.beacon
        yield ConflictKind.ATTESTED, attested.slot, attested.hash_tree_root()
        if isinstance(value, LightClientOptimisticUpdate):
            return
        network = self._processor.network
        finalized = value.finalized_header.beacon
        is_final = is_finality_update(value.as_update(network.preset.sync_committee_size))
        if is_final and finalized.slot:
            yield ConflictKind.FINALIZED, finalized.slot, finalized.hash_tree_root()
        # Before that is final, an honest chain may still change its mind about the committee.
        period = network.compute_sync_committee_period_at_slot
        is_settled = is_final and period(finalized.slot) == period(attested.slot)
        if isinstance(value, LightClientUpdate) and is_sync_committee_update(value) and is_settled:
            root = value.next_sync_committee.hash_tree_root()
            yield ConflictKind.COMMITTEE, period(attested.slot) + 1, root

    def _store_for(self, known: Sighting, value: AnyUpdate) -> LightClientStore:
        """The store of ``known``, but without the next committee where it would stand in the way.

        It decides by itself, before the signature, about objects of its period that bring one.
        """
        store = known.store.copy()
        period = self._processor.network.compute_sync_committee_period_at_slot
        if period(value.signature_slot) == period(store.finalized_header.beacon.slot):
            store.next_sync_committee = None
        return store

    def _judged_by(self, store: LightClientStore, value: AnyUpdate, now_ms: int) -> Verdict:
        processor = self._processor
        slot = processor.network.slot_at_time_ms(now_ms)
        return process_light_client_update(
            store.copy(), value, slot, processor.network, processor.signatures
        )

    def _has_majority(self, sighting: Sighting) -> bool:
        return 2 * sighting.participants > self._processor.network.preset.sync_committee_size

    def _remember_conflict(self, key: tuple[ConflictKind, int, bytes]) -> None:
        self._known[key] = None
        while len(self._known) > MAX_KNOWN_CONFLICTS:
            self._known.popitem(last=False)


def _holds(verdict: Verdict) -> bool:
    """Whether the signature of the judged object was checked and holds."""
    return verdict.kind is VerdictKind.ACCEPTED or verdict.rule is Rule.NO_PROGRESS
