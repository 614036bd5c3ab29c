"""A stream to a peer: read, write, close, with a reset told from an end.

Whatever py-libp2p raises becomes :class:`StreamBroken`; no other exception comes out.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import trio
from libp2p.abc import IMuxedStream
from libp2p.stream_muxer.exceptions import MuxedStreamEOF, MuxedStreamReset

from lightclient.transports.libp2p.muxers import leave_stream, reset_stream, was_reset, write_last

READ_SIZE: Final = 65536
_END_SECONDS: Final = 0.25
_PARTING_SECONDS: Final = 5.0


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
        self._has_read_all = False
        self._has_written_all = False
        self._is_given_up = False

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
        self._has_read_all = not data
        return data

    async def write(self, data: bytes) -> None:
        """Send all of ``data``. Raises StreamBroken."""
        try:
            await self._muxed.write(data)
        except Exception as error:  # noqa: BLE001 - as above
            raise StreamBroken(_said(error)) from None

    async def write_last(self, data: bytes) -> None:
        """Send all of ``data`` and say that nothing more will be sent. Raises StreamBroken."""
        self._has_written_all = True
        try:
            await write_last(self._muxed, data)
        except Exception as error:  # noqa: BLE001 - as above
            raise StreamBroken(_said(error)) from None

    async def close_write(self) -> None:
        """Say that nothing more will be sent. Raises StreamBroken."""
        self._has_written_all = True
        try:
            await self._muxed.close()
        except Exception as error:  # noqa: BLE001 - as above
            raise StreamBroken(_said(error)) from None

    async def close(self) -> None:
        """Close after an exchange that went well. Never raises."""
        with suppress(StreamBroken):
            await self.close_write()

    async def leave(self) -> None:
        """End a stream that the peer has ended and on which it waits for nothing. Never raises."""
        self._has_written_all = True
        with suppress(Exception):
            await leave_stream(self._muxed)

    async def part(self) -> None:
        """Close, and let the peer read to the end before the stream is forgotten. Never raises."""
        if self._is_given_up:
            return
        with suppress(StreamBroken):
            if not self._has_written_all:
                await self.close_write()
            with trio.move_on_after(_PARTING_SECONDS):
                while not self._has_read_all:
                    await self.read()
        await self.reset()

    async def finish(self) -> None:
        """Close after what was needed has been read; the peer's end is awaited a moment only.

        Never raises.
        """
        with suppress(StreamBroken):
            if not self._has_written_all:
                await self.close_write()
            with trio.move_on_after(_END_SECONDS):
                await self.read()
        await self.reset()

    async def reset(self) -> None:
        """Give the stream up, at once and also when cancelled. Never raises.

        Nothing is sent if both sides have ended it: js-libp2p disconnects from who names streams
        that are no more a few times in a second.
        """
        if self._is_given_up or (self._has_read_all and self._has_written_all):
            return
        self._is_given_up = True
        with trio.CancelScope(shield=True), trio.move_on_after(1), suppress(Exception):
            await reset_stream(self._muxed)


def _said(error: Exception) -> str:
    return str(error)[:200] or type(error).__name__
