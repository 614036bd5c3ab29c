"""``LightClient``: providers in, verified headers out.

Ties the rooms together: the planner says what to fetch, the fetcher gets it judged, listeners are
told. Runs on asyncio or trio through anyio. Time and randomness can be injected.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from enum import StrEnum
from os import PathLike
from types import TracebackType
from typing import Self

import anyio
import anyio.abc

from lightclient.bls import Backend, choose_backend
from lightclient.client.fetching import Fetcher, Provider
from lightclient.client.subscriptions import HeaderCallback, HeaderFeed
from lightclient.config import Network, resolve_network
from lightclient.config.mapping import parse_root
from lightclient.errors import (
    ConfigError,
    LightClientError,
    NotServed,
    NotSyncedError,
    TransportError,
)
from lightclient.sync import (
    FetchBootstrap,
    FetchFinalityUpdate,
    FetchOptimisticUpdate,
    FetchUpdates,
    ForcedUpdatePolicy,
    NewFinalizedHeader,
    Outcome,
    Processor,
    SyncPosition,
    VerifiedHeader,
    milliseconds_until_next_task,
    next_poll_ms,
    next_task,
    sync_position,
)
from lightclient.transports.base import Transport

_logger = logging.getLogger("lightclient")

_BOOTSTRAP_ROUNDS = 3
"""So often must all providers rule a bootstrap out before the client gives up."""


class SyncState(StrEnum):
    """How far the client is."""

    BOOTSTRAPPING = "bootstrapping"
    SYNCING = "syncing"
    SYNCED = "synced"


@dataclass(frozen=True, slots=True)
class Status:
    """A moment's view of the client.

    Attributes:
        progress: share of the periods from the bootstrap to the head that is done, 0 to 1.
        start_period, finalized_period: None before the bootstrap.
        providers: how many there are; ``usable_providers`` did not fail the last time.
    """

    state: SyncState
    progress: float
    start_period: int | None
    finalized_period: int | None
    current_period: int
    providers: int
    usable_providers: int


def wall_clock_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


def parse_trusted_block_root(value: bytes | str) -> bytes:
    """32 bytes from bytes or hex.

    Raises:
        ConfigError: anything else.
    """
    return parse_root(value, source="trusted_block_root")


class LightClient:
    """Follows a chain from a trusted block root; an async context manager.

    Args:
        network: a name ("mainnet"), a directory with ``config.yaml``, or a :class:`Network`.
        trusted_block_root: 32 bytes or 0x hex: the root of a finalized checkpoint block.
        transports: providers, asked in turn; a string is the base URL of a beacon node's REST API.
        on_finalized_header, on_optimistic_header: called (awaited if async) with each new header.
        bls_backend: "milagro", "arkworks", "blst" or an instance; default: the fastest usable.
        forced_update: when to go on without finality; default never.
        audit_committees: compare every committee's aggregate key before its first use.
        clock: Unix milliseconds. rng: source of jitter.

    Raises:
        ConfigError, BlsError: for arguments that cannot be used.
    """

    def __init__(
        self,
        *,
        network: str | PathLike[str] | Network = "mainnet",
        trusted_block_root: bytes | str,
        transports: Sequence[Transport | str],
        on_finalized_header: HeaderCallback | None = None,
        on_optimistic_header: HeaderCallback | None = None,
        bls_backend: str | Backend | None = None,
        forced_update: ForcedUpdatePolicy | str = ForcedUpdatePolicy.NEVER,
        audit_committees: bool = False,
        clock: Callable[[], int] = wall_clock_ms,
        rng: random.Random | None = None,
    ) -> None:
        self.network = network if isinstance(network, Network) else resolve_network(network)
        if not transports:
            raise ConfigError("no transports: give at least one, such as a beacon node's REST URL")
        self.processor = Processor(
            self.network,
            parse_trusted_block_root(trusted_block_root),
            backend=_backend(bls_backend),
            forced_update=ForcedUpdatePolicy(forced_update),
            audit_committees=audit_committees,
        )
        self._clock = clock
        self._uniform = (rng or random.Random()).uniform
        self._finalized = HeaderFeed("finalized", on_finalized_header)
        self._optimistic = HeaderFeed("optimistic", on_optimistic_header)
        opened = [_rest(item) if isinstance(item, str) else item for item in transports]
        self._fetcher = Fetcher.over(self.processor, opened, clock, self._deliver)
        self._start_period: int | None = None
        self._exit_stack = AsyncExitStack()
        self._tasks: anyio.abc.TaskGroup | None = None
        self._stopped: anyio.Event | None = None
        self._failure: LightClientError | None = None
        self._last_push_ms = 0

    # Life ---------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._stopped = anyio.Event()
        await self._exit_stack.__aenter__()
        for provider in self._fetcher.providers:
            await provider.transport.open(self.network)
            self._exit_stack.push_async_callback(_close, provider.transport)
        self._tasks = await self._exit_stack.enter_async_context(anyio.create_task_group())
        self._tasks.start_soon(self._follow)
        self._tasks.start_soon(self._listen)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        if self._tasks is not None:
            self._tasks.cancel_scope.cancel()
        await self._exit_stack.__aexit__(kind, error, trace)

    def stop(self) -> None:
        """Stop following: iterators end, :meth:`run` returns."""
        self._end(None)

    def _end(self, failure: LightClientError | None) -> None:
        self._failure = self._failure or failure
        self._finalized.close(self._failure)
        self._optimistic.close(self._failure)
        if self._stopped is not None:
            self._stopped.set()

    async def run(self) -> None:
        """Wait until :meth:`stop` is called.

        Raises:
            LightClientError: a failure that cannot heal, such as a trusted block root that no
                provider will ever have a bootstrap for.
        """
        if self._stopped is None:
            raise RuntimeError("use the client as an async context manager first")
        await self._stopped.wait()
        if self._failure is not None:
            raise self._failure

    # Results ------------------------------------------------------------------------------------

    @property
    def finalized_header(self) -> VerifiedHeader | None:
        """The latest finalized header; None before the bootstrap."""
        return self.processor.finalized_header

    @property
    def optimistic_header(self) -> VerifiedHeader | None:
        """The latest header that the sync committee signed; None before the bootstrap."""
        return self.processor.optimistic_header

    def finalized_headers(self) -> AsyncIterator[VerifiedHeader]:
        """The current finalized header, then each new one."""
        return self._finalized.subscribe(self.finalized_header)

    def optimistic_headers(self) -> AsyncIterator[VerifiedHeader]:
        """The current optimistic header, then each new one."""
        return self._optimistic.subscribe(self.optimistic_header)

    async def wait_until_synced(self) -> VerifiedHeader:
        """Wait for the head of the chain; returns the finalized header then.

        Raises:
            LightClientError: a failure that cannot heal.
            NotSyncedError: stopped before.
        """
        async for _ in self.optimistic_headers():
            if self.status.state is SyncState.SYNCED and self.finalized_header is not None:
                return self.finalized_header
        raise NotSyncedError("stopped before the head was reached")

    def age(self, header: VerifiedHeader) -> float:
        """Seconds since the start of the header's slot, by the client's clock."""
        return header.age(self._clock())

    @property
    def providers(self) -> tuple[Provider, ...]:
        """The providers in the order in which they are asked."""
        return tuple(self._fetcher.providers)

    @property
    def status(self) -> Status:
        """Where the client stands now."""
        now_ms = self._clock()
        position = self._position(now_ms)
        start, finalized = self._start_period, position.finalized_period
        if finalized is None or start is None:
            state, progress = SyncState.BOOTSTRAPPING, 0.0
        elif position.is_catching_up or not self._is_head_recent(now_ms):
            goal = max(position.current_period - start, 1)
            state, progress = SyncState.SYNCING, min((finalized - start) / goal, 1.0)
        else:
            state, progress = SyncState.SYNCED, 1.0
        providers = self._fetcher.providers
        return Status(
            state=state,
            progress=progress,
            start_period=start,
            finalized_period=finalized,
            current_period=position.current_period,
            providers=len(providers),
            usable_providers=sum(item.last_error is None for item in providers),
        )

    def _is_head_recent(self, now_ms: int) -> bool:
        # As Nimbus: synced means at most two epochs behind the clock.
        header = self.optimistic_header
        assert header is not None
        behind = self.network.slot_at_time_ms(now_ms) - header.slot
        return behind <= 2 * self.network.preset.slots_per_epoch

    def _position(self, now_ms: int) -> SyncPosition:
        return sync_position(self.processor.store, self.network, now_ms)

    # Following ----------------------------------------------------------------------------------

    async def _follow(self) -> None:
        try:
            await self._follow_forever()
        except LightClientError as error:
            self._end(error)

    async def _follow_forever(self) -> None:
        next_sync_ms = next_head_ms = last_now_ms = 0
        refused_rounds = 0
        was_catching_up = True
        while True:
            now_ms = self._clock()
            position = self._position(now_ms)
            woke_behind = position.is_catching_up and not was_catching_up
            if woke_behind or now_ms < last_now_ms:
                next_sync_ms = next_head_ms = now_ms  # slept through periods, or the clock stepped
            was_catching_up, last_now_ms = position.is_catching_up, now_ms
            await self._force_update(now_ms)
            if now_ms >= next_sync_ms and isinstance(
                task := next_task(position), FetchBootstrap | FetchUpdates
            ):
                progress = await self._fetcher.perform(task)
                refused_rounds = self._count_refusals(task, refused_rounds)
                now_ms = self._clock()
                next_sync_ms = now_ms + self._wait_ms(now_ms, progress=progress)
                if progress:
                    continue
            elif not position.is_catching_up and now_ms >= next_head_ms:
                await self._poll_head(now_ms)
                next_head_ms = next_poll_ms(self.network, self._clock(), self._uniform)
            await self._sleep_until(min(next_sync_ms, next_head_ms), position)

    def _wait_ms(self, now_ms: int, *, progress: bool) -> int:
        position = self._position(now_ms)
        return milliseconds_until_next_task(
            position, self.network, now_ms, progress=progress, uniform=self._uniform
        )

    async def _sleep_until(self, when_ms: int, position: SyncPosition) -> None:
        # Never longer than a slot: a machine that sleeps for days must notice when it wakes.
        delay_ms = when_ms - self._clock()
        if position.is_catching_up:
            delay_ms = max(delay_ms, 1)
        await anyio.sleep(min(max(delay_ms, 1), self.network.slot_duration_ms) / 1000)

    def _count_refusals(self, task: FetchBootstrap | FetchUpdates, rounds: int) -> int:
        refusal = self._fetcher.bootstrap_refusal
        if not isinstance(task, FetchBootstrap) or refusal is None:
            return 0
        if rounds + 1 >= _BOOTSTRAP_ROUNDS:
            raise refusal
        return rounds + 1

    async def _force_update(self, now_ms: int) -> None:
        outcome = self.processor.tick(now_ms)
        if outcome is not None:
            _logger.warning(
                "Forced update: going on without finality",
                extra={"lc": {"finalized_slot": getattr(self.finalized_header, "slot", None)}},
            )
            await self._deliver(outcome)

    async def _poll_head(self, now_ms: int) -> None:
        if now_ms - self._last_push_ms <= 2 * self.network.slot_duration_ms:
            return  # a provider pushes: no need to ask
        if self._expects_finality(now_ms):
            await self._fetcher.perform(FetchFinalityUpdate())
        header = self.optimistic_header
        if header is None or self.network.slot_at_time_ms(now_ms) - header.slot > 1:
            await self._fetcher.perform(FetchOptimisticUpdate())

    def _expects_finality(self, now_ms: int) -> bool:
        """Whether a newer finalized header should exist: finality trails by two epochs."""
        header = self.finalized_header
        assert header is not None
        epoch = self.network.compute_epoch_at_slot
        return epoch(self.network.slot_at_time_ms(now_ms)) - epoch(header.slot) > 2

    async def _listen(self) -> None:
        """Take pushed updates from the first provider that can push, while at the head."""
        retry_ms = 4 * self.network.slot_duration_ms
        while True:
            if not self._position(self._clock()).is_catching_up:
                for provider in self.providers:
                    await self._listen_to(provider)
            await anyio.sleep(min(retry_ms, 60_000) / 1000)

    async def _listen_to(self, provider: Provider) -> None:
        try:
            async for update in provider.transport.stream_updates():
                outcome = await self._fetcher.judge(provider, update)
                if not outcome.verdict.is_refusal:
                    self._last_push_ms = self._clock()
                if self._position(self._clock()).is_catching_up:
                    return
        except NotServed:
            return
        except TransportError as error:
            _logger.info(
                "Event stream ended; polling instead",
                extra={"lc": {"provider": provider.name, "reason": error}},
            )

    # Telling ------------------------------------------------------------------------------------

    async def _deliver(self, outcome: Outcome) -> None:
        for event in outcome.events:
            if self._start_period is None:
                period = self.network.compute_sync_committee_period_at_slot
                self._start_period = period(event.header.slot)
            if isinstance(event, NewFinalizedHeader):
                _log_header("New LC finalized header", event.header)
                await self._finalized.publish(event.header)
            else:
                _log_header("New LC optimistic header", event.header)
                await self._optimistic.publish(event.header)


def _log_header(message: str, header: VerifiedHeader) -> None:
    fields: dict[str, object] = {"slot": header.slot, "root": header.root, "fork": header.fork}
    if header.execution_block_hash is not None:
        fields["execution_block_hash"] = header.execution_block_hash
    if header.execution_block_number is not None:
        fields["execution_block_number"] = header.execution_block_number
    if header.participants is not None:
        fields["participants"] = f"{header.participants}/{header.sync_committee_size}"
    _logger.info(message, extra={"lc": fields})


def _backend(value: str | Backend | None) -> Backend:
    return choose_backend(value) if value is None or isinstance(value, str) else value


def _rest(url: str) -> Transport:
    from lightclient.transports.rest import (
        RestTransport,
    )  # imports httpx: only for those who use it

    return RestTransport(url)


async def _close(transport: Transport) -> None:
    with anyio.CancelScope(shield=True), anyio.move_on_after(5):
        await transport.aclose()
