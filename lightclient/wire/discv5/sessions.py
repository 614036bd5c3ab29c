"""Sessions of discovery, a bounded number: the one used longest ago makes room.

A session belongs to a node id and the address it speaks from, so that a spoofed address gets none.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Generic, TypeAlias, TypeVar

from lightclient.errors import DecodeError
from lightclient.wire.discv5.ciphers import NONCE_SIZE, decrypt
from lightclient.wire.discv5.limits import TokenBucket
from lightclient.wire.discv5.packets import OrdinaryPacket
from lightclient.wire.enr import Address, NodeRecord

MAX_SESSIONS: Final = 512
SESSION_LIFETIME_MS: Final = 12 * 3600 * 1000
"""After that a new handshake makes new keys."""
_REQUESTS_PER_SECOND: Final = 10
_REQUEST_BURST: Final = 30

Peer: TypeAlias = tuple[bytes, Address]
"""Node id and the UDP address it speaks from."""
T = TypeVar("T")


@dataclass
class Session:
    """Keys to one peer, with its record as of the handshake or newer.

    ``replaced_key`` is what was received with before: when both sides open at once, each may end up
    sending under the keys of the handshake that the other one counts as replaced.
    """

    record: NodeRecord
    send_key: bytes
    receive_key: bytes
    since_ms: int
    replaced_key: bytes | None = None
    inbound: TokenBucket = field(
        default_factory=lambda: TokenBucket(_REQUESTS_PER_SECOND, _REQUEST_BURST)
    )
    _sent: int = 0

    def next_nonce(self, random: bytes) -> bytes:
        """A nonce that was never used with :attr:`send_key`: a counter and 8 random bytes."""
        self._sent += 1
        return self._sent.to_bytes(NONCE_SIZE - len(random), "big") + random

    def decrypt(self, packet: OrdinaryPacket) -> bytes | None:
        """The plaintext of a packet; None if it was not made with this session's keys."""
        for key in (self.receive_key, self.replaced_key):
            if key is not None:
                with suppress(DecodeError):
                    return decrypt(key, packet.nonce, packet.message, packet.head)
        return None


class RecentlyUsed(Generic[T]):
    """At most ``limit`` values by peer."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[Peer, T] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, peer: Peer) -> T | None:
        """The value of ``peer``, which counts as used now."""
        value = self._values.get(peer)
        if value is not None:
            self._values.move_to_end(peer)
        return value

    def put(self, peer: Peer, value: T) -> None:
        """Keep ``value``; the one used longest ago makes room."""
        self._values[peer] = value
        self._values.move_to_end(peer)
        if len(self._values) > self._limit:
            self._values.popitem(last=False)

    def pop(self, peer: Peer) -> T | None:
        """Take the value of ``peer`` out."""
        return self._values.pop(peer, None)
