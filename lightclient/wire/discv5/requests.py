"""What we asked and wait for: bounded, found by nonce (for challenges) and by id (for answers)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from lightclient.errors import DecodeError
from lightclient.wire.discv5.addresses import may_tell
from lightclient.wire.discv5.messages import FindNode, Nodes, Request, log_distance
from lightclient.wire.discv5.sessions import Peer
from lightclient.wire.enr import Address, NodeRecord, record_of_item

MAX_PENDING: Final = 128
MAX_PENDING_PER_PEER: Final = 8
REQUEST_TIMEOUT_MS: Final = 2000
"""For a request with its handshake; the wire specification suggests 0.5 s and 1 s."""
MAX_NODES_MESSAGES: Final = 16
MAX_RECORDS: Final = 32
"""Records that one FINDNODE may bring; clients answer with at most 16."""


@dataclass
class PendingRequest:
    """A request that was not answered yet.

    Attributes:
        nonce: of the packet that carried it last; None while it waits for a session to be made.
        challenged: it answered a challenge already, and will not answer another.
        proven: the first answer after that came, so the peer is who it should be.
        records, refused: of NODES that came in part.
    """

    record: NodeRecord
    peer: Peer
    request: Request
    deadline_ms: int
    nonce: bytes | None = None
    challenged: bool = False
    proven: bool = False
    messages_left: int | None = None
    records: dict[bytes, NodeRecord] = field(default_factory=dict)
    refused: int = 0
    _looked_at: int = 0

    @property
    def request_id(self) -> bytes:
        """Its id, random and ours."""
        return self.request.request_id

    def take_nodes(self, nodes: Nodes) -> bool:
        """Take in part of the answer to FINDNODE; tells whether it was the last part.

        Records that are not signed, not at a distance that was asked for, or at an address that
        the peer has no say in, are counted and dropped; each costs a signature check, hence the
        bound.
        """
        assert isinstance(self.request, FindNode)
        if self.messages_left is None:
            self.messages_left = min(max(nodes.total, 1), MAX_NODES_MESSAGES)
        self.messages_left -= 1
        for item in nodes.records:
            if self._looked_at == MAX_RECORDS:
                return True
            self._looked_at += 1
            try:
                record = record_of_item(item)
                node_id = record.node_id
            except DecodeError:
                self.refused += 1
                continue
            asked_for = log_distance(self.peer[0], node_id) in self.request.distances
            own = node_id == self.peer[0]  # its own record says what it likes of itself
            if not asked_for or not (own or may_tell(self.peer[1][0], record)):
                self.refused += 1
            elif node_id not in self.records or self.records[node_id].sequence < record.sequence:
                self.records[node_id] = record
        return not self.messages_left


class PendingRequests:
    """All requests that wait, at most MAX_PENDING and MAX_PENDING_PER_PEER."""

    def __init__(self) -> None:
        self._by_id: dict[tuple[Peer, bytes], PendingRequest] = {}
        self._by_nonce: dict[bytes, PendingRequest] = {}
        self._by_address: Counter[Address] = Counter()

    def __len__(self) -> int:
        return len(self._by_id)

    def has_room_for(self, peer: Peer) -> bool:
        """Whether one more may be asked of ``peer``."""
        return len(self) < MAX_PENDING and len(list(self.of(peer))) < MAX_PENDING_PER_PEER

    def of(self, peer: Peer) -> Iterator[PendingRequest]:
        """Those that wait for ``peer``, oldest first."""
        return (pending for (whose, _), pending in self._by_id.items() if whose == peer)

    def add(self, pending: PendingRequest) -> None:
        """Wait for an answer."""
        self._by_id[pending.peer, pending.request_id] = pending
        self._by_address[pending.peer[1]] += 1

    def wait_for(self, address: Address) -> bool:
        """Whether any of them waits for an answer from ``address``."""
        return address in self._by_address

    def sent(self, pending: PendingRequest, nonce: bytes) -> None:
        """``pending`` went out in the packet with ``nonce``."""
        if pending.nonce is not None:
            self._by_nonce.pop(pending.nonce, None)
        pending.nonce = nonce
        self._by_nonce[nonce] = pending

    def by_nonce(self, nonce: bytes) -> PendingRequest | None:
        """The request that went out with ``nonce``."""
        return self._by_nonce.get(nonce)

    def answered_by(self, peer: Peer, request_id: bytes) -> PendingRequest | None:
        """The request that an answer belongs to."""
        return self._by_id.get((peer, request_id))

    def remove(self, pending: PendingRequest) -> None:
        """No longer wait."""
        if self._by_id.pop((pending.peer, pending.request_id), None) is not None:
            address = pending.peer[1]
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]
        if pending.nonce is not None:
            self._by_nonce.pop(pending.nonce, None)

    def expired(self, now_ms: int) -> list[PendingRequest]:
        """Those whose time is over."""
        return [pending for pending in self._by_id.values() if pending.deadline_ms <= now_ms]

    @property
    def next_deadline_ms(self) -> int | None:
        """When the first of them expires."""
        return min((pending.deadline_ms for pending in self._by_id.values()), default=None)
