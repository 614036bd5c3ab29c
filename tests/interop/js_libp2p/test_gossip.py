"""Gossip with the router of js-libp2p from npm (@chainsafe/libp2p-gossipsub), anonymous messages.

It stands between two nodes of ours, and a node of ours between two of its peers; in a mesh, and
without one, where everything goes by IHAVE and IWANT.
"""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import pytest

pytest.importorskip("libp2p", reason="the extra [libp2p] is not installed")

import trio

from lightclient.containers import ObjectKind, encode_ssz
from lightclient.protocol import Rule, Verdict, VerdictKind
from lightclient.sync import Outcome
from lightclient.transports.libp2p.gossipsub import HEARTBEAT_SECONDS, MESH_HIGH, MESHSUB
from lightclient.transports.libp2p.node import Node
from lightclient.wire.gossip import Topic, encode_payload, read_message
from lightclient.wire.messages import GoodbyeReason
from lightclient.wire.protocols import GOODBYE_1
from lightclient.wire.requests import encode_request
from tests.client.world import World, until
from tests.interop.js_libp2p.chain import polite
from tests.interop.js_libp2p.peers import BOTH, PATIENCE, JsPeer, JsPeers
from tests.transports.libp2p.world import Member, address_of, make_node, publish_head, running
from tests.transports.objects import make_object

pytestmark = pytest.mark.anyio
NAMES = ("light_client_finality_update", "light_client_optimistic_update")


def digest(world: World) -> bytes:
    return world.network.compute_fork_digest(world.network.compute_epoch_at_slot(world.slot))


def topic(world: World, name: str = NAMES[1]) -> str:
    return str(Topic(digest(world), name))


def update(world: World, number: int) -> bytes:
    """An optimistic update that a member takes for progress, another for each number."""
    kind = ObjectKind.OPTIMISTIC_UPDATE
    return encode_ssz(make_object(kind, world.network, world.slot - number))


async def listener(
    js: JsPeers, world: World, muxer: str = "yamux", *, lazy: bool = False, signed: bool = False
) -> JsPeer:
    """A peer that listens to both topics."""
    peer = await js.start("listener", [muxer], polite(world), lazy=lazy, signed=signed)
    for name in NAMES:
        await peer.order("subscribe", topic=topic(world, name))
    return peer


def told_by(node: Node, state: dict[str, Any], kind: str) -> int:
    """How many control messages of a kind a node told."""
    return int(state["tally"].get(node.peer_id, {}).get(kind, 0))


async def meshed(peer: JsPeer, name: str, *nodes: Node) -> None:
    """Wait until peer and nodes are in each other's mesh."""
    wanted = {node.peer_id for node in nodes}
    await peer.gossip_once(name, lambda state: set(state["mesh"]) >= wanted)
    routers = [node._gossip.router for node in nodes]
    await until(lambda: all(peer.peer_id in router.mesh_of(name) for router in routers), PATIENCE)


def contents(peer: JsPeer) -> list[bytes | None]:
    """What a peer heard by gossip, decompressed."""
    heard = peer.told("message")
    assert {item["type"] for item in heard} <= {"unsigned"}
    return [read_message(item["topic"], b64decode(item["data"])).content for item in heard]


@BOTH
async def test_it_passes_on_between_two_of_ours_what_either_tells(
    js_peers: JsPeers, world: World, muxer: str
) -> None:
    members = Member(), Member()
    first, second = (make_node(world, member) for member in members)
    async with js_peers.attached() as js, running(first, second):
        middle = await listener(js, world, muxer)
        for node in (first, second):
            await middle.dial(address_of(node))
        for name in NAMES:
            await meshed(middle, topic(world, name), first, second)
        assert set((await middle.gossip(topic(world)))["versions"]) == {MESHSUB[0]}

        assert publish_head(world, first) == 2
        await until(lambda: len(members[1].judged) == 2, PATIENCE)
        assert {encode_ssz(item) for item in members[1].judged} == set(contents(middle))
        for number in range(1, 6):
            assert second.publish(NAMES[1], update(world, number), digest(world)) == 1
        await until(lambda: len(members[0].judged) == 5, PATIENCE)
        assert await middle.publish(topic(world), encode_payload(update(world, 6))) == 2
        await until(lambda: len(members[0].judged) == 6 and len(members[1].judged) == 3, PATIENCE)
        await trio.sleep(2 * HEARTBEAT_SECONDS)
        assert len(members[0].judged) == 6, "nothing comes back"
        assert len(contents(middle)) == 7
        assert first.gossip.rejected == second.gossip.rejected == 0
        assert not middle.told("disconnected")


@BOTH
async def test_we_pass_on_between_two_of_its_peers_what_is_valid_and_nothing_else(
    js_peers: JsPeers, world: World, muxer: str
) -> None:
    member = Member()
    node = make_node(world, member)
    async with js_peers.attached() as js, running(node):
        teller, hearer = await listener(js, world, muxer), await listener(js, world, muxer)
        for peer in (teller, hearer):
            await peer.dial(address_of(node))
            await meshed(peer, topic(world), node)
        await until(lambda: all(item.has_joined for item in node.peers.values()), PATIENCE)
        await teller.publish(topic(world), encode_payload(update(world, 1)))
        await hearer.hears_of("message")
        await hearer.publish(topic(world), encode_payload(update(world, 2)))
        await teller.hears_of("message")

        member.outcome = Outcome(Verdict(VerdictKind.UNVIABLE_FORK, Rule.BAD_SIGNATURE))
        await teller.publish(topic(world), encode_payload(update(world, 3)))
        await until(lambda: len(member.judged) == 3, PATIENCE)
        member.outcome = "progress"
        assert teller.peer_id in node.peers, "a refused update costs what its verdict costs"

        for number, junk in enumerate((b"no snappy", encode_payload(b"no update"), None)):
            liar = await listener(js, world, muxer, signed=junk is None)
            await liar.dial(address_of(node))
            await meshed(liar, topic(world), node)
            await liar.publish(topic(world), junk or encode_payload(update(world, 10 + number)))
            await liar.hears_of("disconnected")
            goodbye = encode_request(GOODBYE_1, int(GoodbyeReason.BAD_SCORE))
            assert (GOODBYE_1.protocol_id, goodbye) in liar.requests
        await teller.publish(topic(world), encode_payload(update(world, 4)))
        await hearer.hears_of("message", 2)
        await trio.sleep(2 * HEARTBEAT_SECONDS)
        assert contents(hearer) == [update(world, 1), update(world, 4)]
        assert contents(teller) == [update(world, 2)]
        assert len(member.judged) == 4


async def test_without_a_mesh_all_goes_by_telling_ids_and_asking(
    js_peers: JsPeers, world: World
) -> None:
    members = Member(), Member()
    source = make_node(world, members[0])
    async with js_peers.attached() as js, running(source):
        node = make_node(world, members[1], direct=[address_of(source)])
        lazy, teller = await listener(js, world, lazy=True), await listener(js, world)
        await teller.dial(lazy.address)
        node.book.add_candidate(lazy.address)
        async with running(node):
            router = node._gossip.router
            # We ask it into the mesh of each topic, and it does not want to be there.
            grafts = len(NAMES)
            await lazy.gossip_once(
                topic(world), lambda state: told_by(node, state, "graft") == grafts
            )
            await until(lambda: router.mesh_of(topic(world)) == {source.peer_id}, PATIENCE)
            await until(lambda: node.peers[lazy.peer_id].has_joined, PATIENCE)

            # It tells an id, we ask for the message, and tell it on in our mesh.
            await teller.gossip_once(topic(world), lambda state: bool(state["subscribers"]))
            await teller.publish(topic(world), encode_payload(update(world, 1)))
            await until(lambda: len(members[0].judged) == 1, PATIENCE)
            # The other way round.
            source.publish(NAMES[1], update(world, 2), digest(world))
            await lazy.hears_of("message", 2)
            assert contents(lazy) == [update(world, 1), update(world, 2)]
            state = await lazy.gossip(topic(world))
            assert state["mesh"] == []
            assert told_by(node, state, "iwant") >= 1
            assert told_by(node, state, "ihave") >= 1

            # Nor is it asked again before its time.
            await trio.sleep(3 * HEARTBEAT_SECONDS)
            assert told_by(node, await lazy.gossip(topic(world)), "graft") == grafts
            assert router.mesh_of(topic(world)) == {source.peer_id}
            assert not lazy.told("disconnected")


async def test_a_mesh_is_left_when_its_topic_is(js_peers: JsPeers, world: World) -> None:
    member = Member()
    node = make_node(world, member)
    async with js_peers.attached() as js, running(node):
        peer = await listener(js, world)
        await peer.dial(address_of(node))
        await meshed(peer, topic(world), node)
        assert (await peer.gossip(topic(world)))["subscribers"] == [node.peer_id]
        member.is_near = False
        state = await peer.gossip_once(topic(world), lambda state: not state["subscribers"])
        assert state["mesh"] == []
        assert told_by(node, state, "prune") == len(NAMES)
        await peer.publish(topic(world), encode_payload(update(world, 1)))
        await trio.sleep(2 * HEARTBEAT_SECONDS)
        assert not member.judged
        assert not peer.told("disconnected")


async def test_a_mesh_is_not_grown_beyond_its_size_and_all_hear(
    js_peers: JsPeers, world: World
) -> None:
    count = MESH_HIGH + 2
    member = Member()
    node = make_node(world, member, max_peers=count)
    async with js_peers.attached() as js, running(node):
        router = node._gossip.router
        listening = [await listener(js, world) for _ in range(count)]
        for peer in listening:
            await peer.dial(address_of(node))
        await until(lambda: len(router.peers_of(topic(world))) == count, PATIENCE)
        await until(lambda: all(item.has_joined for item in node.peers.values()), PATIENCE)
        await until(lambda: len(router.mesh_of(topic(world))) == MESH_HIGH, PATIENCE)
        refused = [item for item in listening if item.peer_id not in router.mesh_of(topic(world))]
        for peer in refused:
            await peer.gossip_once(
                topic(world), lambda state: told_by(node, state, "prune") > 0 and not state["mesh"]
            )
        # Of who is in no mesh of ours we hear, and it hears of others.
        await refused[0].publish(topic(world), encode_payload(update(world, 1)))
        for peer in listening:
            if peer is not refused[0]:
                await peer.hears_of("message")
        assert len(member.judged) == 1
