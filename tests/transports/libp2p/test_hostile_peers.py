"""Hostile peers, in requests and answers; and where each attack is tested, on either side.

The list is that of what is known to be done to hosts: what kills py-libp2p as it comes, and what
its quirks invite. "us asking" is the side that dialled and asks, "us asked" the one that listens.

====================================  ============================================================
attack                               tests
====================================  ============================================================
a line that is not UTF-8             test_connections: a_line_that_is_no_text_...;
                                     test_hostile_handshakes: junk_instead_of_a_negotiation_...,
                                     whoever_answers_a_dial_with_anything_... (us asking)
a malformed gossip exchange          test_gossip: an_exchange_that_is_none_...;
                                     test_gossip_rpc: nothing_but_a_decode_error_...
a stream's name that is not UTF-8    test_connections: no_frame_ends_more_...;
                                     test_hostile_muxers: names_and_ids_of_streams_...
an exception while serving           test_a_fault_of_ours_while_serving_is_an_error_and_no_more
invalid UTF-8 in topics, message ids test_gossip (wire): any_topic_and_any_bytes_have_an_id;
                                     test_gossipsub: topics_that_are_no_text_...
truncated answers                    test_requests: a_hostile_answer_... "an end in the midst";
                                     test_responses (wire): a_truncated_answer_...
endless answers                      test_requests: an_endless_answer_..., more_chunks_than_...;
                                     here: chunks_without_end_...
resets that look like ends           test_connections: a_reset_is_no_end; test_requests: a_reset_*;
                                     here: a_reset_of_a_request_... (us asked)
length lies                          test_requests: a_hostile_answer_...; here: a_request_that_lies_
snappy bombs (4 GiB declared)        test_requests: a_hostile_answer_...; test_snappy (wire);
                                     here: a_request_that_lies_... (us asked);
                                     test_gossip: gossip_that_is_no_object_... "a snappy bomb"
10,000 streams                       test_connections: ten_thousand_streams_... (us asked);
                                     test_hostile_muxers: ten_thousand_streams_... (us asking)
slow drips                           test_requests: neither_a_drip_...; test_serving: a_request_
                                     that_drips_...; test_hostile_handshakes: a_drip_does_not_...;
                                     here: drips_on_every_stream_... (us asked)
wrong fork digests                   test_node: a_peer_of_another_network_...; test_requests:
                                     objects_are_decoded_whatever_their_digest; test_judgement
invalid gossip at line rate          test_hostile_gossip: updates_at_line_rate_..., a_flood_of_...
signed messages (from, seqno, ...)   test_gossip; test_gossip_rpc: a_message_that_is_not_anonymous_
unread windows, memory               test_connections: who_pushes_beyond_the_window_...;
                                     test_hostile_muxers: many_connections_that_fill_...,
                                     frames_that_never_come_whole_...
half-open handshakes, slowloris      test_hostile_handshakes: silent_strangers_..., one_address_...
cost before an identity is proven    test_hostile_handshakes: no_proof_of_identity_...;
                                     test_reception: handshakes_have_a_rate_...
floods of frames, of requests        test_hostile_muxers: frames_at_line_rate_...;
                                     here: who_asks_in_vain_...
who asks and never reads             here: who_never_reads_..., updates_are_made_as_they_are_taken
another peer than dialled            test_connections: another_peer_than_the_one_dialled_...
ENRs by the thousand, bad signatures test_discovery_floods: records_with_bad_signatures_...
WHOAREYOU floods, packet fuzz        test_discovery_floods: a_flood_...; test_discv5_strangers
                                     (wire): packet_fuzz_..., a_flood_of_strange_packets_...
records that point at others         test_discovery: ports_of_other_services_..., an_address_for_
                                     tcp_alone_...
all of it at once, on a live node    tests/fuzz/test_fuzz_p2p, make fuzz-p2p
====================================  ============================================================
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("libp2p", reason="the extra [libp2p] is not installed")

import trio

from lightclient.containers import LightClientUpdate
from lightclient.transports.libp2p import multistream, serving
from lightclient.transports.libp2p.connections import Connection
from lightclient.transports.libp2p.requests import Answer, RequestFailed, ask
from lightclient.transports.libp2p.serving import MAX_AT_ONCE, MAX_IN_VAIN
from lightclient.transports.libp2p.streams import Stream, StreamBroken
from lightclient.wire.messages import UpdatesByRange
from lightclient.wire.protocols import (
    LIGHT_CLIENT_BOOTSTRAP_1,
    LIGHT_CLIENT_FINALITY_UPDATE_1,
    LIGHT_CLIENT_UPDATES_BY_RANGE_1,
    PING_1,
    STATUS_2,
)
from lightclient.wire.requests import encode_request
from lightclient.wire.responses import encode_chunk
from lightclient.wire.snappy_frames import STREAM_IDENTIFIER, frame
from lightclient.wire.varint import encode_varint
from tests.client.world import World, until
from tests.transports.libp2p.attackers import PATIENCE
from tests.transports.libp2p.hosts import Host, read_all, two_hosts
from tests.transports.libp2p.memory import memory, resident_memory
from tests.transports.libp2p.served import DIGEST, NETWORK, UPDATES
from tests.transports.libp2p.strangers import Stranger
from tests.transports.libp2p.world import ServedChain, make_node, running

pytestmark = pytest.mark.anyio


async def is_served(connection: Connection, world: World) -> bool:
    """Whether an honest peer is answered what it may ask at any time."""
    with trio.fail_after(PATIENCE):
        answer = await ask(connection, PING_1, 1, world.network)
    return bool(answer.chunks)


# Us asked ---------------------------------------------------------------------------------------

LYING_REQUESTS = {
    "a length of 4 GiB": encode_varint(2**32) + STREAM_IDENTIFIER,
    "a length of 16 EiB": encode_varint(2**64 - 1),
    "a length without end": b"\xff" * 11,
    "a block that declares 4 GiB": encode_varint(32)
    + STREAM_IDENTIFIER
    + b"\x00\x09\x00\x00"
    + bytes(4)
    + b"\xff\xff\xff\xff\x0f",
    "a bomb": encode_varint(32) + frame(bytes(5_000_000)),
    "a frame of 16 MB": encode_varint(32) + STREAM_IDENTIFIER + b"\x00\xff\xff\xff",
    "padding without end": encode_varint(32)
    + STREAM_IDENTIFIER
    + (b"\xfe\xff\xff\x00" + bytes(65535)) * 20,
}


@pytest.mark.parametrize("name", LYING_REQUESTS)
async def test_a_request_that_lies_about_its_size_costs_nothing(world: World, name: str) -> None:
    node = make_node(world)
    bad, good = Stranger(world), Stranger(world)
    async with running(node), bad.meeting(node) as hostile, good.meeting(node) as honest:
        with memory(10_000_000):
            stream = await hostile.open_stream()
            protocol_id = LIGHT_CLIENT_BOOTSTRAP_1.protocol_id
            with suppress(StreamBroken), trio.fail_after(PATIENCE):
                await multistream.propose_with(stream, protocol_id, LYING_REQUESTS[name])
                await stream.close_write()
                await multistream.confirm(stream, protocol_id)
                assert (await read_all(stream))[:1] == b"\x01"
        assert await is_served(honest, world)


async def test_a_reset_of_a_request_leaves_nothing_running(world: World) -> None:
    node = make_node(world)
    bad, good = Stranger(world), Stranger(world)
    async with running(node), bad.meeting(node) as hostile, good.meeting(node) as honest:
        peer = node.peers[bad.board.peer_id]
        for _ in range(30):
            stream = await hostile.open_stream()
            await multistream.propose_with(stream, STATUS_2.protocol_id, os.urandom(3))
            await stream.reset()
        await until(lambda: peer.client.answering == 0, PATIENCE)
        await until(lambda: len(peer.connection._muxed.streams) <= 3, PATIENCE)
        assert await is_served(honest, world)


async def test_gossip_streams_one_after_the_other_leave_nothing_behind(world: World) -> None:
    node = make_node(world)
    bad = Stranger(world)
    async with running(node), bad.meeting(node) as hostile:
        peer = node.peers[bad.board.peer_id]
        for _ in range(3):
            await (await bad.gossip(hostile)).write(b"\x05")
        await trio.sleep(0.2)
        before = trio.lowlevel.current_statistics().tasks_living
        for number in range(60):
            stream = await bad.gossip(hostile)
            await stream.write(b"\x05")
            if number % 2:
                await stream.close_write()
        tasks = trio.lowlevel.current_statistics
        await until(lambda: tasks().tasks_living <= before + 4, PATIENCE)
        assert len(peer.connection._muxed.streams) <= 8


async def test_drips_on_every_stream_hold_only_the_dripping_peer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "REQUEST_SECONDS", 1.5)
    node = make_node(world)
    bad, good = Stranger(world), Stranger(world)

    async def drip() -> None:
        with suppress(StreamBroken, multistream.NegotiationError):
            stream = await hostile.open_stream()
            await multistream.propose(stream, [LIGHT_CLIENT_BOOTSTRAP_1.protocol_id])
            for _ in range(100):
                await stream.write(b"\x80")
                await trio.sleep(0.3)

    async with running(node), bad.meeting(node) as hostile, good.meeting(node) as honest:
        peer = node.peers[bad.board.peer_id]
        async with trio.open_nursery() as nursery:
            for _ in range(4 * MAX_AT_ONCE):
                nursery.start_soon(drip)
            await until(lambda: peer.client.answering == MAX_AT_ONCE, PATIENCE)
            assert await is_served(honest, world)
            await until(lambda: peer.client.answering == 0, PATIENCE)
            nursery.cancel_scope.cancel()


async def test_who_asks_in_vain_again_and_again_is_left(world: World) -> None:
    node = make_node(world)
    bad, good = Stranger(world), Stranger(world)
    async with running(node), bad.meeting(node) as hostile, good.meeting(node) as honest:
        with suppress(RequestFailed, StreamBroken, multistream.NegotiationError):
            for _ in range(MAX_IN_VAIN + 2):
                stream = await hostile.open_stream()
                await multistream.propose_with(stream, PING_1.protocol_id, b"\xff" * 12)
                await stream.close_write()
                with trio.move_on_after(1):
                    await read_all(stream)
        await until(lambda: bad.board.peer_id not in node.peers, PATIENCE)
        assert await is_served(honest, world)


async def test_who_asks_too_fast_again_and_again_is_left_and_a_pause_makes_it_good(
    world: World,
) -> None:
    node = make_node(world)
    eager, other = Stranger(world), Stranger(world)

    async def again(connection: Connection, times: int) -> None:
        with suppress(RequestFailed, StreamBroken):
            for _ in range(times):
                await ask(connection, LIGHT_CLIENT_FINALITY_UPDATE_1, None, world.network)

    async with running(node), eager.meeting(node) as often, other.meeting(node) as seldom:
        for _ in range(3):
            await again(seldom, MAX_IN_VAIN - 2)
            assert await is_served(seldom, world)  # which is answered, and in time
        assert other.board.peer_id in node.peers
        with trio.fail_after(PATIENCE):
            # On a slow machine the first of them are not too fast.
            while eager.board.peer_id in node.peers:
                await again(often, MAX_IN_VAIN + 4)
                await trio.lowlevel.checkpoint()


class Watched(ServedChain):
    """Has updates of any number of periods, and counts those that it was asked for."""

    made = 0

    async def updates(self, start_period: int, count: int) -> Sequence[LightClientUpdate]:
        self.made += count
        return [(await super().updates(0, 1))[0]] * count


async def test_updates_are_made_as_they_are_taken(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks for all of them and reads nothing has a few of them in our memory."""
    node = make_node(world)
    source = Watched(world)
    monkeypatch.setattr(node, "_responder", replace(node._responder, light_client=source))
    bad, good = Stranger(world), Stranger(world)
    async with running(node), bad.meeting(node) as hostile, good.meeting(node) as honest:
        await _stop_reading(hostile)
        stream = await hostile.open_stream()
        request = encode_request(LIGHT_CLIENT_UPDATES_BY_RANGE_1, UpdatesByRange(0, 128))
        protocol_id = LIGHT_CLIENT_UPDATES_BY_RANGE_1.protocol_id
        await multistream.propose_with(stream, protocol_id, request)
        await until(lambda: source.made, PATIENCE)
        assert await is_served(honest, world)
        taken = source.made
        assert taken < 128
        answer = await _asked(honest, world)
        assert len(answer.chunks) == 128
        assert answer.refusal is None
        assert source.made - taken >= 128


async def _stop_reading(connection: Connection) -> None:
    """From now on nothing of it is read, so that no window is opened again."""
    session: Any = connection._muxed.secured_conn

    async def never(_: int | None = None) -> bytes:
        await trio.sleep_forever()
        return b""

    session.read = never
    # The read that was under way ends with the next frame.
    await trio.sleep(0.1)


async def _asked(connection: Connection, world: World) -> Answer:
    request = UpdatesByRange(0, 128)
    return await ask(connection, LIGHT_CLIENT_UPDATES_BY_RANGE_1, request, world.network)


async def test_a_fault_of_ours_while_serving_is_an_error_and_no_more(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(ServedChain):
        async def bootstrap(self, block_root: bytes) -> None:
            raise RuntimeError("a fault of ours")

    node = make_node(world)
    monkeypatch.setattr(node, "_responder", replace(node._responder, light_client=Broken(world)))
    async with running(node), Stranger(world).meeting(node) as connection:
        answer = await ask(connection, LIGHT_CLIENT_BOOTSTRAP_1, world.root(), world.network)
        assert answer.refusal is not None
        assert answer.refusal.code == 2
        assert "fault" not in answer.refusal.text
        assert await is_served(connection, world)
    assert "this is a fault" in caplog.text
    assert node.restarts == 0


async def test_who_never_reads_waits_for_itself(world: World) -> None:
    node = make_node(world)
    bad, good = Stranger(world), Stranger(world)
    async with running(node), bad.meeting(node) as hostile, good.meeting(node) as honest:
        await _stop_reading(hostile)
        with resident_memory(60_000_000), suppress(StreamBroken):
            for _ in range(60):
                stream = await hostile.open_stream()
                with trio.move_on_after(0.05):
                    await multistream.propose_with(stream, "/ipfs/id/1.0.0", b"")
            assert await is_served(honest, world)


# Us asking --------------------------------------------------------------------------------------


async def test_chunks_without_end_are_cut_and_others_are_asked_meanwhile() -> None:
    chunk = encode_chunk(UPDATES[0], DIGEST)

    async def endless(stream: Stream) -> None:
        await read_all(stream)
        while True:
            await stream.write(chunk)

    protocol = LIGHT_CLIENT_UPDATES_BY_RANGE_1
    hostile = Host({protocol.protocol_id: endless})
    with resident_memory(80_000_000):
        async with two_hosts(Host(), hostile) as connection:
            with trio.fail_after(PATIENCE):
                answer = await ask(connection, protocol, UpdatesByRange(0, 128), NETWORK)
            assert len(answer.chunks) == 128
            # And it is over: what it goes on to send is nobody's.
            await until(lambda: not connection._muxed.streams, PATIENCE)


async def test_many_hostile_servers_at_once_hold_up_no_honest_one() -> None:
    async def never(stream: Stream) -> None:
        await read_all(stream)
        await stream.write(b"\0" + DIGEST + encode_varint(len(UPDATES[0])) + STREAM_IDENTIFIER)
        while True:
            await stream.write(b"\xfe\x01\x00\x00\x00")
            await trio.sleep(0.02)

    async def right(stream: Stream) -> None:
        await read_all(stream)
        await stream.write(encode_chunk(UPDATES[0], DIGEST))
        await stream.close()

    protocol = LIGHT_CLIENT_UPDATES_BY_RANGE_1
    us, good = Host(), Host({protocol.protocol_id: right})
    servers = [Host({protocol.protocol_id: never}) for _ in range(6)]
    async with us.running(), good.running(), trio.open_nursery() as nursery:
        honest = await us.dial(good)

        async def be_asked(server: Host) -> None:
            async with server.running():
                connection = await us.dial(server)
                with suppress(RequestFailed):
                    await ask(connection, protocol, UpdatesByRange(0, 1), NETWORK)

        for server in servers:
            nursery.start_soon(be_asked, server)
        await until(lambda: sum(len(item.connections) for item in servers) == 6, PATIENCE)
        for _ in range(10):
            with trio.fail_after(PATIENCE):
                answer = await ask(honest, protocol, UpdatesByRange(0, 1), NETWORK)
            assert [chunk.payload for chunk in answer.chunks] == UPDATES[:1]
        nursery.cancel_scope.cancel()
