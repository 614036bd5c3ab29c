"""The simulated beacon node as an ``httpx`` transport: all of HTTP, no sockets.

For :class:`~lightclient.transports.rest.RestTransport` (its argument ``http_transport``) under a
virtual clock: every wait is by anyio's clock, also those timeouts that a network would watch over.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable

import anyio
import httpx

from lightclient.simulator.chain import SimulatedChain
from lightclient.simulator.exchange import ConnectionLost, Received
from lightclient.simulator.habits import ServerHabits
from lightclient.simulator.http_wire import Response
from lightclient.simulator.server import SimulatedNode, wall_clock_ms


class InProcessHttp(httpx.AsyncBaseTransport):
    """One simulated node, asked directly.

    Args:
        chain: what is served; it may grow meanwhile.
        clock: of the node, Unix milliseconds.
    """

    def __init__(
        self,
        chain: SimulatedChain,
        habits: ServerHabits | None = None,
        clock: Callable[[], int] = wall_clock_ms,
    ) -> None:
        self.habits = ServerHabits() if habits is None else habits
        self._node = SimulatedNode(chain, self.habits, clock)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer, or raise what the network would raise."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        received = Received(request.url.path, request.url.query.decode(), headers)
        seconds = request.extensions.get("timeout", {}).get("read")
        if self._node.is_down():
            raise httpx.ConnectError("Connection refused", request=request)
        try:
            with anyio.fail_after(seconds):
                response = await self._node.respond(received)
        except TimeoutError:
            raise httpx.ReadTimeout("", request=request) from None
        except ConnectionLost as lost:
            kind = httpx.ConnectError if lost.refused else httpx.ReadError
            raise kind(f"Connection {lost}", request=request) from None
        stream = _Body(response, request, seconds)
        return httpx.Response(response.status, headers=response.headers, stream=stream)

    async def aclose(self) -> None:
        """End open event streams. May be called twice, and used again."""
        self._node.streams.close()


class _Body(httpx.AsyncByteStream):
    """A body as a connection would bring it: as many bytes as announced, or an error."""

    def __init__(self, response: Response, request: httpx.Request, seconds: float | None) -> None:
        self._body: AsyncGenerator[bytes, None] = response.body
        self._request = request
        self._seconds = seconds
        named = {name.lower(): value for name, value in response.headers.items()}
        self._left = int(named["content-length"]) if "content-length" in named else None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self._left is None or self._left > 0:
            piece = await self._next()
            if piece is None:
                break
            if self._left is not None:
                piece = piece[: self._left]
                self._left -= len(piece)
            yield piece
        if self._left:
            message = "peer closed connection without sending complete message body"
            raise httpx.RemoteProtocolError(message, request=self._request)

    async def _next(self) -> bytes | None:
        try:
            with anyio.fail_after(self._seconds):
                return await anext(self._body, None)
        except TimeoutError:
            raise httpx.ReadTimeout("", request=self._request) from None
        except ConnectionLost as lost:
            raise httpx.ReadError(f"Connection {lost}", request=self._request) from None

    async def aclose(self) -> None:
        await self._body.aclose()
