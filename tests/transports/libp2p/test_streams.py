"""How streams end, as peers see it in frames: js-libp2p takes a late one for an attack."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

pytest.importorskip("libp2p", reason="the extra [libp2p] is not installed")

from lightclient.transports.libp2p.acquaintance import ask_identity
from lightclient.transports.libp2p.connections import Connection
from lightclient.transports.libp2p.identify import IDENTIFY, PING, encode_identify
from lightclient.transports.libp2p.multistream import propose
from lightclient.transports.libp2p.muxers import MPLEX, YAMUX, GuardedMplex
from lightclient.transports.libp2p.requests import ask
from lightclient.transports.libp2p.streams import Stream, StreamBroken
from lightclient.wire.messages import UpdatesByRange
from lightclient.wire.protocols import (
    LIGHT_CLIENT_BOOTSTRAP_1,
    LIGHT_CLIENT_UPDATES_BY_RANGE_1,
    PING_1,
    STATUS_2,
)
from lightclient.wire.varint import read_varint
from tests.client.world import World, until
from tests.transports.libp2p.hosts import Host, read_all, two_hosts
from tests.transports.libp2p.strangers import Stranger
from tests.transports.libp2p.world import Member, make_node, running

pytestmark = pytest.mark.anyio
BOTH = pytest.mark.parametrize("muxer", [YAMUX, MPLEX])
PROTOCOL = "/last/1"
MESSAGE_RECEIVER, CLOSE_RECEIVER = 1, 3


def mplex_tags(written: bytes) -> list[int]:
    """The kinds of the frames in what was written at once."""
    tags, data = [], bytearray(written)
    while data:
        kind = _take_number(data)
        size = _take_number(data)
        del data[:size]
        tags.append(kind & 7)
    return tags


def _take_number(data: bytearray) -> int:
    found = read_varint(data)
    assert found is not None
    del data[: found[1]]
    return found[0]


@contextmanager
def frames_of(connection: Connection) -> Iterator[list[list[int]]]:
    """The kinds of the mplex frames that a connection's own side writes, by write."""
    writes: list[list[int]] = []
    secured = connection._muxed.secured_conn
    write = secured.write

    async def note(data: bytes) -> None:
        writes.append(mplex_tags(data))
        await write(data)

    # Its own stubs take a plain function for a method.
    secured.write = note  # type: ignore[method-assign]
    yield writes


@BOTH
@pytest.mark.parametrize("size", [0, 1, 5000, 300_000])
async def test_what_is_written_last_comes_whole_and_with_its_end(muxer: str, size: int) -> None:
    content = os.urandom(size)

    async def serve(stream: Stream) -> None:
        await read_all(stream)
        await stream.write(b"first")
        await stream.write_last(content)
        with pytest.raises(StreamBroken):
            await stream.write(b"more")

    server = Host({PROTOCOL: serve}, muxers=(muxer,))
    async with two_hosts(Host(), server) as connection:
        for _ in range(3):
            stream = await connection.open_stream()
            await propose(stream, [PROTOCOL])
            await stream.write_last(b"a question")
            assert await read_all(stream) == b"first" + content
            await stream.finish()
        streams = server.connections[0]._muxed.streams
        await until(lambda: not streams)


async def test_no_answer_of_ours_is_closed_after_its_last_bytes(world: World) -> None:
    member, stranger = Member(), Stranger(world)
    stranger.board._muxers = (MPLEX,)
    node = make_node(world, member)
    async with running(node), stranger.meeting(node) as connection:
        ours = node.peers[stranger.board.peer_id].connection
        with frames_of(ours) as writes:
            assert (await ask_identity(connection)).protocols
            for protocol, request in (
                (STATUS_2, node.status()),
                (PING_1, 1),
                (LIGHT_CLIENT_BOOTSTRAP_1, world.root()),
                (LIGHT_CLIENT_BOOTSTRAP_1, bytes(32)),  # refused
                (LIGHT_CLIENT_UPDATES_BY_RANGE_1, UpdatesByRange(0, 4)),
            ):
                await ask(connection, protocol, request, world.network)
            closing = [tags for tags in writes if CLOSE_RECEIVER in tags]
        assert len(closing) == 6
        assert all(tags[-2:] == [MESSAGE_RECEIVER, CLOSE_RECEIVER] for tags in closing)


@BOTH
async def test_we_close_our_side_of_identify_before_it_is_answered(muxer: str) -> None:
    said = encode_identify(
        public_key=b"", agent="late/1", protocols=[PROTOCOL], listen=[], observed=b""
    )

    async def serve(stream: Stream) -> None:
        await read_all(stream)  # to the end
        await stream.write_last(said)

    async with two_hosts(Host(), Host({IDENTIFY: serve}, muxers=(muxer,))) as connection:
        assert (await ask_identity(connection)).agent == "late/1"


async def test_who_has_pinged_and_left_is_not_answered_that_we_leave(world: World) -> None:
    node = make_node(world)
    stranger = Stranger(world)
    stranger.board._muxers = (MPLEX,)
    async with running(node), stranger.meeting(node) as connection:
        ours = node.peers[stranger.board.peer_id].connection
        with frames_of(ours) as writes:
            for _ in range(3):
                stream = await connection.open_stream()
                await propose(stream, [PING])
                said = os.urandom(32)
                await stream.write(said)
                assert await stream.read(32) == said
                await stream.close()
            muxed = ours._muxed
            assert isinstance(muxed, GuardedMplex)
            await until(lambda: all(stream.is_initiator for stream in muxed.streams))
        assert CLOSE_RECEIVER not in [tag for tags in writes for tag in tags]
