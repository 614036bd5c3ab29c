"""The peers that are connected: who is let in, who has to go, and what they are told then.

The decisions about places are in ``places``, the memory beyond a connection in ``peers``; this
brings them to the connections. Whoever is to go is told why, by goodbye.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import trio

from lightclient.config import Network
from lightclient.transports.libp2p.acquaintance import Peer
from lightclient.transports.libp2p.connections import Connection
from lightclient.transports.libp2p.options import Libp2pOptions
from lightclient.transports.libp2p.peers import PeerBook
from lightclient.transports.libp2p.places import (
    Seat,
    kept_for_us,
    missing_peers,
    newer_one_stays,
    useless_one,
    whom_to_replace,
)
from lightclient.transports.libp2p.serving import SERVED, Client
from lightclient.transports.libp2p.standing import irrelevance
from lightclient.transports.libp2p.transport import Libp2pTransport
from lightclient.transports.pools import PoolMember
from lightclient.transports.scores import Uniform
from lightclient.wire.messages import GoodbyeReason, Status

_logger = logging.getLogger("lightclient.libp2p")

_IRRELEVANT_MS: Final = 3_600_000
_UNWANTED_MS: Final = 600_000
_FULL_MS: Final = 60_000
_SERVING: Final = frozenset(item.protocol_id for item in SERVED if item.kind is not None)


@dataclass(slots=True)
class CompanyFigures:
    """Counts since the start.

    Attributes:
        joined: connections that were kept. refused: others. replaced: peers that made room.
        offences: what peers did that no honest one does.
    """

    joined: int = 0
    refused: int = 0
    replaced: int = 0
    offences: int = 0


class Company:
    """The connected peers.

    Args:
        clock: Unix milliseconds. uniform: as ``random.uniform``.

    Attributes:
        peers: those connected, by id.
        book: what is remembered of them and of others.
    """

    def __init__(
        self,
        options: Libp2pOptions,
        network: Network,
        member: PoolMember,
        book: PeerBook,
        clock: Callable[[], int],
        uniform: Uniform,
    ) -> None:
        self.peers: dict[str, Peer] = {}
        self.book = book
        self.figures = CompanyFigures()
        self._options = options
        self._network = network
        self._member = member
        self._clock = clock
        self._uniform = uniform

    # Coming and going ---------------------------------------------------------------------------

    async def admit(self, own_id: str, connection: Connection) -> Peer | GoodbyeReason | None:
        """Take a new connection in, as a peer; or why not. None: another one to it stays."""
        peer_id = connection.peer_id
        known = self.book.known(peer_id)
        while (older := self.peers.get(peer_id)) is not None:
            if not older.leaving.is_set() and not self._replaces(own_id, older, connection):
                return None
            # Without goodbye: it is the connection that is left, not the peer.
            older.leave(None)
            await older.gone.wait()
        if known.is_banned(self._clock()):
            return self._refused(GoodbyeReason.BANNED)
        newcomer = Seat(known.is_direct, known.serves, known.score.value)
        rivals = None if known.is_direct else self._rivals(connection)
        if rivals is not None:
            worst = whom_to_replace(rivals, newcomer)
            if worst is None:
                return self._refused(GoodbyeReason.TOO_MANY_PEERS)
            self._send_away(worst)
        transport = Libp2pTransport(connection, self._network, known.pace)
        peer = Peer(connection, known, transport, Client(known.limiter))
        self.peers[peer_id] = peer
        known.is_connected = True
        self.figures.joined += 1
        return peer

    def _rivals(self, newcomer: Connection) -> dict[str, Seat] | None:
        """Whose place a newcomer may have; None if there is one free.

        Who came by itself has no claim to what is kept for those whom we choose.
        """
        seats, limit = self._seats, self._options.peer_limit
        is_full = len(self.peers) >= limit
        if newcomer.is_outbound:
            return seats if is_full else None
        came = {peer_id: seat for peer_id, seat in seats.items() if not seat.is_ours}
        is_full = is_full or len(came) >= limit - kept_for_us(self._options.max_peers)
        return came if is_full else None

    def _refused(self, reason: GoodbyeReason) -> GoodbyeReason:
        self.figures.refused += 1
        return reason

    @staticmethod
    def _replaces(own_id: str, older: Peer, connection: Connection) -> bool:
        return newer_one_stays(
            own_id,
            connection.peer_id,
            old_is_ours=older.connection.is_outbound,
            new_is_ours=connection.is_outbound,
            seconds_apart=trio.current_time() - older.since,
        )

    def part_from(self, peer: Peer) -> None:
        """A connection is over."""
        peer_id = peer.connection.peer_id
        if self.peers.get(peer_id) is peer:
            del self.peers[peer_id]
        peer.known.is_connected = False
        self.book.note_gone(peer_id)
        if peer.has_joined:
            self._member.leave(peer.transport)
        log(peer, "Peer disconnected")
        peer.gone.set()

    # Places -------------------------------------------------------------------------------------

    @property
    def _seats(self) -> dict[str, Seat]:
        present = {key: peer for key, peer in self.peers.items() if not peer.leaving.is_set()}
        return {peer_id: peer.seat for peer_id, peer in present.items()}

    @property
    def missing(self) -> int:
        """How many peers are to be looked for."""
        return missing_peers(self._seats.values(), self._options.max_peers)

    def make_room(self, expected: int) -> int:
        """How many may be dialled; if there is no place although some are missing, one is made.

        Args:
            expected: how many are being dialled already.
        """
        missing = self.missing - expected
        free = self._options.peer_limit - len(self.peers) - expected
        if missing <= 0 or free > 0:
            return max(min(missing, free), 0)
        seats = self._seats
        useless = useless_one(seats) if len(seats) == len(self.peers) else None
        if useless is not None and self.book.to_dial(self.peers, 1):
            self.book.note_useless(useless)
            self._send_away(useless)
        return 0

    def _send_away(self, peer_id: str) -> None:
        peer = self.peers[peer_id]
        log(peer, "Peer makes room for others", score=peer.known.score.value)
        self.figures.replaced += 1
        peer.leave(GoodbyeReason.TOO_MANY_PEERS)

    def drop_bad_peers(self) -> None:
        """Part from those whose score has fallen below 0."""
        now_ms = self._clock()
        for peer in self.peers.values():
            score = peer.known.score
            if score.is_dropped(now_ms) and not peer.leaving.is_set():
                self.book.ban(peer.connection.peer_id, score.dropped_until_ms - now_ms)
                said = f"score {score.value}"
                log_if_named(peer, logging.WARNING, "Peer dropped", reason=said)
                peer.leave(GoodbyeReason.BAD_SCORE)

    # What peers say and do ----------------------------------------------------------------------

    def welcome(self, peer: Peer) -> None:
        """A peer has said who it is and where it stands: the client may ask it."""
        spoken = peer.identity.protocols
        self.book.note_dial(peer.connection.peer_id, succeeded=True)
        # Who does not say what it speaks is asked, and soon known.
        peer.known.serves = bool(_SERVING & spoken) if spoken else None
        log(peer, "Peer connected", serves=peer.known.serves)
        if peer.known.serves is False:
            log_if_named(peer, logging.WARNING, "Named peer serves no light client data")
        peer.has_joined = True
        serves = peer.known.serves is not False
        self._member.join(peer.transport, peer.known.score, serves=serves)

    async def note_status(self, peer_id: str, status: Status) -> None:
        """A peer told where it stands; who is on another chain is left."""
        peer = self.peers.get(peer_id)
        if peer is None:
            return
        peer.status = status
        slot = self._network.slot_at_time_ms(self._clock())
        reason = irrelevance(self._network, self._member.heads(), status, slot)
        if reason is not None:
            log_if_named(peer, logging.WARNING, "Peer is on another chain", reason=reason)
            # Whoever named it may be about to mend that.
            self.book.ban(peer_id, _UNWANTED_MS if peer.known.is_direct else _IRRELEVANT_MS)
            peer.leave(GoodbyeReason.IRRELEVANT_NETWORK)

    def note_goodbye(self, peer_id: str, reason: int) -> None:
        """A peer leaves us."""
        peer = self.peers.get(peer_id)
        if peer is None:
            return
        log_if_named(peer, logging.INFO, "Peer says goodbye", reason=_in_words(reason))
        if reason == GoodbyeReason.TOO_MANY_PEERS:
            self.book.ban(peer_id, _FULL_MS)
        elif reason not in (GoodbyeReason.CLIENT_SHUTDOWN, GoodbyeReason.FAULT):
            self.book.ban(peer_id, _UNWANTED_MS)
        peer.leave(None)

    def note_silence(self, peer: Peer, reason: str) -> None:
        """A peer does not answer what every peer answers."""
        log_if_named(peer, logging.INFO, "Peer does not answer", reason=reason)
        self.book.note_dial(peer.connection.peer_id, succeeded=False)
        peer.leave(GoodbyeReason.FAULT)

    def note_offence(self, peer_id: str, offence: str, is_malice: bool) -> None:
        """A peer did what no honest one does, perhaps out of nothing but malice."""
        peer = self.peers.get(peer_id)
        if peer is None:
            return
        self.figures.offences += 1
        log(peer, "Peer breaks the rules", reason=offence)
        now_ms, slot_ms = self._clock(), self._network.slot_duration_ms
        if is_malice:
            peer.known.score.note_malformed(now_ms, slot_ms, self._uniform)
        else:
            peer.known.score.note_failure(now_ms, slot_ms, self._uniform)


def log(peer: Peer, message: str, level: int = logging.DEBUG, **fields: object) -> None:
    """Tell, for debugging, what happened with a peer."""
    connection = peer.connection
    about = {"peer": peer.transport.name, "agent": peer.identity.agent or "unknown"}
    about["way"] = "outbound" if connection.is_outbound else "inbound"
    _logger.log(level, message, extra={"lc": {**about, **fields}})


def log_if_named(peer: Peer, level: int, message: str, **fields: object) -> None:
    """Tell what happened; at ``level`` if the user named the peer, who waits for it then."""
    log(peer, message, level if peer.known.is_direct else logging.DEBUG, **fields)


def _in_words(reason: int) -> str:
    try:
        return GoodbyeReason(reason).name.lower().replace("_", " ")
    except ValueError:
        return f"reason {reason}"
