"""Servers that do not answer, or not now: down, up and down, slow, busy, broken.

All waits are in slots of the chain or given in seconds, and pass by anyio's clock alone.
"""

from __future__ import annotations

import random
from typing import ClassVar

import anyio

from lightclient.containers import ObjectKind
from lightclient.simulator.exchange import Asked, ConnectionLost, Refusal
from lightclient.simulator.faults.base import Fault
from lightclient.simulator.views import ChainView


class AnyRequest(Fault):
    """Acts on every request, whatever is asked."""

    def applies_to(self, asked: Asked) -> bool:
        return not asked.pushed


class Refusing(AnyRequest):
    """Nobody listens: connections are refused."""

    name = "refusing"

    def __init__(self, rng: random.Random, chance: float = 1.0) -> None:
        # Whether a port listens is no matter of single requests.
        super().__init__(rng, 1.0)

    async def before(self, asked: Asked, view: ChainView) -> None:
        raise ConnectionLost(refused=True)

    def is_down(self, view: ChainView) -> bool:
        return True


class Flapping(Refusing):
    """Up and down by a schedule of a few slots each that the seed decides."""

    name = "flapping"

    def __init__(
        self,
        rng: random.Random,
        chance: float = 1.0,
        *,
        up_slots: tuple[float, float] = (2, 12),
        down_slots: tuple[float, float] = (2, 8),
    ) -> None:
        super().__init__(rng, chance)
        self._lengths = {False: up_slots, True: down_slots}
        self._is_down = rng.random() < 0.5
        self._until: float | None = None

    async def before(self, asked: Asked, view: ChainView) -> None:
        if self.is_down(view):
            raise ConnectionLost(refused=True)

    def is_down(self, view: ChainView) -> bool:
        now = anyio.current_time()
        if self._until is None:
            self._until = now + self._draw(view)
        while now >= self._until:
            self._is_down = not self._is_down
            self._until += self._draw(view)
        return self._is_down

    def _draw(self, view: ChainView) -> float:
        slots = max(self.rng.uniform(*self._lengths[self._is_down]), 0.01)
        return slots * view.network.slot_duration_ms / 1000


class Resetting(AnyRequest):
    """The connection is reset in place of an answer."""

    name = "resetting"

    async def before(self, asked: Asked, view: ChainView) -> None:
        raise ConnectionLost


class Silent(AnyRequest):
    """Takes the request and never answers."""

    name = "silent"

    async def before(self, asked: Asked, view: ChainView) -> None:
        await anyio.sleep_forever()


class SlowFirstByte(AnyRequest):
    """Thinks for a while before each answer."""

    name = "slow_first_byte"

    def __init__(
        self, rng: random.Random, chance: float = 1.0, *, seconds: float | None = None
    ) -> None:
        super().__init__(rng, chance)
        self.seconds = rng.uniform(0.5, 5.0) if seconds is None else seconds

    async def before(self, asked: Asked, view: ChainView) -> None:
        await anyio.sleep(self.seconds)


class Failing(AnyRequest):
    """An error status, with the words that gateways and beacon nodes use."""

    name = "server_error"
    status: ClassVar[int] = 500
    message: ClassVar[str] = "Internal server error"

    async def before(self, asked: Asked, view: ChainView) -> None:
        raise Refusal(self.status, self.message)


class Unavailable(Failing):
    """503 without a word of when to come back."""

    name = "service_unavailable"
    status = 503
    message = "Beacon node is currently syncing and not serving requests"


class RateLimiting(Failing):
    """429, with a Retry-After of one to three seconds."""

    name = "rate_limiting"
    status = 429
    message = "Too many requests"

    def __init__(
        self, rng: random.Random, chance: float = 1.0, *, retry_after: int | None = None
    ) -> None:
        super().__init__(rng, chance)
        self.retry_after = rng.randint(1, 3) if retry_after is None else retry_after

    async def before(self, asked: Asked, view: ChainView) -> None:
        raise Refusal(self.status, self.message, {"Retry-After": str(self.retry_after)})


class RateLimitingSilently(Failing):
    """429 without a Retry-After."""

    name = "rate_limiting_without_retry_after"
    status = 429
    message = "Too many requests"


class LightClientOff(Failing):
    """A node that serves no light clients, and says so."""

    name = "light_client_off"
    status = 501
    message = "Light client is not served"

    def applies_to(self, asked: Asked) -> bool:
        return asked.kind is not None


class UnknownBootstrap(Failing):
    """Bootstraps alone are missing, as on nodes that keep few."""

    name = "bootstrap_missing"
    status = 404
    message = "LC bootstrap unavailable"

    def applies_to(self, asked: Asked) -> bool:
        return asked.kind is ObjectKind.BOOTSTRAP
