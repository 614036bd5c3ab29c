"""A simulated chain as a peer of js-libp2p answers about it, and as ours does: the same bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from lightclient.containers import LightClientObject
from lightclient.simulator import SimulatedChain
from lightclient.transports.libp2p.node import Node
from lightclient.wire.messages import Metadata, Status, UpdatesByRange
from lightclient.wire.protocols import (
    GOODBYE_1,
    LIGHT_CLIENT_BOOTSTRAP_1,
    LIGHT_CLIENT_FINALITY_UPDATE_1,
    LIGHT_CLIENT_OPTIMISTIC_UPDATE_1,
    LIGHT_CLIENT_UPDATES_BY_RANGE_1,
    METADATA_2,
    METADATA_3,
    PING_1,
    STATUS_1,
    STATUS_2,
    Protocol,
)
from lightclient.wire.responses import ResultCode, encode_chunk, encode_error, encode_object
from tests.client.world import World, until
from tests.interop.js_libp2p.peers import PATIENCE, Answers, JsPeer, JsPeers
from tests.transports.libp2p.world import address_of, running

METADATA = Metadata(seq_number=3, attnets=b"\x81" + bytes(7), syncnets=b"\x05")


def status_of(world: World) -> Status:
    """Of a peer that is on the chain and tells no more than that."""
    digest = world.network.compute_fork_digest(world.network.compute_epoch_at_slot(world.slot))
    return Status(digest, bytes(32), 0, bytes(32), 0)


def plain_chunk(protocol: Protocol, value: object) -> bytes:
    """The answer of a protocol whose answer is one plain message."""
    assert protocol.response is not None
    return encode_chunk(protocol.response.encode(value))


def polite(world: World) -> Answers:
    """The answers without which a peer is left."""
    answers: dict[str, Callable[[Any], bytes]] = {
        PING_1.protocol_id: lambda _: plain_chunk(PING_1, METADATA.seq_number),
        GOODBYE_1.protocol_id: lambda reason: plain_chunk(GOODBYE_1, reason),
        METADATA_2.protocol_id: lambda _: plain_chunk(METADATA_2, METADATA),
        METADATA_3.protocol_id: lambda _: plain_chunk(METADATA_3, METADATA),
        STATUS_1.protocol_id: lambda _: plain_chunk(STATUS_1, status_of(world)),
        STATUS_2.protocol_id: lambda _: plain_chunk(STATUS_2, status_of(world)),
    }
    return answers


def serving(world: World) -> Answers:
    """All that a server of light client data answers."""
    network = world.network

    def one(value: LightClientObject | None) -> bytes:
        if value is None:
            return encode_error(ResultCode.RESOURCE_UNAVAILABLE, "not available")
        return encode_object(value, network)

    def chain() -> SimulatedChain:
        world.chain.advance_to(world.slot)
        return world.chain

    def updates(request: UpdatesByRange) -> bytes:
        found = chain().updates(request.start_period, request.count)
        return b"".join(encode_object(update, network) for update in found)

    return {
        **polite(world),
        LIGHT_CLIENT_BOOTSTRAP_1.protocol_id: lambda root: one(chain().bootstrap(root)),
        LIGHT_CLIENT_UPDATES_BY_RANGE_1.protocol_id: updates,
        LIGHT_CLIENT_FINALITY_UPDATE_1.protocol_id: lambda _: one(chain().finality_update()),
        LIGHT_CLIENT_OPTIMISTIC_UPDATE_1.protocol_id: lambda _: one(
            world.chain.optimistic_update()
        ),
    }


@asynccontextmanager
async def known_to(js: JsPeers, node: Node, muxer: str, world: World) -> AsyncIterator[JsPeer]:
    """A peer of js-libp2p that dialled a node of ours, which knows it by now."""
    async with running(node):
        peer = await js.start("stranger", [muxer], polite(world))
        await peer.dial(address_of(node))
        await until(lambda: peer.peer_id in node.peers, PATIENCE)
        await until(lambda: node.peers[peer.peer_id].has_joined, PATIENCE)
        yield peer
