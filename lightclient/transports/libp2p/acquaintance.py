"""A connected peer, and what is said at the beginning and the end of a connection."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import trio

from lightclient.config import Network
from lightclient.errors import DecodeError
from lightclient.transports.libp2p.connections import Connection
from lightclient.transports.libp2p.identify import IDENTIFY, Identity, read_identify
from lightclient.transports.libp2p.multistream import NegotiationError, confirm, proposal
from lightclient.transports.libp2p.peers import KnownPeer
from lightclient.transports.libp2p.places import Seat
from lightclient.transports.libp2p.requests import NotSpoken, RequestFailed, ask
from lightclient.transports.libp2p.serving import Client
from lightclient.transports.libp2p.streams import StreamBroken
from lightclient.transports.libp2p.transport import Libp2pTransport
from lightclient.wire.messages import GoodbyeReason, Metadata, Status
from lightclient.wire.protocols import (
    GOODBYE_1,
    METADATA_2,
    METADATA_3,
    PING_1,
    STATUS_1,
    STATUS_2,
    Protocol,
)
from lightclient.wire.responses import decode_payload

GOODBYE_SECONDS: Final = 1.0
_IDENTIFY_SECONDS: Final = 5.0


@dataclass(slots=True, eq=False)
class Peer:
    """A connected peer.

    Attributes:
        known: what is remembered of it beyond this connection.
        client: it as one who asks us.
        status: what it last said of its place on the chain.
        has_joined: whether the client knows of it.
        reason: why it is left; None while it is not.
        pushes: how many messages it was first to tell in ``slot``.
        metadata: what it last said of itself; None until it did.
        since: when it came, seconds of trio's clock. gone: set once nothing is left of it.
    """

    connection: Connection
    known: KnownPeer
    transport: Libp2pTransport
    client: Client = field(default_factory=Client)
    identity: Identity = field(default_factory=Identity)
    status: Status | None = None
    has_joined: bool = False
    leaving: trio.Event = field(default_factory=trio.Event)
    reason: GoodbyeReason | None = None
    slot: int = 0
    pushes: int = 0
    metadata: Metadata | None = None
    since: float = field(default_factory=trio.current_time)
    gone: trio.Event = field(default_factory=trio.Event)

    @property
    def seat(self) -> Seat:
        """It, as far as its place goes."""
        known = self.known
        seconds = trio.current_time() - self.since
        is_ours = self.connection.is_outbound
        return Seat(known.is_direct, known.serves, known.score.value, seconds, is_ours)

    def leave(self, reason: GoodbyeReason | None) -> None:
        """End the connection; with a goodbye if there is a reason to tell."""
        if not self.leaving.is_set():
            self.reason = reason
            self.leaving.set()


async def exchange_status(connection: Connection, own: Status, network: Network) -> Status:
    """Tell where we stand on the chain, and hear where the peer does.

    Raises:
        RequestFailed, DecodeError: it does not say.
    """
    status = await _ask_newest(connection, (STATUS_2, STATUS_1), own, network)
    assert isinstance(status, Status)
    return status


async def ask_metadata(connection: Connection, network: Network) -> Metadata:
    """What a peer says of its subnets, under a sequence number that its pings repeat.

    Raises:
        RequestFailed, DecodeError: it does not say.
    """
    metadata = await _ask_newest(connection, (METADATA_3, METADATA_2), None, network)
    assert isinstance(metadata, Metadata)
    return metadata


async def _ask_newest(
    connection: Connection, versions: tuple[Protocol, Protocol], request: Any, network: Network
) -> Any:
    """The answer to the newest of two ``versions`` that the peer speaks."""
    protocol = versions[0]
    try:
        answer = await ask(connection, protocol, request, network)
    except NotSpoken:
        protocol = versions[1]
        answer = await ask(connection, protocol, request, network)
    if not answer.chunks:
        raise RequestFailed(f"refuses to tell its {protocol.name}")
    return decode_payload(protocol, answer.chunks[0])


async def ping(connection: Connection, own_number: int, network: Network) -> int:
    """The sequence number of a peer's metadata.

    Raises:
        RequestFailed, DecodeError: it does not say.
    """
    answer = await ask(connection, PING_1, own_number, network)
    if not answer.chunks:
        raise RequestFailed("refuses to answer a ping")
    number = decode_payload(PING_1, answer.chunks[0])
    assert isinstance(number, int)
    return number


async def ask_identity(connection: Connection) -> Identity:
    """What a peer says of itself; nothing if it does not say."""
    try:
        stream = await connection.open_stream()
    except StreamBroken:
        return Identity()
    try:
        with trio.move_on_after(_IDENTIFY_SECONDS):
            # Closed before it has answered: js-libp2p leaves the stream then, and holds it against
            # us on mplex if we name it again.
            await stream.write_last(proposal(IDENTIFY))
            await confirm(stream, IDENTIFY)
            identity = await read_identify(stream)
            await stream.finish()
            return identity
    except (NegotiationError, StreamBroken, DecodeError):
        pass
    finally:
        await stream.reset()
    return Identity()


async def say_goodbye(connection: Connection, reason: GoodbyeReason, network: Network) -> None:
    """Tell a peer why it is left, if it listens. Raises nothing."""
    with trio.move_on_after(GOODBYE_SECONDS), suppress(Exception):
        await ask(connection, GOODBYE_1, int(reason), network)
