"""Blocks from peers: asked for by root and by range, heard by gossip, and from peers that lie."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from hashlib import sha256
from typing import Any

import pytest

pytest.importorskip("libp2p", reason="the extra [libp2p] is not installed")

import anyio
from anyio.from_thread import start_blocking_portal

from lightclient.errors import DecodeError, MalformedAnswer, ProviderUnavailable
from lightclient.transports.libp2p import transport
from lightclient.transports.libp2p.blocks import MAX_BLOCKS_A_SLOT, MAX_BLOCKS_AT_ONCE
from lightclient.transports.libp2p.gossip_rpc import GossipMessage
from lightclient.transports.libp2p.node import Node
from lightclient.transports.libp2p.pool import Libp2pPool
from lightclient.transports.libp2p.streams import Stream, StreamBroken
from lightclient.wire.blocks import SignedBlock
from lightclient.wire.gossip import BEACON_BLOCK, encode_payload
from lightclient.wire.protocols import BEACON_BLOCKS_BY_RANGE_2, BEACON_BLOCKS_BY_ROOT_2
from lightclient.wire.requests import RequestReader
from lightclient.wire.responses import encode_chunk, encode_error
from tests.client.world import TickingWorld, World, until
from tests.transports.libp2p.hosts import read_all
from tests.transports.libp2p.strangers import Stranger, topic
from tests.transports.libp2p.world import Member, address_of, make_client, make_node, running

pytestmark = pytest.mark.anyio


def block(slot: int, parent: bytes = bytes(32), size: int = 50) -> bytes:
    """A signed block as far as anybody here looks at it; its root is a digest of its bytes."""
    message = slot.to_bytes(8, "little") + bytes(8) + parent + bytes(32)
    message += (84).to_bytes(4, "little") + bytes(size)
    return (100).to_bytes(4, "little") + bytes(96) + message


def root_of(signed: SignedBlock | bytes) -> bytes:
    return sha256(signed if isinstance(signed, bytes) else signed.ssz).digest()


def chain(*slots: int) -> list[bytes]:
    """Blocks, each the parent of the next."""
    blocks: list[bytes] = []
    for slot in slots:
        blocks.append(block(slot, root_of(blocks[-1]) if blocks else bytes(32)))
    return blocks


Choose = Callable[[Any], Sequence[bytes]]


class BlockServer(Stranger):
    """A peer that answers requests for blocks with what a test chooses."""

    def __init__(
        self, world: World, by_root: Choose, by_range: Choose | None = None, code: int = 0
    ) -> None:
        super().__init__(world)
        self.asked: list[Any] = []
        self.code = code
        choices = {BEACON_BLOCKS_BY_ROOT_2: by_root, BEACON_BLOCKS_BY_RANGE_2: by_range or by_root}
        for protocol, choose in choices.items():
            self.handlers[protocol.protocol_id] = self._serving(protocol, choose)
        self.board._protocols = tuple(self.handlers)

    def _serving(self, protocol: Any, choose: Choose) -> Any:
        async def serve(stream: Stream) -> None:
            reader = RequestReader(protocol)
            reader.receive(await read_all(stream))
            self.asked.append(reader.request)
            network = self.world.network
            for ssz in choose(reader.request):
                slot = int.from_bytes(ssz[100:108], "little")
                digest = network.compute_fork_digest(network.compute_epoch_at_slot(slot))
                await stream.write(encode_chunk(ssz, digest))
            if self.code:
                await stream.write(encode_error(self.code, "no more"))
            await stream.close()

        return serve


@asynccontextmanager
async def asking(world: World, *servers: BlockServer) -> AsyncIterator[Node]:
    """A node that has met all servers."""
    node = make_node(world)
    async with running(node):
        if not servers:
            yield node
            return
        async with servers[0].meeting(node):
            if len(servers) == 1:
                yield node
                return
            async with servers[1].meeting(node):
                # Those with a better score are asked first.
                for rank, server in enumerate(servers):
                    node.peers[server.board.peer_id].known.score.availability = 900 - rank
                    node.peers[server.board.peer_id].known.score.honesty = 900 - rank
                yield node


# Asking -----------------------------------------------------------------------------------------


async def test_blocks_are_had_by_root_and_by_range(world: World) -> None:
    blocks = chain(10, 11, 13)
    by_root = {root_of(ssz): ssz for ssz in blocks}
    server = BlockServer(world, lambda roots: [by_root[root] for root in roots], lambda _: blocks)
    async with asking(world, server) as node:
        found = await node.blocks.by_root(tuple(by_root)[:2], root_of)
        assert {root: signed.ssz for root, signed in found.items()} == {
            root: by_root[root] for root in tuple(by_root)[:2]
        }
        ranged = await node.blocks.by_range(10, 4, root_of)
        assert [signed.slot for signed in ranged] == [10, 11, 13]
        assert ranged[0].fork.name == "altair"
        score = node.peers[server.board.peer_id].known.score
        assert score.availability > 300


async def test_what_one_peer_lacks_another_is_asked_for(world: World) -> None:
    blocks = {root_of(ssz): ssz for ssz in chain(10, 11)}
    first, second = blocks
    some = BlockServer(world, lambda roots: [blocks[first]] if first in roots else [])
    rest = BlockServer(world, lambda roots: [blocks[root] for root in roots])
    async with asking(world, some, rest) as node:
        assert set(await node.blocks.by_root([first, second], root_of)) == {first, second}
    assert rest.asked == [(second,)]


@pytest.mark.parametrize(
    "wrong",
    [
        [block(12)],
        [b"\0" * 400],
        [block(10)[:150]],
    ],
    ids=["another", "no block", "cut"],
)
async def test_who_answers_with_other_blocks_than_asked_for_is_dropped(
    world: World, wrong: list[bytes]
) -> None:
    right = block(10)
    liar = BlockServer(world, lambda _: wrong)
    honest = BlockServer(world, lambda _: [right])
    async with asking(world, liar, honest) as node:
        found = await node.blocks.by_root([root_of(right)], root_of)
        assert found.keys() == {root_of(right)}
        await until(lambda: liar.board.peer_id not in node.peers)
        assert honest.board.peer_id in node.peers


@pytest.mark.parametrize(
    "wrong",
    [
        chain(9, 10),
        chain(10, 14),
        chain(11, 10),
        [block(10), block(11)],
        [block(10), block(10)],
    ],
    ids=["before", "after", "descending", "no chain", "twice"],
)
async def test_a_range_of_other_slots_or_that_is_no_chain_is_refused(
    world: World, wrong: list[bytes]
) -> None:
    right = chain(10, 12)
    liar, honest = BlockServer(world, lambda _: wrong), BlockServer(world, lambda _: right)
    async with asking(world, liar, honest) as node:
        ranged = await node.blocks.by_range(10, 4, root_of)
        assert [signed.ssz for signed in ranged] == right
        await until(lambda: liar.board.peer_id not in node.peers)


async def test_blocks_that_are_none_to_who_knows_their_types_are_refused(world: World) -> None:
    def no_block(_: SignedBlock) -> bytes:
        raise DecodeError("not SSZ of a BeaconBlock")

    server = BlockServer(world, lambda _: [block(10)])
    async with asking(world, server) as node:
        with pytest.raises(ProviderUnavailable):
            await node.blocks.by_root([root_of(block(10))], no_block)
        await until(lambda: not node.peers)


async def test_the_first_part_of_a_range_is_kept_whatever_follows(world: World) -> None:
    blocks = chain(10, 11)
    server = BlockServer(world, lambda _: blocks, code=3)
    async with asking(world, server) as node:
        assert len(await node.blocks.by_range(10, 8, root_of)) == 2


async def test_without_anybody_to_ask_that_is_told(world: World) -> None:
    async with asking(world) as node:
        with pytest.raises(ProviderUnavailable, match="no peer answers"):
            await node.blocks.by_range(10, 8, root_of)
        for count in (0, MAX_BLOCKS_AT_ONCE + 1):
            with pytest.raises(ValueError, match="may be asked for"):
                await node.blocks.by_range(10, count, root_of)
            with pytest.raises(ValueError, match="may be asked for"):
                await node.blocks.by_root([bytes(32)] * count, root_of)


async def test_large_blocks_are_taken_up_to_a_bound_in_all(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "MAX_BYTES_OF_BLOCKS", 100_000)
    large = [block(slot, size=40_000) for slot in (10, 11, 12)]
    server = BlockServer(world, lambda _: large)
    async with asking(world, server) as node:
        peer = node.peers[server.board.peer_id]
        with pytest.raises(MalformedAnswer, match="more than 100000 bytes"):
            await peer.transport.get_blocks_by_range(10, 3)


# Listening --------------------------------------------------------------------------------------


async def test_blocks_are_only_listened_to_while_somebody_wants_them(world: World) -> None:
    listeners: list[Callable[[SignedBlock], None]] = []
    node = make_node(world)
    node._block_listeners = listeners
    async with running(node):
        name = topic(world, name=BEACON_BLOCK)
        await until(lambda: node._gossip.router.topics)
        assert name not in node._gossip.router.topics
        listeners.append(lambda _: None)
        await until(lambda: name in node._gossip.router.topics)
        listeners.clear()
        await until(lambda: name not in node._gossip.router.topics)


async def test_a_block_that_is_heard_is_handed_on_and_never_passed_on(world: World) -> None:
    member, stranger = Member(), Stranger(world)
    heard: list[SignedBlock] = []
    node = make_node(world, member)
    node._block_listeners.append(heard.append)
    async with running(node), stranger.meeting(node) as connection:
        name = topic(world, name=BEACON_BLOCK)
        await until(lambda: name in node._gossip.router.topics)
        # One of now, one of long ago, one of a slot to come; and more than a slot can have.
        now = world.slot
        slots = [now, now - 9, now + 1, *[now - 1] * (MAX_BLOCKS_A_SLOT + 2)]
        await stranger.gossip(
            connection,
            *(
                GossipMessage(name, encode_payload(block(slot, size=50 + number)))
                for number, slot in enumerate(slots)
            ),
        )
        await until(lambda: node.gossip.received == len(slots))
        told = [now, *[now - 1] * MAX_BLOCKS_A_SLOT]
        await until(lambda: [signed.slot for signed in heard] == told)
        assert node.gossip.accepted == node.gossip.forwarded == node.gossip.rejected == 0
        assert node.peers
        assert not member.judged


async def test_what_is_no_block_costs_its_sender_the_connection(world: World) -> None:
    stranger = Stranger(world)
    heard: list[SignedBlock] = []
    node = make_node(world)
    node._block_listeners.append(heard.append)
    async with running(node), stranger.meeting(node) as connection:
        name = topic(world, name=BEACON_BLOCK)
        await until(lambda: name in node._gossip.router.topics)
        await stranger.gossip(connection, GossipMessage(name, encode_payload(bytes(500))))
        await until(lambda: not node.peers)
        assert not heard


async def test_large_exchanges_are_taken_only_for_blocks(world: World) -> None:
    stranger = Stranger(world)
    large = encode_payload(block(world.slot) + os.urandom(2**21))
    heard: list[SignedBlock] = []
    node = make_node(world)
    async with running(node), stranger.meeting(node) as connection:
        node._block_listeners.append(heard.append)
        name = topic(world, name=BEACON_BLOCK)
        await until(lambda: name in node._gossip.router.topics)
        stream = await stranger.gossip(connection, GossipMessage(name, large))
        await until(lambda: heard, 60)
        node._block_listeners.clear()
        await until(lambda: name not in node._gossip.router.topics)
        await stream.reset()
        with suppress(StreamBroken):
            await stranger.gossip(connection, GossipMessage(name, large))
        await until(lambda: not node.peers, 60)


# Across event loops -----------------------------------------------------------------------------


@pytest.mark.parametrize("anyio_backend", ["trio", "asyncio"])
async def test_a_client_of_either_kind_asks_for_blocks_and_listens(anyio_backend: str) -> None:
    world = TickingWorld(300)
    blocks = chain(10, 11)
    heard: list[SignedBlock] = []

    @asynccontextmanager
    async def served() -> AsyncIterator[tuple[BlockServer, Any]]:
        server, meeting = BlockServer(world, lambda _: blocks), make_node(world)
        async with running(meeting), server.running():
            yield server, address_of(meeting)

    async with AsyncExitStack() as stack:
        if anyio_backend == "trio":
            server, chain_node = await stack.enter_async_context(served())
        else:
            portal = stack.enter_context(start_blocking_portal("trio"))
            wrapped = portal.wrap_async_context_manager(served())
            server, chain_node = stack.enter_context(wrapped)
        client = make_client(world, server.address, chain_node)
        (pool,) = client.pools
        assert isinstance(pool, Libp2pPool)
        with pytest.raises(ProviderUnavailable, match="not on the network"):
            await pool.get_blocks_by_range(10, 2, root_of)
        with anyio.fail_after(60), pool.listening_to_blocks(heard.append):
            async with client:
                await client.wait_until_synced()
                await until(lambda: pool.figures().peers == 2, 60)
                await until(
                    lambda: (
                        pool.node is not None
                        and all(peer.has_joined for peer in tuple(pool.node.peers.values()))
                    ),
                    10,
                )
                ranged = await pool.get_blocks_by_range(10, 2, root_of)
                assert [signed.ssz for signed in ranged] == blocks
                found = await pool.get_blocks_by_root([root_of(ssz) for ssz in blocks], root_of)
                assert len(found) == 2
                assert pool.node is not None
                ssz = block(world.slot)
                feed = pool.node._validation._blocks
                digest = world.network.compute_fork_digest(
                    world.network.compute_epoch_at_slot(world.slot)
                )
                feed.take(digest, ssz)
                await until(lambda: [signed.ssz for signed in heard] == [ssz])
        assert pool.figures().peers == 0
