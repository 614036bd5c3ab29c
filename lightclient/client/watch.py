"""Looks, once a slot, whether the clock is right, all are on one network, and it goes forward.

Ties the clock's, the schedule's and the health's watch to one client. Watching never decides what
is true; it tells, and it ends a client that a fork has left behind.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial

import anyio
import anyio.to_thread

from lightclient.client.clock_watch import ClockSkew, ClockWatch
from lightclient.client.fetching import Fetcher
from lightclient.client.health import HealthReport, HealthWatch, Vitals, assess
from lightclient.client.providers import Provider
from lightclient.client.schedule_watch import ScheduleWatch
from lightclient.client.status import Reason, SyncState
from lightclient.containers import LightClientObject
from lightclient.protocol import LightClientStore, Verdict
from lightclient.transports.base import ServerTime


class Watch:
    """The three watches over one client.

    Args:
        clock: Unix milliseconds.
        sync_state: how far the client is now.

    Attributes:
        clock, schedule, health: the watches.
        other_concerns: asked for what else is wrong, such as with the disk.
    """

    def __init__(
        self, fetcher: Fetcher, clock: Callable[[], int], sync_state: Callable[[], SyncState]
    ) -> None:
        self._fetcher = fetcher
        self._processor = fetcher.processor
        self._network = fetcher.processor.network
        self._now_ms = clock
        self._sync_state = sync_state
        self.clock = ClockWatch(self._network)
        self.schedule = ScheduleWatch(self._network, fetcher.providers, clock)
        self.health = HealthWatch(self._network)
        self._ticked_at: float | None = None
        self.other_concerns: list[Callable[[], Iterable[Reason]]] = []
        fetcher.on_refused.append(self._note_refused)
        for provider in fetcher.providers:
            if hasattr(provider.transport, "on_server_time"):
                provider.transport.on_server_time = partial(self._note_time, provider)

    def _note_time(self, provider: Provider, time: ServerTime) -> None:
        self.clock.note_server_time(provider, time, self._now_ms())

    def _note_refused(
        self,
        _: Provider,
        value: LightClientObject,
        verdict: Verdict,
        before: LightClientStore | None,
        now_ms: int,
    ) -> None:
        self.clock.note_refused(value, verdict, before, now_ms)

    async def run(self) -> None:
        """Watch until cancelled.

        Raises:
            UnknownFork: a fork has begun that this version does not know.
        """
        while True:
            await self.tick()
            await anyio.sleep(self._network.slot_duration_ms / 1000)

    async def ask(self) -> None:
        """Ask providers what they announce, until cancelled; apart, as that may take long."""
        while True:
            await self.schedule.check_due()
            await anyio.sleep(self._network.slot_duration_ms / 1000)

    async def tick(self) -> None:
        """Do what is due in a slot. Raises as :meth:`run`."""
        self._ticked_at = time.monotonic()
        if self.clock.tick(self._now_ms()):
            self.schedule.ask_again()
        self.clock.note_header(self._processor.optimistic_header, self._now_ms())
        await self._examine_future()
        mark = self._mark()
        self.health.tick(self._now_ms(), mark)
        self.health.tell(self.report())
        self.schedule.tick(self._processor.optimistic_header, mark)

    async def _examine_future(self) -> None:
        if not self.clock.has_candidate():
            return
        async with self._fetcher.judging:
            await anyio.to_thread.run_sync(
                self.clock.examine, self._processor.signatures, self._now_ms()
            )

    def _mark(self) -> object:
        """Changes with all that is verified."""
        store = self._processor.store
        if store is None:
            return None
        return (
            store.finalized_header.beacon.slot,
            store.optimistic_header.beacon.slot,
            store.next_sync_committee is not None,
        )

    def seconds_since_tick(self, monotonic: float) -> float:
        """Waking seconds since the last tick, by ``time.monotonic``; 0 if there was none yet."""
        return 0.0 if self._ticked_at is None else monotonic - self._ticked_at

    # What is seen -------------------------------------------------------------------------------

    def skew(self) -> ClockSkew | None:
        """How wrong the clock is, as far as known."""
        return self.clock.skew(self._now_ms())

    def report(self) -> HealthReport:
        """The state of health now."""
        now_ms = self._now_ms()
        head, finalized = self._processor.optimistic_header, self._processor.finalized_header
        skew = self.skew()
        stale_slots = 2 * self._network.preset.slots_per_epoch
        return assess(
            Vitals(
                state=self._sync_state(),
                was_synced=self.health.was_synced,
                idle_slots=self.health.idle_slots if self._mark() == self.health.mark else 0.0,
                head_slot=head.slot if head else None,
                finalized_slot=finalized.slot if finalized else None,
                current_slot=self._network.slot_at_time_ms(now_ms),
                providers=len(self._fetcher.providers),
                usable_providers=sum(is_usable(p) for p in tuple(self._fetcher.providers)),
                is_before_genesis=self._network.is_before_genesis_ms(now_ms),
                is_clock_slow=skew is not None
                and skew.is_proven
                and -1000 * skew.seconds > stale_slots * self._network.slot_duration_ms,
                concerns=(
                    *self._clock_concerns(skew),
                    *self._network_concerns(),
                    *(reason for ask in self.other_concerns for reason in ask()),
                ),
            ),
            self._network,
        )

    def _clock_concerns(self, skew: ClockSkew | None) -> list[Reason]:
        if skew is None or not self.clock.is_significant(skew):
            return []
        way = "slow" if skew.seconds < 0 else "fast"
        by = f"{abs(skew.seconds):.1f} s"
        return [Reason(f"clock_{way}", f"this machine's clock is {way} by {by}: set it (NTP)")]

    def _network_concerns(self) -> list[Reason]:
        wrong = [
            Reason("wrong_network", f"{item.name} serves {item.wrong_network}: it is not asked")
            for item in tuple(self._fetcher.providers)
            if item.wrong_network is not None
        ]
        return [*wrong, *self.schedule.concerns()]


def is_usable(provider: Provider) -> bool:
    """Whether the last request to it was answered, and it is on our network."""
    return provider.last_error is None and provider.wrong_network is None
