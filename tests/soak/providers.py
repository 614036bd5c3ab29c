"""Simulated providers: transports over a functional chain, whose behaviour changes while in use.

An honest one answers as a node does that has every block so far. Each trouble of a behaviour is
drawn for each request by itself, so they compose; all draws come from the world's seed.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TypeVar

import anyio

from lightclient.config import Network
from lightclient.containers import (
    LightClientBootstrap,
    LightClientFinalityUpdate,
    LightClientObject,
    LightClientOptimisticUpdate,
    LightClientUpdate,
)
from lightclient.errors import (
    DecodeError,
    MalformedAnswer,
    NotServed,
    ProviderUnavailable,
    RateLimited,
    TransportError,
    UnknownBootstrap,
)
from lightclient.transports.base import UpdateRange
from tests.soak.chain import FunctionalChain
from tests.soak.forging import Attacker
from tests.soak.virtual_time import VirtualTime

PushedUpdate = LightClientFinalityUpdate | LightClientOptimisticUpdate
T = TypeVar("T", bound=LightClientObject)
_REST_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class Behaviour:
    """How a provider answers. The default is an honest one; shares are chances for each request.

    Attributes:
        latency: seconds before each answer, from and to.
        lag: slots that it is behind. frozen_at: the slot at which it stopped to see blocks.
        down, timeout, rate_limited, malformed: share of requests that fail so.
        missing: which endpoints it says that it does not serve.
        knows_bootstrap: whether it has any.
        gaps: share of a range's updates left out. repeats: share of them sent twice.
        shuffled: ranges out of order. overlong: updates sent beyond the count asked for.
        forging: share of objects forged. treason: the share of the committee that signs blocks
            beside the chain; 0 for none.
        replaying: share of answers that are old ones.
        false: it serves another chain, sound in itself.
        pushes: whether it has a stream of events; and what of: "honest", "silent", "flood",
            "broken".
    """

    latency: tuple[float, float] = (0.0, 0.05)
    lag: int = 0
    frozen_at: int | None = None
    down: float = 0.0
    timeout: float = 0.0
    rate_limited: float = 0.0
    malformed: float = 0.0
    missing: frozenset[str] = frozenset()
    knows_bootstrap: bool = True
    gaps: float = 0.0
    repeats: float = 0.0
    shuffled: bool = False
    overlong: int = 0
    forging: float = 0.0
    treason: float = 0.0
    replaying: float = 0.0
    false: bool = False
    pushes: str = ""

    @property
    def is_honest(self) -> bool:
        """Whether a client may rely on it; a stream of its own makes no difference."""
        honest = Behaviour(latency=self.latency, pushes=self.pushes)
        return self == honest and self.pushes in ("", "honest")


HONEST = Behaviour()


class SimulatedProvider:
    """A transport (see ``lightclient.transports.base``) with a behaviour."""

    def __init__(
        self,
        name: str,
        attacker: Attacker,
        time: VirtualTime,
        draw: random.Random,
        faults: Counter[str],
    ) -> None:
        self.name = name
        self.behaviour = HONEST
        self.requests = 0
        self._attacker = attacker
        self._time = time
        self._draw = draw
        self._faults = faults
        self._old: list[LightClientObject] = []

    async def open(self, network: Network) -> None:
        """Nothing to do."""

    async def aclose(self) -> None:
        """Nothing to give up."""

    # What it sees ------------------------------------------------------------------------------

    @property
    def _chain(self) -> FunctionalChain:
        return self._attacker.false if self.behaviour.false else self._attacker.true

    def _head_slot(self) -> int:
        slot = self._chain.network.slot_at_time_ms(self._time.true_ms())
        if self.behaviour.frozen_at is not None:
            slot = min(slot, self.behaviour.frozen_at)
        return max(slot - self.behaviour.lag, self._chain.first_slot)

    def _hits(self, share: float, fault: str) -> bool:
        if share and self._draw.random() < share:
            self._faults[fault] += 1
            return True
        return False

    async def _answer(self, endpoint: str) -> None:
        """Take the time, and fail as the behaviour has it."""
        self.requests += 1
        behaviour = self.behaviour
        await anyio.sleep(self._draw.uniform(*behaviour.latency))
        if self._hits(behaviour.down, "down"):
            raise ProviderUnavailable("connection refused", provider=self.name)
        if self._hits(behaviour.timeout, "timeout"):
            await anyio.sleep(_REST_TIMEOUT_SECONDS)
            raise ProviderUnavailable("no answer in time", provider=self.name)
        if self._hits(behaviour.rate_limited, "rate limit"):
            pause = self._draw.choice((0.0, 1.0, 5.0, 60.0))
            raise RateLimited("too many requests", provider=self.name, retry_after=pause)
        if endpoint in behaviour.missing:
            self._faults["endpoint missing"] += 1
            raise NotServed(f"no {endpoint} here", provider=self.name)
        if self._hits(behaviour.malformed, "malformed"):
            raise MalformedAnswer("junk", provider=self.name)
        if behaviour.lag or behaviour.frozen_at is not None:
            self._faults["behind"] += 1
        if behaviour.false:
            self._faults["another chain"] += 1

    def _served(self, honest: T) -> T:
        """``honest`` or what stands in for it."""
        behaviour = self.behaviour
        if behaviour.false:
            self._attacker.note(honest, "of the false chain")
        if self._hits(behaviour.forging, "forgery"):
            try:
                return self._attacker.forge(honest, self._draw)  # type: ignore[return-value] # the same kind
            except DecodeError as error:
                raise MalformedAnswer(str(error), provider=self.name) from None
        if self._old and self._hits(behaviour.replaying, "replay"):
            old = [item for item in self._old if item.kind is honest.kind]
            return self._draw.choice(old) if old else honest  # type: ignore[return-value] # the same kind
        if behaviour.replaying and len(self._old) < 32:
            self._old.append(honest)
        return honest

    # The interface of transports ---------------------------------------------------------------

    async def get_light_client_bootstrap(self, block_root: bytes) -> LightClientBootstrap:
        """The bootstrap, if the block is final and the first of an epoch."""
        await self._answer("bootstrap")
        chain = self._attacker.true
        slot = chain.slots_by_root.get(block_root)
        newest = chain.finalized_slot(chain.block_slot(self._head_slot()))
        is_known = slot is not None and newest is not None and slot <= newest
        if not is_known or not self.behaviour.knows_bootstrap:
            self._faults["bootstrap unknown"] += 1
            raise UnknownBootstrap("no such bootstrap", provider=self.name)
        assert slot is not None
        served = self._chain.block_slot(max(slot, self._chain.first_slot))
        return self._served(self._chain.bootstrap(served))

    async def get_light_client_updates_by_range(self, start_period: int, count: int) -> UpdateRange:
        """The best updates of the periods, with this behaviour's gaps and repeats."""
        await self._answer("updates")
        behaviour, head_slot = self.behaviour, self._head_slot()
        served: list[LightClientUpdate] = []
        for period in range(start_period, start_period + count + behaviour.overlong):
            if self._chain.network.compute_start_slot_at_sync_committee_period(period) > head_slot:
                break
            update = self._chain.best_update(period, head_slot)
            if update is None or self._hits(behaviour.gaps, "gap"):
                continue
            try:
                served.append(self._served(update))
            except MalformedAnswer as error:
                return UpdateRange(tuple(served), error)
            if self._hits(behaviour.repeats, "repeated update"):
                served.append(served[-1])
        if behaviour.shuffled and len(served) > 1:
            self._faults["out of order"] += 1
            self._draw.shuffle(served)
        return UpdateRange(tuple(served))

    async def get_light_client_finality_update(self) -> LightClientFinalityUpdate:
        """The newest one."""
        await self._answer("finality_update")
        return self._served(self._newest(self._chain.finality_update))

    async def get_light_client_optimistic_update(self) -> LightClientOptimisticUpdate:
        """The newest one."""
        await self._answer("optimistic_update")
        if self.behaviour.treason and self._hits(0.5, "treason"):
            honest = self._newest(self._attacker.true.optimistic_update)
            return self._attacker.betray(honest, self._draw, self.behaviour.treason)
        return self._served(self._newest(self._chain.optimistic_update))

    def _newest(self, newest: Callable[[int], T | None]) -> T:
        update = newest(self._head_slot())
        if update is None:
            raise NotServed("nothing yet", provider=self.name)
        return update

    async def stream_updates(self) -> AsyncIterator[PushedUpdate]:
        """Updates as blocks come, or what this behaviour makes of it."""
        if self.behaviour.pushes == "":
            raise NotServed("no events", provider=self.name)
        self.requests += 1
        network, seen = self._attacker.true.network, -1
        slot_seconds = network.slot_duration_ms / 1000
        while self.behaviour.pushes:
            if self.behaviour.pushes == "silent":
                await anyio.sleep(10 * slot_seconds)
                raise ProviderUnavailable("the stream fell silent", provider=self.name)
            if self.behaviour.pushes == "broken" and self._hits(0.3, "broken stream"):
                raise ProviderUnavailable("the stream broke off", provider=self.name)
            flooding = self.behaviour.pushes == "flood"
            await anyio.sleep(0.02 * slot_seconds if flooding else 0.25 * slot_seconds)
            if self._hits(self.behaviour.down, "down"):
                raise ProviderUnavailable("connection reset", provider=self.name)
            head_slot = self._head_slot()
            if head_slot == seen and not flooding:
                continue
            seen = head_slot
            for push in self._pushes(head_slot):
                yield push

    def _pushes(self, head_slot: int) -> list[PushedUpdate]:
        newest = [self._chain.finality_update(head_slot), self._chain.optimistic_update(head_slot)]
        pushes: list[PushedUpdate] = []
        for update in newest:
            if update is not None:
                try:
                    pushes.append(self._served(update))
                except TransportError:
                    continue
        return pushes
