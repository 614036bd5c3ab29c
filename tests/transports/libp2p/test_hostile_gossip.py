"""Hostile peers in gossip: at line rate, in every form. The table is in ``test_hostile_peers``."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import pytest

pytest.importorskip("libp2p", reason="the extra [libp2p] is not installed")

import trio

from lightclient.containers import encode_ssz
from lightclient.transports.libp2p import gossip
from lightclient.transports.libp2p.gossip_rpc import GossipMessage, GossipRPC, encode_rpc
from lightclient.transports.libp2p.node import Node
from lightclient.transports.libp2p.protobuf import encode_fields
from lightclient.transports.libp2p.requests import ask
from lightclient.transports.libp2p.streams import Stream, StreamBroken
from lightclient.wire.gossip import encode_payload
from lightclient.wire.protocols import PING_1
from lightclient.wire.varint import encode_varint
from tests.client.world import World, until
from tests.transports.libp2p.attackers import PATIENCE
from tests.transports.libp2p.memory import resident_memory
from tests.transports.libp2p.strangers import Stranger, optimistic, topic
from tests.transports.libp2p.world import Member, make_node, running

pytestmark = pytest.mark.anyio


def framed(rpc: bytes) -> bytes:
    return encode_varint(len(rpc)) + rpc


def of_ids(world: World, count: int) -> GossipRPC:
    ids = [number.to_bytes(20, "little") for number in range(count)]
    return GossipRPC(have=[(topic(world), ids)], want=ids, do_not_want=ids)


FLOODS: dict[str, Callable[[World], bytes]] = {
    "empty exchanges": lambda _: bytes(60_000),
    "10,000 topics": lambda _: b"".join(
        framed(encode_rpc(GossipRPC(subscriptions=[(f"{page}/{n}", True) for n in range(1000)])))
        for page in range(10)
    ),
    "ids to have and to want": lambda world: framed(encode_rpc(of_ids(world, 1000))) * 10,
    "grafts and prunes": lambda world: (
        framed(
            encode_rpc(GossipRPC(graft=[topic(world)] * 300, prune=[(topic(world), 2**63)] * 300))
        )
        * 20
    ),
    "topics that are not ours": lambda _: (
        framed(encode_rpc(GossipRPC(messages=[GossipMessage("/x", b"data")] * 200))) * 20
    ),
    "unknown fields": lambda _: framed(encode_fields([(9, b"x")] * 4000)) * 5,
}


@pytest.mark.parametrize("name", FLOODS)
async def test_a_flood_of_exchanges_leaves_others_their_turn_and_little_behind(
    world: World, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gossip, "RPC_BURST", 50)
    node = make_node(world)
    flooding, other = Stranger(world), Stranger(world)
    turns = [0.0]

    async def flood(stream: Stream, piece: bytes) -> None:
        with suppress(StreamBroken):
            while True:
                await stream.write(piece)

    async with running(node), flooding.meeting(node) as bad, other.meeting(node) as good:
        stream = await flooding.gossip(bad)
        with resident_memory(40_000_000):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(flood, stream, FLOODS[name](world))
                ends = trio.current_time() + 1.0
                while trio.current_time() < ends:
                    begun = time.thread_time()
                    await trio.sleep(0.01)
                    turns.append(time.thread_time() - begun)
                with trio.fail_after(PATIENCE):
                    assert (await ask(good, PING_1, 1, world.network)).chunks
                nursery.cancel_scope.cancel()
    # Not the longest, in which this machine may have done something else.
    assert sorted(turns)[-2] < 0.5, "everything waited for one peer"


async def told(node: Node, stranger: Stranger, stream: Stream, data: bytes) -> None:
    message = GossipMessage(topic(stranger.world), encode_payload(data))
    await stream.write(framed(encode_rpc(GossipRPC(messages=[message]))))


async def test_updates_at_line_rate_cost_a_bounded_number_of_judgements(world: World) -> None:
    """Each a different one with a wrong signature: one who tells so many is heard no more."""
    member = Member()
    node = make_node(world, member)
    bad, good = Stranger(world), Stranger(world)
    right = optimistic(world)
    async with running(node), bad.meeting(node) as hostile, good.meeting(node) as honest:
        stream = await bad.gossip(hostile)
        for number in range(400):
            wrong = bytearray(right)
            wrong[-9 - number % 90] ^= 1 + number % 255
            with suppress(StreamBroken):
                await told(node, bad, stream, bytes(wrong))
        await until(lambda: member.judged, PATIENCE)
        await trio.sleep(0.3)
        judged = len(member.judged)
        assert 0 < judged <= 20
        # Who is honest is heard meanwhile.
        stream = await good.gossip(honest)
        await told(node, good, stream, right)
        await until(lambda: len(member.judged) > judged, PATIENCE)
        assert encode_ssz(member.judged[-1]) == right
