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
from lightclient.client.providers import Provider, RefusalObserver
from lightclient.client.suspicion import FutureSlots
from lightclient.containers import LightClientBootstrap, LightClientObject, LightClientUpdate
from lightclient.protocol import LightClientStore, Rule, Verdict, VerdictKind
from lightclient.sync import Outcome, Processor
from lightclient.transports.scores import UNVIABLE_FORK, Uniform, penalty_of

_logger = logging.getLogger("lightclient")


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
        deliver: awaited with each outcome that brought progress.
        uniform: draws from a range, as ``random.uniform`` does: jitter of back-offs.

    Attributes:
        judging: held while an object is judged.
        on_refused: called with each refused object.
        future: who sent objects from the future lately.
    """

    processor: Processor
    providers: list[Provider]
    clock: Callable[[], int]
    deliver: Callable[[Outcome], Awaitable[None]]
    uniform: Uniform = middle
    judging: anyio.Lock = field(default_factory=anyio.Lock)
    on_refused: list[RefusalObserver] = field(default_factory=list)
    future: FutureSlots = field(default_factory=FutureSlots)

    @property
    def slot_ms(self) -> int:
        """Milliseconds of a slot."""
        return self.processor.network.slot_duration_ms

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

    def _process(self, provider: Provider, value: LightClientObject, now_ms: int) -> Outcome:
        store = self.processor.store
        before = store.copy() if store is not None and self.on_refused else None
        outcome = self.processor.process(value, now_ms)
        self._tell_refusal(provider, value, outcome.verdict, before, now_ms)
        return outcome

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

    # What is remembered -------------------------------------------------------------------------

    async def _note(self, provider: Provider, value: LightClientObject, outcome: Outcome) -> None:
        verdict = outcome.verdict
        provider.verdicts[verdict.kind.value] = provider.verdicts.get(verdict.kind.value, 0) + 1
        if verdict.kind is VerdictKind.ACCEPTED:
            provider.score.note_accepted()
        if verdict.is_refusal:
            self._blame(provider, penalty_of(verdict))
            _log_refusal(provider, value, verdict)
        self._note_signature_slot(provider, value, verdict)
        if outcome.progress:
            await self.deliver(outcome)

    def _blame(self, provider: Provider, penalty: int) -> None:
        provider.score.note_refused(penalty, self.clock(), self.slot_ms, self.uniform)

    def _note_signature_slot(
        self, provider: Provider, value: LightClientObject, verdict: Verdict
    ) -> None:
        if isinstance(value, LightClientBootstrap):
            return
        slot = self.processor.network.slot_at_time_ms(self.clock())
        if verdict.rule is Rule.SIGNATURE_SLOT_IN_FUTURE:
            was_suspected = self.future.suspected_slot is not None
            if self.future.note_future(provider.name, value.signature_slot, slot):
                level = logging.DEBUG if was_suspected else logging.WARNING
                fields = {"slots_ahead": self.future.slots_ahead, "provider": provider.name}
                message = "Several providers are ahead of this machine's clock: it may be slow"
                _logger.log(level, message, extra={"lc": fields})
        elif verdict.kind is VerdictKind.ACCEPTED:
            alone = self.future.note_present(provider.name, value.signature_slot, slot)
            for item in self.providers:
                if item.name in alone:
                    self._blame(item, UNVIABLE_FORK)


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
