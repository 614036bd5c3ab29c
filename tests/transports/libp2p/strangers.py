"""Peers that say who they are and then do what a test makes them do; what they gossip."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from lightclient.containers import ObjectKind, encode_ssz
from lightclient.transports.libp2p import multistream
from lightclient.transports.libp2p.connections import Connection
from lightclient.transports.libp2p.gossip_rpc import GossipMessage, GossipRPC, encode_rpc
from lightclient.transports.libp2p.gossipsub import MESHSUB
from lightclient.transports.libp2p.node import Node
from lightclient.transports.libp2p.streams import Stream
from lightclient.wire.messages import GoodbyeReason, Status
from lightclient.wire.protocols import GOODBYE_1, PING_1, STATUS_2, Protocol
from lightclient.wire.requests import encode_request
from lightclient.wire.responses import encode_chunk
from lightclient.wire.varint import encode_varint
from tests.client.world import World, until
from tests.transports.libp2p.hosts import Host, Serve, read_all
from tests.transports.libp2p.world import address_of
from tests.transports.objects import make_object


class Stranger(Host):
    """A peer of the network that answers status and otherwise does what a test makes it do."""

    def __init__(self, world: World, *, status: Status | None = None) -> None:
        self.heard: list[tuple[str, object]] = []
        self.world = world
        self.own = status or Status(
            world.network.compute_fork_digest(world.network.compute_epoch_at_slot(world.slot)),
            bytes(32),
            0,
            bytes(32),
            0,
        )
        super().__init__(
            {
                STATUS_2.protocol_id: self._say(STATUS_2, self.own),
                PING_1.protocol_id: self._say(PING_1, 1),
                GOODBYE_1.protocol_id: self._say(GOODBYE_1, 1),
                **dict.fromkeys(MESHSUB, self._listen),
            }
        )

    def _say(self, protocol: Protocol, value: object) -> Serve:
        assert protocol.response is not None
        chunk = encode_chunk(protocol.response.encode(value))

        async def serve(stream: Stream) -> None:
            self.heard.append((protocol.name, await read_all(stream)))
            await stream.write(chunk)
            await stream.close()

        return serve

    async def _listen(self, stream: Stream) -> None:
        while data := await stream.read():
            self.heard.append(("gossip", data))

    @asynccontextmanager
    async def meeting(self, node: Node) -> AsyncIterator[Connection]:
        """Connected to ``node``, which knows us."""
        async with self.running():
            connection = await self.board.dial(address_of(node))
            await until(lambda: node.peers.get(self.board.peer_id))
            await until(lambda: node.peers[self.board.peer_id].has_joined)
            yield connection

    async def gossip(self, connection: Connection, *messages: GossipMessage) -> Stream:
        """Open a gossip stream and say something on it."""
        stream = await connection.open_stream()
        await multistream.propose(stream, MESHSUB)
        for message in messages:
            content = encode_rpc(GossipRPC(messages=[message]))
            await stream.write(encode_varint(len(content)) + content)
        return stream


def topic(
    world: World, slot: int | None = None, name: str = "light_client_optimistic_update"
) -> str:
    """The name of a topic in the fork of a slot, now unless it is given."""
    epoch = world.network.compute_epoch_at_slot(world.slot if slot is None else slot)
    return f"/eth2/{world.network.compute_fork_digest(epoch).hex()}/{name}/ssz_snappy"


def optimistic(world: World) -> bytes:
    """An update of now as it is gossiped, unsigned."""
    return encode_ssz(make_object(ObjectKind.OPTIMISTIC_UPDATE, world.network, world.slot))


async def drip(stream: Stream, byte: bytes) -> None:
    """Send a byte now and then for as long as the stream takes it, a few seconds at most."""
    for _ in range(50):
        await stream.write(byte)
        await trio.sleep(0.05)


def said(reason: GoodbyeReason) -> bytes:
    """What a stranger hears when it is left for ``reason``."""
    return encode_request(GOODBYE_1, int(reason))
