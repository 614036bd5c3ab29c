"""The protocol engine of discovery v5.1: datagrams in; datagrams, sessions and events out.

No clock, no socket, no randomness of its own. How a conversation opens: a request to a peer without
session goes out as random bytes; the peer challenges (WHOAREYOU); we answer with a handshake that
carries the request. Other requests to the same peer wait for that. The other way round, whatever
cannot be decrypted is challenged, within limits.

What an attacker can make it do is bounded: challenges sent, kept and hence handshakes checked,
requests answered to one session, records verified for one answer. A challenge is believed only if
it names the nonce of a request that waits for an answer from that very address, and once for each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from lightclient.errors import DecodeError
from lightclient.wire.discv5.addresses import may_tell
from lightclient.wire.discv5.challenges import Challenges
from lightclient.wire.discv5.ciphers import NONCE_SIZE, encrypt
from lightclient.wire.discv5.events import (
    Answered,
    Asked,
    Event,
    NewerRecord,
    NodesFound,
    RequestFailed,
    SessionOpened,
)
from lightclient.wire.discv5.handshake import answer_challenge, check_handshake, ephemeral_key
from lightclient.wire.discv5.limits import TokenBucket
from lightclient.wire.discv5.messages import (
    FindNode,
    Message,
    Nodes,
    Ping,
    Pong,
    Request,
    TalkRequest,
    TalkResponse,
    decode_message,
    encode_message,
)
from lightclient.wire.discv5.packets import (
    MASKING_IV_SIZE,
    HandshakePacket,
    OrdinaryPacket,
    WhoAreYouPacket,
    datagram_of,
    decode_packet,
    ordinary_head,
)
from lightclient.wire.discv5.requests import REQUEST_TIMEOUT_MS, PendingRequest, PendingRequests
from lightclient.wire.discv5.sessions import (
    MAX_SESSIONS,
    SESSION_LIFETIME_MS,
    Peer,
    RecentlyUsed,
    Session,
)
from lightclient.wire.enr import Address, NodeRecord
from lightclient.wire.identity import IdentityKey
from lightclient.wire.rlp import decode_rlp

RANDOM_MESSAGE_SIZE: Final = 20
MAX_RECORDS_IN_ANSWER: Final = 16
MAX_RECORD_BYTES_IN_MESSAGE: Final = 1100
"""Of records in one NODES, so that the datagram stays below 1280 bytes."""
FIND_NODES_PER_SECOND: Final = 20
FIND_NODE_BURST: Final = 100
"""Questions for nodes, of all who ask: an answer is fifty times as long as its question."""
MAX_DISTANCES_ASKED: Final = 16
MAX_TALK_SIZE: Final = 512
"""With a handshake and our record around it, a datagram still holds a request of that size."""
_REQUEST_ID_SIZE: Final = 8
_SESSION_NONCE_RANDOM: Final = 8
_ANSWERS: Final[dict[type, type]] = {Ping: Pong, FindNode: Nodes, TalkRequest: TalkResponse}


class Datagram(NamedTuple):
    """Something to send."""

    data: bytes
    address: Address


class Engine:
    """One node of the discovery network.

    Feed :meth:`receive` and, when time has passed, :meth:`tick`; then take :meth:`datagrams` and
    :meth:`events`. Times are Unix milliseconds.

    Args:
        key: identity.
        record: our own node record.
        random_bytes: gives so many unpredictable bytes.
        neighbours: the records to answer a FINDNODE of these distances with.
    """

    def __init__(
        self,
        key: IdentityKey,
        record: NodeRecord,
        random_bytes: Callable[[int], bytes],
        neighbours: Callable[[Sequence[int]], Sequence[NodeRecord]] = lambda _distances: (),
    ) -> None:
        self._key = key
        self.record = record
        self._random = random_bytes
        self._neighbours = neighbours
        self._sessions: RecentlyUsed[Session] = RecentlyUsed(MAX_SESSIONS)
        self._challenges = Challenges(random_bytes)
        self._pending = PendingRequests()
        self._find_nodes = TokenBucket(FIND_NODES_PER_SECOND, FIND_NODE_BURST)
        self._outgoing: deque[Datagram] = deque()
        self._events: deque[Event] = deque()

    # What the caller takes out ------------------------------------------------------------------

    def datagrams(self) -> list[Datagram]:
        """What to send now; each is given once."""
        taken = list(self._outgoing)
        self._outgoing.clear()
        return taken

    def events(self) -> list[Event]:
        """What happened; each is given once."""
        taken = list(self._events)
        self._events.clear()
        return taken

    @property
    def session_count(self) -> int:
        """Peers with session keys, at most MAX_SESSIONS."""
        return len(self._sessions)

    @property
    def challenge_count(self) -> int:
        """Challenges of ours that are kept, at most MAX_CHALLENGES."""
        return len(self._challenges)

    @property
    def pending_count(self) -> int:
        """Requests that wait for an answer, at most MAX_PENDING."""
        return len(self._pending)

    def expects(self, address: Address) -> bool:
        """Whether something that we asked waits for a datagram from ``address``."""
        return self._pending.wait_for(address)

    @property
    def next_deadline_ms(self) -> int | None:
        """When :meth:`tick` has something to do; None if nothing waits."""
        return self._pending.next_deadline_ms

    # What the caller asks for -------------------------------------------------------------------

    def ping(self, record: NodeRecord, now_ms: int) -> bytes | None:
        """Ask whether a node is there. Gives the request's id; None if there is no room for it."""
        return self._ask(record, Ping(self._request_id(), self.record.sequence), now_ms)

    def find_node(self, record: NodeRecord, distances: Sequence[int], now_ms: int) -> bytes | None:
        """Ask for nodes at up to 16 logarithmic distances; 0 is itself. As :meth:`ping`."""
        if not 0 < len(distances) <= MAX_DISTANCES_ASKED:
            raise ValueError(f"{len(distances)} distances in one question")
        return self._ask(record, FindNode(self._request_id(), tuple(distances)), now_ms)

    def talk(
        self, record: NodeRecord, protocol: bytes, request: bytes, now_ms: int
    ) -> bytes | None:
        """Ask something of another protocol, in up to 512 bytes. As :meth:`ping`."""
        if len(protocol) + len(request) > MAX_TALK_SIZE:
            raise ValueError(f"a request of {len(request)} bytes in one datagram")
        return self._ask(record, TalkRequest(self._request_id(), protocol, request), now_ms)

    def _request_id(self) -> bytes:
        return self._random(_REQUEST_ID_SIZE)

    def _ask(self, record: NodeRecord, request: Request, now_ms: int) -> bytes | None:
        address = record.udp_endpoint
        if address is None or record.node_id == self._key.node_id:
            return None
        peer = (record.node_id, address)
        if not self._pending.has_room_for(peer):
            return None
        session = self._session(peer, now_ms)
        if session is not None and session.record.sequence < record.sequence:
            session.record = record
        opening = session is None and any(True for _ in self._pending.of(peer))
        pending = PendingRequest(record, peer, request, now_ms + REQUEST_TIMEOUT_MS)
        self._pending.add(pending)
        if not opening:
            self._send_request(pending, session)
        return pending.request_id

    def _session(self, peer: Peer, now_ms: int) -> Session | None:
        session = self._sessions.get(peer)
        if session is not None and now_ms - session.since_ms > SESSION_LIFETIME_MS:
            self._sessions.pop(peer)
            return None
        return session

    def _send_request(self, pending: PendingRequest, session: Session | None) -> None:
        if session is not None:
            nonce = self._send(pending.peer, session, pending.request)
        else:
            nonce = self._random(NONCE_SIZE)
            head = ordinary_head(self._random(MASKING_IV_SIZE), nonce, self._key.node_id)
            self._put(pending.peer, head, self._random(RANDOM_MESSAGE_SIZE))
        self._pending.sent(pending, nonce)

    def _send(self, peer: Peer, session: Session, message: Message) -> bytes:
        nonce = session.next_nonce(self._random(_SESSION_NONCE_RANDOM))
        head = ordinary_head(self._random(MASKING_IV_SIZE), nonce, self._key.node_id)
        sealed = encrypt(session.send_key, nonce, encode_message(message), head)
        self._put(peer, head, sealed)
        return nonce

    def _put(self, peer: Peer, head: bytes, message: bytes = b"") -> None:
        node_id, address = peer
        self._outgoing.append(Datagram(datagram_of(node_id, head, message), address))

    # What comes in ------------------------------------------------------------------------------

    def receive(self, datagram: bytes, address: Address, now_ms: int) -> None:
        """Take in a datagram from ``address``. Never raises for what it holds."""
        try:
            packet = decode_packet(datagram, self._key.node_id)
            match packet:
                case OrdinaryPacket():
                    self._receive_ordinary(packet, address, now_ms)
                case WhoAreYouPacket():
                    self._receive_challenge(packet, address, now_ms)
                case HandshakePacket():
                    self._receive_handshake(packet, address, now_ms)
        except DecodeError:
            # Whoever sent it learns nothing from us; floods of it cost what unmasking costs.
            return

    def tick(self, now_ms: int) -> None:
        """Give up what was not answered in time."""
        for pending in self._pending.expired(now_ms):
            self._pending.remove(pending)
            if pending.messages_left is not None:
                self._tell_nodes(pending, complete=False)
            else:
                self._events.append(RequestFailed(pending.request_id, pending.record))
            # Those that waited for its handshake would wait in vain: one of them tries.
            waiting = next((other for other in self._pending.of(pending.peer)), None)
            if waiting is not None and waiting.nonce is None and waiting.deadline_ms > now_ms:
                self._send_request(waiting, self._session(pending.peer, now_ms))

    def _receive_ordinary(self, packet: OrdinaryPacket, address: Address, now_ms: int) -> None:
        peer = (packet.source_id, address)
        if packet.source_id == self._key.node_id:
            return
        session = self._session(peer, now_ms)
        plaintext = session.decrypt(packet) if session else None
        if session is not None and plaintext is not None:
            self._receive_message(decode_message(plaintext), peer, session, now_ms)
            return
        known = session.record if session else None
        challenge = self._challenges.challenge(packet.nonce, peer, known, now_ms)
        if challenge is not None:
            self._outgoing.append(Datagram(challenge, address))

    def _receive_challenge(self, packet: WhoAreYouPacket, address: Address, now_ms: int) -> None:
        pending = self._pending.by_nonce(packet.request_nonce)
        if pending is None or pending.peer[1] != address or pending.challenged:
            return
        pending.challenged = True
        # The session counts its nonces from 1.
        nonce = bytes(NONCE_SIZE - _SESSION_NONCE_RANDOM) + self._random(_SESSION_NONCE_RANDOM)
        keys, head = answer_challenge(
            self._key,
            self.record,
            pending.record,
            packet,
            ephemeral_key(self._random),
            masking_iv=self._random(MASKING_IV_SIZE),
            nonce=nonce,
        )
        message = encrypt(keys.initiator, nonce, encode_message(pending.request), head)
        self._put(pending.peer, head, message)
        self._pending.sent(pending, nonce)
        session = Session(pending.record, keys.initiator, keys.recipient, now_ms)
        self._open(pending.peer, session)

    def _open(self, peer: Peer, session: Session) -> None:
        """Take the session into use; what waits for an answer goes out again under its keys."""
        replaced = self._sessions.get(peer)
        session.replaced_key = replaced.receive_key if replaced else None
        self._sessions.put(peer, session)
        for waiting in list(self._pending.of(peer)):
            if not waiting.challenged and waiting.messages_left is None:
                self._send_request(waiting, session)

    def _receive_handshake(self, packet: HandshakePacket, address: Address, now_ms: int) -> None:
        peer = (packet.source_id, address)
        challenge = self._challenges.answered(peer, now_ms)
        if challenge is None:
            return
        record, keys, plaintext = check_handshake(self._key, challenge, packet)
        session = Session(record, keys.recipient, keys.initiator, now_ms)
        self._open(peer, session)
        self._events.append(SessionOpened(record, address, initiated=False))
        self._receive_message(decode_message(plaintext), peer, session, now_ms)

    # Messages -----------------------------------------------------------------------------------

    def _receive_message(self, message: Message, peer: Peer, session: Session, now_ms: int) -> None:
        if isinstance(message, Pong | Nodes | TalkResponse):
            self._receive_answer(message, peer, session)
            return
        if not session.inbound.take(now_ms):
            return
        self._events.append(Asked(session.record, peer[1]))
        match message:
            case Ping(request_id, enr_sequence):
                ip, port = peer[1]
                pong = Pong(request_id, self.record.sequence, ip, port)
                self._send(peer, session, pong)
                self._note_sequence(peer, session, enr_sequence)
            case FindNode(request_id, distances):
                self._answer_find_node(request_id, distances, peer, session, now_ms)
            case TalkRequest(request_id, _, _):
                self._send(peer, session, TalkResponse(request_id, b""))

    def _note_sequence(self, peer: Peer, session: Session, enr_sequence: int) -> None:
        # It would be asked for where the record that we have says: a lie, perhaps, in a handshake.
        record, address = session.record, peer[1]
        is_there = record.udp_endpoint == address or may_tell(address[0], record)
        if enr_sequence > record.sequence and is_there:
            self._events.append(NewerRecord(record, enr_sequence))

    def _answer_find_node(
        self,
        request_id: bytes,
        distances: Sequence[int],
        peer: Peer,
        session: Session,
        now_ms: int,
    ) -> None:
        asker_id, (ip, _) = peer
        records = [self.record] if 0 in distances else []
        if any(distances) and self._find_nodes.take(now_ms):
            near = self._neighbours(distances)
            records += [one for one in near if one.node_id != asker_id and may_tell(ip, one)]
        elif distances and not records:
            return
        batches: list[list[NodeRecord]] = [[]]
        size = 0
        for record in records[:MAX_RECORDS_IN_ANSWER]:
            size += len(record.raw)
            if size > MAX_RECORD_BYTES_IN_MESSAGE:
                batches.append([])
                size = len(record.raw)
            batches[-1].append(record)
        for batch in batches:
            items = tuple(decode_rlp(record.raw) for record in batch)
            self._send(peer, session, Nodes(request_id, len(batches), items))

    def _receive_answer(
        self, answer: Pong | Nodes | TalkResponse, peer: Peer, session: Session
    ) -> None:
        pending = self._pending.answered_by(peer, answer.request_id)
        if pending is None:
            return
        if not isinstance(answer, _ANSWERS[type(pending.request)]):
            return
        self._proven(pending, session)
        if isinstance(answer, Nodes):
            if pending.take_nodes(answer):
                self._pending.remove(pending)
                self._tell_nodes(pending, complete=True)
            return
        self._pending.remove(pending)
        # Not the session's record: that came from the node, and may say that it is elsewhere.
        self._events.append(Answered(pending.request_id, pending.record, answer))
        if isinstance(answer, Pong):
            self._note_sequence(peer, session, answer.enr_sequence)

    def _proven(self, pending: PendingRequest, session: Session) -> None:
        """The first answer under new keys proves the peer of a handshake that we began."""
        if pending.challenged and not pending.proven:
            pending.proven = True
            opened = SessionOpened(session.record, pending.peer[1], initiated=True)
            self._events.append(opened)

    def _tell_nodes(self, pending: PendingRequest, *, complete: bool) -> None:
        own = self._key.node_id
        found = tuple(record for node_id, record in pending.records.items() if node_id != own)
        event = NodesFound(pending.request_id, pending.record, found, pending.refused, complete)
        self._events.append(event)
