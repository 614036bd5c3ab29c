"""A stream to a peer: read, write, close, with a reset told from an end.

Whatever py-libp2p raises becomes :class:`StreamBroken`; no other exception comes out.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import trio
from libp2p.abc import IMuxedStream
from libp2p.stream_muxer.exceptions import MuxedStreamEOF, MuxedStreamReset

from lightclient.transports.libp2p.muxers import reset_stream, was_reset

READ_SIZE: Final = 65536


class StreamBroken(Exception):
    """The stream was reset, or its connection is gone."""


class Stream:
    """One stream.

    Attributes:
        peer_id: the peer at the other end.
    """

    def __init__(self, muxed: IMuxedStream, peer_id: str) -> None:
        self._muxed = muxed
        self.peer_id = peer_id

    async def read(self, n: int = READ_SIZE) -> bytes:
        """At most ``n`` bytes; none at the end.

        Raises:
            StreamBroken: reset; what was read before is not the whole.
        """
        try:
            data = await self._muxed.read(n)
        except MuxedStreamEOF:
            data = b""
        except MuxedStreamReset:
            raise StreamBroken("the stream was reset") from None
        except Exception as error:  # noqa: BLE001 - the library raises anything
            raise StreamBroken(_said(error)) from None
        if not data and was_reset(self._muxed):
            raise StreamBroken("the stream was reset")
        return data

    async def write(self, data: bytes) -> None:
        """Send all of ``data``. Raises StreamBroken."""
        try:
            await self._muxed.write(data)
        except Exception as error:  # noqa: BLE001 - as above
            raise StreamBroken(_said(error)) from None

    async def close_write(self) -> None:
        """Say that nothing more will be sent. Raises StreamBroken."""
        try:
            await self._muxed.close()
        except Exception as error:  # noqa: BLE001 - as above
            raise StreamBroken(_said(error)) from None

    async def close(self) -> None:
        """Close after an exchange that went well. Never raises."""
        with suppress(StreamBroken):
            await self.close_write()

    async def reset(self) -> None:
        """Give the stream up, at once and also when cancelled. Never raises."""
        with trio.CancelScope(shield=True), trio.move_on_after(1), suppress(Exception):
            await reset_stream(self._muxed)


def _said(error: Exception) -> str:
    return str(error)[:200] or type(error).__name__
