"""Noise, both multiplexers and their guards, over real sockets."""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress
from dataclasses import replace

import pytest

pytest.importorskip("libp2p", reason="the extra [libp2p] is not installed")

import anyio
import trio
from libp2p.io.exceptions import ConnectionClosedError

from lightclient.transports.libp2p import multistream
from lightclient.transports.libp2p.addresses import PeerAddress
from lightclient.transports.libp2p.connections import DialError
from lightclient.transports.libp2p.muxers import MAX_BUFFERED, MAX_STREAMS, MPLEX, YAMUX
from lightclient.transports.libp2p.streams import Stream, StreamBroken
from lightclient.transports.task_groups import bare_task_group
from lightclient.wire.varint import encode_varint
from tests.client.world import until
from tests.transports.libp2p.hosts import ECHO, Host, ask_echo, read_all, two_hosts

pytestmark = pytest.mark.anyio
BOTH = pytest.mark.parametrize("muxer", [YAMUX, MPLEX])


@BOTH
@pytest.mark.parametrize("size", [0, 5, 300_000])
async def test_what_one_host_sends_the_other_gets(muxer: str, size: int) -> None:
    data = os.urandom(size)
    async with two_hosts(Host(), Host(muxers=(muxer,))) as connection:
        assert connection.muxer == muxer
        assert await ask_echo(connection, data) == b"echo:" + data


async def test_yamux_is_preferred_where_both_have_it() -> None:
    async with two_hosts(Host(), Host()) as connection:
        assert connection.muxer == YAMUX


@BOTH
async def test_a_request_takes_one_stream_and_leaves_nothing_behind(muxer: str) -> None:
    first, second = Host(), Host(muxers=(muxer,))
    async with two_hosts(first, second) as connection:
        for _ in range(100):
            await ask_echo(connection)
        await until(lambda: not connection._muxed.streams)
        await until(lambda: not second.connections[0]._muxed.streams)
        # Those of the last streams go with the next one.
        assert len(getattr(connection._muxed, "streams_msg_channels", ())) <= 3


@BOTH
async def test_the_protocol_that_both_speak_is_found(muxer: str) -> None:
    async with two_hosts(Host(), Host(muxers=(muxer,))) as connection:
        stream = await connection.open_stream()
        assert await multistream.propose(stream, ["/nope/1", "/nope/2", ECHO]) == ECHO
        await stream.close_write()
        assert await read_all(stream) == b"echo:"


@BOTH
async def test_a_reset_is_no_end(muxer: str) -> None:
    async def begin_and_reset(stream: Stream) -> None:
        await stream.write(b"part")
        await trio.sleep(0.05)
        raise RuntimeError("the server stumbles")

    async with two_hosts(Host(), Host({"/x/1": begin_and_reset}, muxers=(muxer,))) as connection:
        stream = await connection.open_stream()
        await multistream.propose(stream, ["/x/1"])
        with pytest.raises(StreamBroken):
            await read_all(stream)
        # Only that stream: the connection goes on.
        assert await ask_echo(connection) == b"echo:hello"


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
async def test_at_the_address_of_all_both_kinds_of_ip_are_taken() -> None:
    first, second = Host(), Host()
    async with bare_task_group() as tasks, first.running():
        try:
            port = await tasks.start(second.board.run, "::", 0)
        except OSError as error:
            pytest.skip(f"this machine has no IPv6: {error}")
        for family, host in (("ip4", "127.0.0.1"), ("ip6", "::1")):
            address = PeerAddress(family, host, port, second.board.peer_id)
            connection = await first.board.dial(address)
            assert await ask_echo(connection) == b"echo:hello"
            assert connection.remote == (host, port)


async def test_another_peer_than_the_one_dialled_is_refused() -> None:
    first, second, third = Host(), Host(), Host()
    async with first.running(), second.running():
        with pytest.raises(DialError):
            await first.board.dial(replace(second.address, peer_id=third.board.peer_id))
        with pytest.raises(DialError):
            await first.board.dial(replace(second.address, port=1))


async def test_a_silent_machine_costs_a_dial_five_seconds_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lightclient.transports.libp2p.connections.DIAL_SECONDS", 0.2)
    host = Host()
    async with host.running(), await anyio.create_tcp_listener(local_host="127.0.0.1") as silent:
        port = silent.extra(anyio.abc.SocketAttribute.local_port)
        with trio.fail_after(60), pytest.raises(DialError, match="no answer"):
            await host.board.dial(replace(Host().address, port=port))


async def test_no_more_connections_are_taken_than_allowed_and_places_come_back() -> None:
    busy = Host(max_inbound=2)
    async with busy.running():
        for _ in range(3):  # each time the places of those before are free again
            clients = [Host() for _ in range(3)]
            async with clients[0].running(), clients[1].running(), clients[2].running():
                await clients[0].dial(busy)
                await clients[1].dial(busy)
                with pytest.raises(DialError):
                    await clients[2].dial(busy)
            await until(lambda: not busy.connections)


@BOTH
async def test_a_line_that_is_no_text_ends_a_stream_and_nothing_else(muxer: str) -> None:
    async with two_hosts(Host(), Host(muxers=(muxer,))) as connection:
        for line in (b"\xff\xfe\n", b"x" * 2000 + b"\n", b"no end", b""):
            stream = await connection.open_stream()
            await stream.write(multistream.encode_line(multistream.MULTISTREAM))
            await stream.write(encode_varint(len(line)) + line)
            with pytest.raises(StreamBroken, match="reset"):
                await read_all(stream)
        assert await ask_echo(connection) == b"echo:hello"


RAW_FRAMES = {
    YAMUX: [
        struct.pack("!BBHII", 9, 9, 0xFFFF, 1, 5),
        struct.pack("!BBHII", 0, 0, 0, 77, 2**32 - 1),
        struct.pack("!BBHII", 0, 1, 0xF, 2**31, 2**32 - 1),
        struct.pack("!BBHII", 0, 3, 0, 0, 99),
        os.urandom(300),
    ],
    MPLEX: [
        encode_varint(0 << 3 | 0) + encode_varint(3) + b"\xff\xfe\xfd",
        encode_varint(50 << 3 | 7) + encode_varint(0),
        encode_varint(3 << 3 | 1) + encode_varint(2**40),
        b"\xff" * 11,
        os.urandom(300),
    ],
}


@BOTH
async def test_no_frame_ends_more_than_its_own_connection(muxer: str) -> None:
    victim, bystander = Host(muxers=(muxer,)), Host()
    async with victim.running(), bystander.running():
        kept = await bystander.dial(victim)
        for frame in RAW_FRAMES[muxer]:
            attacker = Host()
            async with attacker.running():
                connection = await attacker.dial(victim)
                with suppress(Exception):
                    await connection._muxed.secured_conn.write(frame)
                await trio.sleep(0.02)
            assert await ask_echo(kept) == b"echo:hello"


@BOTH
async def test_ten_thousand_streams_are_reset_beyond_a_few(muxer: str) -> None:
    async def hold(stream: Stream) -> None:
        await trio.sleep_forever()

    victim, bystander = Host({"/hold/1": hold}, muxers=(muxer,)), Host()
    async with victim.running(), bystander.running():
        attacker = Host()
        async with attacker.running():
            connection = await attacker.dial(victim)
            for number in range(10_000):
                frame = (
                    struct.pack("!BBHII", 0, 1, 1, 2 * number + 101, 0)
                    if muxer == YAMUX
                    else encode_varint(number + 100 << 3) + b"\0"
                )
                try:
                    with trio.move_on_after(1) as blocked:
                        await connection._muxed.secured_conn.write(frame)
                except ConnectionClosedError:
                    # Who does not read what it is answered is cut off in the end.
                    break
                if blocked.cancelled_caught:
                    break
            held = [item for item in victim.connections if not item.is_outbound]
            assert all(len(item._muxed.streams) <= MAX_STREAMS + 16 for item in held)
            kept = await bystander.dial(victim)
            assert await ask_echo(kept) == b"echo:hello"


async def test_who_pushes_beyond_the_window_is_cut_off() -> None:
    async def hold(stream: Stream) -> None:
        await trio.sleep_forever()

    victim, attacker = Host({"/hold/1": hold}, muxers=(YAMUX,)), Host()
    async with two_hosts(attacker, victim) as connection:
        stream = await connection.open_stream()
        await multistream.propose(stream, ["/hold/1"])
        muxed = connection._muxed
        sent, piece = 0, bytes(60_000)
        with trio.move_on_after(60), suppress(Exception):
            while sent < 100_000_000:
                header = struct.pack("!BBHII", 0, 0, 0, 1, len(piece))
                await muxed.secured_conn.write(header + piece)
                sent += len(piece)
                assert victim.board.unread_bytes <= MAX_BUFFERED
        assert sent < 3 * MAX_BUFFERED, "nobody stopped it"
        await until(lambda: not victim.connections)
        assert victim.board.unread_bytes == 0
