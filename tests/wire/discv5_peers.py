"""Discovery nodes played by hand: what they send is what a test says."""

from __future__ import annotations

import random
from collections.abc import Sequence

from lightclient.wire.discv5.ciphers import encrypt
from lightclient.wire.discv5.engine import Datagram, Engine
from lightclient.wire.discv5.messages import log_distance
from lightclient.wire.discv5.packets import (
    WhoAreYouPacket,
    datagram_of,
    decode_packet,
    ordinary_head,
    whoareyou_head,
)
from lightclient.wire.enr import NodeRecord
from tests.wire.keys import key_of
from tests.wire.udp import NOW, address_of, pair, record_of


def nodes_at(number: int, count: int, distances: Sequence[int]) -> list[NodeRecord]:
    """Records whose node ids are at one of ``distances`` of node ``number``."""
    found: list[NodeRecord] = []
    candidate = 100
    while len(found) < count:
        candidate += 1
        if log_distance(key_of(number).node_id, key_of(candidate).node_id) in distances:
            found.append(record_of(candidate))
    return found


def liar(records: Sequence[NodeRecord]) -> Engine:
    """Node 2, which answers any question for nodes with ``records``."""
    return Engine(key_of(2), record_of(2), random.Random(2).randbytes, lambda _distances: records)


class Peer:
    """Node 2 by hand: it opens a session with an engine and then sends what it likes."""

    def __init__(self) -> None:
        self.wire, self.victim, self.engine = pair()
        self.engine.ping(record_of(1), NOW)
        self.wire.deliver()
        self.victim.events()
        self.session = self.engine._sessions.get((key_of(1).node_id, address_of(1)))
        assert self.session is not None

    def send(self, plaintext: bytes) -> list[Datagram]:
        assert self.session is not None
        nonce = self.session.next_nonce(bytes(8))
        head = ordinary_head(bytes(16), nonce, key_of(2).node_id)
        sealed = encrypt(self.session.send_key, nonce, plaintext, head)
        self.victim.receive(
            datagram_of(key_of(1).node_id, head, sealed), address_of(2), self.wire.now_ms
        )
        return self.victim.datagrams()


def challenge_for(datagram: Datagram, id_nonce: bytes, sequence: int = 0) -> bytes:
    """Node 2's challenge to a datagram of node 1, as one that has record ``sequence`` of it."""
    packet = decode_packet(datagram.data, key_of(2).node_id)
    assert not isinstance(packet, WhoAreYouPacket)
    head = whoareyou_head(bytes(16), packet.nonce, id_nonce, sequence)
    return datagram_of(key_of(1).node_id, head)
