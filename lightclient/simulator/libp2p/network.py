"""A network of simulated peers that a boot node knows, and a cast of characters for it.

All on loopback: each peer at a port of its own, found by discovery as on the internet. Runs on
trio; a client on asyncio is served from a portal.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import anyio

from lightclient.simulator.chain import SimulatedChain
from lightclient.simulator.libp2p.peer import LISTEN_ADDRESS, SimulatedPeer
from lightclient.simulator.libp2p.roles import HONEST, ROLES
from lightclient.simulator.server import grow, wall_clock_ms
from lightclient.transports.libp2p.discovery import DiscoveryService
from lightclient.transports.libp2p.muxers import MPLEX, MUXERS
from lightclient.transports.libp2p.options import DiscoveryOptions
from lightclient.transports.task_groups import bare_task_group
from lightclient.wire.enr import NodeRecord
from lightclient.wire.identity import SECRET_SIZE, IdentityKey
from lightclient.wire.messages import GoodbyeReason

_LOOK_SECONDS: Final = 0.02
_START_SECONDS: Final = 10.0


def cast_of_peers(
    chain: SimulatedChain,
    seed: int,
    *,
    honest: int = 2,
    hostile: Collection[str] | None = None,
    clock: Callable[[], int] = wall_clock_ms,
) -> list[SimulatedPeer]:
    """Peers of a chain: honest ones and, by default, one of every other character.

    The same arguments give peers that do the same. Every other one speaks mplex alone.

    Args:
        honest: how many are honest.
        hostile: names of the other characters.
    """
    rng = random.Random(f"peers {seed}")
    others = [name for name in ROLES if name != HONEST.name] if hostile is None else list(hostile)
    roles = [HONEST] * honest + [ROLES[name] for name in others]
    return [
        SimulatedPeer(
            chain,
            rng.randbytes(SECRET_SIZE),
            clock=clock,
            role=role,
            muxers=(MPLEX,) if number % 2 else MUXERS,
            rng=random.Random(rng.getrandbits(64)),
            name=f"peer {number + 1}",
        )
        for number, role in enumerate(roles)
    ]


@dataclass(frozen=True, slots=True)
class SimulatedNetwork:
    """A network that is up; ``boot_node`` knows all peers that are there."""

    peers: tuple[SimulatedPeer, ...]
    boot_node: NodeRecord


@asynccontextmanager
async def peers_of(
    peers: Sequence[SimulatedPeer],
    *,
    live: bool = False,
    late_after_slots: float = 0,
    clock: Callable[[], int] = wall_clock_ms,
) -> AsyncIterator[SimulatedNetwork]:
    """Let peers of one chain be there while the block runs.

    Args:
        peers: at least one.
        live: let the chain grow with the clock.
        late_after_slots: peers whose role is not early come once all others have been met and left,
            and at the latest after so many slots. With 0 all are there at once.
        clock: Unix milliseconds.
    """
    chain = peers[0].chain
    early = [peer for peer in peers if peer.role.is_early or not late_after_slots]
    late = [peer for peer in peers if peer not in early]
    async with bare_task_group() as tasks:
        boot = _finder(chain, random.Random(peers[0].secret).randbytes(SECRET_SIZE), clock, ())
        tasks.start_soon(boot.run)
        await _until(lambda: boot.port > 0 and b"eth2" in boot.record.entries)

        async def begin(some: Iterable[SimulatedPeer]) -> None:
            for peer in some:
                await tasks.start(peer.run)
                told = _finder(chain, peer.secret, clock, (boot.record,), peer)
                tasks.start_soon(told.run)

        async def begin_late() -> None:
            slot_seconds = chain.network.slot_duration_ms / 1000
            with anyio.move_on_after(late_after_slots * slot_seconds):
                await _until(lambda: all(map(_is_settled, early)), float("inf"))
            await begin(late)

        await begin(early)
        await _until(lambda: boot.node_count >= len(early))
        if late:
            tasks.start_soon(begin_late)
        if live:
            tasks.start_soon(grow, chain, clock)
        yield SimulatedNetwork(tuple(peers), boot.record)


def _is_settled(peer: SimulatedPeer) -> bool:
    """Whether a client has done with a peer; who is silent takes it long to be sure of."""
    takes_long = GoodbyeReason.FAULT in peer.role.ends
    return bool(peer.tally.met if takes_long else peer.tally.goodbyes)


def _finder(
    chain: SimulatedChain,
    secret: bytes,
    clock: Callable[[], int],
    start: Sequence[NodeRecord],
    peer: SimulatedPeer | None = None,
) -> DiscoveryService:
    """Discovery that tells where ``peer`` is, or of a node that knows others and is none."""
    return DiscoveryService(
        DiscoveryOptions(udp_port=0, bootstrap_nodes=start),
        IdentityKey(secret),
        chain.network,
        # Who has no client yet looks around, and so becomes known to those who look for peers.
        wanted=lambda: int(peer is not None and not peer.tally.met),
        on_found=lambda _: None,
        tcp_port=lambda: 0 if peer is None else peer.port,
        clock=clock,
        listen_address=LISTEN_ADDRESS,
    )


async def _until(condition: Callable[[], bool], seconds: float = _START_SECONDS) -> None:
    with anyio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 - of things that other tasks count
            await anyio.sleep(_LOOK_SECONDS)
