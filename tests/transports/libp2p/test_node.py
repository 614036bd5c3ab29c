"""Nodes that meet, judge each other, part and start again."""

from __future__ import annotations

from contextlib import suppress

import pytest

pytest.importorskip("libp2p", reason="the extra [libp2p] is not installed")

import anyio
import trio

from lightclient.transports.libp2p import node as node_module
from lightclient.transports.libp2p.connections import Connection, DialError
from lightclient.transports.libp2p.requests import RequestFailed, ask
from lightclient.wire.messages import GoodbyeReason, Status
from lightclient.wire.protocols import PING_1
from tests.client.world import World, until
from tests.ports import free_port
from tests.transports.libp2p.hosts import Host
from tests.transports.libp2p.strangers import Stranger, said
from tests.transports.libp2p.world import Member, address_of, make_node, running

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("patience")]


async def test_a_peer_of_another_network_is_told_and_left(world: World) -> None:
    member = Member()
    stranger = Stranger(world, status=Status(b"\1\2\3\4", bytes(32), 0, bytes(32), 0))
    node = make_node(world, member)
    async with running(node), stranger.running():
        await stranger.board.dial(address_of(node))
        await until(lambda: any(name == "goodbye" for name, _ in stranger.heard))
        await until(lambda: not node.peers)
        assert not member.transports
        # And not let in again.
        await stranger.board.dial(address_of(node))
        await until(lambda: not stranger.connections)
        assert not node.peers


async def test_who_asks_while_it_is_let_in_is_answered_then(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = make_node(world)
    admit = node.company.admit

    async def slowly(own_id: str, connection: Connection) -> object:
        await trio.sleep(0.3)
        return await admit(own_id, connection)

    monkeypatch.setattr(node.company, "admit", slowly)
    stranger = Stranger(world)
    async with running(node), stranger.running():
        connection = await stranger.board.dial(address_of(node))
        connection.takes_early_requests = False  # nor is it asked a second time
        assert (await ask(connection, PING_1, 1, world.network)).chunks


async def test_no_more_peers_than_the_limit(world: World) -> None:
    node = make_node(world, max_peers=1, hard_max_peers=2)
    async with running(node), Stranger(world).meeting(node), Stranger(world).meeting(node):
        late = Stranger(world)
        async with late.running():
            with suppress(DialError):
                connection = await late.board.dial(address_of(node))
                with pytest.raises(RequestFailed):
                    await ask(connection, PING_1, 1, world.network)
        assert late.board.peer_id not in node.peers
        assert len(node.peers) == 2


async def test_who_says_goodbye_is_gone_and_who_is_down_is_dialled_again(world: World) -> None:
    member = Member()
    server = make_node(world)
    async with running(server):
        client = make_node(world, member, direct=[address_of(server)])
        async with running(client):
            await until(lambda: member.serving)
            connection = next(iter(client.peers.values())).connection
            connection.close()
            await until(lambda: not member.transports)
            # The dial back-off runs by the clock, which stands still in this world.
            client.book.known(server.peer_id).retry_at_ms = 0
            await until(lambda: member.serving, 60)
        await until(lambda: not server.peers)


async def test_a_peer_that_was_found_is_dialled_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_module, "UPKEEP_SECONDS", 3600.0)
    member = Member()
    server, client = make_node(world), make_node(world, member)
    async with running(server, client):
        await anyio.wait_all_tasks_blocked()
        client.add_candidate(address_of(server))
        await until(lambda: member.serving)


async def test_a_peer_whose_score_falls_is_left_and_not_let_in_while_it_is_low(
    world: World,
) -> None:
    member, stranger = Member(), Stranger(world)
    node = make_node(world, member)
    async with running(node), stranger.meeting(node):
        known = node.peers[stranger.board.peer_id].known
        known.score.note_malformed(world.clock(), 6000, lambda low, high: low)
        await until(lambda: not node.peers)
        assert ("goodbye", said(GoodbyeReason.BAD_SCORE)) in stranger.heard
        assert not member.transports
        await stranger.board.dial(address_of(node))
        await trio.sleep(0.2)
        assert not node.peers


async def test_a_host_that_ends_is_started_again_at_the_same_port(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightclient.transports.libp2p.supervision.FIRST_RESTART_SECONDS", 0.05)
    node = make_node(world, tcp_port=free_port())
    async with running(node):
        port = node.port
        fail = True

        def choose_topics() -> None:
            nonlocal fail
            if fail:
                fail = False
                raise RuntimeError("a fault in the host")

        monkeypatch.setattr(node, "_choose_topics", choose_topics)
        await until(lambda: node.restarts == 1, 60)
        await trio.sleep(0.3)
        assert node.port == port
        async with Stranger(world).meeting(node) as connection:
            assert (await ask(connection, PING_1, 1, world.network)).chunks


async def test_a_peer_that_answers_no_status_is_left(world: World) -> None:
    member = Member()
    mute = Host()
    node = make_node(world, member)
    async with running(node), mute.running():
        connection = await mute.board.dial(address_of(node))
        await until(lambda: not node.peers and connection.closed.is_set(), 60)
        assert not member.transports
