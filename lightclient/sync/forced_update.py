"""When to apply the best valid update although nothing was finalized: a choice, not a reflex.

A forced update treats a header as final that the chain did not finalize. The specification
allows it after UPDATE_TIMEOUT; Nimbus adds that many peers must repeat the same update; here the
default is never, which keeps the client where finality stopped until finality is back.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from lightclient.config.network import Network
from lightclient.containers import AnyUpdate, LightClientUpdate
from lightclient.protocol import LightClientStore, Verdict, VerdictKind

# Nimbus's figures, in slots of its 12 seconds, so that they scale with slot time.
_SLOTS_WITHOUT_PROGRESS = 150
_SLOTS_BEFORE_COUNTING = 75
_COUNTED_DUPLICATES = 100
_SLOTS_BETWEEN_COUNTS = 5 / 12


class ForcedUpdatePolicy(StrEnum):
    """When ``process_light_client_store_force_update`` may run."""

    NEVER = "never"
    SPEC_TIMEOUT = "spec-timeout"
    NIMBUS = "nimbus"


@dataclass(slots=True)
class ForcedUpdateWatch:
    """Counts what its policy needs to know; times are Unix milliseconds."""

    policy: ForcedUpdatePolicy
    network: Network
    last_progress_ms: int | None = None
    duplicates: int = 0
    last_count_ms: int | None = None

    def note_progress(self, now_ms: int | None) -> None:
        """The store moved on: start counting afresh; None if the time is not known yet."""
        self.last_progress_ms = now_ms
        self.duplicates = 0
        self.last_count_ms = None

    def note_update(
        self, update: AnyUpdate, verdict: Verdict, store: LightClientStore, now_ms: int
    ) -> None:
        """An update was judged: perhaps it repeats the best valid one."""
        if self.policy is not ForcedUpdatePolicy.NIMBUS:
            return
        if self.last_progress_ms is None or now_ms < self.last_progress_ms:
            self.note_progress(now_ms)  # never noted, or the clock stepped back
        repeats = (
            verdict.kind is VerdictKind.DUPLICATE
            and isinstance(update, LightClientUpdate)
            and update == store.best_valid_update
        )
        if (
            repeats
            and self._has_passed(self.last_progress_ms, _SLOTS_BEFORE_COUNTING, now_ms)
            and self._has_passed(self.last_count_ms, _SLOTS_BETWEEN_COUNTS, now_ms)
        ):
            self.duplicates += 1
            self.last_count_ms = now_ms

    def _has_passed(self, since_ms: int | None, slots: float, now_ms: int) -> bool:
        if since_ms is None:
            return True
        return now_ms - since_ms >= slots * self.network.slot_duration_ms

    def is_due(self, store: LightClientStore, now_ms: int) -> bool:
        """Whether the policy allows a forced update now; the protocol's timeout comes on top."""
        if self.policy is ForcedUpdatePolicy.NEVER or store.best_valid_update is None:
            return False
        if self.policy is ForcedUpdatePolicy.SPEC_TIMEOUT:
            return True
        return (
            self.last_progress_ms is not None
            and self._has_passed(self.last_progress_ms, _SLOTS_WITHOUT_PROGRESS, now_ms)
            and self.duplicates >= _COUNTED_DUPLICATES
        )
