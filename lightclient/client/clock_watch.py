"""Whether this machine's clock can be right, judged by what providers and the chain show.

The clock itself is never corrected and no rule is bent: an object from its future stays refused.
What is measured becomes a warning with a figure.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable
from dataclasses import dataclass

from lightclient.config import Network
from lightclient.containers import AnyUpdate, LightClientBootstrap, LightClientObject
from lightclient.protocol import (
    LightClientStore,
    Rule,
    SignatureVerifier,
    Verdict,
    VerdictKind,
    process_light_client_update,
)
from lightclient.sync import VerifiedHeader
from lightclient.transports.base import ServerTime

_logger = logging.getLogger("lightclient")

_WINDOW_EPOCHS = 32
"""For so long a measurement counts: longer than the time between two questions to any provider."""
_PROOF_EPOCHS = 2
"""A proof counts for less long: a slow clock brings new ones, one that was set right none."""
_JUMP_SLOTS = 2
"""Between two looks at the clock, a slot apart, more than this is a jump."""


@dataclass(frozen=True, slots=True)
class ClockSkew:
    """How wrong the clock seems to be.

    Attributes:
        seconds: how far it is ahead; negative if it is behind.
        precision: how far ``seconds`` may be off.
        providers: how many providers' clocks it was measured against.
        is_proven: the chain itself shows that the clock is at least so far behind.
    """

    seconds: float
    precision: float
    providers: int
    is_proven: bool = False


@dataclass(frozen=True, slots=True)
class _Reading:
    """Our clock minus another, in milliseconds, and when it was read."""

    taken_ms: int
    ahead_ms: int
    precision_ms: int


class ClockWatch:
    """Compares the clock with those of providers and with the slots of signed headers.

    All times are Unix milliseconds by the clock in question. Providers are told apart by the keys
    that the caller chooses.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._readings: dict[Hashable, _Reading] = {}
        self._proof: _Reading | None = None
        self._candidate: tuple[LightClientStore, AnyUpdate] | None = None
        self._last_tick_ms: int | None = None
        self._warned: ClockSkew | None = None

    @property
    def tolerance_ms(self) -> int:
        """A third of a slot, when the signatures of a slot are made: more than that does harm."""
        return self._network.slot_duration_ms // 3

    def _epochs_ms(self, epochs: int) -> int:
        return epochs * self._network.preset.slots_per_epoch * self._network.slot_duration_ms

    # What is observed ---------------------------------------------------------------------------

    def note_server_time(self, provider: Hashable, time: ServerTime, now_ms: int) -> None:
        """A provider's answer, which arrived at ``now_ms``, showed its clock."""
        if time.precision_ms > self._network.slot_duration_ms and provider in self._readings:
            return  # too slow an answer to tell more than the one before
        self._readings[provider] = _Reading(now_ms, now_ms - time.middle_ms, time.precision_ms)

    def note_header(self, header: VerifiedHeader | None, now_ms: int) -> None:
        """A verified header: if its slot has not begun, the clock is slow, or was set back."""
        if header is not None:
            self._note_proof(self._network.slot_start_ms(header.slot), now_ms)

    def _note_proof(self, earliest_ms: int, now_ms: int) -> None:
        behind_ms, known = earliest_ms - now_ms, self._proof
        is_renewed = known is None or not _is_recent(known, now_ms, self._epochs_ms(1))
        if behind_ms > 0 and (is_renewed or behind_ms >= self.slow_ms(now_ms)):
            self._proof = _Reading(now_ms, -behind_ms, 0)

    def note_refused(
        self,
        value: LightClientObject,
        verdict: Verdict,
        before: LightClientStore | None,
        now_ms: int,
    ) -> None:
        """An object was refused; ``before`` is a copy of the store that it met."""
        if verdict.rule is not Rule.SIGNATURE_SLOT_IN_FUTURE:
            return
        if isinstance(value, LightClientBootstrap) or before is None:
            return
        # The signature covers the attested header, not the signature slot: anybody can set that.
        if self._network.slot_start_ms(value.attested_header.beacon.slot) > now_ms:
            self._candidate = (before, value)

    def has_candidate(self) -> bool:
        """Whether :meth:`examine` has something to do."""
        return self._candidate is not None

    def examine(self, signatures: SignatureVerifier, now_ms: int) -> None:
        """Check the last object from the future against a copy of the store, as if it were time.

        If two thirds of the committee signed its header, that slot has begun, whatever our clock
        shows. Takes as long as a signature check; the caller keeps others from ``signatures``.
        """
        candidate, self._candidate = self._candidate, None
        if candidate is None:
            return
        store, update = candidate
        participants = update.sync_aggregate.num_active_participants
        if 3 * participants < 2 * self._network.preset.sync_committee_size:
            return
        verdict = process_light_client_update(
            store, update, update.signature_slot, self._network, signatures
        )
        if verdict.kind is VerdictKind.ACCEPTED or verdict.rule is Rule.NO_PROGRESS:
            slot = update.attested_header.beacon.slot
            self._note_proof(self._network.slot_start_ms(slot), now_ms)

    # What follows -------------------------------------------------------------------------------

    def slow_ms(self, now_ms: int) -> int:
        """By how much, at least, signed headers prove the clock to be slow; 0 if they do not."""
        proof = self._proof
        if proof is None or not _is_recent(proof, now_ms, self._epochs_ms(_PROOF_EPOCHS)):
            return 0
        return -proof.ahead_ms

    def skew(self, now_ms: int) -> ClockSkew | None:
        """The median of the providers, or what the chain proves if that is more; None: unknown."""
        window_ms = self._epochs_ms(_WINDOW_EPOCHS)
        recent = [r for r in list(self._readings.values()) if _is_recent(r, now_ms, window_ms)]
        slow_ms, middle = self.slow_ms(now_ms), _median(recent)
        if slow_ms and (middle is None or -slow_ms < middle.ahead_ms):
            return ClockSkew(-slow_ms / 1000, 0.0, len(recent), is_proven=True)
        if middle is None:
            return None
        return ClockSkew(middle.ahead_ms / 1000, middle.precision_ms / 1000, len(recent))

    def is_significant(self, skew: ClockSkew | None) -> bool:
        """Whether ``skew`` is more than the tolerance, whatever the precision hides."""
        if skew is None:
            return False
        return 1000 * (abs(skew.seconds) - skew.precision) > self.tolerance_ms

    def tick(self, now_ms: int) -> bool:
        """Look at the clock, once a slot; warn of what changed. Whether the clock jumped."""
        last_ms, self._last_tick_ms = self._last_tick_ms, now_ms
        slot_ms = self._network.slot_duration_ms
        passed_ms = slot_ms if last_ms is None else now_ms - last_ms
        has_jumped = not -self.tolerance_ms < passed_ms <= _JUMP_SLOTS * slot_ms
        if has_jumped:
            self._forget(passed_ms)
        self._warn(self.skew(now_ms))
        return has_jumped

    def _forget(self, passed_ms: int) -> None:
        """What was measured before the clock jumped says nothing of the clock after it."""
        self._readings.clear()
        self._proof = self._candidate = None
        _logger.info(
            "The clock jumped: the machine slept, or its clock was set",
            extra={"lc": {"seconds": round(passed_ms / 1000, 1)}},
        )

    def _warn(self, skew: ClockSkew | None) -> None:
        """Tell of the skew when it appears, grows or shrinks by half, and goes."""
        warned = self._warned
        if skew is None:
            return
        if not self.is_significant(skew):
            if warned is not None:
                _logger.info("The clock agrees with the others again", extra=_fields(skew))
            self._warned = None
            return
        if warned is not None and 0.5 < skew.seconds / warned.seconds < 1.5:
            return
        self._warned = skew
        _logger.warning(
            "This machine's clock is %s; set it (NTP)",
            "slow: newer objects are refused" if skew.seconds < 0 else "fast: all seems old",
            extra=_fields(skew),
        )


def _is_recent(reading: _Reading, now_ms: int, window_ms: int) -> bool:
    return 0 <= now_ms - reading.taken_ms <= window_ms


def _median(readings: list[_Reading]) -> _Reading | None:
    """The reading in the middle; of two in the middle the one nearer to no skew.

    So one of two providers with a wrong clock does not make ours look wrong.
    """
    if not readings:
        return None
    ordered = sorted(readings, key=lambda reading: reading.ahead_ms)
    half = len(ordered) // 2
    middle = ordered[half : half + 1] if len(ordered) % 2 else ordered[half - 1 : half + 1]
    return min(middle, key=lambda reading: abs(reading.ahead_ms))


def _fields(skew: ClockSkew) -> dict[str, object]:
    basis = "signed headers" if skew.is_proven else f"{skew.providers} provider(s)"
    return {
        "lc": {
            "seconds": round(skew.seconds, 1),
            "precision": round(skew.precision, 1),
            "measured_by": basis,
        }
    }
