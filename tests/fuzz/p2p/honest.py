"""Two honest peers: one that the victim's user named, one that came by itself.

Both ask what peers ask, at the pace that servers tolerate, and note what is not answered in time.
The first publishes each head; the second hears of it through the victim alone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import trio

from lightclient.transports.libp2p.addresses import PeerAddress
from lightclient.transports.libp2p.connections import Connection
from lightclient.transports.libp2p.node import Node
from lightclient.transports.libp2p.requests import RequestFailed, ask
from lightclient.wire.messages import UpdatesByRange
from lightclient.wire.protocols import (
    LIGHT_CLIENT_BOOTSTRAP_1,
    LIGHT_CLIENT_FINALITY_UPDATE_1,
    LIGHT_CLIENT_OPTIMISTIC_UPDATE_1,
    LIGHT_CLIENT_UPDATES_BY_RANGE_1,
    METADATA_3,
    PING_1,
    STATUS_2,
    Protocol,
)
from tests.fuzz.p2p.scene import SceneWorld
from tests.transports.libp2p.world import Member, make_node, publish_head

# How many seconds between two questions of each kind: slower than any server's limit.
_EVERY = {
    STATUS_2: 4.0,
    PING_1: 3.5,
    METADATA_3: 5.0,
    LIGHT_CLIENT_FINALITY_UPDATE_1: 8.0,
    LIGHT_CLIENT_OPTIMISTIC_UPDATE_1: 8.0,
    LIGHT_CLIENT_BOOTSTRAP_1: 5.0,
    LIGHT_CLIENT_UPDATES_BY_RANGE_1: 4.0,
}
PUBLISHED_INTO_SLOT = 0.45


@dataclass
class Service:
    """What one honest peer got. Times are seconds."""

    answered: int = 0
    missed: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    reconnects: int = 0

    def percentile(self, share: float) -> float:
        ordered = sorted(self.seconds) or [0.0]
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


class HonestPeer:
    """A node and what became of its questions."""

    def __init__(self, world: SceneWorld, direct: Sequence[PeerAddress] = ()) -> None:
        self.world = world
        self.member = Member()
        self.node: Node = make_node(world, self.member, direct=direct)
        self.service = Service()
        self.published = 0

    async def ask_on(self, victim: str) -> None:
        """Ask the peer of that id until cancelled."""
        due = {protocol: trio.current_time() + 1.0 for protocol in _EVERY}
        before: Connection | None = None
        while True:
            protocol = min(due, key=lambda item: due[item])
            await trio.sleep_until(due[protocol])
            due[protocol] = trio.current_time() + _EVERY[protocol]
            peer = self.node.peers.get(victim)
            if peer is not None and not peer.leaving.is_set():
                if before is not None and before is not peer.connection:
                    self.service.reconnects += 1
                before = peer.connection
                await self._ask(peer.connection, protocol)
            else:
                self.service.missed.append("not connected")

    async def _ask(self, connection: Connection, protocol: Protocol) -> None:
        begun = time.monotonic()
        try:
            answer = await ask(connection, protocol, self._request(protocol), self.world.network)
        except RequestFailed as error:
            self.service.missed.append(str(error)[:80])
            return
        if answer.chunks and answer.refusal is None and answer.failure is None:
            self.service.answered += 1
            self.service.seconds.append(time.monotonic() - begun)
        else:
            why = answer.refusal.name if answer.refusal else str(answer.failure or "empty")
            self.service.missed.append(f"{protocol.name}: {why}"[:80])

    def _request(self, protocol: Protocol) -> Any:
        if protocol is STATUS_2:
            return self.node.status()
        if protocol is PING_1:
            return self.node.metadata.seq_number
        if protocol is LIGHT_CLIENT_BOOTSTRAP_1:
            return self.world.root()
        return UpdatesByRange(0, 3) if protocol is LIGHT_CLIENT_UPDATES_BY_RANGE_1 else None

    async def publish_heads(self) -> None:
        """Tell each slot's head in the midst of the slot, until cancelled."""
        world = self.world
        while True:
            slot = world.slot
            length = world.network.slot_duration_ms
            into = world.clock() - world.network.slot_start_ms(slot)
            await trio.sleep(max(PUBLISHED_INTO_SLOT * length - into, 0) / 1000)
            # Everything goes to one peer, the victim; what did not change is not told again.
            self.published += publish_head(world, self.node)
            left = world.network.slot_start_ms(slot + 1) - world.clock()
            await trio.sleep(max(left, 50) / 1000 + 0.02)
