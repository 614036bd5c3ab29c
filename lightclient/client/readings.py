"""What a client knows, to be read at any moment without waiting: headers, status, providers.

Nothing here changes anything; ``LightClient`` adds how it comes about.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, overload

from lightclient.client.conflicts import Conflict
from lightclient.client.fetching import Fetcher
from lightclient.client.freshness import require_recent
from lightclient.client.providers import Provider
from lightclient.client.reporting import ConflictReporter
from lightclient.client.status import Status, SyncState, is_head_recent, sync_progress
from lightclient.client.watch import Watch, is_usable
from lightclient.config import Network
from lightclient.sync import Processor, VerifiedHeader, sync_position

if TYPE_CHECKING:
    from lightclient.client.persistence import Persistence


class Readings:
    """The part of a :class:`LightClient` that is read."""

    network: Network
    processor: Processor
    persistence: Persistence | None
    watch: Watch
    _clock: Callable[[], int]
    _fetcher: Fetcher
    _reporter: ConflictReporter
    _start_period: int | None

    @overload
    def finalized_header(self, *, max_age: None = None) -> VerifiedHeader | None: ...

    @overload
    def finalized_header(self, *, max_age: float) -> VerifiedHeader: ...

    def finalized_header(self, *, max_age: float | None = None) -> VerifiedHeader | None:
        """The latest finalized header; None before the bootstrap.

        Raises:
            NotSyncedError: with ``max_age`` (seconds): there is none yet.
            StaleError: with ``max_age``: its slot started longer ago than that, or the clock is
                so slow that nobody can tell.
        """
        header = self.processor.finalized_header
        if max_age is None:
            return header
        return self._require_recent(header, "finalized", max_age)

    @overload
    def optimistic_header(self, *, max_age: None = None) -> VerifiedHeader | None: ...

    @overload
    def optimistic_header(self, *, max_age: float) -> VerifiedHeader: ...

    def optimistic_header(self, *, max_age: float | None = None) -> VerifiedHeader | None:
        """The latest header that the sync committee signed; None before the bootstrap.

        Raises as :meth:`finalized_header`.
        """
        header = self.processor.optimistic_header
        if max_age is None:
            return header
        return self._require_recent(header, "optimistic", max_age)

    def _require_recent(
        self, header: VerifiedHeader | None, name: str, max_age: float
    ) -> VerifiedHeader:
        now_ms = self._clock()
        return require_recent(header, name, max_age, now_ms, self.watch.clock.slow_ms(now_ms))

    @overload
    def confirmed_finalized_header(self, *, max_age: None = None) -> VerifiedHeader | None: ...

    @overload
    def confirmed_finalized_header(self, *, max_age: float) -> VerifiedHeader: ...

    def confirmed_finalized_header(self, *, max_age: float | None = None) -> VerifiedHeader | None:
        """The latest finalized header that ``min_providers`` served; None before that.

        The trusted block counts as confirmed. With one provider, :meth:`finalized_header`, as which
        it raises.
        """
        header = self._fetcher.confirmed_finalized_header
        if max_age is None:
            return header
        return self._require_recent(header, "confirmed finalized", max_age)

    @overload
    def confirmed_optimistic_header(self, *, max_age: None = None) -> VerifiedHeader | None: ...

    @overload
    def confirmed_optimistic_header(self, *, max_age: float) -> VerifiedHeader: ...

    def confirmed_optimistic_header(self, *, max_age: float | None = None) -> VerifiedHeader | None:
        """The latest optimistic header that ``min_providers`` served; None before that.

        Raises as :meth:`finalized_header`.
        """
        header = self._fetcher.confirmed_optimistic_header
        if max_age is None:
            return header
        return self._require_recent(header, "confirmed optimistic", max_age)

    @property
    def min_providers(self) -> int:
        """How many providers must have served a header for it to count as confirmed."""
        return self._fetcher.confirmations.min_providers

    @property
    def conflicts(self) -> tuple[Conflict, ...]:
        """The latest pairs of signed headers that contradict each other; empty, one hopes."""
        return tuple(self._reporter.conflicts)

    def age(self, header: VerifiedHeader) -> float:
        """Seconds since the start of the header's slot, by the client's clock."""
        return header.age(self._clock())

    @property
    def providers(self) -> tuple[Provider, ...]:
        """The providers in the order in which they are asked."""
        return tuple(self._fetcher.providers)

    @property
    def current_slot(self) -> int:
        """The slot by the client's clock."""
        return self.network.slot_at_time_ms(self._clock())

    @property
    def store_bytes(self) -> int | None:
        """Size of the stored state on disk; None without a data directory."""
        return None if self.persistence is None else self.persistence.size_bytes()

    @property
    def status(self) -> Status:
        """Where the client stands now."""
        position = sync_position(self.processor.store, self.network, self._clock())
        state, progress = self._sync_progress()
        report, skew = self.watch.report(), self.watch.skew()
        start = self._start_period
        providers = self._fetcher.providers
        return Status(
            state=state,
            progress=progress,
            start_period=position.finalized_period if start is None else start,
            finalized_period=position.finalized_period,
            current_period=position.current_period,
            providers=len(providers),
            usable_providers=sum(is_usable(item) for item in providers),
            health=report.health,
            reasons=report.reasons,
            clock_skew=None if skew is None else skew.seconds,
        )

    def _sync_progress(self) -> tuple[SyncState, float]:
        now_ms = self._clock()
        position = sync_position(self.processor.store, self.network, now_ms)
        start = self._start_period
        return sync_progress(
            position,
            position.finalized_period if start is None else start,
            is_head_recent=is_head_recent(self.confirmed_optimistic_header(), self.network, now_ms),
        )
