"""What js-libp2p from npm is answered when it asks a node of ours, on both multiplexers."""

from __future__ import annotations

import os

import pytest

pytest.importorskip("libp2p", reason="the extra [libp2p] is not installed")

import trio

from lightclient.transports.libp2p.limits import QUOTAS
from lightclient.transports.libp2p.serving import RATE_LIMITED
from lightclient.wire.messages import GoodbyeReason, UpdatesByRange
from lightclient.wire.protocols import (
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
)
from lightclient.wire.requests import encode_request
from lightclient.wire.responses import Chunk, ErrorChunk, ResponseReader
from tests.client.world import World, until
from tests.interop.js_libp2p.chain import known_to, plain_chunk, serving, status_of
from tests.interop.js_libp2p.peers import BOTH, OPTIMISTIC, PATIENCE, Heard, JsPeers
from tests.transports.libp2p.world import make_node

pytestmark = pytest.mark.anyio
UPDATES = LIGHT_CLIENT_UPDATES_BY_RANGE_1


def read_answer(protocol: Protocol, heard: Heard, world: World) -> list[Chunk | ErrorChunk]:
    """The chunks of an answer of ours, which must be whole."""
    assert heard.end == "closed"
    reader = ResponseReader(protocol, world.network)
    reader.receive(heard.body)
    reader.receive_end()
    chunks = []
    while (event := reader.next_event()) is not None:
        chunks.append(event)
    return chunks


@BOTH
@OPTIMISTIC
async def test_it_is_answered_on_every_protocol_that_we_serve(
    js_peers: JsPeers, world: World, muxer: str, *, optimistic: bool
) -> None:
    node = make_node(world)
    root = world.root()
    own = serving(world)
    asked: list[tuple[Protocol, object, bytes]] = [
        (PING_1, 7, plain_chunk(PING_1, 1)),
        (METADATA_2, None, plain_chunk(METADATA_2, node.metadata)),
        (METADATA_3, None, plain_chunk(METADATA_3, node.metadata)),
        (STATUS_1, status_of(world), plain_chunk(STATUS_1, node.status())),
        (STATUS_2, status_of(world), plain_chunk(STATUS_2, node.status())),
    ]
    for protocol, about in (
        (LIGHT_CLIENT_BOOTSTRAP_1, root),
        (UPDATES, UpdatesByRange(0, 5)),
        (LIGHT_CLIENT_FINALITY_UPDATE_1, None),
        (LIGHT_CLIENT_OPTIMISTIC_UPDATE_1, None),
    ):
        objects = own[protocol.protocol_id](about)
        assert isinstance(objects, bytes)
        asked.append((protocol, about, objects))
    async with js_peers.attached() as js, known_to(js, node, muxer, world) as theirs:
        for protocol, request, wanted in asked:
            body = encode_request(protocol, request)
            heard = await theirs.ask(
                node.peer_id, protocol.protocol_id, body, optimistic=optimistic
            )
            assert heard == Heard(wanted, "closed"), protocol
        # All at once.
        answers: list[Heard] = []

        async def exchange(protocol: Protocol, request: object) -> None:
            body = encode_request(protocol, request)
            answers.append(
                await theirs.ask(node.peer_id, protocol.protocol_id, body, optimistic=optimistic)
            )

        async with trio.open_nursery() as nursery:
            for protocol, request, _ in asked[1:]:
                nursery.start_soon(exchange, protocol, request)
        assert sorted(heard.body for heard in answers) == sorted(item[2] for item in asked[1:])
        assert not theirs.told("fault")
        assert not theirs.told("disconnected")
        goodbye = encode_request(GOODBYE_1, int(GoodbyeReason.CLIENT_SHUTDOWN))
        await theirs.ask(node.peer_id, GOODBYE_1.protocol_id, goodbye, optimistic=optimistic)
        await theirs.hears_of("disconnected")
        await until(lambda: not node.peers, PATIENCE)


@BOTH
async def test_what_it_should_not_ask_is_refused_with_a_reason(
    js_peers: JsPeers, world: World, muxer: str
) -> None:
    node = make_node(world)
    async with js_peers.attached() as js, known_to(js, node, muxer, world) as theirs:

        async def refusal(protocol: Protocol, body: bytes) -> ErrorChunk | None:
            heard = await theirs.ask(node.peer_id, protocol.protocol_id, body)
            chunk = read_answer(protocol, heard, world)[-1]
            return chunk if isinstance(chunk, ErrorChunk) else None

        unknown = await refusal(
            LIGHT_CLIENT_BOOTSTRAP_1, encode_request(LIGHT_CLIENT_BOOTSTRAP_1, b"\1" * 32)
        )
        assert unknown is not None
        assert unknown.code == 3
        assert unknown.text
        for bad in (b"\xff" * 12, b"", b"\x10" + b"x" * 60, os.urandom(5)):
            malformed = await refusal(UPDATES, bad)
            assert malformed is not None
            assert malformed.code == 1, bad
        whole = encode_request(PING_1, 7)
        await theirs.ask(node.peer_id, PING_1.protocol_id, whole, cut=3)
        codes = []
        for _ in range(QUOTAS[PING_1.name].tokens + 2):
            answer = await refusal(PING_1, whole)
            codes.append(answer.code if answer else 0)
        assert codes[0] == 0
        assert codes[-1] == RATE_LIMITED
        with pytest.raises(AssertionError, match="protocol selection failed"):
            await theirs.ask(node.peer_id, BEACON_BLOCKS_BY_ROOT_2.protocol_id, whole)
        assert not theirs.told("disconnected")


async def test_it_is_refused_light_client_data_while_we_serve_none(
    js_peers: JsPeers, world: World
) -> None:
    node = make_node(world, serves=False)
    async with js_peers.attached() as js, known_to(js, node, "yamux", world) as theirs:
        (learned,) = await theirs.hears_of("identified")
        for protocol, request in (
            (LIGHT_CLIENT_BOOTSTRAP_1, world.root()),
            (UPDATES, UpdatesByRange(0, 4)),
            (LIGHT_CLIENT_FINALITY_UPDATE_1, None),
            (LIGHT_CLIENT_OPTIMISTIC_UPDATE_1, None),
        ):
            assert protocol.protocol_id not in learned["protocols"]
            body = encode_request(protocol, request)
            heard = await theirs.ask(node.peer_id, protocol.protocol_id, body)
            (chunk,) = read_answer(protocol, heard, world)
            assert isinstance(chunk, ErrorChunk)
            assert chunk.code == 3
