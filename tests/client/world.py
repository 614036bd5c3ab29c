"""A simulated chain under a clock that tests set, and a provider that serves the chain as it is.

Nothing here sleeps: time passes when a test says so.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from lightclient.client import LightClient
from lightclient.client.fetching import Fetcher
from lightclient.client.following import Follower
from lightclient.containers import (
    LightClientBootstrap,
    LightClientFinalityUpdate,
    LightClientOptimisticUpdate,
)
from lightclient.errors import NotServed, UnknownBootstrap
from lightclient.simulator import SimulatedChain, simulated_network
from lightclient.simulator.keys import ValidatorKeys
from lightclient.sync import Outcome, Processor
from lightclient.testing import MockTransport
from lightclient.transports.base import Transport, UpdateRange

GENESIS = 1_700_000_000
SLOTS_PER_EPOCH = 8
SLOTS_PER_PERIOD = 64
# Two forks are crossed on the way, and payloads are proven from the first on.
FORK_EPOCHS = {"altair": 0, "capella": 8, "electra": 24}
_KEYS: list[ValidatorKeys] = []


def make_chain(*, slot_duration_ms: int = 6_000, **options: Any) -> SimulatedChain:
    """A chain in the minimal preset: 8 slots an epoch, 64 a period, committees of 32."""
    network = simulated_network(
        "minimal", FORK_EPOCHS, genesis_time=GENESIS, slot_duration_ms=slot_duration_ms
    )
    if _KEYS and not options.get("seed"):
        options.setdefault("keys", _KEYS[0])
    chain = SimulatedChain(network, **options)
    if not _KEYS and not options.get("seed"):
        _KEYS.append(chain.keys)
    return chain


class World:
    """A chain and the time; both move together.

    Args:
        slot: the slot it is at first; the clock stands in the middle of it.
    """

    def __init__(self, slot: int, *, dense_slots: int = 24, **options: Any) -> None:
        options.setdefault("dense_from_slot", slot - dense_slots)
        self.chain = make_chain(**options)
        self.network = self.chain.network
        self.now_ms = 0
        self.go_to(slot)

    def go_to(self, slot: int, into: float = 0.5) -> None:
        """Let it be the share ``into`` of ``slot``."""
        self.chain.advance_to(slot)
        self.set_clock(slot, into)

    def set_clock(self, slot: float, into: float = 0.5) -> None:
        """Set the clock alone."""
        self.now_ms = self.network.genesis_time_ms + int(
            (slot + into) * self.network.slot_duration_ms
        )

    def clock(self) -> int:
        return self.now_ms

    @property
    def slot(self) -> int:
        return self.network.slot_at_time_ms(self.now_ms)

    def root(self, slot: int = 0) -> bytes:
        """The trusted block root of the first bootstrap from ``slot`` on."""
        return self.chain.trusted_block_root(slot)

    def provider(self, name: str = "good", *, lag: int = 0) -> ChainTransport:
        return ChainTransport(self, name, lag)

    def processor(self, slot: int = 0, **options: Any) -> Processor:
        return Processor(self.network, self.root(slot), **options)

    def client(self, *transports: Transport, slot: int = 0, **options: Any) -> LightClient:
        """A client that trusts the first bootstrap from ``slot`` on."""
        options.setdefault("clock", self.clock)
        return LightClient(
            network=self.network,
            trusted_block_root=options.pop("trusted_block_root", None) or self.root(slot),
            transports=transports or [self.provider()],
            **options,
        )

    def follower(
        self,
        *transports: MockTransport,
        slot: int = 0,
        deliver: Callable[[Outcome], Awaitable[None]] | None = None,
        **options: Any,
    ) -> Follower:
        """The loop of a client, to be stepped through by hand; every draw is the lowest."""
        processor = self.processor(slot, **options)
        fetcher = Fetcher.over(
            processor, transports or [self.provider()], self.clock, deliver or ignore
        )
        return Follower(fetcher, self.clock, lambda low, _: low)


async def ignore(_: Outcome) -> None:
    """Deliver to nobody."""


class ChainTransport(MockTransport):
    """A MockTransport that serves a world's chain, ``lag`` slots behind."""

    def __init__(self, world: World, name: str, lag: int = 0) -> None:
        super().__init__(name=name)
        self.world = world
        self.lag = lag
        self._lagging: SimulatedChain | None = None

    @property
    def chain(self) -> SimulatedChain:
        """What the provider has seen."""
        slot = self.world.slot
        if not self.lag:
            return self.world.chain
        if self._lagging is None:
            first = self.world.chain
            self._lagging = make_chain(dense_from_slot=first._dense_from_slot)
        self._lagging.advance_to(slot - self.lag)
        return self._lagging

    async def get_light_client_bootstrap(self, block_root: bytes) -> LightClientBootstrap:
        await self._note("bootstrap")
        bootstrap = self.chain.bootstrap(block_root)
        if bootstrap is None:
            raise UnknownBootstrap("no such bootstrap", provider=self.name)
        return bootstrap

    async def get_light_client_updates_by_range(self, start_period: int, count: int) -> UpdateRange:
        await self._note(f"updates {start_period}+{count}")
        return UpdateRange(tuple(self.chain.updates(start_period, count)))

    async def get_light_client_finality_update(self) -> LightClientFinalityUpdate:
        await self._note("finality_update")
        update = self.chain.finality_update()
        if update is None:
            raise NotServed("no finality update", provider=self.name)
        return update

    async def get_light_client_optimistic_update(self) -> LightClientOptimisticUpdate:
        await self._note("optimistic_update")
        update = self.chain.optimistic_update()
        if update is None:
            raise NotServed("no optimistic update", provider=self.name)
        return update

    def drain(self) -> list[str]:
        """What was asked since the last time."""
        asked = list(self.requests)
        self.requests.clear()
        return asked


async def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait for something that another task brings about."""
    for _ in range(int(seconds * 200)):
        if condition():
            return
        await anyio.sleep(0.005)
    raise AssertionError("it did not come about")


class TickingWorld(World):
    """A world whose clock runs with the machine's, from the middle of a slot on.

    The provider's chain grows as it is asked.
    """

    def __init__(self, slot: int, **options: Any) -> None:
        self._started = time.monotonic()
        super().__init__(slot, **options)
        self._started = time.monotonic()

    def clock(self) -> int:
        return self.now_ms + int((time.monotonic() - self._started) * 1000)

    @property
    def slot(self) -> int:
        slot = self.network.slot_at_time_ms(self.clock())
        self.chain.advance_to(slot)
        return slot
