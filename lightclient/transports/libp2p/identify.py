"""Identify: which program a node runs and which protocols it speaks; and the ping of libp2p.

What a peer says of itself is hearsay. It helps to choose whom to ask, and to name programs in logs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import trio

from lightclient.errors import DecodeError
from lightclient.transports.libp2p.protobuf import Field, as_bytes, decode_fields, encode_fields
from lightclient.transports.libp2p.streams import Stream, StreamBroken
from lightclient.wire.varint import encode_varint, read_varint

IDENTIFY: Final = "/ipfs/id/1.0.0"
PING: Final = "/ipfs/ping/1.0.0"
MAX_IDENTIFY: Final = 64 * 1024
MAX_PROTOCOLS: Final = 512
_MAX_TEXT: Final = 256
_PROTOCOL_VERSION: Final = "eth2/1.0.0"
_PING_SIZE: Final = 32
_MAX_PINGS: Final = 16
_PING_SECONDS: Final = 30
_PUBLIC_KEY, _LISTEN, _PROTOCOL, _OBSERVED, _VERSION, _AGENT = 1, 2, 3, 4, 5, 6


@dataclass(frozen=True, slots=True)
class Identity:
    """What a peer says of itself: its program, and the protocols it speaks."""

    agent: str = ""
    protocols: frozenset[str] = frozenset()


def encode_identify(
    *,
    public_key: bytes,
    agent: str,
    protocols: Iterable[str],
    listen: Iterable[bytes],
    observed: bytes,
) -> bytes:
    """Our own message, after its length; addresses are binary multiaddresses."""
    fields: list[Field] = [(_PUBLIC_KEY, public_key)]
    fields += [(_LISTEN, address) for address in listen]
    fields += [(_PROTOCOL, name.encode()) for name in protocols]
    fields += [
        (_OBSERVED, observed),
        (_VERSION, _PROTOCOL_VERSION.encode()),
        (_AGENT, agent.encode()),
    ]
    content = encode_fields(fields)
    return encode_varint(len(content)) + content


def decode_identify(data: bytes) -> Identity:
    """What a message says. Raises DecodeError."""
    agent, protocols = "", set[str]()
    for number, value in decode_fields(data):
        if number == _AGENT:
            agent = _text(as_bytes(value))
        elif number == _PROTOCOL and len(protocols) < MAX_PROTOCOLS:
            protocols.add(_text(as_bytes(value)))
    return Identity(agent, frozenset(protocols))


def _text(raw: bytes) -> str:
    text = raw[:_MAX_TEXT].decode("utf-8", "replace")
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


async def read_identify(stream: Stream) -> Identity:
    """What the peer says on a stream for IDENTIFY.

    Raises:
        DecodeError, StreamBroken: nothing that can be read.
    """
    data = bytearray()
    while True:
        piece = await stream.read()
        data += piece
        found = read_varint(data) if data else None
        if found is not None:
            size, start = found
            if size > MAX_IDENTIFY:
                raise DecodeError(f"an identify message of {size} bytes")
            if len(data) >= start + size:
                return decode_identify(bytes(data[start : start + size]))
        if not piece:
            raise DecodeError("an identify message that ends too early")


async def answer_ping(stream: Stream) -> None:
    """Echo what a peer sends, a few times. Raises StreamBroken."""
    with trio.move_on_after(_PING_SECONDS):
        for _ in range(_MAX_PINGS):
            data = bytearray()
            while len(data) < _PING_SIZE:
                piece = await stream.read(_PING_SIZE - len(data))
                if not piece:
                    await stream.leave()
                    return
                data += piece
            await stream.write(bytes(data))
    raise StreamBroken("enough pings")
