"""Fetches what the planner asks for from providers in turn, and has it judged.

Knows providers and the processor, but neither schedules nor listeners. The provider that last
brought progress is asked first; one that fails, lies or lags makes room for the next.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import anyio
import anyio.to_thread
from anyio.streams.memory import MemoryObjectSendStream

from lightclient.bls import best_batch_size
from lightclient.client.providers import Provider, RefusalObserver, Request, RequestObserver
from lightclient.containers import LightClientObject, LightClientUpdate
from lightclient.errors import (
    DecodeError,
    MalformedAnswer,
    NotServed,
    ProviderRefused,
    TransportError,
    UnknownBootstrap,
)
from lightclient.protocol import LightClientStore, Rule, Verdict, VerdictKind
from lightclient.sync import (
    FetchBootstrap,
    FetchFinalityUpdate,
    FetchOptimisticUpdate,
    FetchUpdates,
    Outcome,
    Processor,
    Task,
    usable_updates,
)
from lightclient.transports.base import Transport
from lightclient.transports.scores import Uniform, penalty_of

__all__ = ["PERIODS_PER_PAGE", "Fetcher", "Provider"]

_logger = logging.getLogger("lightclient")

PERIODS_PER_PAGE = 32
"""A history is asked for in pages of this many periods (128 may be): memory holds a few pages, and
one takes about as long to judge as the next one to come."""

# Reasons for a missing bootstrap that waiting may change; the others stay as they are.
_PASSING_REASONS = frozenset({"not_finalized", "not_told"})


@dataclass(slots=True)
class _Answer:
    """What a request brought.

    Attributes:
        error: why it brought nothing, or not all.
        fault: what should not have happened, for whoever waits for the answer.
        refused: whether an object in it was refused; known once it is judged.
        seconds: how long it took to come.
    """

    values: Sequence[LightClientObject] = ()
    error: TransportError | None = None
    fault: Exception | None = None
    refused: bool = False
    seconds: float = 0.0


def _middle(low: float, high: float) -> float:
    return (low + high) / 2


@dataclass(slots=True)
class Fetcher:
    """Performs one task at a time.

    Args:
        clock: Unix milliseconds.
        deliver: awaited with each outcome that brought progress.
        judging: held while an object is judged: one at a time, whoever brought it.
        uniform: draws from a range, as ``random.uniform`` does: jitter of back-offs.

    Attributes:
        on_request: called with each request that has ended.
        on_refused: called with each refused object.
    """

    processor: Processor
    providers: list[Provider]
    clock: Callable[[], int]
    deliver: Callable[[Outcome], Awaitable[None]]
    judging: anyio.Lock = field(default_factory=anyio.Lock)
    uniform: Uniform = _middle
    on_request: list[RequestObserver] = field(default_factory=list)
    on_refused: list[RefusalObserver] = field(default_factory=list)

    @classmethod
    def over(
        cls,
        processor: Processor,
        transports: Sequence[Transport],
        clock: Callable[[], int],
        deliver: Callable[[Outcome], Awaitable[None]],
        uniform: Uniform = _middle,
    ) -> Fetcher:
        """A fetcher over ``transports``, asked in the order given."""
        providers = [Provider(item) for item in transports]
        return cls(processor, providers, clock, deliver, uniform=uniform)

    @property
    def _slot_ms(self) -> int:
        return self.processor.network.slot_duration_ms

    @property
    def bootstrap_refusal(self) -> ProviderRefused | None:
        """Why no provider will ever have the bootstrap; None while one still might."""
        refusals = [_final_refusal(provider.last_error) for provider in self.providers]
        final = [error for error in refusals if error is not None]
        if len(final) < len(refusals):
            return None
        # What is said of the root itself tells more than that an endpoint is missing.
        return next((e for e in final if isinstance(e, UnknownBootstrap)), final[0])

    async def perform(self, task: Task, is_enough: Callable[[], bool] | None = None) -> bool:
        """Ask providers in turn; whether any brought progress.

        Args:
            is_enough: whether to stop, looked at after each provider. By default the first to
                bring progress is enough.
        """
        progress = False
        for provider in tuple(self.providers):
            if provider.is_paused(self.clock()):
                continue
            progress = await self._ask(provider, task) or progress
            if is_enough() if is_enough is not None else progress:
                break
        return progress

    async def _ask(self, provider: Provider, task: Task) -> bool:
        if isinstance(task, FetchUpdates):
            return await self._ask_for_history(provider, task)
        return await self._judge_answer(provider, await self._fetch(provider, task))

    async def _ask_for_history(self, provider: Provider, task: FetchUpdates) -> bool:
        """Ask for range after range up to the present; the next one comes while one is judged.

        At most three ranges are held at a time, however long the history is.
        """
        progress = False
        fault: Exception | None = None
        send, receive = anyio.create_memory_object_stream[_Answer](1)
        async with receive, anyio.create_task_group() as tasks:
            tasks.start_soon(self._download, provider, task, send)
            try:
                async for answer in receive:
                    if answer.fault is not None:
                        raise answer.fault
                    progress = await self._judge_answer(provider, answer) or progress
                    if answer.error is not None or answer.refused:
                        break
            except Exception as raised:  # noqa: BLE001 - raised again below, outside of the group
                fault = raised
            tasks.cancel_scope.cancel()
        if fault is not None:
            raise fault
        return progress

    async def _download(
        self, provider: Provider, task: FetchUpdates, send: MemoryObjectSendStream[_Answer]
    ) -> None:
        next_range = _page(task.start_period, task.start_period + task.count)
        async with send:
            while next_range is not None:
                try:
                    answer = await self._fetch(provider, next_range)
                except Exception as fault:  # noqa: BLE001 - raised again by whoever receives it
                    answer = _Answer(fault=fault)
                await send.send(answer)
                is_whole = answer.values and answer.error is None and answer.fault is None
                if not is_whole:
                    return
                network = self.processor.network
                current_slot = network.slot_at_time_ms(self.clock())
                current_period = network.compute_sync_committee_period_at_slot(current_slot)
                next_range = _page(next_range.start_period + next_range.count, current_period)

    async def _judge_answer(self, provider: Provider, answer: _Answer) -> bool:
        progress = False
        together = best_batch_size(self.processor.signatures.backend)
        for start in range(0, len(answer.values), together):
            some = answer.values[start : start + together]
            outcomes = await self._judge_some(provider, some)
            progress = progress or any(outcome.progress for outcome in outcomes)
            answer.refused = any(outcome.verdict.is_refusal for outcome in outcomes)
            if answer.refused:
                break
        if answer.error is not None:
            provider.note_failure(answer.error, self.clock(), self._slot_ms, self.uniform)
        else:
            provider.note_answer(answer.seconds)
        if progress and not answer.refused and answer.error is None:
            self._prefer(provider)
        return progress

    def _prefer(self, provider: Provider) -> None:
        if self.providers[0] is not provider:
            self.providers.remove(provider)
            self.providers.insert(0, provider)

    async def _fetch(self, provider: Provider, task: Task) -> _Answer:
        """Make a request; whoever observes requests is told how it ended."""
        start = anyio.current_time()
        answer: _Answer | None = None
        try:
            answer = await self._answer(provider, task)
            answer.seconds = anyio.current_time() - start
        finally:
            seconds = anyio.current_time() - start
            error = None if answer is None else answer.error
            request = Request(provider, _KINDS[type(task)], seconds, error, answer is None)
            for observe in self.on_request:
                observe(request)
        return answer

    async def _answer(self, provider: Provider, task: Task) -> _Answer:
        try:
            values, error = await self._fetch_values(provider.transport, task)
        except TransportError as failed:
            return _Answer(error=failed)
        except DecodeError as failed:
            return _Answer(error=MalformedAnswer(str(failed), provider=provider.name))
        return _Answer(values, error)

    async def _fetch_values(
        self, transport: Transport, task: Task
    ) -> tuple[Sequence[LightClientObject], TransportError | None]:
        match task:
            case FetchBootstrap():
                root = self.processor.trusted_block_root
                assert root is not None  # without one, the embedder resets the store first
                return [await transport.get_light_client_bootstrap(root)], None
            case FetchUpdates(start_period, count):
                answer = await transport.get_light_client_updates_by_range(start_period, count)
                return usable_updates(answer.updates, task, self.processor.network), answer.error
            case FetchFinalityUpdate():
                return [await transport.get_light_client_finality_update()], None
            case FetchOptimisticUpdate():
                return [await transport.get_light_client_optimistic_update()], None

    async def judge(self, provider: Provider, value: LightClientObject) -> Outcome:
        """Have one object judged; log a refusal; deliver progress."""
        async with self.judging:
            now_ms = self.clock()
            if self.processor.must_audit(value, now_ms):
                # Some 512 decompressions, once a committee: too long for the event loop.
                await anyio.to_thread.run_sync(self.processor.audit)
            outcome = self._process(provider, value, now_ms)
        await self._note(provider, value, outcome)
        return outcome

    def _process(self, provider: Provider, value: LightClientObject, now_ms: int) -> Outcome:
        before = self._store_for_observers()
        outcome = self.processor.process(value, now_ms)
        self._tell_refusal(provider, value, outcome.verdict, before, now_ms)
        return outcome

    def _store_for_observers(self) -> LightClientStore | None:
        store = self.processor.store
        return store.copy() if store is not None and self.on_refused else None

    def _tell_refusal(
        self,
        provider: Provider,
        value: LightClientObject,
        verdict: Verdict,
        before: LightClientStore | None,
        now_ms: int,
    ) -> None:
        if verdict.is_refusal:
            for observe in self.on_refused:
                observe(provider, value, verdict, before, now_ms)

    async def _judge_some(
        self, provider: Provider, values: Sequence[LightClientObject]
    ) -> list[Outcome]:
        """The same for several, with the signatures of a history checked together."""
        updates = [value for value in values if isinstance(value, LightClientUpdate)]
        if len(values) < 2 or len(updates) < len(values):
            return [await self.judge(provider, value) for value in values]
        now_ms = self.clock()
        async with self.judging:
            # The long part runs in a thread: the event loop keeps its latency.
            walk = await anyio.to_thread.run_sync(self.processor.walk_updates, updates, now_ms)
            if walk.steps is None:
                outcomes = [self._process(provider, update, now_ms) for update in updates]
            else:
                outcomes = self.processor.apply_updates(walk, now_ms)
                before = walk.base
                for step, outcome in zip(walk.steps, outcomes, strict=True):
                    self._tell_refusal(provider, step.update, outcome.verdict, before, now_ms)
                    before = step.store
        for update, outcome in zip(updates, outcomes, strict=True):
            await self._note(provider, update, outcome)
        return outcomes

    async def _note(self, provider: Provider, value: LightClientObject, outcome: Outcome) -> None:
        verdict = outcome.verdict
        provider.verdicts[verdict.kind.value] = provider.verdicts.get(verdict.kind.value, 0) + 1
        if verdict.kind is VerdictKind.ACCEPTED:
            provider.score.note_accepted()
        if verdict.is_refusal:
            penalty = penalty_of(verdict)
            provider.score.note_refused(penalty, self.clock(), self._slot_ms, self.uniform)
            _log_refusal(provider, value, verdict)
        if outcome.progress:
            await self.deliver(outcome)


_KINDS: dict[type, str] = {
    FetchBootstrap: "bootstrap",
    FetchUpdates: "updates",
    FetchFinalityUpdate: "finality_update",
    FetchOptimisticUpdate: "optimistic_update",
}


def _page(start_period: int, end_period: int) -> FetchUpdates | None:
    """The next range of a history that ends before ``end_period``; None if there is no more."""
    count = min(end_period - start_period, PERIODS_PER_PAGE)
    return FetchUpdates(start_period, count) if count > 0 else None


def _final_refusal(error: TransportError | None) -> ProviderRefused | None:
    """The error if waiting does not change it."""
    if isinstance(error, UnknownBootstrap):
        return None if error.reason in _PASSING_REASONS else error
    return error if isinstance(error, NotServed) else None


def _log_refusal(provider: Provider, value: LightClientObject, verdict: Verdict) -> None:
    # Objects of the head cannot be judged while catching up: that is nobody's fault.
    level = logging.DEBUG if verdict.rule is Rule.PERIOD_NOT_COVERED else logging.WARNING
    _logger.log(
        level,
        "Light client object refused",
        extra={
            "lc": {
                "provider": provider.name,
                "object": value.kind.value,
                "slot": value.main_header.beacon.slot,
                "verdict": verdict.kind.value,
                "rule": verdict.rule.value if verdict.rule else None,
                "detail": verdict.detail,
                "hint": verdict.hint,
            }
        },
    )
