"""What is written to a peer goes out whole or ends the connection, whoever is cancelled."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

pytest.importorskip("libp2p", reason="the extra [libp2p] is not installed")

import trio
from libp2p.io.exceptions import ConnectionClosedError

from lightclient.transports.libp2p import multistream
from lightclient.transports.libp2p.muxers import MPLEX, YAMUX
from lightclient.transports.libp2p.tcp import TcpStream, Traffic
from tests.transports.libp2p.hosts import ECHO, Host, read_all, two_hosts

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[trio.SocketStream, trio.SocketStream]]:
    """Both ends of a TCP connection."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    first = await trio.open_tcp_stream("127.0.0.1", port)
    second = await listener.accept()
    async with listener, first, second:
        yield first, second


@pytest.mark.parametrize("muxer", [YAMUX, MPLEX])
async def test_a_cancelled_request_leaves_the_connection_as_good_as_before(muxer: str) -> None:
    async with two_hosts(Host(), Host(muxers=(muxer,))) as connection:
        for checkpoints in range(40):
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_cancel_after, scope, checkpoints)
                    await _ask(connection)
        assert await _ask(connection) == b"echo:hello"


async def _cancel_after(scope: trio.CancelScope, checkpoints: int) -> None:
    for _ in range(checkpoints):
        await trio.lowlevel.checkpoint()
    scope.cancel()


async def _ask(connection: object) -> bytes:
    stream = await connection.open_stream()  # type: ignore[attr-defined]
    try:
        await multistream.propose_with(stream, ECHO, b"hello")
        await stream.close_write()
        await multistream.confirm(stream, ECHO)
        return await read_all(stream)
    finally:
        await stream.reset()


async def test_a_write_that_is_cancelled_goes_out_whole() -> None:
    traffic = Traffic()
    async with pair() as (near, far):
        with trio.CancelScope() as scope:
            scope.cancel()
            await TcpStream(near, traffic).write(b"whole")
        assert await far.receive_some(100) == b"whole"
    assert traffic.sent == 5


async def test_a_write_that_nobody_reads_can_be_cancelled_and_ends_the_connection() -> None:
    async with pair() as (near, _):
        stream = TcpStream(near, Traffic())
        with trio.fail_after(60):
            with trio.move_on_after(0.01):
                await stream.write(bytes(50_000_000))
            # Whoever waits for its turn is told, and nobody waits for ever.
            with pytest.raises(ConnectionClosedError):
                await stream.write(b"more")
            assert await stream.read(10) == b""


async def test_writers_take_turns() -> None:
    async with pair() as (near, far):
        stream = TcpStream(near, Traffic())
        got = bytearray()

        async def read() -> None:
            while len(got) < 6_000_000:
                got.extend(await far.receive_some(65536))

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for letter in (b"a", b"b", b"c"):
                    nursery.start_soon(stream.write, letter * 2_000_000)
                nursery.start_soon(read)
        assert sum(got[at : at + 1] != got[at + 1 : at + 2] for at in range(len(got) - 1)) == 2


async def test_bytes_are_counted_both_ways() -> None:
    async with pair() as (near, far):
        first, second = Traffic(), Traffic()
        await TcpStream(near, first).write(bytes(1000))
        stream = TcpStream(far, second)
        while second.received < 1000:
            await stream.read(300)
    assert (first.sent, first.received, second.sent, second.received) == (1000, 0, 0, 1000)
