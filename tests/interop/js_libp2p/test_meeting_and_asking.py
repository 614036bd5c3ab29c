"""Connections and requests with js-libp2p from npm, which dials, listens, asks and answers.

Both multiplexers, both directions, and what goes wrong on the way as js-libp2p makes it go wrong.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

pytest.importorskip("libp2p", reason="the extra [libp2p] is not installed")

import trio

from lightclient.containers import ObjectKind, encode_ssz
from lightclient.simulator import simulated_network
from lightclient.transports.libp2p import multistream, requests
from lightclient.transports.libp2p.acquaintance import ask_identity
from lightclient.transports.libp2p.connections import Connection
from lightclient.transports.libp2p.identify import PING
from lightclient.transports.libp2p.requests import (
    BadAnswer,
    Deadlines,
    NoAnswer,
    NotSpoken,
    RequestFailed,
    ask,
)
from lightclient.transports.libp2p.serving import RATE_LIMITED
from lightclient.wire.messages import BlocksByRange, GoodbyeReason, UpdatesByRange
from lightclient.wire.protocols import (
    BEACON_BLOCKS_BY_RANGE_2,
    BEACON_BLOCKS_BY_ROOT_2,
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
    object_bounds,
)
from lightclient.wire.requests import encode_request
from lightclient.wire.responses import Chunk, encode_chunk, encode_error
from tests.client.world import World, until
from tests.interop.js_libp2p.chain import (
    METADATA,
    known_to,
    plain_chunk,
    polite,
    serving,
    status_of,
)
from tests.interop.js_libp2p.peers import BOTH, PATIENCE, JsPeer, JsPeers, Script
from tests.transports.libp2p.hosts import Host
from tests.transports.libp2p.world import Member, make_node

pytestmark = pytest.mark.anyio
UPDATES = LIGHT_CLIENT_UPDATES_BY_RANGE_1


@asynccontextmanager
async def connected_to(peer: JsPeer) -> AsyncIterator[Connection]:
    """A connection of a bare host of ours."""
    async with Host().running() as host:
        yield await host.board.dial(peer.address)


# Meeting ----------------------------------------------------------------------------------------


@BOTH
async def test_each_dials_the_other_and_both_learn_whom_they_met(
    js_peers: JsPeers, world: World, muxer: str
) -> None:
    member = Member()
    node = make_node(world, member, agent="ours/1")
    async with (
        js_peers.attached() as js,
        known_to(js, node, muxer, world) as dialler,
    ):
        listener = await js.start("listener", [muxer], serving(world))
        node.book.add_candidate(listener.address)
        await until(lambda: len(member.transports) == 2, PATIENCE)
        assert len(member.serving) == 1, "the one that says it serves light client data"
        for theirs, dialled in ((dialler, False), (listener, True)):
            peer = node.peers[theirs.peer_id]
            assert peer.connection.is_outbound == dialled
            assert peer.connection.muxer.startswith(f"/{muxer}/")
            assert peer.identity.agent == "interop/1"
            assert peer.status == status_of(world)
            (learned,) = await theirs.hears_of("identified")
            assert learned["remote"] == node.peer_id
            assert learned["agent"] == "ours/1"
            assert LIGHT_CLIENT_BOOTSTRAP_1.protocol_id in learned["protocols"]
            for _ in range(6):
                assert await theirs.order("ping", to=node.peer_id) >= 0
            assert await _pings(peer.connection)
            assert not theirs.told("fault")
            assert not theirs.told("disconnected")


async def _pings(connection: Connection) -> bool:
    """Whether the other end echoes what we send for libp2p's own ping."""
    stream = await connection.open_stream()
    await multistream.propose(stream, [PING])
    said = os.urandom(32)
    await stream.write(said)
    heard = await stream.read(32)
    await stream.finish()
    return heard == said


async def test_who_dials_chooses_the_multiplexer(js_peers: JsPeers) -> None:
    async with js_peers.attached() as js, Host().running() as host:
        theirs = await js.start("either", ["mplex", "yamux"])
        assert (await host.board.dial(theirs.address)).muxer.startswith("/yamux/")
        other = await js.start("dialler", ["mplex", "yamux"])
        await other.dial(host.address)
        await until(lambda: len(host.connections) == 2, PATIENCE)
        assert host.connections[-1].muxer.startswith("/mplex/")


async def test_a_peer_under_another_identity_is_not_taken(js_peers: JsPeers) -> None:
    async with js_peers.attached() as js, Host().running() as host:
        first, second = await js.start("first"), await js.start("second")
        wrong = type(first.address)("ip4", "127.0.0.1", first.address.port, second.peer_id)
        with pytest.raises(Exception, match="127"):
            await host.board.dial(wrong)
        identity = await ask_identity(await host.board.dial(first.address))
        assert identity.agent == "interop/1"


# We ask -----------------------------------------------------------------------------------------


@BOTH
async def test_it_answers_every_protocol_that_we_ask(
    js_peers: JsPeers, world: World, muxer: str
) -> None:
    network, chain = world.network, world.chain
    root = world.root()
    digest = network.compute_fork_digest(network.compute_epoch_at_slot(world.slot))
    blocks = [os.urandom(2**20), os.urandom(150), os.urandom(2**21)]
    block_chunks = b"".join(encode_chunk(block, digest) for block in blocks)
    answers = {
        **serving(world),
        BEACON_BLOCKS_BY_ROOT_2.protocol_id: lambda _: block_chunks,
        BEACON_BLOCKS_BY_RANGE_2.protocol_id: lambda _: block_chunks,
    }
    objects: list[tuple[Protocol, object, list[object]]] = [
        (LIGHT_CLIENT_BOOTSTRAP_1, root, [chain.bootstrap(root)]),
        (UPDATES, UpdatesByRange(0, 4), list(chain.updates(0, 4))),
        (LIGHT_CLIENT_FINALITY_UPDATE_1, None, [chain.finality_update()]),
        (LIGHT_CLIENT_OPTIMISTIC_UPDATE_1, None, [chain.optimistic_update()]),
    ]
    plain: list[tuple[Protocol, object, object]] = [
        (STATUS_1, status_of(world), status_of(world)),
        (STATUS_2, status_of(world), status_of(world)),
        (PING_1, 7, METADATA.seq_number),
        (METADATA_2, None, METADATA),
        (METADATA_3, None, METADATA),
        (GOODBYE_1, int(GoodbyeReason.FAULT), int(GoodbyeReason.FAULT)),
    ]
    async with (
        js_peers.attached() as js,
        connected_to(theirs := await js.start("theirs", [muxer], answers)) as connection,
    ):
        for protocol, request, wanted in objects:
            answer = await ask(connection, protocol, request, network)
            assert (answer.refusal, answer.failure) == (None, None)
            assert [chunk.payload for chunk in answer.chunks] == [
                encode_ssz(value)  # type: ignore[arg-type] # no None among them
                for value in wanted
            ]
            assert theirs.requests[-1] == (protocol.protocol_id, encode_request(protocol, request))
        for protocol, request, said in plain:
            answer = await ask(connection, protocol, request, network)
            assert protocol.response is not None
            assert protocol.response.decode(answer.chunks[0].payload) == said, protocol
        for protocol, request in (
            (BEACON_BLOCKS_BY_ROOT_2, tuple(os.urandom(32) for _ in blocks)),
            (BEACON_BLOCKS_BY_RANGE_2, BlocksByRange(world.slot, len(blocks))),
        ):
            answer = await ask(connection, protocol, request, network)
            assert answer.chunks == tuple(Chunk(digest, block) for block in blocks)
        assert connection.takes_early_requests
        assert not theirs.told("fault")
        assert not theirs.told("disconnected")


@BOTH
async def test_the_longest_range_comes_whole(js_peers: JsPeers, muxer: str) -> None:
    network = simulated_network("mainnet", {"altair": 0}, genesis_time=0)
    size = object_bounds(ObjectKind.UPDATE, network.preset.sync_committee_size)[1]
    # Of bytes that do not compress: 3.5 MB over the wire.
    wanted = tuple(Chunk(bytes(4), os.urandom(size)) for _ in range(UPDATES.max_chunks))
    said = b"".join(encode_chunk(chunk.payload, chunk.context) for chunk in wanted)
    async with (
        js_peers.attached() as js,
        connected_to(await js.start("theirs", [muxer], {UPDATES.protocol_id: lambda _: said})) as c,
    ):
        answer = await ask(c, UPDATES, UpdatesByRange(0, 128), network)
    assert answer.chunks == wanted


@BOTH
async def test_chunks_that_came_whole_are_kept_whatever_ends_an_answer(
    js_peers: JsPeers, world: World, muxer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Long enough for two chunks on a busy machine.
    monkeypatch.setattr(requests, "deadlines_of", lambda _: Deadlines(8.0, 2.0))
    whole = [encode_ssz(update) for update in world.chain.updates(0, 3)]
    chunks = [encode_chunk(update, bytes(4)) for update in whole]
    start, broken = b"".join(chunks[:2]), chunks[2][:-9]
    script = Script()
    answers = {UPDATES.protocol_id: lambda _: script}
    cases: dict[str, tuple[Script, type[RequestFailed]]] = {
        "reset in the midst": (Script((start, broken), "reset"), NoAnswer),
        "reset between chunks": (Script((start,), "reset"), NoAnswer),
        "closed in the midst": (Script((start, broken)), BadAnswer),
        "silence in the midst": (Script((start, broken), "hang"), NoAnswer),
        "a length of 4 GiB": (
            Script((start, b"\0" + bytes(4) + b"\xff\xff\xff\xff\x0f")),
            BadAnswer,
        ),
        "connection lost": (Script((start, broken), "disconnect"), NoAnswer),
    }
    async with js_peers.attached() as js:
        theirs = await js.start("theirs", [muxer], answers)
        async with connected_to(theirs) as connection:
            for name, (case, failure) in cases.items():
                script = case
                answer = await ask(connection, UPDATES, UpdatesByRange(0, 3), world.network)
                assert [chunk.payload for chunk in answer.chunks] == whole[:2], name
                assert type(answer.failure) is failure, name
            await connection.closed.wait()
        assert len(theirs.told("disconnected")) == 1, "by its own doing, at last"


@BOTH
async def test_an_answer_that_never_began_is_told_from_an_empty_one(
    js_peers: JsPeers, world: World, muxer: str
) -> None:
    script = Script()
    answers = {item.protocol_id: lambda _: script for item in (UPDATES, PING_1)}
    async with (
        js_peers.attached() as js,
        connected_to(await js.start("theirs", [muxer], answers)) as connection,
    ):
        answer = await ask(connection, UPDATES, UpdatesByRange(0, 3), world.network)
        assert answer.chunks == ()
        assert (answer.refusal, answer.failure) == (None, None)
        with pytest.raises(BadAnswer):
            await ask(connection, PING_1, 1, world.network)
        script = Script((), "reset")
        for protocol, request in ((UPDATES, UpdatesByRange(0, 3)), (PING_1, 1)):
            with pytest.raises(NoAnswer):
                await ask(connection, protocol, request, world.network)
        with pytest.raises(NotSpoken):
            await ask(connection, STATUS_2, status_of(world), world.network)
        assert connection.takes_early_requests


@BOTH
async def test_an_error_is_told_with_its_message_and_after_what_came(
    js_peers: JsPeers, world: World, muxer: str
) -> None:
    updates = list(world.chain.updates(0, 2))
    start = b"".join(encode_chunk(encode_ssz(update), bytes(4)) for update in updates)
    said = b""
    async with (
        js_peers.attached() as js,
        connected_to(
            await js.start("theirs", [muxer], {UPDATES.protocol_id: lambda _: start + said})
        ) as connection,
    ):
        for code in (1, 2, 3, RATE_LIMITED, 255):
            said = encode_error(code, "не сегодня " + "x" * 300)
            answer = await ask(connection, UPDATES, UpdatesByRange(0, 4), world.network)
            assert len(answer.chunks) == len(updates)
            assert answer.refusal is not None
            assert answer.refusal.code == code
            assert answer.refusal.text.startswith("не сегодня xxx")


@BOTH
async def test_it_answers_drop_by_drop(js_peers: JsPeers, world: World, muxer: str) -> None:
    root = world.root()
    said = serving(world)[LIGHT_CLIENT_BOOTSTRAP_1.protocol_id](root)
    assert isinstance(said, bytes)
    drops = Script(tuple(said[at : at + 100] for at in range(0, len(said), 100)), pause_ms=2)
    answers = {LIGHT_CLIENT_BOOTSTRAP_1.protocol_id: lambda _: drops}
    async with (
        js_peers.attached() as js,
        connected_to(await js.start("theirs", [muxer], answers)) as connection,
    ):
        answer = await ask(connection, LIGHT_CLIENT_BOOTSTRAP_1, root, world.network)
        assert len(answer.chunks) == 1


@BOTH
async def test_many_streams_at_once_and_one_after_the_other(
    js_peers: JsPeers, world: World, muxer: str
) -> None:
    answers = {PING_1.protocol_id: lambda number: plain_chunk(PING_1, number)}
    async with js_peers.attached() as js:
        theirs = await js.start("theirs", [muxer], answers)
        async with connected_to(theirs) as connection:
            heard: list[int] = []

            async def exchange(number: int) -> None:
                answer = await ask(connection, PING_1, number, world.network)
                assert answer.chunks[0].payload == number.to_bytes(8, "little")
                heard.append(number)

            for first in range(0, 160, 40):
                async with trio.open_nursery() as nursery:
                    for number in range(first, first + 40):
                        nursery.start_soon(exchange, number)
            for number in range(160, 200):
                await exchange(number)
            assert sorted(heard) == list(range(200))
            # It disconnects from who names streams that are no more a few times in a second.
            assert await _lasts(connection, 1.2)
        assert len(theirs.told("connected")) == 1


async def _lasts(connection: Connection, seconds: float) -> bool:
    with trio.move_on_after(seconds):
        await connection.closed.wait()
    return not connection.closed.is_set()


@BOTH
async def test_who_refuses_requests_that_come_early_is_asked_the_classic_way(
    js_peers: JsPeers, world: World, muxer: str
) -> None:
    async with js_peers.attached() as js:
        theirs = await js.start("strict", [muxer], polite(world), refuses_early=True)
        async with connected_to(theirs) as connection:
            assert connection.takes_early_requests
            for _ in range(3):
                answer = await ask(connection, STATUS_2, status_of(world), world.network)
                assert answer.chunks
            assert not connection.takes_early_requests
        assert len(theirs.told("early")) == 1
