"""A client of ours that follows a node and is watched: what that costs, and what must hold."""

from __future__ import annotations

import os
import re
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field

import anyio
import anyio.to_thread

from lightclient.client import LightClient
from lightclient.sync import VerifiedHeader
from lightclient.transports.libp2p.addresses import parse_peer_address
from lightclient.transports.libp2p.node import Node
from lightclient.transports.libp2p.options import Libp2pOptions
from lightclient.transports.libp2p.pool import Libp2pPool
from tests.interop.lodestar.node import BeaconNode
from tests.interop.relay import Relay, relay_to

UNEASE = ("rate limit", "goodbye", "disconnected", "Irrelevant")
"""Words of the node's log about a peer that it is not, or no longer, at ease with."""
TROUBLE = ("disconnected", "dropped", "breaks the rules", "does not answer", "says goodbye")
"""The same of ours."""


@dataclass(frozen=True)
class Chain:
    """A node whose chain finalizes, and the first block that it finalized."""

    node: BeaconNode
    trusted_block_root: str


@dataclass
class Followed:
    """A client that follows a node, and what that costs."""

    node: BeaconNode
    client: LightClient
    relays: dict[str, Relay]
    pool: Libp2pPool | None
    started: float = field(default_factory=time.monotonic)
    first_head: float = 0.0
    heads: list[tuple[int, float]] = field(default_factory=list)

    def note_head(self, header: VerifiedHeader) -> None:
        """A new optimistic header: its slot, and by how many slots it is behind the clock."""
        self.first_head = self.first_head or time.monotonic() - self.started
        network = self.client.network
        age_ms = time.time_ns() // 1_000_000 - network.slot_start_ms(header.slot)
        self.heads.append((header.slot, age_ms / network.slot_duration_ms))

    @property
    def ours(self) -> Node:
        """Our node on the network."""
        assert self.pool is not None
        assert self.pool.node is not None
        return self.pool.node

    def requests(self) -> Counter[str]:
        """What was asked for, with how that ended."""
        counts: Counter[str] = Counter()
        for (_, kind, result), count in self.client.measures.requests.items():
            counts[f"{kind} {result}"] += count
        return counts

    def figures(self) -> str:
        """One line for whoever reads the output."""
        seconds = time.monotonic() - self.started
        passed = {
            way: f"{relay.to_client} in, {relay.to_server} out"
            for way, relay in self.relays.items()
        }
        lag = statistics.median(lag for _, lag in self.heads[1:]) if self.heads[1:] else 0.0
        gossip = f", gossip {self.ours.gossip}" if self.pool is not None else ""
        return (
            f"{'+'.join(self.relays)}: first head after {self.first_head:.2f} s; in {seconds:.0f} s"
            f" {len(self.heads)} heads, {lag:.2f} slots old in the middle; bytes {passed};"
            f" requests {dict(self.requests())}{gossip}"
        )


@asynccontextmanager
async def following(chain: Chain, ways: tuple[str, ...]) -> AsyncIterator[Followed]:
    """A client that begins with the chain's first finalized block, and knows ``ways`` only."""
    node = chain.node
    with ExitStack() as stack:
        relays: dict[str, Relay] = {}
        pool, transports = None, []
        if "libp2p" in ways:
            relays["libp2p"] = relay = stack.enter_context(relay_to(node.p2p_port))
            pool = make_pool(re.sub(r"/tcp/\d+/", f"/tcp/{relay.port}/", node.multiaddress))
        if "rest" in ways:
            relays["rest"] = relay = stack.enter_context(relay_to(node.rest_port))
            transports.append(f"http://127.0.0.1:{relay.port}")
        client = LightClient(
            network=node.network,
            trusted_block_root=chain.trusted_block_root,
            transports=transports,
            pools=[] if pool is None else [pool],
            on_optimistic_header=lambda header: followed.note_head(header),
        )
        followed = Followed(node, client, relays, pool)
        async with client:
            yield followed


def make_pool(*multiaddresses: str, listen_address: str | None = None) -> Libp2pPool:
    """Peers by their addresses, and none else."""
    options = Libp2pOptions(
        secret=os.urandom(32),
        listen_address=listen_address,
        tcp_port=0,
        direct_peers=[parse_peer_address(text) for text in multiaddresses],
    )
    return Libp2pPool(options)


async def until(condition: Callable[[], bool], seconds: float) -> None:
    with anyio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 - of another program, which tells no event
            await anyio.sleep(0.1)


async def assert_true_to_the_node(followed: Followed) -> None:
    """The finalized header is the one that the node has, with its execution block."""
    node, header = followed.node, followed.client.finalized_header()
    assert header is not None
    path = f"/eth/v2/beacon/blocks/0x{header.root.hex()}"
    block = await anyio.to_thread.run_sync(node.get, path)
    assert int(block["message"]["slot"]) == header.slot
    assert header.execution_block_hash is not None
    theirs = block["message"]["body"]["execution_payload"]["block_hash"]
    assert theirs == "0x" + header.execution_block_hash.hex()
    path = f"/eth/v1/beacon/headers/0x{header.root.hex()}"
    assert (await anyio.to_thread.run_sync(node.get, path))["canonical"] is True


async def assert_at_ease(followed: Followed, log: str) -> None:
    """The node is connected with us once, and finds no fault with us; nor do we with it."""
    node, peer_id = followed.node, followed.ours.peer_id
    [(state, _)] = await anyio.to_thread.run_sync(node.connections, peer_id)
    assert state == "connected"
    assert await anyio.to_thread.run_sync(node.score, peer_id) == 0
    lines = await anyio.to_thread.run_sync(node.log_of, peer_id)
    assert any("peer connected" in line for line in lines)
    assert not [line for line in lines if any(word in line for word in UNEASE)]
    assert not [word for word in TROUBLE if f"Peer {word}" in log]
