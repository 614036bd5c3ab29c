"""Keeps the client's state on disk: loaded once, saved while it follows, and at the end.

A new finalized header or a new committee is saved at once, everything else once an epoch: losing
it costs nothing but a request. Saves run in a worker thread, one at a time, each of the newest
state; headers that come while one is under way are in the next. A disk that fails is told once, and
tried again; the client goes on from memory meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from os import PathLike

import anyio
import anyio.to_thread

from lightclient.client.providers import Provider
from lightclient.client.status import Reason
from lightclient.errors import LightClientError
from lightclient.storage import StateDirectory, StateStorage, StoredState
from lightclient.sync import Event, Processor
from lightclient.transports.scores import ProviderScore

_logger = logging.getLogger("lightclient")

_SLOTS_BETWEEN_SAVES = 1 / 12
"""While a history is caught up with, finalized headers come faster than a disk should write."""


class Persistence:
    """One client's state in one storage.

    Args:
        storage: a directory, which is locked from :meth:`open` to :meth:`aclose`, or a storage that
            the caller opens and closes.
        providers: whose scores are kept, too.
        clock: Unix milliseconds.

    Attributes:
        saved_at_ms: when the state on disk was saved, Unix milliseconds; None if there is none.
        problem: why the last save failed; None if it did not.
    """

    def __init__(
        self,
        storage: str | PathLike[str] | StateStorage,
        processor: Processor,
        providers: Callable[[], Sequence[Provider]],
        clock: Callable[[], int],
    ) -> None:
        own = StateDirectory(storage, clock) if isinstance(storage, str | PathLike) else None
        self._own = own
        self._storage: StateStorage = storage if own is None else own  # type: ignore[assignment]
        self._processor = processor
        self._network = processor.network
        self._providers = providers
        self._clock = clock
        self._saved: StoredState | None = None
        self._failures = 0
        self._wanted: anyio.Event | None = None
        self.saved_at_ms: int | None = None
        self.problem: str | None = None

    # Life ---------------------------------------------------------------------------------------

    async def open(self) -> StoredState | None:
        """The state to go on from, proven; None if there is none.

        Raises:
            DataDirError: the directory cannot be used, or holds what must not be replaced.
        """
        self._wanted = anyio.Event()
        return await anyio.to_thread.run_sync(self._open)

    def _open(self) -> StoredState | None:
        root = self._processor.trusted_block_root
        assert root is not None  # a LightClient has one
        if self._own is not None:
            self._own.__enter__()
        try:
            return self._storage.load(self._network, root, self._processor.signatures)
        except BaseException:
            self._release()
            raise

    def resume(self, state: StoredState) -> tuple[Event, ...]:
        """Have the processor and the providers' scores go on from ``state``."""
        now_ms = self._clock()
        # A copy: the processor changes its store, and what is saved is compared with that.
        events = self._processor.resume(state.store.copy(), state.proofs, now_ms)
        for provider in self._providers():
            if provider.name in state.scores:
                provider.score = ProviderScore.from_dict(state.scores[provider.name])
        self._saved, self.saved_at_ms = state, state.saved_at_ms
        _logger.info(
            "Going on from the stored state",
            extra={
                "lc": {
                    "finalized": state.store.finalized_header.beacon.slot,
                    "head": state.store.optimistic_header.beacon.slot,
                    "saved": f"{max(now_ms - state.saved_at_ms, 0) / 1000:.0f}s ago",
                }
            },
        )
        return events

    async def aclose(self) -> None:
        """Give the directory back."""
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._release)

    def _release(self) -> None:
        if self._own is not None:
            self._own.release()

    # Saving -------------------------------------------------------------------------------------

    def note(self) -> None:
        """Progress was made: a finalized header or a committee that is new is saved soon."""
        store, saved = self._processor.store, self._saved
        is_worth_it = store is not None and (
            saved is None
            or store.finalized_header != saved.store.finalized_header
            or store.next_sync_committee != saved.store.next_sync_committee
        )
        if is_worth_it and self._wanted is not None:
            self._wanted.set()

    async def run(self) -> None:
        """Save when there is something to save, until cancelled."""
        assert self._wanted is not None
        slot_seconds = self._network.slot_duration_ms / 1000
        while True:
            with anyio.move_on_after(self._patience_slots() * slot_seconds):
                await self._wanted.wait()
            self._wanted = anyio.Event()
            await self.save()
            await anyio.sleep(_SLOTS_BETWEEN_SAVES * slot_seconds)

    def _patience_slots(self) -> int:
        epoch = self._network.preset.slots_per_epoch
        return epoch if not self._failures else min(1 << min(self._failures - 1, 16), epoch)

    async def save_last(self) -> None:
        """Save what is not saved yet, however the client ends."""
        with anyio.CancelScope(shield=True):
            await self.save()

    async def save(self) -> None:
        """Save the newest state, if it differs from the one on disk; never raises for the disk."""
        state = self._snapshot()
        if state is None or (self._saved is not None and self._saved.store == state.store):
            return
        try:
            await anyio.to_thread.run_sync(self._storage.save, state)
        except LightClientError as error:
            self._note_failure(str(error))
        except Exception as error:
            _logger.exception("State could not be saved: this is a fault in it or in its storage")
            self._note_failure(type(error).__name__)
        else:
            self._note_success(state)

    def _snapshot(self) -> StoredState | None:
        store, root = self._processor.store, self._processor.trusted_block_root
        if store is None or root is None:
            return None
        scores = {provider.name: provider.score.to_dict() for provider in self._providers()}
        return StoredState.of(
            self._network, root, store.copy(), self._processor.proofs, self._clock(), scores
        )

    def _note_failure(self, problem: str) -> None:
        if self.problem is None:
            _logger.error(
                "State cannot be saved: going on without, and trying again",
                extra={"lc": {"reason": problem}},
            )
        self.problem = problem
        self._failures += 1

    def _note_success(self, state: StoredState) -> None:
        if self.problem is not None:
            _logger.info("State is saved again")
        self.problem, self._failures = None, 0
        self._saved, self.saved_at_ms = state, state.saved_at_ms

    # What is seen -------------------------------------------------------------------------------

    def size_bytes(self) -> int:
        """How much room the state takes on disk."""
        return self._storage.size_bytes()

    def concerns(self) -> list[Reason]:
        """What is wrong with the disk, for the client's health."""
        if self.problem is None:
            return []
        sentence = f"state is not saved ({self.problem}): a restart would begin further back"
        return [Reason("state_not_saved", sentence)]
