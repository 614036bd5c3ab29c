"""The two stream multiplexers, kept from what a hostile peer can do to them as they come.

Both are py-libp2p's; what is overridden here touches their private parts, hence the exact version
in pyproject.toml. Each guard names what it is against.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, SupportsIndex, TypeAlias, cast
from weakref import WeakValueDictionary

import trio
from libp2p.abc import IMuxedStream, ISecureConn
from libp2p.peer.id import ID
from libp2p.stream_muxer.mplex.constants import CHUNK_SIZE, HeaderTags
from libp2p.stream_muxer.mplex.datastructures import StreamID
from libp2p.stream_muxer.mplex.exceptions import MplexStreamClosed
from libp2p.stream_muxer.mplex.mplex import Mplex
from libp2p.stream_muxer.mplex.mplex_stream import MplexStream
from libp2p.stream_muxer.yamux.yamux import Yamux, YamuxStream

from lightclient.transports.libp2p.pacing import Pace
from lightclient.wire.varint import encode_varint

YAMUX: Final = "/yamux/1.0.0"
MPLEX: Final = "/mplex/6.7.0"
MUXERS: Final = (YAMUX, MPLEX)
"""Best first: Lodestar speaks only mplex, and Nimbus keeps yamux behind a flag."""

MAX_STREAMS: Final = 64
"""Streams that a connection may have at once; two gossip streams and a few requests are usual."""
MAX_WINDOW: Final = 2**20
"""Bytes that a stream of yamux may send ahead of its reader, after 256 KB at first; as it comes,
16 MiB."""
MAX_BUFFERED: Final = 16 * 2**20
"""Bytes of a connection that nobody has read yet: many streams may be read late, by chance."""
MAX_BUFFERED_IN_ALL: Final = 48 * 2**20
MAX_FRAME: Final = 2**20
"""Of yamux: others send at most 256 KB in one. Mplex has this bound by itself."""
UNITS_PER_SECOND: Final = 300
UNIT_BURST: Final = 3000
"""What is read of a connection, where a unit is 8 KB, or four reads of a few bytes: 2.4 MB or some
600 empty frames a second, and ten times that at once."""
FRAME_SECONDS: Final = 60.0
_UNIT: Final = 8192
_UNITS_OF_READ: Final = 0.25
_SMALL: Final = 2**20
_PIECE: Final = 2**16

Muxer: TypeAlias = "GuardedYamux | GuardedMplex"


class PacedSession:
    """A secured connection that is read no faster than its pace.

    Else a peer keeps us busy with frames of a few bytes that mean nothing, as fast as it can.
    """

    def __init__(self, conn: ISecureConn) -> None:
        self._conn = conn
        self._pace = Pace(UNITS_PER_SECOND, UNIT_BURST)
        self.is_initiator: bool = conn.is_initiator

    def __getattr__(self, name: str) -> Any:
        return getattr(self._conn, name)

    async def read(self, n: int | None = None) -> bytes:
        """As of the connection, when its time has come."""
        await self._pace.wait(_UNITS_OF_READ + (n or 0) / _UNIT)
        return await self._conn.read(n)


class ReceiveBudget:
    """What all connections of a host may hold unread together."""

    def __init__(self) -> None:
        self._muxers: WeakValueDictionary[int, GuardedYamux] = WeakValueDictionary()

    def join(self, muxer: GuardedYamux) -> None:
        """Count a connection."""
        self._muxers[id(muxer)] = muxer

    def leave(self, muxer: GuardedYamux) -> None:
        """Count a connection no more, whoever still has a hold of it."""
        self._muxers.pop(id(muxer), None)

    def allows(self, muxer: GuardedYamux, more: int) -> bool:
        """Whether ``muxer`` may take in ``more`` bytes; small amounts are never the trouble."""
        own = muxer.buffered_bytes + more
        if own > MAX_BUFFERED:
            return False
        return own <= _SMALL or self.total + more <= MAX_BUFFERED_IN_ALL

    @property
    def total(self) -> int:
        """Bytes that nobody has read yet. Of any thread."""
        # The references at once: others come and go while another thread counts.
        muxers = (reference() for reference in self._muxers.valuerefs())
        return sum(muxer.buffered_bytes for muxer in muxers if muxer is not None)


class _WindowedStream(YamuxStream):
    """A stream whose window stops growing where one stream has enough."""

    def _apply_autotune_epoch(self, buffered: int) -> int:
        grows = self.target_recv_window < MAX_WINDOW
        return super()._apply_autotune_epoch(buffered) if grows else 0


class _Unread(bytearray):
    """What nobody has read yet of a stream: no more than its window lets the peer send."""

    def __init__(self, stream: YamuxStream) -> None:
        super().__init__()
        self._stream = stream

    def extend(self, data: Iterable[SupportsIndex]) -> None:
        """Take in what came. Raises what ends this connection if that is too much."""
        size = len(cast("bytes", data))
        if size > self._stream.recv_window:
            raise trio.TooSlowError("more than a stream's window")
        super().extend(data)


class _UnreadByStream(dict[int, bytearray]):
    """The buffers of a connection. Each stream gets its own here, and its bounds with it."""

    def __init__(self, streams: dict[int, YamuxStream]) -> None:
        super().__init__()
        self._streams = streams

    def __setitem__(self, stream_id: int, _: bytearray) -> None:
        stream = self._streams[stream_id]
        # The library makes its streams itself, in two places, and their buffers right after.
        stream.__class__ = _WindowedStream
        super().__setitem__(stream_id, _Unread(stream))


class GuardedYamux(Yamux):
    """Yamux with a bound on what it buffers and on its streams.

    As it comes it takes data beyond the receive window (150 MB were pushed into a stream that
    nobody read), and any number of streams.
    """

    def __init__(self, conn: ISecureConn, peer: ID, budget: ReceiveBudget) -> None:
        super().__init__(conn, peer, is_initiator=conn.is_initiator)
        self.stream_buffers = _UnreadByStream(self.streams)
        self._budget = budget
        self._frame = bytearray()
        budget.join(self)

    @property
    def buffered_bytes(self) -> int:
        """Bytes that nobody has read yet, with what there is of a frame to come."""
        return len(self._frame) + sum(map(len, self.stream_buffers.values()))

    async def _read_data_body(self, length: int) -> bytes:
        if length > MAX_FRAME or not self._budget.allows(self, length):
            # The one exception that ends this connection and no more.
            raise trio.TooSlowError("more unread data than a connection may hold")
        try:
            with trio.fail_after(FRAME_SECONDS):
                while (missing := length - len(self._frame)) > 0:
                    piece = await self.secured_conn.read(min(missing, _PIECE))
                    if not piece:
                        raise trio.TooSlowError("the connection ended in the midst of a frame")
                    self._frame += piece
            return bytes(self._frame)
        finally:
            self._frame.clear()

    async def accept_stream(self) -> IMuxedStream:
        while True:
            stream = await super().accept_stream()
            if len(self.streams) <= MAX_STREAMS:
                return stream
            await reset_stream(stream)

    def drop(self) -> None:
        """Hold nothing any more: the connection has ended, perhaps before it could be closed."""
        self._budget.leave(self)
        self.stream_buffers.clear()

    def forget(self, stream_id: int) -> None:
        """Drop what is held of a stream that was given up, and wake whoever still reads it.

        As it comes it keeps, and goes on to fill, what nobody has read of it.
        """
        self.streams.pop(stream_id, None)
        self.stream_buffers.pop(stream_id, None)
        event = self.stream_events.pop(stream_id, None)
        if event is not None:
            event.set()


class GuardedMplex(Mplex):
    """Mplex with a bound on its streams, and without its leaks.

    As it comes, a stream's name that is not UTF-8 ends more than the connection, and each stream
    leaves an entry behind.
    """

    async def _handle_new_stream(self, stream_id: StreamID, message: bytes) -> None:
        self._forget(set(self.streams_msg_channels) - set(self.streams))
        # The name means nothing to anybody, and has to be UTF-8 here.
        await super()._handle_new_stream(stream_id, message[:0])

    async def _handle_message(self, stream_id: StreamID, message: bytes) -> None:
        if message:  # an empty one would be taken for the end of the stream
            await super()._handle_message(stream_id, message)

    async def _handle_reset(self, stream_id: StreamID) -> None:
        stream = self.streams.get(stream_id)
        if stream is not None and not stream.event_remote_closed.is_set():
            # Before the reader is woken, which would take the reset for an end.
            stream.event_reset.set()
        await super()._handle_reset(stream_id)

    async def write_last(self, stream: MplexStream, data: bytes) -> None:
        """Write ``data`` and close our side, in one piece.

        js-libp2p leaves a stream when it has read what it wanted, and disconnects from who names
        streams that it has left a few times in a second, be it to close them.
        """
        if stream.event_local_closed.is_set():
            raise MplexStreamClosed("the stream is closed")
        message, close = HeaderTags.MessageReceiver, HeaderTags.CloseReceiver
        if stream.is_initiator:
            message, close = HeaderTags.MessageInitiator, HeaderTags.CloseInitiator
        pieces = [data[at : at + CHUNK_SIZE] for at in range(0, len(data), CHUNK_SIZE)]
        frames = [_mplex_frame(message, stream.stream_id, piece) for piece in pieces]
        frames.append(_mplex_frame(close, stream.stream_id, b""))
        await self.write_to_stream(b"".join(frames))
        stream.event_local_closed.set()
        if stream.event_remote_closed.is_set():
            self.streams.pop(stream.stream_id, None)

    def _forget(self, stream_ids: Iterable[StreamID]) -> None:
        for stream_id in stream_ids:
            channel = self.streams_msg_channels.pop(stream_id, None)
            if channel is not None:
                channel.close()

    async def open_stream(self) -> IMuxedStream:
        self._forget(set(self.streams_msg_channels) - set(self.streams))
        return await super().open_stream()

    async def accept_stream(self) -> IMuxedStream:
        while True:
            stream = await super().accept_stream()
            if len(self.streams) <= MAX_STREAMS:
                return stream
            await stream.reset()


def make_muxer(protocol: str, conn: ISecureConn, peer: ID, budget: ReceiveBudget) -> Muxer:
    """The multiplexer of a protocol that was agreed on."""
    paced = cast("ISecureConn", PacedSession(conn))
    if protocol == YAMUX:
        return GuardedYamux(paced, peer, budget)
    return GuardedMplex(paced, peer)


def _mplex_frame(tag: HeaderTags, stream_id: StreamID, data: bytes) -> bytes:
    return encode_varint(stream_id.channel_id << 3 | tag.value) + encode_varint(len(data)) + data


async def write_last(stream: IMuxedStream, data: bytes) -> None:
    """Write ``data`` and close our side."""
    conn = stream.muxed_conn
    if isinstance(stream, MplexStream) and isinstance(conn, GuardedMplex):
        await conn.write_last(stream, data)
    else:
        await stream.write(data)
        await stream.close()


async def leave_stream(stream: IMuxedStream) -> None:
    """End our side of a stream whose peer has ended its own and waits for nothing more.

    On mplex without a word: js-libp2p has forgotten the stream (see ``write_last``).
    """
    conn = stream.muxed_conn
    if isinstance(stream, MplexStream) and isinstance(conn, GuardedMplex):
        stream.event_local_closed.set()
        conn.streams.pop(stream.stream_id, None)
    else:
        await stream.close()


async def reset_stream(stream: IMuxedStream) -> None:
    """Reset a stream, also where mplex as it comes says nothing: if the peer closed its side."""
    if isinstance(stream, MplexStream):
        is_remote_closed = stream.event_remote_closed.is_set()
        if is_remote_closed and not stream.event_local_closed.is_set():
            tag = HeaderTags.ResetInitiator if stream.is_initiator else HeaderTags.ResetReceiver
            await stream.muxed_conn.send_message(tag, None, stream.stream_id)
    conn = stream.muxed_conn
    if not isinstance(stream, YamuxStream) or not isinstance(conn, GuardedYamux):
        await stream.reset()
        return
    event = conn.stream_events.get(stream.stream_id)
    try:
        await stream.reset()
    finally:
        conn.forget(stream.stream_id)
        if event is not None:
            event.set()


def drop(muxed: Muxer) -> None:
    """Have a connection that has ended hold none of what was not read."""
    if isinstance(muxed, GuardedYamux):
        muxed.drop()


def was_reset(stream: IMuxedStream) -> bool:
    """Whether a stream that gives no more ended by a reset, which looks like a clean end."""
    if isinstance(stream, YamuxStream):
        return bool(stream.reset_received) or stream.conn.event_shutting_down.is_set()
    if isinstance(stream, MplexStream):
        return stream.event_reset.is_set()
    return False
