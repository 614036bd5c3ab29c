"""How far a client is, at a glance."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from lightclient.config import Network
from lightclient.sync import SyncPosition, VerifiedHeader


class SyncState(StrEnum):
    """How far the client is."""

    BOOTSTRAPPING = "bootstrapping"
    SYNCING = "syncing"
    SYNCED = "synced"


class Health(StrEnum):
    """How far the client's headers can be relied on to be recent.

    - ``starting``: was not synced yet, and is on its way.
    - ``synced``: the head is at most two epochs behind the clock, as Nimbus has it.
    - ``stale``: was synced, and is not any more: the headers are true, but old.
    - ``stuck``: not synced, and nothing new for four epochs: somebody should look.
    """

    STARTING = "starting"
    SYNCED = "synced"
    STALE = "stale"
    STUCK = "stuck"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why the client is not quite well: a stable word, and a sentence that says what to do."""

    code: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Status:
    """A moment's view of the client.

    Attributes:
        progress: share of the periods from the bootstrap to the head that is done, 0 to 1.
        start_period, finalized_period: None before the bootstrap.
        providers: how many there are; ``usable_providers`` did not fail the last time.
        health: whether the headers can be relied on to be recent; ``reasons`` says what is wrong,
            or will be, even while synced.
        clock_skew: seconds that this machine's clock is ahead of the others'; negative if it is
            behind, None while nobody told.
    """

    state: SyncState
    progress: float
    start_period: int | None
    finalized_period: int | None
    current_period: int
    providers: int
    usable_providers: int
    health: Health = Health.STARTING
    reasons: tuple[Reason, ...] = ()
    clock_skew: float | None = None

    @property
    def is_ready(self) -> bool:
        """Whether to rely on the headers: synced, and not by a clock that is known to be wrong."""
        return self.health is Health.SYNCED

    @property
    def is_alive(self) -> bool:
        """Whether to leave the client alone: not stuck."""
        return self.health is not Health.STUCK


def sync_progress(
    position: SyncPosition, start_period: int | None, *, is_head_recent: bool
) -> tuple[SyncState, float]:
    """State and progress, 0 to 1; ``start_period`` is that of the first finalized header."""
    finalized = position.finalized_period
    if finalized is None or start_period is None:
        return SyncState.BOOTSTRAPPING, 0.0
    if not position.is_catching_up and is_head_recent:
        return SyncState.SYNCED, 1.0
    goal = position.current_period - start_period
    done = 1.0 if goal <= 0 else (finalized - start_period) / goal
    return SyncState.SYNCING, min(max(done, 0.0), 1.0)


def is_head_recent(header: VerifiedHeader | None, network: Network, now_ms: int) -> bool:
    """Whether ``header`` is at most two epochs behind the clock, which Nimbus calls synced.

    Nor as much ahead of it: then the clock is wrong, and nobody knows how recent the header is.
    """
    if header is None:
        return False
    behind = network.slot_at_time_ms(now_ms) - header.slot
    return abs(behind) <= 2 * network.preset.slots_per_epoch
