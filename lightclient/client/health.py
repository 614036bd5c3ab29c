"""Synced, stale or stuck: what an operator and a load balancer want to know, and why.

All thresholds are in slots and epochs of the network. Time in which the machine slept does not
count as time without progress: the client had no occasion to make any.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from lightclient.client.status import Health, Reason, SyncState
from lightclient.config import Network

_logger = logging.getLogger("lightclient")

STUCK_EPOCHS = 4
"""Not synced, and for so long nothing verified that was not known before: 26 minutes on mainnet."""
FINALITY_LAG_EPOCHS = 5
"""More than MIN_EPOCHS_TO_INACTIVITY_PENALTY behind the previous epoch, the chain itself counts as
not finalizing."""


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The state of health, with reasons; a synced client may have some, too."""

    health: Health
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class Vitals:
    """All that health depends on.

    Attributes:
        was_synced: whether it ever was, in this run.
        idle_slots: for how many slots of waking time nothing new was verified.
        head_slot, finalized_slot: of the verified headers; None without any.
        current_slot: by the clock.
        usable_providers: how many did not fail the last time they were asked.
        is_clock_slow: whether the chain proves that the clock is more than two epochs behind.
        concerns: what the other watches found.
    """

    state: SyncState
    was_synced: bool
    idle_slots: float
    head_slot: int | None
    finalized_slot: int | None
    current_slot: int
    providers: int
    usable_providers: int
    is_before_genesis: bool = False
    is_clock_slow: bool = False
    concerns: tuple[Reason, ...] = ()


def assess(vitals: Vitals, network: Network) -> HealthReport:
    """The state of health, and the reasons for it."""
    slots_per_epoch = network.preset.slots_per_epoch
    if vitals.is_before_genesis:
        reason = Reason("before_genesis", "the chain has not begun")
        return HealthReport(Health.STARTING, (reason, *vitals.concerns))
    if vitals.state is SyncState.SYNCED and not vitals.is_clock_slow:
        health = Health.SYNCED
    elif vitals.idle_slots > STUCK_EPOCHS * slots_per_epoch:
        health = Health.STUCK
    else:
        health = Health.STALE if vitals.was_synced else Health.STARTING
    reasons = (*_sync_reasons(vitals, health), *_finality_reasons(vitals, network))
    return HealthReport(health, (*vitals.concerns, *reasons))


def _sync_reasons(vitals: Vitals, health: Health) -> list[Reason]:
    reasons: list[Reason] = []
    if health is Health.SYNCED:
        return reasons
    if vitals.usable_providers == 0:
        reasons.append(
            Reason(
                "no_provider",
                f"none of {vitals.providers} provider(s) answers as it should: see the log, and add"
                " another one",
            )
        )
    if vitals.head_slot is None:
        reasons.append(Reason("no_bootstrap", "no bootstrap was verified yet"))
    elif (behind := vitals.current_slot - vitals.head_slot) > 0:
        reasons.append(Reason("head_behind", f"the head is {behind} slots behind the clock"))
    if health is Health.STUCK:
        reasons.append(
            Reason(
                "no_progress",
                f"nothing new was verified for {vitals.idle_slots:.0f} slots: look for refusals in"
                " the log, and ask other providers",
            )
        )
    return reasons


def _finality_reasons(vitals: Vitals, network: Network) -> list[Reason]:
    if vitals.finalized_slot is None or vitals.state is not SyncState.SYNCED:
        return []
    # A checkpoint's block is older than its epoch if the epoch's first slots are empty.
    checkpoint_epoch = -(-vitals.finalized_slot // network.preset.slots_per_epoch)
    behind = network.compute_epoch_at_slot(vitals.current_slot) - checkpoint_epoch
    if behind <= FINALITY_LAG_EPOCHS:
        return []
    return [
        Reason(
            "finality_lag",
            f"finality is {behind} epochs behind: the chain does not finalize, or no provider tells"
            " of it",
        )
    ]


class HealthWatch:
    """Counts waking time without progress, and tells of changes.

    Attributes:
        was_synced: whether the client ever was, in this run.
        idle_slots: for how many slots nothing new was verified, since ``mark`` last changed.
    """

    def __init__(self, network: Network) -> None:
        self.was_synced = False
        self.idle_slots = 0.0
        self._network = network
        self._last_ms: int | None = None
        self.mark: object = None
        self._told = HealthReport(Health.STARTING)

    def tick(self, now_ms: int, mark: object) -> None:
        """Once a slot; ``mark`` changes with all that is verified."""
        last_ms, self._last_ms = self._last_ms, now_ms
        if mark != self.mark or last_ms is None:
            self.mark, self.idle_slots = mark, 0.0
            return
        # Two slots at most: the rest of the time the machine slept, or its clock was set.
        self.idle_slots += min(max((now_ms - last_ms) / self._network.slot_duration_ms, 0.0), 2.0)

    def tell(self, report: HealthReport) -> None:
        """Log what changed since the last time."""
        before, self._told = self._told, report
        self.was_synced = self.was_synced or report.health is Health.SYNCED
        if report.health is not before.health:
            _log_change(before, report)
        _log_finality(before, report)


def _log_change(before: HealthReport, report: HealthReport) -> None:
    fields = {"reason": "; ".join(reason.sentence for reason in report.reasons) or None}
    if report.health is Health.STALE:
        _logger.warning("Stale: the headers are true, but old", extra={"lc": fields})
    elif report.health is Health.STUCK:
        _logger.warning("Stuck: no way forward is found", extra={"lc": fields})
    elif report.health is Health.SYNCED and before.health is not Health.STARTING:
        _logger.info("Synced again")
    elif before.health is Health.STUCK:
        _logger.info("On the way again")


def _log_finality(before: HealthReport, report: HealthReport) -> None:
    lag = next((r.sentence for r in report.reasons if r.code == "finality_lag"), None)
    was_lagging = any(reason.code == "finality_lag" for reason in before.reasons)
    if lag is not None and not was_lagging:
        _logger.warning("Finality lags", extra={"lc": {"reason": lag}})
    elif lag is None and was_lagging and report.health is Health.SYNCED:
        _logger.info("Finality is back")
