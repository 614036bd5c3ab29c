"""Takes updates that providers push, from one provider at a time, or as many as must agree.

Pushes only make the head come sooner: whether they come on time is seen in the headers, so that a
provider that pushes old or no updates delays nothing.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio

from lightclient.client.fetching import Fetcher
from lightclient.client.providers import Provider
from lightclient.containers import LightClientFinalityUpdate, LightClientOptimisticUpdate
from lightclient.errors import DecodeError, MalformedAnswer, NotServed, TransportError
from lightclient.protocol import Rule, Verdict, VerdictKind
from lightclient.sync import sync_position

_logger = logging.getLogger("lightclient")

MAX_PUSHES_A_SLOT = 16
"""Two are usual; each costs a signature check, so more are not listened to."""
_LEAST_PAUSE_SLOTS = 4
_LONGEST_PAUSE_SLOTS = 64

PushedUpdate = LightClientFinalityUpdate | LightClientOptimisticUpdate


class Listener:
    """Listens while the store can judge objects of the head.

    Attributes:
        on_failure: called with the provider of each stream that failed, and why.
    """

    def __init__(self, fetcher: Fetcher, clock: Callable[[], int]) -> None:
        self._fetcher = fetcher
        self._network = fetcher.processor.network
        self._clock = clock
        self._listened_to: set[Provider] = set()
        self.on_failure: list[Callable[[Provider, Exception], None]] = []

    async def run(self) -> None:
        """Listen until cancelled: to as many providers as it takes to confirm a header."""
        at_once = self._fetcher.confirmations.min_providers
        if at_once == 1:
            await self._listen_in_turn()
            return
        async with anyio.create_task_group() as tasks:
            try:
                for _ in range(at_once - 1):
                    tasks.start_soon(self._listen_in_turn)
                await self._listen_in_turn()
            finally:
                tasks.cancel_scope.cancel()

    async def _listen_in_turn(self) -> None:
        pause_slots = _LEAST_PAUSE_SLOTS
        while True:
            if self._is_catching_up():
                await self._sleep(1)
                continue
            has_heard = False
            for provider in self._fetcher.asking_order():
                if provider in self._listened_to:
                    continue
                self._listened_to.add(provider)
                try:
                    has_heard = await self._listen_to(provider) or has_heard
                finally:
                    self._listened_to.discard(provider)
            pause_slots = (
                _LEAST_PAUSE_SLOTS if has_heard else min(2 * pause_slots, _LONGEST_PAUSE_SLOTS)
            )
            await self._sleep(pause_slots)

    async def _sleep(self, slots: int) -> None:
        await anyio.sleep(slots * self._network.slot_duration_ms / 1000)

    def _is_catching_up(self) -> bool:
        store = self._fetcher.processor.store
        return sync_position(store, self._network, self._clock()).is_catching_up

    async def _listen_to(self, provider: Provider) -> bool:
        """Listen until the stream ends or is not worth it; whether anything usable came."""
        has_heard = False
        if self._is_catching_up() or provider.is_paused(self._clock()):
            return has_heard
        try:
            async with _closing(provider.transport.stream_updates()) as updates:
                slot, pushes = 0, 0
                async for update in updates:
                    slot, before = self._network.slot_at_time_ms(self._clock()), slot
                    pushes = pushes + 1 if slot == before else 1
                    if pushes > MAX_PUSHES_A_SLOT:
                        _log_end(provider, f"more than {MAX_PUSHES_A_SLOT} updates in a slot")
                        break
                    outcome = await self._fetcher.judge(provider, update)
                    has_heard = has_heard or not outcome.verdict.is_refusal
                    # Also a forgery that the rules passed over lowers the honesty.
                    is_liar = _is_lie(outcome.verdict) or provider.score.honesty < 0
                    if is_liar or self._is_catching_up():
                        break
        except NotServed:
            pass
        except (TransportError, DecodeError) as error:
            provider.note_pause(error, self._clock())
            if isinstance(error, MalformedAnswer | DecodeError):
                fetcher = self._fetcher
                provider.score.note_malformed(self._clock(), fetcher.slot_ms, fetcher.uniform)
            _log_end(provider, str(error))
            for observe in self.on_failure:
                observe(provider, error)
        return has_heard


def _is_lie(verdict: Verdict) -> bool:
    """Whether the object is one that no honest provider of this chain would push."""
    return (
        verdict.kind in {VerdictKind.INVALID, VerdictKind.UNVIABLE_FORK}
        and verdict.rule is not Rule.SIGNATURE_SLOT_IN_FUTURE
    )


@asynccontextmanager
async def _closing(
    stream: AsyncIterator[PushedUpdate],
) -> AsyncIterator[AsyncIterator[PushedUpdate]]:
    """``contextlib.aclosing`` for a stream that may have nothing to close."""
    try:
        yield stream
    finally:
        aclose = getattr(stream, "aclose", None)
        if aclose is not None:
            await aclose()


def _log_end(provider: Provider, reason: str) -> None:
    _logger.info(
        "Event stream ended; polling instead",
        extra={"lc": {"provider": provider.name, "reason": reason}},
    )
