"""A TCP server that says exactly what it is told to, for the faults that only real sockets have."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from anyio.abc import SocketAttribute, SocketStream, TaskStatus


@dataclass
class Heard:
    """One request as it came."""

    target: str
    headers: dict[str, str]


@dataclass
class RawServer:
    """Where the server listens, and what it heard."""

    port: int
    heard: list[Heard] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


Script = Callable[[Heard, SocketStream], Awaitable[None]]


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[RawServer]:
    """Run ``script`` for each request's head; the connection closes when it returns."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    server = RawServer(listener.extra(SocketAttribute.local_port))

    async def converse(stream: SocketStream) -> None:
        async with stream:
            try:
                while True:
                    head = b""
                    while b"\r\n\r\n" not in head:
                        head += await stream.receive()
                    first, *lines = head.decode("latin-1").split("\r\n")
                    pairs = [line.partition(":")[::2] for line in lines if line]
                    headers = {name.lower(): value.strip() for name, value in pairs}
                    heard = Heard(first.split()[1], headers)
                    server.heard.append(heard)
                    await script(heard, stream)
                    if "close" in heard.headers.get("x-then", "close"):
                        return
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                return

    async def serve(*, task_status: TaskStatus[None]) -> None:
        task_status.started()
        await listener.serve(converse)

    async with listener, anyio.create_task_group() as tasks:
        await tasks.start(serve)
        yield server
        tasks.cancel_scope.cancel()


def response(body: bytes = b"", status: str = "200 OK", **headers: str) -> bytes:
    """A whole HTTP answer; header names with ``_`` for ``-``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    named.setdefault("content-length", str(len(body)))
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode("latin-1") + body
