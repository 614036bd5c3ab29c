"""What to ask for next, and when: pure functions of a few periods and a clock reading.

The rules are those of the Nimbus light client (its sync manager). All its waits are written in
slots, so a chain with fast slots is followed just as fast. Randomness comes in as an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from lightclient.config.network import Network
from lightclient.containers import LightClientUpdate
from lightclient.protocol import LightClientStore

MAX_PERIODS_PER_REQUEST = 128
_LEAST_WAIT_SLOTS = 10 / 12  # Nimbus waits at least 10 of its 12 seconds
_POLL_WINDOW = (0.4, 0.6)  # of a slot


@dataclass(frozen=True, slots=True)
class FetchBootstrap:
    """Ask for the bootstrap of the trusted block root."""


@dataclass(frozen=True, slots=True)
class FetchUpdates:
    """Ask for the best updates of ``count`` periods from ``start_period``."""

    start_period: int
    count: int


@dataclass(frozen=True, slots=True)
class FetchFinalityUpdate:
    """Ask for the latest finality update."""


@dataclass(frozen=True, slots=True)
class FetchOptimisticUpdate:
    """Ask for the latest optimistic update."""


Task: TypeAlias = FetchBootstrap | FetchUpdates | FetchFinalityUpdate | FetchOptimisticUpdate


@dataclass(frozen=True, slots=True)
class SyncPosition:
    """All that planning depends on.

    Attributes:
        finalized_period, optimistic_period: of the store's headers; None without a store.
        current_period: by the clock.
        is_next_sync_committee_known: as the store says.
        is_finalized_optimistic: both headers are the same.
    """

    finalized_period: int | None
    optimistic_period: int | None
    current_period: int
    is_next_sync_committee_known: bool = False
    is_finalized_optimistic: bool = False

    @property
    def is_catching_up(self) -> bool:
        """Whether objects of the head cannot be verified yet: the head's committee is missing."""
        if self.finalized_period is None:
            return True
        covered = self.finalized_period + (1 if self.is_next_sync_committee_known else 0)
        return self.current_period > covered


def sync_position(store: LightClientStore | None, network: Network, now_ms: int) -> SyncPosition:
    """Where ``store`` stands at ``now_ms``."""
    period = network.compute_sync_committee_period_at_slot
    current_period = period(network.slot_at_time_ms(now_ms))
    if store is None:
        return SyncPosition(None, None, current_period)
    return SyncPosition(
        finalized_period=period(store.finalized_header.beacon.slot),
        optimistic_period=period(store.optimistic_header.beacon.slot),
        current_period=current_period,
        is_next_sync_committee_known=store.next_sync_committee is not None,
        is_finalized_optimistic=store.finalized_header.beacon == store.optimistic_header.beacon,
    )


def next_task(position: SyncPosition) -> Task:
    """What brings the store forward from ``position``."""
    finalized, current = position.finalized_period, position.current_period
    if finalized is None:
        return FetchBootstrap()
    if finalized == position.optimistic_period and not position.is_next_sync_committee_known:
        count = 1 if finalized >= current else min(current - finalized, MAX_PERIODS_PER_REQUEST)
        return FetchUpdates(finalized, count)
    if finalized + 1 < current:
        return FetchUpdates(finalized + 1, min(current - finalized - 1, MAX_PERIODS_PER_REQUEST))
    if not position.is_finalized_optimistic:
        return FetchFinalityUpdate()
    return FetchOptimisticUpdate()


def milliseconds_until_next_task(
    position: SyncPosition,
    network: Network,
    now_ms: int,
    *,
    progress: bool,
    uniform: Callable[[float, float], float],
) -> int:
    """How long to wait after a task before planning the next.

    This spaces the requests that keep a follower of pushed updates going; whoever polls for the
    head has a clock of their own, see :func:`next_poll_ms`.

    Args:
        progress: whether the last task brought any.
        uniform: draws from a range, as ``random.uniform`` does.
    """
    if position.is_catching_up:
        return 0 if progress else _jittered(0, network, uniform)
    if progress and not position.is_next_sync_committee_known:
        return 0  # as after a bootstrap: the next committee may be had at once
    if not (position.is_finalized_optimistic and position.is_next_sync_committee_known):
        # Also while the next committee is missing: it must be learnt before the period ends.
        last_slot = network.compute_start_slot_at_sync_committee_period(position.current_period + 1)
        until_last_slot = network.slot_start_ms(last_slot - 1) - now_ms
        return _jittered(max(until_last_slot, 0), network, uniform)
    period_ms = network.preset.slots_per_sync_committee_period * network.slot_duration_ms
    return _jittered(period_ms, network, uniform)


def _jittered(delay_ms: float, network: Network, uniform: Callable[[float, float], float]) -> int:
    least = max(delay_ms / 8, _LEAST_WAIT_SLOTS * network.slot_duration_ms)
    return int(least + uniform(0, 2 * least))


def next_poll_ms(network: Network, now_ms: int, uniform: Callable[[float, float], float]) -> int:
    """When to ask for the head next: a little after each slot's sync messages are due.

    Unix milliseconds. Signatures of a slot are sent a third into it and reach servers by the next
    block, so half a slot in is soon enough; the draw keeps clients from asking all at once.
    """
    duration = network.slot_duration_ms
    slot_start = network.slot_start_ms(network.slot_at_time_ms(now_ms))
    earliest, latest = _POLL_WINDOW
    if now_ms >= slot_start + int(duration * earliest):
        slot_start += duration  # one poll a slot, whatever the draws
    return slot_start + int(duration * uniform(earliest, latest))


def usable_updates(
    updates: Iterable[LightClientUpdate], task: FetchUpdates, network: Network
) -> list[LightClientUpdate]:
    """What of an answer is worth judging: of the periods asked for, one each, in order.

    Servers send too much, twice, out of order, or updates that another period's committee signed;
    none of that needs to stop the sync.
    """
    period = network.compute_sync_committee_period_at_slot
    wanted = range(task.start_period, task.start_period + task.count)
    by_period: dict[int, LightClientUpdate] = {}
    for update in updates:
        attested_period = period(update.attested_header.beacon.slot)
        if attested_period in wanted and attested_period == period(update.signature_slot):
            by_period.setdefault(attested_period, update)
    return [by_period[key] for key in sorted(by_period)]
