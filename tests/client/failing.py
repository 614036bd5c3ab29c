"""A chain that stands still, and transports over it that fail, hang and tell of their life."""

from __future__ import annotations

from functools import cache

import anyio
import anyio.lowlevel

from lightclient.config import Network
from lightclient.containers import LightClientBootstrap
from lightclient.errors import ConfigError
from tests.client.world import SLOTS_PER_PERIOD, ChainTransport, World

HEAD = 3 * SLOTS_PER_PERIOD + 30


@cache
def still_world() -> World:
    """A chain and a clock that nobody moves."""
    return World(HEAD)


class Boom(Exception):
    """Nothing the library knows."""


class Hanging(ChainTransport):
    """Never answers, and says when it was asked and when it was given up."""

    asked = given_up = False

    async def get_light_client_bootstrap(self, block_root: bytes) -> LightClientBootstrap:
        self.asked = True
        try:
            await anyio.sleep_forever()
        finally:
            self.given_up = True
        raise AssertionError


class Faulty(ChainTransport):
    """Breaks the contract: raises what is no TransportError."""

    async def get_light_client_bootstrap(self, block_root: bytes) -> LightClientBootstrap:
        raise Boom("a fault in the transport")


class Watched(ChainTransport):
    """Records its life."""

    def __init__(self, name: str = "watched", *, fails: str = "") -> None:
        super().__init__(still_world(), name)
        self.life: list[str] = []
        self.fails = fails

    async def open(self, network: Network) -> None:
        self.life.append("open")
        if self.fails == "open":
            raise ConfigError("cannot be opened")
        await super().open(network)

    async def aclose(self) -> None:
        await anyio.lowlevel.checkpoint()
        self.life.append("closed")
        if self.fails == "close":
            raise Boom("cannot be closed")
