"""What is said with a peer for as long as it is connected: status, identity, metadata, pings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import trio

from lightclient.config import Network
from lightclient.errors import DecodeError
from lightclient.transports.libp2p.acquaintance import (
    Peer,
    ask_identity,
    ask_metadata,
    exchange_status,
    ping,
)
from lightclient.transports.libp2p.company import Company, log
from lightclient.transports.libp2p.requests import RequestFailed
from lightclient.transports.libp2p.streams import StreamBroken
from lightclient.transports.scores import Uniform
from lightclient.wire.messages import Metadata, Status

PING_SECONDS: Final = 30.0
PINGS_TO_STATUS: Final = 10


@dataclass(frozen=True, slots=True)
class Conversation:
    """How we converse with peers.

    Args:
        status, metadata: what to say of ourselves.
    """

    company: Company
    network: Network
    status: Callable[[], Status]
    metadata: Callable[[], Metadata]
    uniform: Uniform

    async def run(self, peer: Peer) -> None:
        """Get acquainted with a peer and stay in touch until cancelled, or until it is left."""
        try:
            await self._exchange_status(peer)
            if peer.leaving.is_set():
                return
            peer.identity = await ask_identity(peer.connection)
            self.company.welcome(peer)
            await self._stay_in_touch(peer)
        except (RequestFailed, StreamBroken, DecodeError) as error:
            self.company.note_silence(peer, str(error))

    async def _exchange_status(self, peer: Peer) -> None:
        status = await exchange_status(peer.connection, self.status(), self.network)
        await self.company.note_status(peer.connection.peer_id, status)

    async def _stay_in_touch(self, peer: Peer) -> None:
        await self._learn_metadata(peer)
        for count in range(1, 2**62):
            await trio.sleep(PING_SECONDS * self.uniform(0.75, 1.25))
            self.company.book.note_useful(peer.connection.peer_id)
            if count % PINGS_TO_STATUS == 0:
                await self._exchange_status(peer)
                continue
            number = await ping(peer.connection, self.metadata().seq_number, self.network)
            if peer.metadata is not None and number != peer.metadata.seq_number:
                await self._learn_metadata(peer)

    async def _learn_metadata(self, peer: Peer) -> None:
        try:
            peer.metadata = await ask_metadata(peer.connection, self.network)
        except (RequestFailed, DecodeError) as error:
            # Nothing that we do depends on it.
            log(peer, "Peer does not tell its metadata", reason=str(error))
