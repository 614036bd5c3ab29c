"""Peers of a discovery under fuzz: right in their cryptography, and liars in all else."""

from __future__ import annotations

import random
from functools import cache
from ipaddress import ip_address

from lightclient.wire.discv5.ciphers import encrypt
from lightclient.wire.discv5.engine import Engine
from lightclient.wire.discv5.messages import Message
from lightclient.wire.discv5.packets import MASKING_IV_SIZE, MAX_PACKET_SIZE, ordinary_head
from lightclient.wire.discv5.sessions import Peer, Session
from lightclient.wire.enr import Address, NodeRecord, endpoint_entries, sign_record
from lightclient.wire.rlp import encode_rlp
from tests.fuzz.wire import key_of

PEERS = (1, 2, 3)
# Addresses that nobody on the internet has a say in, and one that is just another.
ELSEWHERE = [
    *(("127.0.0.1", 9000), ("192.168.1.1", 9000), ("10.0.0.1", 9000), ("45.8.8.8", 53)),
    *(("224.0.0.1", 9000), ("45.7.7.7", 9000), ("::1", 9000), ("2600:1901::7", 9000)),
]


def address_of(number: int) -> Address:
    """Where a peer is: on the internet, each in a neighbourhood of its own."""
    return f"45.{number}.1.1", 9000


@cache
def record_of(number: int, sequence: int = 1, address: Address | None = None) -> NodeRecord:
    """A record that says where a node is, or ``address`` in its place."""
    ip, port = address or address_of(number)
    entries = endpoint_entries(ip_address(ip), udp=port)
    entries_told = {name: value for name, value in entries.items() if value is not None}
    return sign_record(key_of(number), sequence, entries_told)


@cache
def told() -> tuple[NodeRecord, ...]:
    """What liars know to tell of: nodes that are there, elsewhere, and where they must not be."""
    there = [record_of(number) for number in (*PEERS, 4, 5, 6)]
    newer = [record_of(number, 2, address) for number in PEERS for address in ELSEWHERE]
    others = [record_of(20 + n, 1, address) for n, address in enumerate(ELSEWHERE)]
    return (*there, *newer, *others)


class Liar(Engine):
    """A peer whose cryptography is right and whose answers are ``lies``, as long as there are any.

    A lie is a kind of message and what follows the request id.
    """

    def __init__(self, number: int) -> None:
        key, draw = key_of(number), random.Random(number)
        super().__init__(key, record_of(number), draw.randbytes, lambda _distances: told())
        self.key = key
        self.address = address_of(number)
        self.lies: list[tuple[int, bytes]] = []

    def _receive_message(self, message: Message, peer: Peer, session: Session, now_ms: int) -> None:
        if not self.lies:
            super()._receive_message(message, peer, session, now_ms)
            return
        kind, fields = self.lies.pop(0)
        request_id = encode_rlp(message.request_id)
        self.say(peer, bytes([kind]) + rlp_list(request_id + fields))

    def say(self, peer: Peer, plaintext: bytes) -> bool:
        """Send anything under the keys of a session, if there is one."""
        session = self._sessions.get(peer)
        if session is None:
            return False
        nonce = session.next_nonce(self._random(8))
        head = ordinary_head(self._random(MASKING_IV_SIZE), nonce, self.key.node_id)
        room = MAX_PACKET_SIZE - len(head) - 16
        self._put(peer, head, encrypt(session.send_key, nonce, plaintext[:room], head))
        return True


def rlp_list(content: bytes) -> bytes:
    """The list with this content, whatever it is."""
    encoded = encode_rlp(content)
    # A string's prefix is 0x40 below a list's, but for a single small byte, which has none.
    return bytes([encoded[0] + 0x40]) + encoded[1:] if encoded != content else b"\xc1" + content
