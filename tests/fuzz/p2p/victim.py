"""The victim, a process of its own: a light client on the network, with all that it can have on.

It serves, listens, gossips, discovers and follows the chain by one honest peer; besides, it asks
every peer for everything, so that whoever answers has a say. Once a second it tells how it is.
"""

from __future__ import annotations

import json
import logging
import os
import random
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from traceback import extract_stack
from typing import Any

import trio

from lightclient.client import LightClient
from lightclient.errors import TransportError
from lightclient.transports.base import Transport
from lightclient.transports.libp2p.addresses import parse_peer_address
from lightclient.transports.libp2p.discovery import DiscoveryService
from lightclient.transports.libp2p.options import DiscoveryOptions, Libp2pOptions
from lightclient.transports.libp2p.pool import Libp2pPool
from tests.client.world import until
from tests.fuzz.p2p.scene import SceneWorld, Target
from tests.transports.libp2p.world import ServedChain

PEERS = 30
_QUESTION_SECONDS = 0.05
_STALL_SECONDS = 0.3


def main(arguments: list[str]) -> None:
    honest, started_ms, log = arguments
    handler = logging.FileHandler(log)
    handler.setFormatter(_Lines("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("lightclient.libp2p").setLevel(logging.DEBUG)
    trio.run(_live, honest, int(started_ms))


class _Lines(logging.Formatter):
    """A record with its fields, on one line but for an exception."""

    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "lc", None)
        return super().format(record) + (f" {fields}" if fields else "")


class Watchdog:
    """Logs where the event loop is when it has computed for long without a turn for others."""

    def __init__(self) -> None:
        self._main = threading.main_thread().ident
        self._beat = time.process_time()
        threading.Thread(target=self._watch, daemon=True).start()

    def beat(self) -> None:
        """The loop is alive."""
        self._beat = time.process_time()

    def _watch(self) -> None:
        told = 0.0
        while True:
            time.sleep(0.05)
            busy = time.process_time() - self._beat
            if busy < _STALL_SECONDS or self._beat == told:
                continue
            told = self._beat
            frame = sys._current_frames().get(self._main or 0)
            where = [f"{Path(item.filename).name}:{item.lineno}" for item in extract_stack(frame)]
            logging.getLogger("victim").warning("Stalled %.2f s: %s", busy, " ".join(where[-9:]))


async def _live(honest: str, started_ms: int) -> None:
    world = SceneWorld(started_ms)
    options = Libp2pOptions(
        secret=os.urandom(32),
        listen_address="127.0.0.1",
        tcp_port=0,
        direct_peers=[parse_peer_address(honest)],
        discovery=DiscoveryOptions(udp_port=0),
        max_peers=PEERS,
        light_client=ServedChain(world),
    )
    pool = Libp2pPool(options, clock=world.clock, rng=random.Random(1))
    client = LightClient(
        network=world.network,
        trusted_block_root=world.root(),
        pools=[pool],
        clock=world.clock,
        rng=random.Random(1),
    )
    async with client:
        await until(lambda: pool.node is not None and pool.discovery is not None, 60)
        node, discovery = pool.node, pool.discovery
        assert node is not None
        assert discovery is not None
        await until(lambda: node.port and discovery.port, 60)
        await until(lambda: b"eth2" in discovery.record.entries, 60)
        address = f"/ip4/127.0.0.1/tcp/{node.port}/p2p/{node.peer_id}"
        _say(Target(address, discovery.port, discovery.record.text, started_ms).to_text())
        asked: Counter[str] = Counter()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_grow, world)
            nursery.start_soon(_ask_everybody, pool, world, asked)
            nursery.start_soon(_look_up_nodes, discovery)
            await _tell(client, pool, asked)


async def _grow(world: SceneWorld) -> None:
    """The chain grows when a slot begins, not when somebody asks."""
    while True:
        assert world.slot
        await trio.sleep(0.2)


async def _ask_everybody(pool: Libp2pPool, world: SceneWorld, asked: Counter[str]) -> None:
    draw = random.Random(2)
    limit = trio.CapacityLimiter(24)

    async def ask(transport: Transport) -> None:
        async with limit:
            try:
                with trio.fail_after(20):
                    await _question(transport, world, draw)
                asked["answered"] += 1
            except TransportError as error:
                asked[type(error).__name__] += 1
            except trio.TooSlowError:
                asked["too slow"] += 1

    async with trio.open_nursery() as nursery:
        while True:
            await trio.sleep(_QUESTION_SECONDS)
            node = pool.node
            if node is None or not node.peers or limit.available_tokens < 1:
                continue
            peer = draw.choice(list(node.peers.values()))
            if peer.has_joined and not peer.known.is_direct:
                nursery.start_soon(ask, peer.transport)


async def _look_up_nodes(discovery: DiscoveryService) -> None:
    """More often than a node would that finds nobody."""
    while True:
        await trio.sleep(1)
        discovery._core.look_up(os.urandom(32), int(trio.current_time() * 1000))


async def _question(transport: Transport, world: SceneWorld, draw: random.Random) -> None:
    which = draw.randrange(4)
    if which == 0:
        await transport.get_light_client_bootstrap(world.root())
    elif which == 1:
        await transport.get_light_client_updates_by_range(0, draw.choice([1, 4, 128]))
    elif which == 2:
        await transport.get_light_client_finality_update()
    else:
        await transport.get_light_client_optimistic_update()


async def _tell(client: LightClient, pool: Libp2pPool, asked: Counter[str]) -> None:
    lag, watchdog = 0.0, Watchdog()
    while True:
        for _ in range(20):
            watchdog.beat()
            begun = trio.current_time()
            await trio.sleep(0.05)
            lag = max(lag, trio.current_time() - begun - 0.05)
        node, discovery = pool.node, pool.discovery
        told: dict[str, Any] = {
            "rss_mb": _rss_mb(),
            "fds": _descriptors(),
            "tasks": trio.lowlevel.current_statistics().tasks_living,
            "lag_ms": round(lag * 1000),
            "asked": dict(asked),
        }
        lag = 0.0
        if node is not None:
            gossip = node.gossip
            told |= {
                "peers": len(node.peers),
                "restarts": node.restarts,
                "unread": node.unread_bytes,
                "gossip": [gossip.received, gossip.accepted, gossip.rejected, gossip.forwarded],
            }
        if discovery is not None:
            told["discovery"] = [discovery.figures.received, discovery.figures.left_out]
            told["discovery_restarts"] = discovery.figures.restarts
        header = client.confirmed_optimistic_header()
        told["head"] = 0 if header is None else header.slot
        _say(json.dumps(told))


def _rss_mb() -> float:
    with suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    return 0.0


def _descriptors() -> int:
    with suppress(OSError):
        return sum(1 for _ in Path("/proc/self/fd").iterdir())
    return 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
