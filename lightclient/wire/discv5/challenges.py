"""Challenges (WHOAREYOU) that we send, and the limits on them.

Anyone can make us want to challenge them, from any address they care to write on a datagram. So
challenges are limited all in all and to one IP address, kept for two seconds, and one peer gets the
same one again meanwhile; each is no longer than what provoked it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lightclient.wire.discv5.limits import TokenBucket, TokenBuckets
from lightclient.wire.discv5.packets import (
    ID_NONCE_SIZE,
    MASKING_IV_SIZE,
    datagram_of,
    whoareyou_head,
)
from lightclient.wire.discv5.sessions import Peer, RecentlyUsed
from lightclient.wire.enr import NodeRecord

MAX_CHALLENGES: Final = 256
CHALLENGE_LIFETIME_MS: Final = 2000
CHALLENGES_PER_SECOND: Final = 100
CHALLENGE_BURST: Final = 200
_PER_SECOND_AND_IP: Final = 5
_BURST_OF_AN_IP: Final = 20
_IPS: Final = 1024


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenge that was sent: ``head`` is what a handshake must prove to have read.

    ``record`` is the newest of the peer that we had, if any: it may not send it again.
    """

    head: bytes
    datagram: bytes
    record: NodeRecord | None
    since_ms: int


class Challenges:
    """The challenges that wait for their handshake."""

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self._random = random_bytes
        self._sent: RecentlyUsed[Challenge] = RecentlyUsed(MAX_CHALLENGES)
        self._all = TokenBucket(CHALLENGES_PER_SECOND, CHALLENGE_BURST)
        self._by_ip = TokenBuckets(_PER_SECOND_AND_IP, _BURST_OF_AN_IP, _IPS)

    def __len__(self) -> int:
        return len(self._sent)

    def challenge(
        self, request_nonce: bytes, peer: Peer, record: NodeRecord | None, now_ms: int
    ) -> bytes | None:
        """The datagram that challenges ``peer``; None if that would be too much."""
        node_id, (ip, _) = peer
        if not self._by_ip.take(ip, now_ms) or not self._all.take(now_ms):
            return None
        standing = self._sent.get(peer)
        if standing is not None and now_ms - standing.since_ms < CHALLENGE_LIFETIME_MS:
            # Several requests at once: the peer is told again which one it should answer.
            return standing.datagram
        head = whoareyou_head(
            self._random(MASKING_IV_SIZE),
            request_nonce,
            self._random(ID_NONCE_SIZE),
            record.sequence if record else 0,
        )
        datagram = datagram_of(node_id, head)
        self._sent.put(peer, Challenge(head, datagram, record, now_ms))
        return datagram

    def answered(self, peer: Peer, now_ms: int) -> Challenge | None:
        """The challenge that a handshake of ``peer`` may answer, once and in time."""
        challenge = self._sent.pop(peer)
        if challenge is None or now_ms - challenge.since_ms >= CHALLENGE_LIFETIME_MS:
            return None
        return challenge
