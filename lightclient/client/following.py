"""The loop that keeps the store at the head: what is due now, and how long to sleep.

What to ask for is the planner's decision; this adds the head, for which a REST client has to poll
once a slot, and what a clock may do: stand still for days, or step back.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable

import anyio

from lightclient.client.fetching import Fetcher
from lightclient.client.watch import is_usable
from lightclient.protocol import has_supermajority, is_finality_update
from lightclient.sync import (
    FetchBootstrap,
    FetchFinalityUpdate,
    FetchOptimisticUpdate,
    FetchUpdates,
    SyncPosition,
    milliseconds_until_next_task,
    next_poll_ms,
    next_task,
    sync_position,
)

_logger = logging.getLogger("lightclient")

BOOTSTRAP_ROUNDS = 3
"""So often must all providers rule a bootstrap out before the client gives up."""


class Follower:
    """Does what is due, again and again.

    Args:
        clock: Unix milliseconds.
        uniform: draws from a range, as ``random.uniform`` does.

    Attributes:
        next_sync_ms: when to do the planner's next task, Unix milliseconds.
        next_head_ms: when to look for a newer head; of no meaning while catching up.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        clock: Callable[[], int],
        uniform: Callable[[float, float], float],
    ) -> None:
        self.next_sync_ms = 0
        self.next_head_ms = 0
        self._fetcher = fetcher
        self._processor = fetcher.processor
        self._network = fetcher.processor.network
        self._clock = clock
        self._uniform = uniform
        self._last_ms = 0
        self._was_catching_up = True
        self._refused_rounds = 0
        self._woken: anyio.Event | None = None

    async def run(self) -> None:
        """Follow until cancelled.

        Raises:
            ProviderRefused: no provider will ever have the bootstrap.
        """
        while True:
            self._woken = anyio.Event()
            await self.step()
            with anyio.move_on_after(self.delay_ms() / 1000):
                await self._woken.wait()

    def wake(self) -> None:
        """Do now what is due, and the planner's next task whether or not it is due."""
        self.next_sync_ms = 0
        if self._woken is not None:
            self._woken.set()

    async def step(self) -> None:
        """Do what is due now. Raises as :meth:`run`."""
        now_ms = self._clock()
        self._notice_jumps(now_ms)
        has_asked = False
        if now_ms >= self.next_sync_ms:
            has_asked = await self._sync()
        if self._clock() < self.next_sync_ms and self._is_head_due(now_ms):
            await self._poll_head()
            has_asked = True
        # Not before: while a machine sleeps or is offline, the chain may well finalize.
        if has_asked and any(map(is_usable, self._fetcher.providers)):
            await self._force_update(self._clock())

    def delay_ms(self) -> int:
        """Milliseconds to sleep before the next step: at least one and at most a slot.

        Never longer, as a machine that was asleep for days must notice when it wakes.
        """
        is_catching_up = self._position().is_catching_up
        due_ms = self.next_sync_ms
        if not is_catching_up:
            due_ms = min(due_ms, self.next_head_ms)
        return min(max(due_ms - self._clock(), 1), self._network.slot_duration_ms)

    def _position(self) -> SyncPosition:
        return sync_position(self._processor.store, self._network, self._clock())

    def _is_head_due(self, now_ms: int) -> bool:
        return now_ms >= self.next_head_ms and not self._position().is_catching_up

    def _notice_jumps(self, now_ms: int) -> None:
        """After falling behind or a clock that stepped back, nothing planned before still holds."""
        is_catching_up = self._position().is_catching_up
        fell_behind = is_catching_up and not self._was_catching_up
        stepped_back = now_ms < self._last_ms - self._network.slot_duration_ms
        if fell_behind or stepped_back:
            self.next_sync_ms = self.next_head_ms = now_ms
        self._was_catching_up, self._last_ms = is_catching_up, now_ms

    # Committees ---------------------------------------------------------------------------------

    async def _sync(self) -> bool:
        """Do the planner's task; whether that was to ask for something."""
        task = next_task(self._position())
        progress = is_request = False
        if isinstance(task, FetchBootstrap | FetchUpdates):
            is_request = True
            progress = await self._fetcher.perform(task)
            self._count_refusals(task)
            if not progress and isinstance(task, FetchUpdates):
                _log_standstill(task)
        now_ms = self._clock()
        self.next_sync_ms = now_ms + milliseconds_until_next_task(
            sync_position(self._processor.store, self._network, now_ms),
            self._network,
            now_ms,
            progress=progress,
            uniform=self._uniform,
        )
        return is_request

    def _count_refusals(self, task: FetchBootstrap | FetchUpdates) -> None:
        refusal = self._fetcher.bootstrap_refusal if isinstance(task, FetchBootstrap) else None
        self._refused_rounds = 0 if refusal is None else self._refused_rounds + 1
        if refusal is not None and self._refused_rounds >= BOOTSTRAP_ROUNDS:
            raise refusal

    async def _force_update(self, now_ms: int) -> None:
        store = self._processor.store
        best = store.best_valid_update if store is not None else None
        outcome = self._processor.tick(now_ms)
        if outcome is None or best is None or store is None:
            return
        _logger.warning(
            "Forced update: going on without finality",
            extra={
                "lc": {
                    "finalized_slot": store.finalized_header.beacon.slot,
                    "supermajority": has_supermajority(best),
                    "finality": is_finality_update(best),
                }
            },
        )
        await self._fetcher.deliver(self._fetcher.confirmations.withhold(outcome))

    # Head ---------------------------------------------------------------------------------------

    async def _poll_head(self) -> None:
        # What a provider pushed shows in the headers: then there is nothing to ask for.
        slot = self._network.slot_at_time_ms(self._clock())
        if self._expects_finality(slot):
            await self._fetcher.perform(
                FetchFinalityUpdate(),
                lambda: not self._expects_finality(slot),
                at_once=self._fetcher.confirmations.min_providers,
            )
        if self._is_head_older_than(slot - 1):
            needed = self._fetcher.confirmations.min_providers
            asked = itertools.count(1)

            def is_enough() -> bool:
                # A head one slot older still is enough: that slot's block may be missing or late.
                is_one_older_enough = next(asked) >= needed
                return not self._is_head_older_than(slot - 1 - is_one_older_enough)

            await self._fetcher.perform(FetchOptimisticUpdate(), is_enough, at_once=needed)
        self.next_head_ms = next_poll_ms(self._network, self._clock(), self._uniform)

    def _is_head_older_than(self, slot: int) -> bool:
        header = self._fetcher.confirmed_optimistic_header
        return header is None or header.slot < slot

    def _expects_finality(self, slot: int) -> bool:
        """Whether a newer finalized header should be known in ``slot``.

        The block before ``slot`` is the newest that can be signed, and its state finalizes the
        checkpoint two epochs before its own.
        """
        header = self._fetcher.confirmed_finalized_header
        if header is None:
            return True
        slots_per_epoch = self._network.preset.slots_per_epoch
        # A checkpoint's block is older than its epoch if the epoch's first slots are empty.
        checkpoint_epoch = -(-header.slot // slots_per_epoch)
        return self._network.compute_epoch_at_slot(max(slot - 1, 0)) - 2 > checkpoint_epoch


def _log_standstill(task: FetchUpdates) -> None:
    last = task.start_period + task.count - 1
    _logger.info(
        "No provider brought the sync forward",
        extra={"lc": {"periods": f"{task.start_period} to {last}"}},
    )
