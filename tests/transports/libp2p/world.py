"""A simulated chain on the network: nodes that serve it and clients that follow it."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from lightclient.client import LightClient
from lightclient.containers import (
    LightClientFinalityUpdate,
    LightClientOptimisticUpdate,
    encode_ssz,
)
from lightclient.protocol import ACCEPTED
from lightclient.simulator.libp2p.served import ServedChain, latest_updates
from lightclient.sync import NewOptimisticHeader, Outcome, VerifiedHeader
from lightclient.transports.base import Transport
from lightclient.transports.libp2p.addresses import PeerAddress
from lightclient.transports.libp2p.node import Node
from lightclient.transports.libp2p.options import Libp2pOptions
from lightclient.transports.libp2p.pool import Libp2pPool
from lightclient.transports.pools import Heads
from lightclient.transports.scores import ProviderScore
from lightclient.transports.task_groups import bare_task_group
from lightclient.wire.gossip import topic_of
from tests.client.world import World


class Member:
    """Stands for a client: takes every update for progress, unless told otherwise."""

    def __init__(self) -> None:
        self.transports: list[Transport] = []
        self.serving: list[Transport] = []
        self.judged: list[LightClientFinalityUpdate | LightClientOptimisticUpdate] = []
        self.is_near = True
        self.outcome: Outcome | str | None = "progress"
        self.known = Heads()

    def join(self, transport: Transport, score: ProviderScore, *, serves: bool) -> None:
        self.transports.append(transport)
        if serves:
            self.serving.append(transport)

    def leave(self, transport: Transport) -> None:
        self.transports.remove(transport)
        if transport in self.serving:
            self.serving.remove(transport)

    async def judge(
        self,
        transport: Transport,
        update: LightClientFinalityUpdate | LightClientOptimisticUpdate,
    ) -> Outcome | None:
        self.judged.append(update)
        if isinstance(self.outcome, str):
            header = VerifiedHeader(update.attested_header, None)  # type: ignore[arg-type]
            return Outcome(ACCEPTED, (NewOptimisticHeader(header),), progress=True)
        return self.outcome

    def can_judge_pushes(self) -> bool:
        return self.is_near

    def heads(self) -> Heads:
        return self.known


def make_node(
    world: World,
    member: Member | None = None,
    *,
    serves: bool = True,
    direct: Sequence[PeerAddress] = (),
    tcp_port: int = 0,
    **options: Any,
) -> Node:
    """A node on a port of loopback, a random one if it is 0."""
    chosen = Libp2pOptions(
        secret=os.urandom(32),
        listen_address="127.0.0.1",
        tcp_port=tcp_port,
        direct_peers=direct,
        light_client=ServedChain(world) if serves else None,
        **options,
    )
    rng = random.Random(1)
    return Node(
        chosen,
        world.network,
        member or Member(),
        clock=world.clock,
        uniform=rng.uniform,
        sample=rng.sample,
    )


def address_of(node: Node) -> PeerAddress:
    return PeerAddress("ip4", "127.0.0.1", node.port, node.peer_id)


@asynccontextmanager
async def running(*nodes: Node) -> AsyncIterator[None]:
    """All of ``nodes``, started in order."""
    async with bare_task_group() as tasks:
        for node in nodes:
            await tasks.start(node.run)
        yield


def make_client(world: World, *direct: PeerAddress, **options: Any) -> LightClient:
    """A client that knows nobody but ``direct``."""
    chosen = Libp2pOptions(
        secret=os.urandom(32), listen_address=None, tcp_port=0, direct_peers=direct
    )
    pool = Libp2pPool(chosen, clock=world.clock, rng=random.Random(1))
    return LightClient(
        network=world.network,
        trusted_block_root=options.pop("trusted_block_root", None) or world.root(),
        pools=[pool],
        clock=world.clock,
        rng=random.Random(1),
        **options,
    )


def publish_head(world: World, node: Node) -> int:
    """Gossip the head of the chain; to how many peers."""
    reached = 0
    for update in latest_updates(world.chain):
        topic = topic_of(update, world.network)
        reached += node.publish(topic.name, encode_ssz(update), topic.fork_digest)
    return reached
