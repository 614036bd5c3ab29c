"""A small HTTP/1.1 server that can also break off, dawdle, lie about lengths and reset.

GET alone; each answer's body is sent piece by piece as it comes. Sockets are used directly, because
neither a framework nor a stream class lets a server misbehave on purpose.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import unquote

import anyio

from lightclient.simulator.exchange import ConnectionLost, Received

_MAX_HEAD_BYTES = 64 * 1024
_RECEIVE_BYTES = 64 * 1024
_DOWN_POLL_SECONDS = 0.02
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class Response:
    """What is sent back.

    ``headers`` are sent as they are. Without Content-Length and Transfer-Encoding among them, the
    body ends with the connection.
    """

    status: int
    headers: dict[str, str]
    body: AsyncGenerator[bytes, None] = field(repr=False)


Respond = Callable[[Received], Awaitable[Response]]
"""Answers a request; raises ConnectionLost to reset the connection instead."""


def listen(port: int = 0) -> socket.socket:
    """A listening socket on the loopback interface."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


async def run_server(
    listener: socket.socket, respond: Respond, is_down: Callable[[], bool]
) -> None:
    """Serve until cancelled; closes ``listener``.

    Args:
        is_down: whether connections are refused now. Then the port is closed, and so is every
            connection; it opens again when it can.
    """
    port = listener.getsockname()[1]
    try:
        while True:
            async with anyio.create_task_group() as connections:
                while not is_down():
                    with anyio.move_on_after(_DOWN_POLL_SECONDS):
                        await anyio.wait_readable(listener)
                        connection = _accept(listener)
                        if connection is not None:
                            connections.start_soon(_Connection(connection, respond).run)
                connections.cancel_scope.cancel()
            listener.close()
            while is_down():  # noqa: ASYNC110 - faults are switched without a word
                await anyio.sleep(_DOWN_POLL_SECONDS)
            listener = listen(port)
    finally:
        listener.close()


def _accept(listener: socket.socket) -> socket.socket | None:
    try:
        connection, _ = listener.accept()
    except OSError:  # gone again already
        return None
    connection.setblocking(False)
    return connection


class _Closed(Exception):
    """The client is gone."""


class _Connection:
    def __init__(self, connection: socket.socket, respond: Respond) -> None:
        self._socket = connection
        self._respond = respond
        self._received = bytearray()

    async def run(self) -> None:
        """Answer requests until either side has enough."""
        try:
            while await self._serve_one():
                pass
        except ConnectionLost:
            with suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        except (_Closed, OSError):
            pass
        finally:
            self._socket.close()

    async def _serve_one(self) -> bool:
        """Answer one request; whether the connection may be used again."""
        request = await self._request()
        if request is None:
            await self._send(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
            return False
        failure: Exception | None = None
        is_reusable = False
        # Ends at once if the client leaves, whatever the answer is waiting for.
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch, tasks.cancel_scope)
            try:
                is_reusable = await self._answer(request)
            except (ConnectionLost, _Closed, OSError) as error:
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure
        return is_reusable and request.headers.get("connection", "").lower() != "close"

    async def _watch(self, scope: anyio.CancelScope) -> None:
        while len(self._received) < _MAX_HEAD_BYTES:
            try:
                await self._receive()
            except (_Closed, OSError):
                scope.cancel()
                return

    async def _answer(self, request: Received) -> bool:
        response = await self._respond(request)
        names = {name.lower(): value for name, value in response.headers.items()}
        is_chunked = names.get("transfer-encoding") == "chunked"
        length = None if is_chunked else names.get("content-length")
        await self._send(_head(response))
        sent = 0
        async with aclosing(response.body) as pieces:
            async for piece in pieces:
                sent += len(piece)
                if piece:
                    await self._send(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
        if is_chunked:
            await self._send(b"0\r\n\r\n")
        has_all = is_chunked or (length is not None and length.isdecimal() and int(length) == sent)
        return has_all and names.get("connection") != "close"

    # Bytes -------------------------------------------------------------------------------------

    async def _request(self) -> Received | None:
        """The next request; None if it is none that can be answered."""
        while b"\r\n\r\n" not in self._received:
            if len(self._received) > _MAX_HEAD_BYTES:
                return None
            await self._receive()
        head, _, rest = bytes(self._received).partition(b"\r\n\r\n")
        self._received[:] = rest
        first, *lines = head.decode("latin-1").split("\r\n")
        words = first.split(" ")
        if len(words) != 3 or words[0] != "GET" or not words[2].startswith("HTTP/1."):
            return None
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        path, _, query = words[1].partition("?")
        return Received(unquote(path), query, headers)

    async def _receive(self) -> None:
        await anyio.wait_readable(self._socket)
        try:
            received = self._socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        if not received:
            raise _Closed
        self._received += received

    async def _send(self, content: bytes) -> None:
        left = memoryview(content)
        while left:
            await anyio.wait_writable(self._socket)
            with suppress(BlockingIOError):
                left = left[self._socket.send(left) :]


def _head(response: Response) -> bytes:
    try:
        reason = HTTPStatus(response.status).phrase
    except ValueError:
        reason = "Unknown"
    lines = [f"HTTP/1.1 {response.status} {reason}"]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
