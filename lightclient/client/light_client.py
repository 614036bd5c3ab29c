"""``LightClient``: providers in, verified headers out.

Ties the rooms together: the planner says what to fetch, the fetcher gets it judged, listeners are
told. Runs on asyncio or trio through anyio. Time and randomness can be injected.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio
import anyio.abc

from lightclient.bls import Backend
from lightclient.client.arguments import (
    backend_of,
    check_callbacks,
    check_directories,
    check_numbers,
    parse_trusted_block_root,
    policy_of,
    pools_of,
    transports_of,
    wall_clock_ms,
)
from lightclient.client.conflicts import ConflictPolicy
from lightclient.client.fetching import Fetcher
from lightclient.client.following import Follower
from lightclient.client.lifetime import Background, close_transport
from lightclient.client.measures import Measures
from lightclient.client.pushes import Listener
from lightclient.client.readings import Readings
from lightclient.client.reporting import ConflictReporter, evidence_directory
from lightclient.client.second_process import SecondProcess, usable_cores
from lightclient.client.status import SyncState
from lightclient.client.subscriptions import HeaderCallback, HeaderFeed, HeaderIterator
from lightclient.client.watch import Watch
from lightclient.client.weak_subjectivity import TrustPeriod
from lightclient.config import Network, resolve_network
from lightclient.errors import (
    LightClientError,
    NotSyncedError,
    StaleTrustedRoot,
)
from lightclient.protocol import ACCEPTED
from lightclient.sync import (
    Event,
    ForcedUpdatePolicy,
    NewFinalizedHeader,
    Outcome,
    Processor,
    VerifiedHeader,
)
from lightclient.transports.base import Transport

if TYPE_CHECKING:
    from lightclient.client.dumping import Dumper
    from lightclient.client.persistence import Persistence
    from lightclient.storage import StateStorage
    from lightclient.transports.pools import TransportPool

_logger = logging.getLogger("lightclient")


class LightClient(Readings):
    """Follows a chain from a trusted block root; an async context manager, good for one use.

    Args:
        network: a name ("mainnet"), a directory with ``config.yaml``, or a :class:`Network`.
        trusted_block_root: 32 bytes or 0x hex: the root of a finalized checkpoint block.
        transports: providers, asked in turn; a string is the base URL of a beacon node's REST API.
            The client opens and closes them.
        pools: providers that come and go, such as the peers of a ``Libp2pPool``; they and the
            transports are used as one.
        on_finalized_header, on_optimistic_header: called (awaited if async) with each new header,
            one call at a time and in order; the client waits for them, and :meth:`stop` cancels
            the one it waits for. What they raise is logged.
        bls_backend: "milagro", "arkworks", "blst" or an instance; default: the fastest usable.
        forced_update: when to go on without finality; default never.
        audit_committees: compare every committee's aggregate key before its first use.
        second_process: check a part of a history's signatures in a process of its own, while
            catching up and where an interpreter can be started and has a second core.
        dump_dir: directory in which refused objects are kept, for ``nimbus-light-client explain``;
            200 files and 32 MiB at most.
        data_dir: directory in which to keep the state, and to find it again; or a storage of your
            own, which you open and close.
        weak_subjectivity_epochs: how old the trusted block, or a stored state, may be to start
            from; by default the upper bound that the network's configuration gives.
        allow_stale_trusted_root: start even if it is older than that.
        min_providers: how many, of different servers, must have served a header before callbacks
            and iterators tell of it; see :meth:`confirmed_finalized_header`.
        conflict_policy: "halt" or "continue" when two headers contradict each other although the
            sync committee signed both.
        evidence_dir: where both are kept then; default: ``evidence`` in ``data_dir``, if that is a
            directory.
        clock: Unix milliseconds. rng: source of jitter.

    An exception in the body of the context comes out as it is. A failure of the client itself is
    raised by :meth:`run`, :meth:`wait_until_synced` and the iterators; if none of them had the
    occasion, by leaving the context.

    Raises:
        ConfigError, BlsError: for arguments that cannot be used.
    """

    def __init__(
        self,
        *,
        network: str | PathLike[str] | Network = "mainnet",
        trusted_block_root: bytes | str,
        transports: Sequence[Transport | str] = (),
        pools: Sequence[TransportPool] = (),
        on_finalized_header: HeaderCallback | None = None,
        on_optimistic_header: HeaderCallback | None = None,
        bls_backend: str | Backend | None = None,
        forced_update: ForcedUpdatePolicy | str = ForcedUpdatePolicy.NEVER,
        audit_committees: bool = False,
        second_process: bool = False,
        dump_dir: str | PathLike[str] | None = None,
        data_dir: str | PathLike[str] | StateStorage | None = None,
        weak_subjectivity_epochs: int | None = None,
        allow_stale_trusted_root: bool = False,
        min_providers: int = 1,
        conflict_policy: ConflictPolicy | str = ConflictPolicy.HALT,
        evidence_dir: str | PathLike[str] | None = None,
        clock: Callable[[], int] = wall_clock_ms,
        rng: random.Random | None = None,
    ) -> None:
        check_callbacks(
            on_finalized_header=on_finalized_header, on_optimistic_header=on_optimistic_header
        )
        check_numbers(
            min_providers=min_providers, weak_subjectivity_epochs=weak_subjectivity_epochs
        )
        check_directories(data_dir=data_dir, dump_dir=dump_dir, evidence_dir=evidence_dir)
        self.pools = pools_of(pools)
        self.network = network if isinstance(network, Network) else resolve_network(network)
        backend = backend_of(bls_backend)
        two_cores = second_process and usable_cores() > 1
        self.processor = Processor(
            self.network,
            parse_trusted_block_root(trusted_block_root),
            backend=backend,
            forced_update=policy_of(forced_update),
            audit_committees=audit_committees,
            second_process=SecondProcess(backend) if two_cores else None,
            clock=clock,
        )
        self._clock = clock
        self._finalized = HeaderFeed("finalized", on_finalized_header)
        self._optimistic = HeaderFeed("optimistic", on_optimistic_header)
        uniform = (rng or random.Random()).uniform
        self._fetcher = Fetcher.over(
            self.processor,
            transports_of(transports) if transports or not self.pools else (),
            clock,
            self._deliver,
            uniform,
        )
        self._fetcher.has_pool = bool(self.pools)
        self._fetcher.require(min_providers)
        self._reporter = ConflictReporter(
            self.processor, conflict_policy, evidence_directory(evidence_dir, data_dir)
        )
        self._fetcher.on_conflict = self._reporter.report
        self._follower = Follower(self._fetcher, clock, uniform)
        self._listener = Listener(self._fetcher, clock)
        self.watch = Watch(self._fetcher, clock, lambda: self._sync_progress()[0])
        self.measures = Measures(self._fetcher)
        self._dumper = None if dump_dir is None else _dumper(dump_dir, self._fetcher, clock)
        if self._dumper is not None:
            self._listener.on_failure.append(self._dumper.note_failure)
        self.persistence = None if data_dir is None else self._persistence(data_dir)
        self._trust_period = TrustPeriod(
            self.network, weak_subjectivity_epochs, allow_stale_trusted_root
        )
        self._restored: Outcome | None = None
        self._start_period: int | None = None
        self._failure: Exception | None = None
        self._has_raised = False
        self._has_ended = False
        # Made when the client is entered: they belong to the event loop.
        self._exit_stack: AsyncExitStack | None = None
        self._tasks: anyio.abc.TaskGroup | None = None
        self._changed: anyio.Event | None = None
        self._delivery: anyio.Lock | None = None

    # Life ---------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._exit_stack is not None:
            raise RuntimeError("a LightClient is used once: make another one")
        self._exit_stack = AsyncExitStack()
        self._changed = anyio.Event()
        self._delivery = anyio.Lock()
        async with AsyncExitStack() as stack:
            if self._dumper is not None:
                self._dumper.open()
                stack.push_async_callback(self._dumper.aclose)
            stack.callback(self.processor.close)
            await self._reporter.refuse_known()
            if self.persistence is not None:
                await self._resume(self.persistence, stack)
            for provider in self._fetcher.providers:
                stack.push_async_callback(close_transport, provider)
                await provider.transport.open(self.network)
            if self.persistence is not None:
                stack.push_async_callback(self.persistence.save_last)
            group = await stack.enter_async_context(Background())
            group.start_soon(self._work)
            self._exit_stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._exit_stack is not None
        self.stop()
        await self._exit_stack.__aexit__(kind, error, trace)
        if error is None and self._failure is not None and not self._is_failure_known:
            raise self._failure

    @property
    def _is_failure_known(self) -> bool:
        return self._has_raised or self._finalized.has_raised or self._optimistic.has_raised

    async def _work(self) -> None:
        async with anyio.create_task_group() as self._tasks:
            if self._has_ended:
                return
            # First, so that a callback that never returns is seen in the client's health.
            self._tasks.start_soon(self._guarded, self.watch.run)
            if self._restored is not None:
                await self._deliver(self._fetcher.confirmations.withhold(self._restored))
            if self.persistence is not None:
                self._tasks.start_soon(self._guarded, self.persistence.run)
            self._tasks.start_soon(self._guarded, self._follow)
            self._tasks.start_soon(self._guarded, self.watch.ask)
            self._tasks.start_soon(self._guarded, self._listener.run)
            for pool in self.pools:
                self._start_pool(pool, self._tasks)

    def _start_pool(self, pool: TransportPool, tasks: anyio.abc.TaskGroup) -> None:
        from lightclient.client.pool_membership import PoolMembership  # only for those with one

        member = PoolMembership(self._fetcher, self._clock, self._follower.wake)
        tasks.start_soon(self._guarded, member.run)
        tasks.start_soon(self._guarded, partial(pool.run, self.network, member))

    async def _follow(self) -> None:
        # Nobody who is on another network is to be asked for anything.
        await self.watch.schedule.check_networks()
        await self._follower.run()

    async def _resume(self, persistence: Persistence, stack: AsyncExitStack) -> None:
        state = await persistence.open()
        stack.push_async_callback(persistence.aclose)
        if state is not None:
            slot = state.store.finalized_header.beacon.slot
            self._trust_period.check(slot, self._clock(), "the stored state")
            self._restored = Outcome(ACCEPTED, persistence.resume(state), progress=True)

    def _persistence(self, storage: str | PathLike[str] | StateStorage) -> Persistence:
        # Only for those who use it.
        from lightclient.client.persistence import Persistence

        persistence = Persistence(storage, self.processor, lambda: self.providers, self._clock)
        self.watch.other_concerns.append(persistence.concerns)
        return persistence

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do ``work``; what it raises ends the client and reaches whoever waits for it."""
        try:
            await work()
        except LightClientError as error:
            _logger.error("Light client gives up", extra={"lc": {"reason": error}})
            self._end(error)
        except Exception as error:
            _logger.exception("Light client failed: this is a fault in it or in a transport")
            self._end(error)

    def stop(self) -> None:
        """Stop following: requests are given up, iterators end, :meth:`run` returns."""
        self._end(None)

    def _end(self, failure: Exception | None) -> None:
        self._failure = self._failure or failure
        self._has_ended = True
        self._finalized.close(self._failure)
        self._optimistic.close(self._failure)
        self._notify()
        if self._tasks is not None:
            self._tasks.cancel_scope.cancel()

    def _notify(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = anyio.Event()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            self._has_raised = True
            raise self._failure

    async def run(self) -> None:
        """Wait until :meth:`stop` is called.

        Raises:
            LightClientError: a failure that cannot heal, such as a trusted block root that no
                provider will ever have a bootstrap for.
        """
        while not self._has_ended:
            await self._wait_for_change()
        self._raise_failure()

    async def _wait_for_change(self) -> None:
        if self._changed is None:
            raise RuntimeError("use the client as an async context manager first")
        await self._changed.wait()

    # Results ------------------------------------------------------------------------------------

    def finalized_headers(self) -> HeaderIterator:
        """The current (confirmed) finalized header, then each new one."""
        return self._subscribed(self._finalized, self.confirmed_finalized_header())

    def optimistic_headers(self) -> HeaderIterator:
        """The current (confirmed) optimistic header, then each new one."""
        return self._subscribed(self._optimistic, self.confirmed_optimistic_header())

    @staticmethod
    def _subscribed(feed: HeaderFeed, current: VerifiedHeader | None) -> HeaderIterator:
        # The store may be ahead of what was told: nobody is to hear of a header after a later one.
        return feed.subscribe(current if feed.latest is None else feed.latest)

    async def wait_until_synced(self) -> VerifiedHeader:
        """Wait for the (confirmed) head of the chain; returns the finalized header then.

        Raises:
            LightClientError: a failure that cannot heal.
            NotSyncedError: stopped before.
        """
        while True:
            self._raise_failure()
            finalized = self.confirmed_finalized_header()
            if finalized is not None and self.status.state is SyncState.SYNCED:
                return finalized
            if self._has_ended:
                raise NotSyncedError("stopped before the head was reached")
            # The clock may be corrected meanwhile, and that nobody announces.
            with anyio.move_on_after(self.network.slot_duration_ms / 1000):
                await self._wait_for_change()

    # Telling ------------------------------------------------------------------------------------

    async def _deliver(self, outcome: Outcome) -> None:
        """Tell all listeners of progress: iterators at once, callbacks one at a time."""
        if self._start_period is None and self._restored is None:
            self._check_age_of_bootstrap(outcome)
        if self.persistence is not None:
            self.persistence.note()
        for event in outcome.events:
            if self._start_period is None:
                period = self.network.compute_sync_committee_period_at_slot
                self._start_period = period(event.header.slot)
            feed = self._feed_of(event)
            feed.log(event.header)
            feed.push(event.header)
        self._notify()
        assert self._delivery is not None  # only a client that was entered fetches anything
        async with self._delivery:
            for event in outcome.events:
                await self._feed_of(event).call(event.header)

    def _check_age_of_bootstrap(self, outcome: Outcome) -> None:
        for event in outcome.events[:1]:
            try:
                self._trust_period.check(event.header.slot, self._clock(), "the trusted block")
            except StaleTrustedRoot:
                self.processor.forget()  # proven, but not to be relied on
                raise

    def _feed_of(self, event: Event) -> HeaderFeed:
        return self._finalized if isinstance(event, NewFinalizedHeader) else self._optimistic


def _dumper(path: str | PathLike[str], fetcher: Fetcher, clock: Callable[[], int]) -> Dumper:
    # Only for those who use it.
    from lightclient.client.dumping import Dumper

    return Dumper(path, fetcher, clock)
