"""Nodes that meet, judge, gossip, serve and part; and peers that misbehave."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

pytest.importorskip("libp2p", reason="the extra [libp2p] is not installed")

import anyio
import trio

from lightclient.containers import ObjectKind, encode_ssz
from lightclient.protocol import Rule, Verdict, VerdictKind
from lightclient.sync import Outcome
from lightclient.transports.libp2p import multistream, serving
from lightclient.transports.libp2p import node as node_module
from lightclient.transports.libp2p.connections import Connection, DialError
from lightclient.transports.libp2p.gossip_rpc import GossipMessage, GossipRPC, encode_rpc
from lightclient.transports.libp2p.gossipsub import MESHSUB
from lightclient.transports.libp2p.identify import IDENTIFY, PING, read_identify
from lightclient.transports.libp2p.limits import QUOTAS
from lightclient.transports.libp2p.node import Node
from lightclient.transports.libp2p.requests import RequestFailed, ask
from lightclient.transports.libp2p.serving import RATE_LIMITED
from lightclient.transports.libp2p.streams import Stream, StreamBroken
from lightclient.transports.libp2p.validation import MAX_PUSHES_A_SLOT
from lightclient.wire.gossip import encode_payload
from lightclient.wire.messages import GoodbyeReason, Status, UpdatesByRange
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
from lightclient.wire.responses import decode_object, decode_payload, encode_chunk
from lightclient.wire.varint import encode_varint
from tests.client.world import World, until
from tests.transports.libp2p.hosts import Host, Serve, read_all
from tests.transports.libp2p.world import (
    Member,
    address_of,
    make_node,
    publish_head,
    running,
)
from tests.transports.objects import make_object

pytestmark = pytest.mark.anyio
SLOT = 300


@pytest.fixture(scope="module")
def world() -> World:
    return World(SLOT)


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take longer to say goodbye than a node would wait for it."""
    monkeypatch.setattr("lightclient.transports.libp2p.acquaintance.GOODBYE_SECONDS", 4.0)


class Stranger(Host):
    """A peer of the network that answers status and otherwise does what a test makes it do."""

    def __init__(self, world: World, *, status: Status | None = None) -> None:
        self.heard: list[tuple[str, object]] = []
        self.world = world
        self.own = status or Status(
            world.network.compute_fork_digest(world.network.compute_epoch_at_slot(SLOT)),
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


def topic(world: World, slot: int = SLOT, name: str = "light_client_optimistic_update") -> str:
    digest = world.network.compute_fork_digest(world.network.compute_epoch_at_slot(slot))
    return f"/eth2/{digest.hex()}/{name}/ssz_snappy"


def optimistic(world: World, slot: int = SLOT) -> bytes:
    return encode_ssz(make_object(ObjectKind.OPTIMISTIC_UPDATE, world.network, slot))


async def drip(stream: Stream, byte: bytes) -> None:
    """Send a byte now and then for as long as the stream takes it, a few seconds at most."""
    for _ in range(50):
        await stream.write(byte)
        await trio.sleep(0.05)


# Serving ----------------------------------------------------------------------------------------


async def test_status_ping_and_metadata_are_always_answered(world: World) -> None:
    node = make_node(world, serves=False)
    async with running(node), Stranger(world).meeting(node) as connection:
        for protocol, request in (
            (STATUS_2, node.status()),
            (STATUS_1, node.status()),
            (PING_1, 7),
            (METADATA_2, None),
            (METADATA_3, None),
        ):
            answer = await ask(connection, protocol, request, world.network)
            assert decode_payload(protocol, answer.chunks[0]) is not None, protocol


async def test_light_client_data_is_refused_without_a_source_and_served_with_one(
    world: World,
) -> None:
    asked = (
        (LIGHT_CLIENT_BOOTSTRAP_1, world.root()),
        (LIGHT_CLIENT_UPDATES_BY_RANGE_1, UpdatesByRange(0, 4)),
        (LIGHT_CLIENT_FINALITY_UPDATE_1, None),
        (LIGHT_CLIENT_OPTIMISTIC_UPDATE_1, None),
    )
    for serves in (False, True):
        node = make_node(world, serves=serves)
        async with running(node), Stranger(world).meeting(node) as connection:
            for protocol, request in asked:
                answer = await ask(connection, protocol, request, world.network)
                if not serves:
                    assert answer.refusal is not None
                    assert answer.refusal.code == 3
                    continue
                for chunk in answer.chunks:
                    value = decode_object(protocol, chunk, world.network)
                    epoch = world.network.compute_epoch_at_slot(value.main_header.beacon.slot)
                    assert chunk.context == world.network.compute_fork_digest(epoch)
                assert answer.chunks


async def test_a_range_of_any_numbers_is_answered_within_bounds(world: World) -> None:
    node = make_node(world)
    async with running(node):
        for start, count in ((0, 0), (2**64 - 1, 2**64 - 1), (1, 2**64 - 1)):
            async with Stranger(world).meeting(node) as connection:
                request = UpdatesByRange(start, count)
                answer = await ask(
                    connection, LIGHT_CLIENT_UPDATES_BY_RANGE_1, request, world.network
                )
                assert len(answer.chunks) <= 128
                assert answer.refusal is None


async def test_who_asks_too_often_is_told_and_others_are_served(world: World) -> None:
    node = make_node(world)
    eager, other = Stranger(world), Stranger(world)
    async with running(node), eager.meeting(node) as often, other.meeting(node) as once:
        codes = []
        for _ in range(QUOTAS["light_client_bootstrap"].tokens + 2):
            answer = await ask(often, LIGHT_CLIENT_BOOTSTRAP_1, world.root(), world.network)
            codes.append(answer.refusal.code if answer.refusal else 0)
        assert codes[-1] == RATE_LIMITED
        assert codes[0] == 0
        answer = await ask(once, LIGHT_CLIENT_BOOTSTRAP_1, world.root(), world.network)
        assert answer.chunks


@pytest.mark.parametrize(
    "request_bytes",
    [b"\xff" * 12, encode_varint(2**32) + b"x", b"", b"\x08\xff\xff\xff\xff", os.urandom(200)],
)
async def test_a_request_that_is_none_is_refused_and_costs_nothing(
    world: World, request_bytes: bytes
) -> None:
    node = make_node(world)
    async with running(node), Stranger(world).meeting(node) as connection:
        stream = await connection.open_stream()
        await multistream.propose(stream, [PING_1.protocol_id])
        await stream.write(request_bytes)
        await stream.close_write()
        assert (await read_all(stream))[:1] == b"\x01"
        assert (await ask(connection, PING_1, 1, world.network)).chunks


async def test_a_request_that_drips_is_given_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "REQUEST_SECONDS", 0.3)
    node = make_node(world)
    async with running(node), Stranger(world).meeting(node) as connection:
        stream = await connection.open_stream()
        await multistream.propose(stream, [PING_1.protocol_id])
        with trio.fail_after(3), pytest.raises(StreamBroken):
            await drip(stream, b"\x88")


async def test_it_says_who_it_is_and_answers_pings_of_libp2p(world: World) -> None:
    node = make_node(world, agent="tester/1")
    async with running(node), Stranger(world).meeting(node) as connection:
        stream = await connection.open_stream()
        await multistream.propose(stream, [IDENTIFY])
        identity = await read_identify(stream)
        assert identity.agent == "tester/1"
        assert LIGHT_CLIENT_BOOTSTRAP_1.protocol_id in identity.protocols
        stream = await connection.open_stream()
        await multistream.propose(stream, [PING])
        data = os.urandom(32)
        await stream.write(data)
        assert await stream.read(32) == data


# Standing ---------------------------------------------------------------------------------------


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
            await until(lambda: member.serving, 5)
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
        assert ("goodbye", _said(GoodbyeReason.BAD_SCORE)) in stranger.heard
        assert not member.transports
        await stranger.board.dial(address_of(node))
        await trio.sleep(0.2)
        assert not node.peers


def _said(reason: GoodbyeReason) -> bytes:
    from lightclient.wire.requests import encode_request

    return encode_request(GOODBYE_1, int(reason))


async def test_a_host_that_ends_is_started_again_at_the_same_port(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightclient.transports.libp2p.supervision.FIRST_RESTART_SECONDS", 0.05)
    node = make_node(world)
    async with running(node):
        port = node.port
        fail = True

        def choose_topics() -> None:
            nonlocal fail
            if fail:
                fail = False
                raise RuntimeError("a fault in the host")

        monkeypatch.setattr(node, "_choose_topics", choose_topics)
        await until(lambda: node.restarts == 1, 5)
        await trio.sleep(0.3)
        assert node.port == port
        async with Stranger(world).meeting(node) as connection:
            assert (await ask(connection, PING_1, 1, world.network)).chunks


# Gossip -----------------------------------------------------------------------------------------


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
        await until(lambda: node._gossip.router.topics, 3)


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
        await until(lambda: not node.peers, 3)


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
        await until(lambda: not node.peers, 3)
        assert not member.judged
        assert node.gossip.rejected == 1


async def test_an_update_under_another_forks_digest_is_rejected(world: World) -> None:
    member, stranger = Member(), Stranger(world)
    node = make_node(world, member)
    async with running(node), stranger.meeting(node) as connection:
        old = encode_ssz(make_object(ObjectKind.OPTIMISTIC_UPDATE, world.network, 20))
        await stranger.gossip(connection, GossipMessage(topic(world), encode_payload(old)))
        await until(lambda: not node.peers, 3)
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
        await until(lambda: not node.peers, 3)
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
                with trio.fail_after(20):
                    # It is only noticed when something is to be said: that is lost.
                    while hearer._gossip._listening.get(source.peer_id, before) is before:
                        router._to(hearer.peer_id).do_not_want.append(b"lost")
                        source._gossip._flush()
                        await trio.sleep(0.1)
                await until(lambda: hearer.peer_id in router.mesh_of(name), 10)
            content = optimistic(world)
            assert source.publish("light_client_optimistic_update", content, digest) == 1
            await until(lambda: member.judged, 10)
            # Both still know what the other listens to, and nobody is taken for an offender.
            assert source.peer_id in hearer._gossip.router.mesh_of(name)
            assert source.company.figures.offences == hearer.company.figures.offences == 0


async def test_a_peer_that_answers_no_status_is_left(world: World) -> None:
    member = Member()
    mute = Host()
    node = make_node(world, member)
    async with running(node), mute.running():
        connection = await mute.board.dial(address_of(node))
        await until(lambda: not node.peers and connection.closed.is_set(), 8)
        assert not member.transports
