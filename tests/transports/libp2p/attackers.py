"""Peers that keep to the rules as far as it takes to break one: from TCP up, by hand."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import trio
from libp2p.crypto.keys import KeyPair
from libp2p.crypto.secp256k1 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.io.trio import TrioTCPStream
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.peer.id import ID
from libp2p.security.noise.io import (
    NoiseHandshakeReadWriter,
    NoisePacketReadWriter,
    NoiseTransportReadWriter,
)
from libp2p.security.noise.messages import SIGNED_DATA_PREFIX
from libp2p.security.noise.patterns import PatternXX
from libp2p.security.secure_session import SecureSession

from lightclient.transports.libp2p import multistream
from lightclient.transports.libp2p.muxers import YAMUX
from lightclient.transports.libp2p.protobuf import encode_fields
from lightclient.wire.varint import encode_varint

NOISE = "/noise"
PATIENCE = 60
"""Seconds for what takes milliseconds where nothing else runs."""
Payload = Callable[[KeyPair, bytes], bytes]
"""Makes a handshake's payload of the identity and the public noise key."""
DATA, WINDOW_UPDATE, PING, GO_AWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8


def right_payload(keys: KeyPair, static_key: bytes) -> bytes:
    """Proof of an identity as it should be."""
    signature = keys.private_key.sign(SIGNED_DATA_PREFIX.encode() + static_key)
    return encode_fields([(1, keys.public_key.serialize()), (2, signature)])


def yamux_frame(
    kind: int, flags: int = 0, stream: int = 0, length: int | None = None, body: bytes = b""
) -> bytes:
    """A frame; its ``length`` may lie."""
    said = len(body) if length is None else length
    return struct.pack("!BBHII", 0, kind, flags, stream, said) + body


def mplex_frame(flag: int, stream: int, body: bytes = b"", length: int | None = None) -> bytes:
    """A frame; its ``length`` may lie."""
    said = len(body) if length is None else length
    return encode_varint(stream << 3 | flag) + encode_varint(said) + body


async def connect(port: int, source: str | None = None) -> trio.SocketStream:
    """A TCP connection to a port of loopback, from ``source``, where this machine lets us."""
    sock = trio.socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if source is not None:
        with suppress(OSError):
            await sock.bind((source, 0))
    try:
        await sock.connect(("127.0.0.1", port))
    except BaseException:
        sock.close()
        raise
    return trio.SocketStream(sock)


async def to_noise(stream: trio.SocketStream) -> RawConnection:
    """Agree on noise."""
    raw = RawConnection(TrioTCPStream(stream), initiator=True)
    await multistream.propose(raw, (NOISE,))
    return raw


async def shake_hands(
    raw: RawConnection, payload: Payload = right_payload, keys: KeyPair | None = None
) -> SecureSession:
    """The handshake of one who dials, with any payload in its last message."""
    keys = keys or create_new_key_pair(os.urandom(32))
    static = create_noise_key_pair()
    us = ID.from_pubkey(keys.public_key)
    state = PatternXX(us, keys.private_key, static.private_key).create_noise_state()
    state.set_as_initiator()
    state.start_handshake()
    messages = NoiseHandshakeReadWriter(raw, state)
    await messages.write_msg(b"")
    await messages.read_msg()
    await messages.write_msg(payload(keys, static.public_key.to_bytes()))
    return SecureSession(
        local_peer=us,
        local_private_key=keys.private_key,
        remote_peer=us,
        remote_permanent_pubkey=keys.public_key,
        is_initiator=True,
        conn=NoiseTransportReadWriter(raw, state),
    )


async def send_packet(raw: RawConnection, message: bytes) -> None:
    """A noise message of any bytes."""
    await NoisePacketReadWriter(raw).write_msg(message)


class Intruder:
    """A connection under a multiplexer whose frames are written by hand.

    What comes in is read and forgotten, as long as :meth:`listen` runs.
    """

    def __init__(self, stream: trio.SocketStream, session: SecureSession, muxer: str) -> None:
        self.stream = stream
        self.session = session
        self.muxer = muxer
        self.heard = 0
        self.ended = trio.Event()

    async def listen(self) -> None:
        """Read until the other end is gone."""
        with suppress(Exception):
            while True:
                self.heard += len(await self.session.read(1))
        self.ended.set()

    async def send(self, *frames: bytes) -> None:
        """Send frames. Raises what the libraries do once the other end is gone."""
        for frame in frames:
            await self.session.write(frame)

    async def open(self, number: int, protocol: str, said: bytes = b"") -> None:
        """Open a stream for a protocol, without awaiting what the other end says."""
        opening = b"".join(map(multistream.encode_line, (multistream.MULTISTREAM, protocol)))
        await self.say(number, opening + said, first=True)

    async def say(self, number: int, data: bytes, *, first: bool = False) -> None:
        """Bytes on a stream of ours; ``number`` counts them from 0."""
        if self.muxer == YAMUX:
            stream = 2 * number + 1
            await self.send(yamux_frame(DATA, SYN if first else 0, stream, body=data))
            return
        if first:
            await self.send(mplex_frame(0, number))
        await self.send(mplex_frame(2, number, data))

    @property
    def is_cut_off(self) -> bool:
        """Whether the other end has closed the connection."""
        return self.ended.is_set()


@asynccontextmanager
async def intruder(
    port: int,
    muxer: str = YAMUX,
    *,
    source: str | None = None,
    keys: KeyPair | None = None,
    listens: bool = True,
) -> AsyncIterator[Intruder]:
    """Connected to a port of loopback as somebody new; silence ends with the body."""
    stream = await connect(port, source)
    try:
        session = await shake_hands(await to_noise(stream), keys=keys)
        await multistream.propose(session, (muxer,))
        made = Intruder(stream, session, muxer)
        async with trio.open_nursery() as nursery:
            if listens:
                nursery.start_soon(made.listen)
            try:
                yield made
            finally:
                nursery.cancel_scope.cancel()
    finally:
        await trio.aclose_forcefully(stream)


async def is_closed(stream: trio.SocketStream, seconds: float = 10) -> bool:
    """Whether the other end closes a connection within so many seconds, whatever it says before."""
    with trio.move_on_after(seconds), suppress(trio.BrokenResourceError):
        while await stream.receive_some():
            pass
    return not await _is_open(stream)


async def _is_open(stream: trio.SocketStream) -> bool:
    with trio.move_on_after(0.01) as scope:
        try:
            await stream.receive_some(1)
        except trio.BrokenResourceError:
            return False
    return scope.cancelled_caught


def encoded(fields: Sequence[Any]) -> bytes:
    """Protocol buffers of anything."""
    return encode_fields(fields)
