"""Has what providers brought judged, one object at a time, and remembers it of them.

Trust is made by the processor alone; here verdicts become scores, log lines and deliveries.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import anyio
import anyio.to_thread

from lightclient.bls import best_batch_size
from lightclient.client.confirmation import Confirmations
from lightclient.client.conflicts import Conflict, ConflictWatch
from lightclient.client.providers import JudgedObserver, Provider, RefusalObserver
from lightclient.client.suspicion import FutureSlots
from lightclient.containers import LightClientBootstrap, LightClientObject, LightClientUpdate
from lightclient.protocol import ACCEPTED, LightClientStore, Rule, Step, Verdict, VerdictKind
from lightclient.sync import Outcome, Processor, VerifiedHeader
from lightclient.transports.scores import UNVIABLE_FORK, Uniform, penalty_of

_logger = logging.getLogger("lightclient")

_FUTURES_TOLD = 8
"""Objects from the future of one provider that are told of; the clock watch tells of the clock."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of the objects of one answer.

    Attributes:
        progress: whether any brought progress.
        refusal: the first refusal; what comes after it in the answer is not looked at.
    """

    progress: bool
    refusal: Verdict | None = None

    @property
    def is_lie(self) -> bool:
        """Whether an object was one that no honest provider of this chain would send."""
        return self.refusal is not None and penalty_of(self.refusal) < 0


def middle(low: float, high: float) -> float:
    """A draw without chance, where nobody gave any."""
    return (low + high) / 2


@dataclass(slots=True, kw_only=True)
class Judging:
    """One object at a time, whoever brought it.

    Args:
        clock: Unix milliseconds.
        deliver: awaited with what each object, or each part of a history, brought forward.
        uniform: draws from a range, as ``random.uniform`` does: jitter of back-offs.

    Attributes:
        judging: held while an object is judged.
        on_refused: called with each refused object.
        on_judged: called with each judged object.
        future: who sent objects from the future lately.
        confirmations: who served which verified header.
        conflicts: what contradicts what is known.
        on_conflict: awaited with each conflict; what it raises ends the client.
    """

    processor: Processor
    providers: list[Provider]
    clock: Callable[[], int]
    deliver: Callable[[Outcome], Awaitable[None]]
    uniform: Uniform = middle
    judging: anyio.Lock = field(default_factory=anyio.Lock)
    on_refused: list[RefusalObserver] = field(default_factory=list)
    on_judged: list[JudgedObserver] = field(default_factory=list)
    future: FutureSlots = field(default_factory=FutureSlots)
    confirmations: Confirmations = field(default_factory=Confirmations)
    conflicts: ConflictWatch = field(init=False)
    on_conflict: Callable[[Conflict], Awaitable[None]] | None = None

    def __post_init__(self) -> None:
        self.conflicts = ConflictWatch(self.processor)

    @property
    def slot_ms(self) -> int:
        """Milliseconds of a slot."""
        return self.processor.network.slot_duration_ms

    @property
    def confirmed_finalized_header(self) -> VerifiedHeader | None:
        """The latest finalized header that enough providers served."""
        if self.confirmations.min_providers <= 1:
            return self.processor.finalized_header
        return self.confirmations.finalized_header

    @property
    def confirmed_optimistic_header(self) -> VerifiedHeader | None:
        """The latest optimistic header that enough providers served."""
        if self.confirmations.min_providers <= 1:
            return self.processor.optimistic_header
        return self.confirmations.optimistic_header

    async def judge(self, provider: Provider, value: LightClientObject) -> Outcome:
        """Have one object judged; log a refusal; deliver progress."""
        async with self.judging:
            now_ms, start = self.clock(), anyio.current_time()
            if self.processor.must_audit(value, now_ms):
                # Some 512 decompressions, once a committee: too long for the event loop.
                await anyio.to_thread.run_sync(self.processor.audit)
            is_forged = await self._compare(provider, value, now_ms)
            outcome = self._process(provider, value, now_ms)
            if is_forged and not outcome.verdict.is_refusal:  # not looked at, as it is not relevant
                self._blame(provider, UNVIABLE_FORK)
        self._tell_judged(provider, value, outcome, anyio.current_time() - start)
        await self._pass_on([self._note(provider, value, outcome)])
        return outcome

    async def judge_all(self, provider: Provider, values: Sequence[LightClientObject]) -> Judgement:
        """Have the objects of one answer judged in order, to the first refusal or a bit further."""
        progress = False
        together = best_batch_size(self.processor.signatures.backend)
        for start in range(0, len(values), together):
            outcomes = await self._judge_some(provider, values[start : start + together])
            progress = progress or any(outcome.progress for outcome in outcomes)
            refusals = [item.verdict for item in outcomes if item.verdict.is_refusal]
            if refusals:
                return Judgement(progress, refusals[0])
        return Judgement(progress)

    async def _judge_some(
        self, provider: Provider, values: Sequence[LightClientObject]
    ) -> list[Outcome]:
        """Judge several, with the signatures of a history checked together."""
        updates = [value for value in values if isinstance(value, LightClientUpdate)]
        if len(values) < 2 or len(updates) < len(values):
            return [await self.judge(provider, value) for value in values]
        now_ms = self.clock()
        async with self.judging:
            start = anyio.current_time()
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
                self._remember_last(provider, walk.steps, now_ms)
        seconds = (anyio.current_time() - start) / len(updates)
        noted: list[Outcome] = []
        for update, outcome in zip(updates, outcomes, strict=True):
            self._tell_judged(provider, update, outcome, seconds)
            noted.append(self._note(provider, update, outcome))
        await self._pass_on(noted)
        return outcomes

    def _remember_last(self, provider: Provider, steps: Sequence[Step], now_ms: int) -> None:
        """Of a history, only its end is likely to be contradicted."""
        if len(steps) > 1:
            before, last = steps[-2], steps[-1]
            self.conflicts.remember(provider.name, last.update, last.verdict, before.store, now_ms)

    def _process(self, provider: Provider, value: LightClientObject, now_ms: int) -> Outcome:
        store = self.processor.store
        before = None if store is None else store.copy()
        outcome = self.processor.process(value, now_ms)
        self._tell_refusal(provider, value, outcome.verdict, before, now_ms)
        if before is not None and not isinstance(value, LightClientBootstrap):
            self.conflicts.remember(provider.name, value, outcome.verdict, before, now_ms)
        return outcome

    async def _compare(self, provider: Provider, value: LightClientObject, now_ms: int) -> bool:
        """Look for a contradiction before ``value`` can change anything; whether it is forged."""
        if isinstance(value, LightClientBootstrap):
            return False
        suspicion = self.conflicts.compare(provider.name, value, now_ms)
        if suspicion.conflict is not None and self.on_conflict is not None:
            await self.on_conflict(suspicion.conflict)
        return suspicion.is_forged

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

    def _tell_judged(
        self, provider: Provider, value: LightClientObject, outcome: Outcome, seconds: float
    ) -> None:
        for observe in self.on_judged:
            observe(provider, value, outcome.verdict, seconds)

    # What is remembered -------------------------------------------------------------------------

    def _note(self, provider: Provider, value: LightClientObject, outcome: Outcome) -> Outcome:
        """Remember it of the provider; what is to be told of it."""
        verdict = outcome.verdict
        provider.verdicts[verdict.kind.value] = provider.verdicts.get(verdict.kind.value, 0) + 1
        if verdict.kind is VerdictKind.ACCEPTED:
            provider.score.note_accepted()
        if verdict.is_refusal:
            self._blame(provider, penalty_of(verdict))
            _log_refusal(provider, value, verdict)
        self._note_signature_slot(provider, value, verdict)
        return self.confirmations.confirm(provider.voice, value, outcome)

    async def _pass_on(self, outcomes: Sequence[Outcome]) -> None:
        """Deliver what was judged together at once.

        While one delivery after another waits for a slow listener, a later header that somebody
        else brought would overtake those that are still to come.
        """
        events = tuple(event for outcome in outcomes for event in outcome.events)
        if events or any(outcome.progress for outcome in outcomes):
            await self.deliver(Outcome(ACCEPTED, events, progress=True))

    def _blame(self, provider: Provider, penalty: int) -> None:
        provider.score.note_refused(penalty, self.clock(), self.slot_ms, self.uniform)

    def _note_signature_slot(
        self, provider: Provider, value: LightClientObject, verdict: Verdict
    ) -> None:
        if isinstance(value, LightClientBootstrap):
            return
        slot = self.processor.network.slot_at_time_ms(self.clock())
        if verdict.rule is Rule.SIGNATURE_SLOT_IN_FUTURE:
            self.future.note_future(provider.voice, value.signature_slot, slot)
        elif verdict.kind is VerdictKind.ACCEPTED:
            alone = self.future.note_present(provider.voice, value.signature_slot, slot)
            for item in self.providers:
                if item.voice in alone:
                    self._blame(item, UNVIABLE_FORK)


def _log_refusal(provider: Provider, value: LightClientObject, verdict: Verdict) -> None:
    # Objects of the head cannot be judged while catching up: that is nobody's fault.
    is_usual = verdict.rule is Rule.PERIOD_NOT_COVERED
    # Those cost nobody anything if two send them: peers could fill a disk with lines about them.
    is_told = (
        verdict.rule is Rule.SIGNATURE_SLOT_IN_FUTURE
        and provider.verdicts[verdict.kind.value] > _FUTURES_TOLD
    )
    level = logging.DEBUG if is_usual or is_told else logging.WARNING
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
