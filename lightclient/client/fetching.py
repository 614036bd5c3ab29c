"""Fetches what the planner asks for from providers in turn, and has it judged.

Knows providers and the processor, but neither schedules nor listeners. The provider that last
brought progress is asked first; one that fails, lies or lags makes room for the next.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import anyio

from lightclient.containers import LightClientObject
from lightclient.errors import TransportError, UnknownBootstrap
from lightclient.protocol import Rule, Verdict
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

_logger = logging.getLogger("lightclient")

# Reasons for a missing bootstrap that waiting does not change.
_PERMANENT_REASONS = frozenset(
    {"not_epoch_boundary", "too_old", "execution_block_hash", "unknown_root"}
)


@dataclass(slots=True)
class Provider:
    """A transport with what was last heard of it."""

    transport: Transport
    last_error: TransportError | None = None
    verdicts: dict[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The transport's safe name."""
        return self.transport.name


@dataclass(slots=True)
class Fetcher:
    """Performs one task at a time.

    Args:
        clock: Unix milliseconds.
        deliver: awaited with each outcome that has events.
    """

    processor: Processor
    providers: list[Provider]
    clock: Callable[[], int]
    deliver: Callable[[Outcome], Awaitable[None]]

    @classmethod
    def over(
        cls,
        processor: Processor,
        transports: Sequence[Transport],
        clock: Callable[[], int],
        deliver: Callable[[Outcome], Awaitable[None]],
    ) -> Fetcher:
        """A fetcher over ``transports``, asked in the order given."""
        return cls(processor, [Provider(item) for item in transports], clock, deliver)

    @property
    def bootstrap_refusal(self) -> UnknownBootstrap | None:
        """Why no provider will ever have the bootstrap; None while one still might."""
        errors = [provider.last_error for provider in self.providers]
        refusals = [
            error
            for error in errors
            if isinstance(error, UnknownBootstrap) and error.reason in _PERMANENT_REASONS
        ]
        return refusals[0] if refusals and len(refusals) == len(errors) else None

    async def perform(self, task: Task) -> bool:
        """Ask providers in turn until one brings progress; False if none does."""
        for provider in tuple(self.providers):
            progress, satisfied = await self._ask(provider, task)
            if progress:
                self._prefer(provider)
            if progress or satisfied:
                return progress
        return False

    def _prefer(self, provider: Provider) -> None:
        if self.providers[0] is not provider:
            self.providers.remove(provider)
            self.providers.insert(0, provider)

    async def _ask(self, provider: Provider, task: Task) -> tuple[bool, bool]:
        """``(progress, satisfied)``: satisfied if asking others is pointless."""
        progress = satisfied = False
        try:
            async for value in self._fetch(provider, task):
                outcome = await self.judge(provider, value)
                progress = progress or outcome.progress
                satisfied = not outcome.verdict.is_refusal and self._is_fresh()
                if outcome.verdict.is_refusal:
                    break
                # Verification is CPU work: let others run between two objects.
                await anyio.lowlevel.checkpoint()
        except TransportError as error:
            provider.last_error = error
            _logger.warning(
                "Request failed", extra={"lc": {"provider": provider.name, "reason": error}}
            )
            return progress, False
        provider.last_error = None
        return progress, satisfied

    async def _fetch(self, provider: Provider, task: Task) -> AsyncIterator[LightClientObject]:
        transport = provider.transport
        match task:
            case FetchBootstrap():
                root = self.processor.trusted_block_root
                assert root is not None  # without one, the embedder resets the store first
                yield await transport.get_light_client_bootstrap(root)
            case FetchUpdates(start_period, count):
                answer = await transport.get_light_client_updates_by_range(start_period, count)
                for update in usable_updates(answer.updates, task, self.processor.network):
                    yield update
                if answer.error is not None:
                    raise answer.error
            case FetchFinalityUpdate():
                yield await transport.get_light_client_finality_update()
            case FetchOptimisticUpdate():
                yield await transport.get_light_client_optimistic_update()

    def _is_fresh(self) -> bool:
        """Whether the head is so new that another provider can hardly know a newer one."""
        header = self.processor.optimistic_header
        if header is None:
            return False
        network = self.processor.network
        return network.slot_at_time_ms(self.clock()) - header.slot <= 2

    async def judge(self, provider: Provider, value: LightClientObject) -> Outcome:
        """Have one object judged; log a refusal; deliver events."""
        outcome = self.processor.process(value, self.clock())
        kind = outcome.verdict.kind.value
        provider.verdicts[kind] = provider.verdicts.get(kind, 0) + 1
        if outcome.verdict.is_refusal:
            _log_refusal(provider, value, outcome.verdict)
        if outcome.events:
            await self.deliver(outcome)
        return outcome


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
