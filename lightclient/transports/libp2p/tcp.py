"""TCP streams below noise: what is written goes out whole or ends the connection. And is counted.

Noise numbers its messages as it encrypts them. One that is encrypted and then not sent, because
whoever wanted it was cancelled, leaves the other end unable to read anything that comes after it.
Requests are cancelled all the time: whenever another provider was faster.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import trio
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.io.trio import TrioTCPStream

UNCROWDED_SECONDS: Final = 0.25
"""So long a write that was cancelled goes on; then the other end does not read, and is given up."""


@dataclass(slots=True)
class Traffic:
    """Bytes of TCP streams since the start, noise included, without the headers of IP and TCP."""

    received: int = 0
    sent: int = 0


class TcpStream(TrioTCPStream):
    """A TCP stream to a peer."""

    def __init__(self, stream: trio.SocketStream, traffic: Traffic) -> None:
        super().__init__(stream)
        self._traffic = traffic

    async def write(self, data: bytes) -> None:
        """Send all of ``data``.

        Raises:
            ConnectionClosedError: the connection is gone.
        """
        left = memoryview(data)
        has_turn = False
        try:
            for seconds, shield in ((UNCROWDED_SECONDS, True), (math.inf, False)):
                deadline = trio.current_time() + seconds
                with trio.CancelScope(deadline=deadline, shield=shield):
                    if not has_turn:
                        await self.write_lock.acquire()
                        has_turn = True
                    while left:
                        count = await self.stream.socket.send(left)
                        self._traffic.sent += count
                        left = left[count:]
                    return
        except (OSError, trio.ClosedResourceError) as error:
            raise ConnectionClosedError(
                f"the connection is gone: {error}", transport="tcp"
            ) from None
        finally:
            if left:
                self.stream.socket.close()
            if has_turn:
                self.write_lock.release()

    async def read(self, n: int | None = None) -> bytes:
        """At most ``n`` bytes; none at the end."""
        data = await super().read(n)
        self._traffic.received += len(data)
        return data
