"""Nodes that meet twice at once, are full, and look for peers that are of use."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack

import pytest

pytest.importorskip("libp2p", reason="the extra [libp2p] is not installed")

import trio

from lightclient.transports.libp2p import places
from lightclient.transports.libp2p.acquaintance import ask_metadata
from lightclient.transports.libp2p.node import Node
from lightclient.wire.messages import CUSTODY_REQUIREMENT, GoodbyeReason, Metadata, Status
from lightclient.wire.protocols import METADATA_2, PING_1
from tests.client.world import World, until
from tests.transports.libp2p.strangers import Stranger, said
from tests.transports.libp2p.world import Member, address_of, make_node, running

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("patience")]


def told_goodbye(stranger: Stranger, reason: GoodbyeReason) -> bool:
    return ("goodbye", said(reason)) in stranger.heard


def connected(*nodes: Node) -> bool:
    """Whether each has the other as a peer, over the same connection."""
    first, second = nodes
    ours, theirs = first.peers.get(second.peer_id), second.peers.get(first.peer_id)
    if ours is None or theirs is None or not ours.has_joined or not theirs.has_joined:
        return False
    return ours.connection.is_outbound != theirs.connection.is_outbound


# Twice at once ----------------------------------------------------------------------------------


@pytest.mark.parametrize("turn", range(4))
async def test_two_nodes_that_dial_each_other_at_once_keep_one_connection(
    world: World, turn: int
) -> None:
    members = Member(), Member()
    nodes = make_node(world, members[0]), make_node(world, members[1])
    async with running(*nodes):
        async with trio.open_nursery() as nursery:
            for own, other in (nodes, nodes[::-1]):
                nursery.start_soon(own._switchboard.dial, address_of(other))
        await until(lambda: connected(*nodes), 60)
        await trio.sleep(0.2)
        assert connected(*nodes)
        dialler = min(nodes, key=lambda node: node.peer_id)
        other = max(nodes, key=lambda node: node.peer_id)
        assert dialler.peers[other.peer_id].connection.is_outbound
        assert [len(member.transports) for member in members] == [1, 1]
        assert not dialler.book.banned_count
        assert not other.book.banned_count


async def test_who_dials_again_takes_the_place_of_its_older_connection(world: World) -> None:
    member, stranger = Member(), Stranger(world)
    node = make_node(world, member)
    async with running(node), stranger.meeting(node) as older:
        newer = await stranger.board.dial(address_of(node))
        await until(lambda: older.closed.is_set())
        await until(lambda: node.peers and next(iter(node.peers.values())).has_joined)
        assert not newer.closed.is_set()
        assert len(member.transports) == 1
        assert stranger.board.peer_id in node._gossip.router._peers


# Full -------------------------------------------------------------------------------------------


async def test_who_serves_nothing_makes_room_for_a_newcomer_and_is_told_why(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "MIN_STAY_SECONDS", 0.0)
    node = make_node(world, max_peers=1, hard_max_peers=1)
    first, second = Stranger(world), Stranger(world)
    async with running(node), first.meeting(node):
        node.peers[first.board.peer_id].known.serves = False
        async with second.meeting(node):
            await until(lambda: told_goodbye(first, GoodbyeReason.TOO_MANY_PEERS))
            await until(lambda: list(node.peers) == [second.board.peer_id])
            assert node.company.figures.replaced == 1


async def test_a_newcomer_who_is_no_better_is_told_that_there_is_no_place(world: World) -> None:
    node = make_node(world, max_peers=1, hard_max_peers=1)
    first, second = Stranger(world), Stranger(world)
    async with running(node), first.meeting(node), second.running():
        await second.board.dial(address_of(node))
        await until(lambda: told_goodbye(second, GoodbyeReason.TOO_MANY_PEERS))
        assert list(node.peers) == [first.board.peer_id]
        assert node.company.figures.refused == 1


async def test_who_comes_by_itself_cannot_have_the_places_of_those_we_choose(
    world: World,
) -> None:
    """Strangers that fill all that they get leave us free to look elsewhere."""
    node = make_node(world, max_peers=4, hard_max_peers=5)
    strangers = [Stranger(world) for _ in range(4)]
    server = make_node(world)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running(server, node))
        for stranger in strangers[:3]:
            await stack.enter_async_context(stranger.meeting(node))
        async with strangers[3].running():
            await strangers[3].board.dial(address_of(node))
            await until(lambda: told_goodbye(strangers[3], GoodbyeReason.TOO_MANY_PEERS), 60)
        assert len(node.peers) == 3
        assert node.wanted_candidates == 2
        node.book.add_candidate(address_of(server))
        await until(lambda: server.peer_id in node.peers, 60)


async def test_peers_that_serve_are_looked_for_however_many_others_there_are(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "MIN_STAY_SECONDS", 0.0)
    server = make_node(world)
    node = make_node(world, max_peers=1, hard_max_peers=2)
    useless = Stranger(world), Stranger(world)
    async with running(server, node), useless[0].meeting(node), useless[1].meeting(node):
        for stranger in useless:
            node.peers[stranger.board.peer_id].known.serves = False
        assert node.wanted_candidates == 1
        node.book.add_candidate(address_of(server))
        await until(lambda: server.peer_id in node.peers, 60)
        await until(lambda: len(node.peers) == 2)
        assert any(told_goodbye(item, GoodbyeReason.TOO_MANY_PEERS) for item in useless)
        assert node.wanted_candidates == 0


# What is remembered -----------------------------------------------------------------------------


async def test_a_new_connection_does_not_give_a_peer_a_new_quota(world: World) -> None:
    stranger = Stranger(world)
    node = make_node(world)
    async with running(node):
        async with stranger.meeting(node):
            first = node.peers[stranger.board.peer_id]
        await until(lambda: not node.peers)
        async with stranger.meeting(node):
            second = node.peers[stranger.board.peer_id]
    assert first is not second
    assert first.client.limiter is second.client.limiter
    assert first.transport._pace is second.transport._pace


# Metadata ---------------------------------------------------------------------------------------


async def test_metadata_is_asked_once_and_again_when_a_ping_tells_of_newer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightclient.transports.libp2p.conversation.PING_SECONDS", 0.05)
    server = make_node(world)
    async with running(server):
        client = make_node(world, direct=[address_of(server)])
        async with running(client):
            await until(lambda: server.peer_id in client.peers)
            peer = client.peers[server.peer_id]
            await until(lambda: peer.metadata == server.metadata, 60)
            server.metadata = Metadata(seq_number=7)
            await until(lambda: peer.metadata == server.metadata, 60)


async def test_our_metadata_tell_no_fewer_custody_groups_than_peers_insist_on(world: World) -> None:
    # Lighthouse says goodbye (fault) to whoever tells less, on every Fulu network.
    stranger = Stranger(world)
    node = make_node(world)
    async with running(node), stranger.meeting(node):
        (connection,) = stranger.connections
        found = await ask_metadata(connection, world.network)
    assert found.custody_group_count == CUSTODY_REQUIREMENT


async def test_metadata_is_had_from_peers_of_before_fulu(world: World) -> None:
    class Older(Stranger):
        def __init__(self) -> None:
            super().__init__(world)
            metadata = Metadata(seq_number=5, attnets=b"\1" * 8)
            self.handlers[METADATA_2.protocol_id] = self._say(METADATA_2, metadata)
            self.handlers[PING_1.protocol_id] = self._say(PING_1, 5)
            self.board._protocols = tuple(self.handlers)

    node = make_node(world)
    older = Older()
    async with running(node), older.meeting(node):
        peer = node.peers[older.board.peer_id]
        found = await ask_metadata(peer.connection, world.network)
        assert found.seq_number == 5
        assert found.custody_group_count == CUSTODY_REQUIREMENT
        await until(lambda: peer.metadata == found)


# Parting ----------------------------------------------------------------------------------------


async def test_a_node_that_ends_says_goodbye_to_all(world: World) -> None:
    first, second = Stranger(world), Stranger(world)
    node = make_node(world)
    async with first.running(), second.running():
        async with running(node):
            for stranger in (first, second):
                await stranger.board.dial(address_of(node))
            await until(lambda: len(node.peers) == 2)
            await until(lambda: all(peer.has_joined for peer in node.peers.values()))
        for stranger in (first, second):
            assert told_goodbye(stranger, GoodbyeReason.CLIENT_SHUTDOWN)
        await until(lambda: not (first.connections or second.connections))


async def test_who_is_banned_is_told_so_when_it_comes_again(world: World) -> None:
    stranger = Stranger(world)
    node = make_node(world)
    async with running(node), stranger.running():
        node.book.ban(stranger.board.peer_id, 60_000)
        await stranger.board.dial(address_of(node))
        await until(lambda: told_goodbye(stranger, GoodbyeReason.BANNED))
        assert not node.peers


# What the user is told --------------------------------------------------------------------------


def told_of(caplog: pytest.LogCaptureFixture, message: str) -> list[tuple[int, object]]:
    found = [item for item in caplog.records if item.getMessage() == message]
    return [(item.levelno, getattr(item, "lc", {}).get("reason")) for item in found]


async def test_the_user_is_told_why_a_named_peer_is_of_no_use(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "lightclient")
    elsewhere = Stranger(world, status=Status(b"\1\2\3\4", bytes(32), 0, bytes(32), 0))
    useless, full = make_node(world, serves=False), Stranger(world)
    async with elsewhere.running(), full.running(), running(useless):
        named = [elsewhere.address, full.address, address_of(useless)]
        node = make_node(world, direct=named)
        async with running(node):
            await until(lambda: told_of(caplog, "Peer is on another chain"), 60)
            await until(lambda: told_of(caplog, "Named peer serves no light client data"), 60)
            await until(lambda: full.board.peer_id in node.peers, 60)
            node.company.note_goodbye(full.board.peer_id, GoodbyeReason.TOO_MANY_PEERS)
            await until(lambda: told_of(caplog, "Peer says goodbye"), 60)
    ((level, reason),) = told_of(caplog, "Peer is on another chain")
    assert (level, reason) == (logging.WARNING, "its fork digest is 0x01020304")
    ((level, _),) = told_of(caplog, "Named peer serves no light client data")
    assert level == logging.WARNING
    assert (logging.INFO, "too many peers") in told_of(caplog, "Peer says goodbye")


async def test_of_other_peers_nothing_is_told_but_for_debugging(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "lightclient")
    stranger = Stranger(world, status=Status(b"\1\2\3\4", bytes(32), 0, bytes(32), 0))
    node = make_node(world)
    async with running(node), stranger.running():
        await stranger.board.dial(address_of(node))
        await until(lambda: told_of(caplog, "Peer is on another chain"), 60)
    assert {level for level, _ in told_of(caplog, "Peer is on another chain")} == {logging.DEBUG}
