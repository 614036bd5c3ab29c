"""Fetches what the planner asks for from many providers as if they were one.

Knows providers and the processor, but neither schedules nor listeners. The provider that last
brought progress is asked first, then the others by score; one that fails, lies, lags or takes its
time makes room for the next. How single objects are asked for is told in ``racing``, how histories
are in ``history``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from lightclient.client.asking import Answer, ask
from lightclient.client.confirmation import Confirmations
from lightclient.client.history import History
from lightclient.client.judging import Judging, middle
from lightclient.client.providers import Provider, RequestObserver
from lightclient.client.racing import Race
from lightclient.errors import (
    ConfigError,
    NotServed,
    ProviderRefused,
    TransportError,
    UnknownBootstrap,
)
from lightclient.sync import FetchUpdates, Outcome, Processor, Task
from lightclient.transports.base import Transport
from lightclient.transports.scores import Uniform

# Reasons for a missing bootstrap that waiting may change; the others stay as they are.
_PASSING_REASONS = frozenset({"not_finalized", "not_told"})


@dataclass(slots=True, kw_only=True)
class Fetcher(Judging):
    """Performs one task at a time.

    Attributes:
        on_request: called with each request that has ended.
        has_pool: providers come and go: those that are there do not decide what there can be.
    """

    on_request: list[RequestObserver] = field(default_factory=list)
    has_pool: bool = False

    @classmethod
    def over(
        cls,
        processor: Processor,
        transports: Sequence[Transport],
        clock: Callable[[], int],
        deliver: Callable[[Outcome], Awaitable[None]],
        uniform: Uniform = middle,
    ) -> Fetcher:
        """A fetcher over ``transports``, asked in the order given at first."""
        return cls(
            processor=processor,
            providers=[Provider(item) for item in transports],
            clock=clock,
            deliver=deliver,
            uniform=uniform,
        )

    def require(self, min_providers: int) -> None:
        """Confirm headers only once that many different providers served them.

        URLs of one server are one provider, and so are transports of one name.

        Raises:
            ConfigError: fewer than 1, or than there are.
        """
        voices = len({provider.voice for provider in self.providers})
        if min_providers < 1:
            raise ConfigError(f"min_providers is {min_providers}, where 1 is the least")
        if min_providers > voices and not self.has_pool:
            raise ConfigError(
                f"min_providers is {min_providers}, but of different names there are no more than"
                f" {voices} (one server counts once): name more providers, or ask for fewer to"
                " agree"
            )
        self.confirmations = Confirmations(min_providers)

    @property
    def bootstrap_refusal(self) -> ProviderRefused | None:
        """Why no provider will ever have the bootstrap; None while one still might."""
        refusals = [_final_refusal(provider.last_error) for provider in self.providers]
        final = [error for error in refusals if error is not None]
        if len(final) < len(refusals) or self.has_pool:
            return None
        # What is said of the root itself tells more than that an endpoint is missing.
        return next((e for e in final if isinstance(e, UnknownBootstrap)), final[0])

    async def perform(
        self, task: Task, is_enough: Callable[[], bool] | None = None, *, at_once: int = 1
    ) -> bool:
        """Ask providers until it is enough; whether any brought progress.

        Args:
            is_enough: whether to stop, looked at after each answer. By default the first to bring
                progress is enough. Of no meaning for a history.
            at_once: how many to ask at the same time even if none is slow.
        """
        if isinstance(task, FetchUpdates):
            return await History(self, task).run()
        return await Race(self, task, is_enough, at_once).run()

    # For whoever performs a part of a task ------------------------------------------------------

    def asking_order(self) -> list[Provider]:
        """Whom to ask, best first: who helped last, then by score, equals in any order.

        Without those who asked for a pause and those who are dropped for a while.
        """
        now_ms = self.clock()
        for provider in self.providers:
            provider.score.renew(now_ms)
        usable = [
            item
            for item in self.providers
            if not (item.is_paused(now_ms) or item.score.is_dropped(now_ms))
        ]
        others = sorted(usable[1:], key=lambda p: (-p.score.value, self.uniform(0, 1)))
        return usable[:1] + others

    def last_resort(self) -> list[Provider]:
        """Whom to ask if nobody else is any use: those who are dropped, best first."""
        now_ms = self.clock()
        dropped = [item for item in self.providers if item.score.is_dropped(now_ms)]
        ready = [item for item in dropped if not item.is_paused(now_ms)]
        return sorted(ready, key=lambda p: -p.score.value)

    def prefer(self, provider: Provider) -> None:
        """Ask ``provider`` first from now on, if it is still there."""
        if provider in self.providers and self.providers[0] is not provider:
            self.providers.remove(provider)
            self.providers.insert(0, provider)

    async def ask(self, provider: Provider, task: Task) -> Answer:
        """Make one request, and note how it ended."""
        answer = await ask(provider, task, self.processor, self.on_request)
        if answer.error is not None:
            provider.note_failure(answer.error, self.clock(), self.slot_ms, self.uniform)
        elif answer.fault is None:
            provider.note_answer(answer.seconds)
        return answer


def _final_refusal(error: TransportError | None) -> ProviderRefused | None:
    """The error if waiting does not change it."""
    if isinstance(error, UnknownBootstrap):
        return None if error.reason in _PASSING_REASONS else error
    return error if isinstance(error, NotServed) else None
