"""Hosts on loopback that talk to each other: our own, and ones that a test makes misbehave."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio

from lightclient.transports.libp2p import multistream
from lightclient.transports.libp2p.addresses import PeerAddress
from lightclient.transports.libp2p.connections import Connection, Switchboard
from lightclient.transports.libp2p.muxers import MUXERS
from lightclient.transports.libp2p.streams import Stream
from lightclient.transports.task_groups import bare_task_group

ECHO = "/echo/1"
Serve = Callable[[Stream], Awaitable[None]]


async def read_all(stream: Stream) -> bytes:
    data = bytearray()
    while piece := await stream.read():
        data += piece
    return bytes(data)


async def echo(stream: Stream) -> None:
    """Send back whatever comes, once it has come to its end."""
    await stream.write(b"echo:" + await read_all(stream))
    await stream.close()


async def ask_echo(connection: Any, data: bytes = b"hello") -> bytes:
    """What comes back over a stream of its own, which is gone then."""
    stream: Stream = await connection.open_stream()
    await multistream.propose_with(stream, ECHO, data)
    await stream.close_write()
    await multistream.confirm(stream, ECHO)
    answer = await read_all(stream)
    await stream.reset()
    return answer


class Host:
    """A switchboard with handlers by protocol; remembers its connections."""

    def __init__(
        self,
        handlers: dict[str, Serve] | None = None,
        *,
        muxers: tuple[str, ...] = MUXERS,
        max_inbound: int = 8,
    ) -> None:
        self.handlers = {ECHO: echo} | (handlers or {})
        self.connections: list[Connection] = []
        self.port = 0
        self.board = Switchboard(
            os.urandom(32),
            serve_stream=self._serve,
            on_connection=self._keep,
            protocols=tuple(self.handlers),
            max_inbound=max_inbound,
            muxers=muxers,
        )

    async def _serve(self, _: Connection, protocol: str, stream: Stream) -> None:
        await self.handlers[protocol](stream)

    async def _keep(self, connection: Connection) -> None:
        self.connections.append(connection)
        try:
            await trio.sleep_forever()
        finally:
            self.connections.remove(connection)

    @property
    def address(self) -> PeerAddress:
        return PeerAddress("ip4", "127.0.0.1", self.port, self.board.peer_id)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Host]:
        async with bare_task_group() as tasks:
            self.port = await tasks.start(self.board.run, "127.0.0.1", 0)
            yield self

    async def dial(self, other: Host) -> Connection:
        return await self.board.dial(other.address)


@asynccontextmanager
async def two_hosts(first: Host, second: Host) -> AsyncIterator[Connection]:
    """Both up, and the connection of the first to the second."""
    async with first.running(), second.running():
        yield await first.dial(second)
