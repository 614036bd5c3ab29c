"""Gossip between nodes: what goes on, what is never judged, who is left for it."""

from __future__ import annotations

import pytest

pytest.importorskip("libp2p", reason="the extra [libp2p] is not installed")

import anyio
import trio

from lightclient.containers import ObjectKind, encode_ssz
from lightclient.protocol import Rule, Verdict, VerdictKind
from lightclient.sync import Outcome
from lightclient.transports.libp2p.gossip_rpc import GossipMessage, GossipRPC, encode_rpc
from lightclient.transports.libp2p.requests import ask
from lightclient.transports.libp2p.streams import StreamBroken
from lightclient.transports.libp2p.validation import MAX_PUSHES_A_SLOT
from lightclient.wire.gossip import encode_payload
from lightclient.wire.protocols import PING_1
from lightclient.wire.varint import encode_varint
from tests.client.world import World, until
from tests.transports.libp2p.strangers import Stranger, drip, optimistic, topic
from tests.transports.libp2p.world import Member, address_of, make_node, publish_head, running
from tests.transports.objects import make_object

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("patience")]


async def test_what_is_accepted_goes_on_and_what_is_not_does_not(world: World) -> None:
    middle_member, last_member = Member(), Member()
    source = make_node(world)
    async with running(source):
        middle = make_node(world, middle_member, direct=[address_of(source)])
        async with running(middle):
            last = make_node(world, last_member, direct=[address_of(middle)])
            async with running(last):
                name = topic(world)
                await until(lambda: middle._gossip.router.mesh_of(name) >= {source.peer_id})
                await until(lambda: middle._gossip.router.mesh_of(name) >= {last.peer_id})
                # Nobody is believed before the statuses are exchanged.
                await until(lambda: middle_member.serving and last_member.serving)
                assert publish_head(world, source) == 2
                await until(lambda: len(last_member.judged) == 2)
                assert len(middle_member.judged) == 2
                assert middle.gossip.forwarded == 2
                middle_member.outcome = Outcome(
                    Verdict(VerdictKind.UNVIABLE_FORK, Rule.BAD_SIGNATURE)
                )
                digest = bytes.fromhex(name.split("/")[2])
                source.publish("light_client_optimistic_update", optimistic(world), digest)
                await until(lambda: len(middle_member.judged) == 3)
                await trio.sleep(0.3)
                assert len(last_member.judged) == 2


async def test_a_publish_that_reaches_nobody_is_counted(world: World) -> None:
    node = make_node(world)
    async with running(node):
        assert publish_head(world, node) == 0
        assert node.gossip.unheard == 2


async def test_nothing_is_listened_to_while_the_head_cannot_be_judged(world: World) -> None:
    member = Member()
    member.is_near = False
    node = make_node(world, member)
    async with running(node):
        await trio.sleep(0.05)
        assert not node._gossip.router.topics
        member.is_near = True
        await until(lambda: node._gossip.router.topics, 60)


@pytest.mark.parametrize(
    "bad", [b"\xff" * 12, encode_varint(2**40), encode_varint(3) + b"\x00\x00\x00"]
)
async def test_an_exchange_that_is_none_costs_its_sender_the_connection(
    world: World, bad: bytes
) -> None:
    stranger = Stranger(world)
    node = make_node(world)
    async with running(node), stranger.meeting(node) as connection:
        stream = await stranger.gossip(connection)
        await stream.write(bad)
        await until(lambda: not node.peers, 60)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff\x0f" + bytes(20),
        encode_payload(b"no update"),
        encode_payload(bytes(5000)),
    ],
    ids=["a snappy bomb", "no object", "zeros"],
)
async def test_gossip_that_is_no_object_is_never_judged_and_costs_the_connection(
    world: World, data: bytes
) -> None:
    member, stranger = Member(), Stranger(world)
    node = make_node(world, member)
    async with running(node), stranger.meeting(node) as connection:
        await stranger.gossip(connection, GossipMessage(topic(world), data))
        await until(lambda: not node.peers, 60)
        assert not member.judged
        assert node.gossip.rejected == 1


async def test_an_update_under_another_forks_digest_is_rejected(world: World) -> None:
    member, stranger = Member(), Stranger(world)
    node = make_node(world, member)
    async with running(node), stranger.meeting(node) as connection:
        old = encode_ssz(make_object(ObjectKind.OPTIMISTIC_UPDATE, world.network, 20))
        await stranger.gossip(connection, GossipMessage(topic(world), encode_payload(old)))
        await until(lambda: not node.peers, 60)
        assert not member.judged


async def test_a_flood_of_invalid_updates_is_judged_a_few_times_and_others_are_served(
    world: World,
) -> None:
    member, stranger, other = Member(), Stranger(world), Stranger(world)
    node = make_node(world, member)
    member.outcome = Outcome(Verdict(VerdictKind.UNVIABLE_FORK, Rule.BAD_SIGNATURE))
    base = bytearray(optimistic(world))
    async with running(node), stranger.meeting(node) as connection, other.meeting(node) as kept:
        with anyio.move_on_after(3):
            stream = await stranger.gossip(connection)
            for number in range(2000):
                # Another proposer each time: another message, as well-formed as the first.
                at = len(base) - 200 if len(base) > 300 else 8
                base[at : at + 4] = number.to_bytes(4, "little")
                message = GossipMessage(topic(world), encode_payload(bytes(base)))
                content = encode_rpc(GossipRPC(messages=[message]))
                try:
                    await stream.write(encode_varint(len(content)) + content)
                except StreamBroken:
                    break
        assert 1 < len(member.judged) <= MAX_PUSHES_A_SLOT
        assert (await ask(kept, PING_1, 1, world.network)).chunks


async def test_signed_messages_are_an_offence(world: World) -> None:
    from lightclient.transports.libp2p.protobuf import encode_fields

    member, stranger = Member(), Stranger(world)
    node = make_node(world, member)
    async with running(node), stranger.meeting(node) as connection:
        stream = await stranger.gossip(connection)
        signed = encode_fields([(1, b"me"), (2, b"x"), (4, topic(world).encode())])
        content = encode_fields([(2, signed)])
        await stream.write(encode_varint(len(content)) + content)
        await until(lambda: not node.peers, 60)
        assert not member.judged


async def test_one_gossip_stream_a_peer_is_read(world: World) -> None:
    member, stranger = Member(), Stranger(world)
    node = make_node(world, member)
    async with running(node), stranger.meeting(node) as connection:
        streams = [await stranger.gossip(connection) for _ in range(5)]
        await until(lambda: len(node._gossip._listening) == 1)
        message = GossipMessage(topic(world), encode_payload(optimistic(world)))
        content = encode_rpc(GossipRPC(messages=[message]))
        await streams[-1].write(encode_varint(len(content)) + content)
        await until(lambda: len(member.judged) == 1)
        with pytest.raises(StreamBroken):
            await drip(streams[0], b"\0")


async def test_gossip_outlasts_the_stream_that_it_went_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections last for months; a stream on them may break any time, at either end."""
    monkeypatch.setattr("lightclient.transports.libp2p.gossip.TALK_AGAIN_SECONDS", 0.05)
    member = Member()
    source = make_node(world)
    name = topic(world)
    digest = bytes.fromhex(name.split("/")[2])
    async with running(source):
        hearer = make_node(world, member, direct=[address_of(source)])
        async with running(hearer):
            router = source._gossip.router
            await until(lambda: hearer.peer_id in router.mesh_of(name))
            for _ in range(3):
                before = hearer._gossip._listening[source.peer_id]
                await before.reset()
                with trio.fail_after(60):
                    # It is only noticed when something is to be said: that is lost.
                    while hearer._gossip._listening.get(source.peer_id, before) is before:
                        router._to(hearer.peer_id).do_not_want.append(b"lost")
                        source._gossip._flush()
                        await trio.sleep(0.1)
                await until(lambda: hearer.peer_id in router.mesh_of(name), 60)
            content = optimistic(world)
            assert source.publish("light_client_optimistic_update", content, digest) == 1
            await until(lambda: member.judged, 60)
            # Both still know what the other listens to, and nobody is taken for an offender.
            assert source.peer_id in hearer._gossip.router.mesh_of(name)
            assert source.company.figures.offences == hearer.company.figures.offences == 0
