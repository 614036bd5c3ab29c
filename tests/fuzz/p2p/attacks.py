"""The attacks below the protocols of peers: TCP, negotiation, noise, multiplexers.

Each attack is one short meeting with the victim, drawn from the randomness that it is given, and
tells how many inputs it sent.
"""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import trio
from libp2p.crypto.keys import KeyPair

from lightclient.transports.libp2p import multistream
from lightclient.transports.libp2p.gossipsub import MESHSUB
from lightclient.transports.libp2p.identify import IDENTIFY, PING
from lightclient.transports.libp2p.muxers import MPLEX, YAMUX
from lightclient.wire.protocols import PROTOCOLS
from lightclient.wire.varint import encode_varint
from tests.fuzz.mutation import mutated
from tests.fuzz.p2p.hosts import Answers
from tests.fuzz.p2p.scene import SceneWorld, Target
from tests.transports.libp2p.attackers import (
    DATA,
    GO_AWAY,
    SYN,
    WINDOW_UPDATE,
    Intruder,
    connect,
    intruder,
    mplex_frame,
    right_payload,
    send_packet,
    shake_hands,
    to_noise,
    yamux_frame,
)
from tests.transports.libp2p.attackers import PING as YAMUX_PING

NAMES = [IDENTIFY, PING, *MESHSUB, *(item.protocol_id for item in PROTOCOLS)]


@dataclass
class Attack:
    """One case: where the victim is, and the draws.

    Attributes:
        source: the address of this machine to come from.
        inputs: how many were sent. cut_off: connections that the victim ended.
    """

    target: Target
    world: SceneWorld
    answers: Answers
    draw: random.Random
    source: str
    inputs: int = 0
    cut_off: int = 0

    @property
    def port(self) -> int:
        return self.target.peer.port


Layer = Callable[[Attack], Awaitable[None]]


def junk(draw: random.Random) -> bytes:
    """Bytes of all sizes, or text that looks like something."""
    size = draw.choice((0, 1, 2, 12, 64, 500, 4000, 70_000))
    return draw.choice(
        (
            draw.randbytes(size),
            bytes(size),
            b"\xff" * size,
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"\x16\x03\x01\x02\x00" + draw.randbytes(100),
            encode_varint(draw.getrandbits(63)) + draw.randbytes(20),
        )
    )


async def _until_closed(stream: trio.SocketStream, seconds: float) -> bool:
    with trio.move_on_after(seconds) as scope, suppress(trio.BrokenResourceError):
        while await stream.receive_some():
            pass
    return not scope.cancelled_caught


async def raw_tcp(attack: Attack) -> None:
    """Anything, nothing, half of it, or a reset."""
    draw = attack.draw
    async with await connect(attack.port, attack.source) as stream:
        for _ in range(draw.choice((0, 1, 1, 5))):
            attack.inputs += 1
            await stream.send_all(junk(draw))
            await trio.sleep(draw.choice((0, 0, 0.05)))
        how = draw.randrange(4)
        if how == 0:
            stream.socket.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SO_LINGER: a reset
        elif how == 1:
            await stream.send_eof()
        elif how == 2:
            attack.cut_off += await _until_closed(stream, 7)


async def negotiation(attack: Attack) -> None:
    """Lines of multistream-select, before noise or, secured, before a multiplexer."""
    draw = attack.draw
    async with await connect(attack.port, attack.source) as stream:
        session: multistream.Channel
        if draw.random() < 0.5:
            session = await shake_hands(await to_noise(stream))
        else:
            session = _Plain(stream)
        lines = b"" if draw.random() < 0.2 else multistream.encode_line(multistream.MULTISTREAM)
        for _ in range(draw.choice((1, 3, 40))):
            attack.inputs += 1
            lines += _line(draw)
        await session.write(lines)
        attack.cut_off += await _until_closed(stream, 3)


class _Plain:
    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream

    async def read(self, n: int) -> bytes:
        return await self._stream.receive_some(n)

    async def write(self, data: bytes) -> None:
        await self._stream.send_all(data)


def _line(draw: random.Random) -> bytes:
    content = draw.choice(
        (
            b"ls\n",
            b"na\n",
            draw.choice(NAMES).encode() + b"\n",
            b"/" + draw.randbytes(10).hex().encode() + b"\n",
            b"\xff\xfe\xfd\n",
            draw.randbytes(draw.randrange(60)),
            b"x" * 1023 + b"\n",
            b"",
        )
    )
    size = draw.choice((len(content),) * 6 + (0, 2**14, 2**40))
    return encode_varint(size) + content


async def noise(attack: Attack) -> None:
    """Handshakes that go wrong somewhere."""
    draw = attack.draw
    async with await connect(attack.port, attack.source) as stream:
        raw = await to_noise(stream)
        attack.inputs += 1
        if draw.random() < 0.4:
            for _ in range(draw.randrange(1, 4)):
                size = draw.choice((0, 16, 31, 32, 33, 64, 96, 4096, 4097, 65535))
                await send_packet(raw, draw.choice((draw.randbytes(size), bytes(size))))
        else:

            def payload(keys: KeyPair, static: bytes) -> bytes:
                right = right_payload(keys, static)
                if draw.random() < 0.2:
                    return b"\x0a\x06\x08" + bytes([draw.randrange(9)]) + draw.randbytes(9)
                return mutated(right, (), draw, 5000)

            await shake_hands(raw, payload)
        attack.cut_off += await _until_closed(stream, 6)


async def frames(attack: Attack) -> None:
    """A multiplexer's frames: mutated, of giant lengths, on streams that are none, floods."""
    draw = attack.draw
    muxer = draw.choice((YAMUX, MPLEX))
    make = _yamux if muxer == YAMUX else _mplex
    async with intruder(attack.port, muxer, source=attack.source) as made:
        with suppress(Exception), trio.move_on_after(6):
            for _ in range(draw.choice((1, 10, 100, 1000))):
                attack.inputs += 1
                await made.send(make(draw))
        with trio.move_on_after(2):
            await made.ended.wait()
        attack.cut_off += made.is_cut_off


def _yamux(draw: random.Random) -> bytes:
    stream = draw.choice((0, 1, 2, 3, 5, 7, draw.getrandbits(31) * 2 + 1, draw.getrandbits(32)))
    flags = draw.choice((0, SYN, SYN, 4, 5, 8, 9, draw.getrandbits(16)))
    kind = draw.choice((DATA, DATA, WINDOW_UPDATE, WINDOW_UPDATE, YAMUX_PING, GO_AWAY, 9))
    if kind in (GO_AWAY, 9) and draw.random() < 0.9:
        kind = DATA
    body = b""
    if kind == DATA:
        body = draw.choice(
            (b"", draw.randbytes(draw.randrange(200)), bytes(60_000), _opening(draw))
        )
    length = len(body) if kind == DATA else draw.choice((0, 1, 2**18, 2**31, 2**32 - 1))
    if draw.random() < 0.02:
        length = draw.choice((0, 2**16, 2**20, 2**24, 2**32 - 1))
    frame = yamux_frame(kind, flags, stream, length, body)
    return mutated(frame, (), draw, 70_000) if draw.random() < 0.03 else frame


def _mplex(draw: random.Random) -> bytes:
    stream = draw.choice((0, 1, 2, 3, 4, draw.getrandbits(20), draw.getrandbits(60)))
    flag = draw.choice((0, 0, 1, 2, 2, 2, 3, 4, 5, 6))
    body = b""
    if flag in (1, 2):
        body = draw.choice((draw.randbytes(draw.randrange(200)), bytes(60_000), _opening(draw)))
    elif flag == 0:
        body = draw.choice((b"", b"name", b"\xff\xfe\xfd", draw.randbytes(500)))
    if draw.random() < 0.02:
        return mplex_frame(7, stream, body, draw.choice((0, 2**20, 2**21, 2**40)))
    return mplex_frame(flag, stream, body)


def _opening(draw: random.Random) -> bytes:
    lines = (multistream.MULTISTREAM, draw.choice(NAMES))
    return b"".join(map(multistream.encode_line, lines)) + draw.randbytes(draw.randrange(50))


async def many_streams(attack: Attack) -> None:
    """Thousands of streams, for nothing or for something that takes time."""
    draw = attack.draw
    muxer = draw.choice((YAMUX, MPLEX))
    async with intruder(attack.port, muxer, source=attack.source) as made:
        with suppress(Exception), trio.move_on_after(6):
            for number in range(draw.choice((100, 3000))):
                attack.inputs += 1
                if draw.random() < 0.1:
                    await made.open(number, draw.choice(NAMES), draw.randbytes(3))
                elif muxer == YAMUX:
                    await made.send(yamux_frame(WINDOW_UPDATE, SYN, 2 * number + 1))
                else:
                    await made.send(mplex_frame(0, number))
        attack.cut_off += made.is_cut_off


async def unread_data(attack: Attack) -> None:
    """Data without end on streams that are read slowly, not at all, or are none."""
    draw = attack.draw
    muxer = draw.choice((YAMUX, YAMUX, MPLEX))
    async with intruder(attack.port, muxer, source=attack.source) as made:
        with suppress(Exception), trio.move_on_after(8):
            protocol = draw.choice(NAMES)
            for number in range(draw.choice((1, 1, 8))):
                await made.open(number, protocol)
            for _ in range(600):
                attack.inputs += 1
                await made.say(draw.choice((0, 0, 1, 99)), bytes(60_000))
        attack.cut_off += made.is_cut_off


async def deaf(attack: Attack) -> None:
    """Ask, and read nothing of what is answered."""
    draw = attack.draw
    muxer = draw.choice((YAMUX, MPLEX))
    async with intruder(attack.port, muxer, source=attack.source, listens=False) as made:
        with suppress(Exception), trio.move_on_after(draw.choice((2, 8))):
            await _ask_for_much(attack, made)
            await trio.sleep(10)


async def _ask_for_much(attack: Attack, made: Intruder) -> None:
    for number in range(200):
        attack.inputs += 1
        if made.muxer == YAMUX and attack.draw.random() < 0.5:
            await made.send(yamux_frame(YAMUX_PING, SYN, 0, number) * 500)
        else:
            await made.open(number, attack.draw.choice((PING, IDENTIFY)), os.urandom(32))
