"""Agreeing on a protocol (multistream-select 1.0), with every line bounded.

Works on anything that can be read and written. The opener may send its first message along with its
proposal, so that a request costs one round trip and not three.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, Protocol

from lightclient.wire.varint import MAX_VARINT_BYTES, encode_varint, read_varint

MULTISTREAM: Final = "/multistream/1.0.0"
MAX_LINE: Final = 1024
MAX_PROPOSALS: Final = 16
"""A peer that proposes more protocols than that wants something else."""
_NOT_AVAILABLE: Final = "na"
_LIST: Final = "ls"


class NegotiationError(Exception):
    """The other end does not keep to multistream-select."""


class ProtocolRefused(NegotiationError):
    """The other end speaks none of the protocols proposed."""


class Channel(Protocol):
    """Bytes both ways. ``read`` gives at most ``n`` bytes, none at the end."""

    async def read(self, n: int) -> bytes:
        """Read."""
        ...

    async def write(self, data: bytes) -> None:
        """Write."""
        ...


def encode_line(text: str) -> bytes:
    """A line as it goes over the wire."""
    raw = text.encode() + b"\n"
    return encode_varint(len(raw)) + raw


async def read_line(channel: Channel) -> str:
    """The next line, and not a byte more.

    Raises:
        NegotiationError: none of at most MAX_LINE bytes.
    """
    prefix = bytearray()
    while True:
        prefix += await _exactly(channel, 1)
        if prefix[-1] < 0x80:
            break
        if len(prefix) >= MAX_VARINT_BYTES:
            raise NegotiationError("a line without a length")
    found = read_varint(prefix, bits=70)
    assert found is not None
    if not 1 <= found[0] <= MAX_LINE:
        raise NegotiationError(f"a line of {found[0]} bytes")
    line = await _exactly(channel, found[0])
    if line[-1:] != b"\n":
        raise NegotiationError("a line without its end")
    try:
        return line[:-1].decode()
    except UnicodeDecodeError:
        raise NegotiationError("a line that is no text") from None


async def _exactly(channel: Channel, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = await channel.read(size - len(data))
        if not piece:
            raise NegotiationError("the other end closed")
        data += piece
    return bytes(data)


async def propose(channel: Channel, protocols: Sequence[str]) -> str:
    """Propose ``protocols`` in turn; the one that the other end takes.

    Raises:
        ProtocolRefused: it takes none.
        NegotiationError: it answers something else.
    """
    await channel.write(encode_line(MULTISTREAM) + encode_line(protocols[0]))
    await _expect_header(channel)
    for index, protocol in enumerate(protocols):
        if index:
            await channel.write(encode_line(protocol))
        if await _is_taken(channel, protocol):
            return protocol
    raise ProtocolRefused(f"the other end does not speak {protocols[0]}")


def proposal(protocol: str, message: bytes = b"") -> bytes:
    """A proposal of one protocol along with a first message, as it goes over the wire.

    :func:`confirm` is to be called before anything is read.
    """
    return encode_line(MULTISTREAM) + encode_line(protocol) + message


async def propose_with(channel: Channel, protocol: str, message: bytes) -> None:
    """Send a :func:`proposal` without awaiting the answer."""
    await channel.write(proposal(protocol, message))


async def confirm(channel: Channel, protocol: str) -> None:
    """Read the answer to a :func:`proposal`. Raises as :func:`propose`."""
    await _expect_header(channel)
    if not await _is_taken(channel, protocol):
        raise ProtocolRefused(f"the other end does not speak {protocol}")


async def accept(channel: Channel, protocols: Collection[str]) -> str:
    """Answer proposals until one is among ``protocols``; that one.

    Raises:
        NegotiationError: none is, or the other end does not keep to the rules.
    """
    await _expect_header(channel)
    await channel.write(encode_line(MULTISTREAM))
    for _ in range(MAX_PROPOSALS):
        proposed = await read_line(channel)
        if proposed in protocols:
            await channel.write(encode_line(proposed))
            return proposed
        if proposed == _LIST:
            # A list is a line that holds lines.
            listed = b"".join(map(encode_line, protocols)) + b"\n"
            await channel.write(encode_varint(len(listed)) + listed)
        else:
            await channel.write(encode_line(_NOT_AVAILABLE))
    raise NegotiationError("too many proposals")


async def _expect_header(channel: Channel) -> None:
    if await read_line(channel) != MULTISTREAM:
        raise NegotiationError("the other end does not speak multistream-select")


async def _is_taken(channel: Channel, protocol: str) -> bool:
    answer = await read_line(channel)
    if answer not in (protocol, _NOT_AVAILABLE):
        raise NegotiationError("an answer to a proposal that was not made")
    return answer == protocol
