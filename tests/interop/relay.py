"""A relay on loopback that counts what passes, so that a test can tell what a connection costs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import anyio
import anyio.abc
from anyio.from_thread import start_blocking_portal


@dataclass
class Relay:
    """What passed so far.

    Attributes:
        port: where to connect to.
        to_server, to_client: bytes.
    """

    server_port: int
    port: int = 0
    connections: int = 0
    to_server: int = 0
    to_client: int = 0

    async def run(
        self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Relay until cancelled."""
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        self.port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with listener:
            task_status.started()
            await listener.serve(self._serve)

    async def _serve(self, client: anyio.abc.SocketStream) -> None:
        self.connections += 1
        async with (
            client,
            await anyio.connect_tcp("127.0.0.1", self.server_port) as server,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(self._pump, client, server, "to_server")
            tasks.start_soon(self._pump, server, client, "to_client")

    async def _pump(
        self, source: anyio.abc.SocketStream, sink: anyio.abc.SocketStream, way: str
    ) -> None:
        try:
            async for data in source:
                setattr(self, way, getattr(self, way) + len(data))
                await sink.send(data)
            await sink.send_eof()
        except (anyio.BrokenResourceError, OSError):
            await sink.aclose()


@contextmanager
def relay_to(port: int) -> Iterator[Relay]:
    """A relay to a port of loopback, in a thread of its own."""
    relay = Relay(port)
    with start_blocking_portal() as portal:
        task, _ = portal.start_task(relay.run)
        try:
            yield relay
        finally:
            task.cancel()
