"""Discovery under fuzz: one honest node, and everybody else in the hands of the fuzzer.

Peers do handshakes as they should, so that what they say gets in; then they say anything. Strangers
send anything from anywhere. Whatever comes, nothing is raised, what is kept stays within bounds,
strangers get no more bytes than they sent, and no datagram goes where nobody may send us.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from ipaddress import ip_address

from lightclient.errors import DecodeError
from lightclient.wire.discv5.addresses import MIN_PORT
from lightclient.wire.discv5.challenges import MAX_CHALLENGES
from lightclient.wire.discv5.ciphers import NONCE_SIZE, derive_keys, encrypt, identity_digest
from lightclient.wire.discv5.discovery import Discovery
from lightclient.wire.discv5.engine import MAX_TALK_SIZE, Datagram, Engine
from lightclient.wire.discv5.lookup import MAX_QUESTIONS
from lightclient.wire.discv5.messages import Ping, encode_message
from lightclient.wire.discv5.packets import (
    MASKING_IV_SIZE,
    MAX_PACKET_SIZE,
    MIN_PACKET_SIZE,
    NODE_ID_SIZE,
    WhoAreYouPacket,
    datagram_of,
    decode_packet,
    handshake_head,
    ordinary_head,
    whoareyou_head,
)
from lightclient.wire.discv5.requests import MAX_PENDING
from lightclient.wire.discv5.sessions import MAX_SESSIONS
from lightclient.wire.discv5.table import BUCKET_SIZE
from lightclient.wire.enr import Address, NodeRecord
from tests.fuzz.consumer import Consumer
from tests.fuzz.liars import ELSEWHERE, PEERS, Liar, address_of, record_of, rlp_list, told
from tests.fuzz.wire import key_of, signed_content

MAX_STEPS = 24
_FLOOD = 24
_MAX_UNDER_WAY = 64
_BUCKETS = 17
_MAX_EVENTS = 600
_OURS: Address = ("45.9.9.9", 9000)
_NOW_MS = 1_700_000_000_000
# How often each is drawn; methods of Play.
ACTIONS = (
    *("deliver",) * 6,
    *("say", "lie", "ask_us", "ask") * 3,
    *("damage", "challenge", "handshake") * 2,
    *("stranger", "header", "flood", "pass_time", "move"),
)


class Play:
    """One sequence: ``node`` is what is under fuzz."""

    def __init__(self, chosen: Consumer, node: Engine | Discovery) -> None:
        self._chosen = chosen
        self._node = node
        self._engine = node.engine if isinstance(node, Discovery) else node
        self._key = key_of(100)
        self._now_ms = _NOW_MS
        self._draw = random.Random(chosen.byte())
        self._liars = [Liar(number) for number in PEERS]
        self._by_address = {liar.address: liar for liar in self._liars}
        self._to_us: list[tuple[bytes, Address]] = []
        self._from_us: list[Datagram] = []
        self._old: list[tuple[bytes, Address]] = []
        self._seen: list[str] = []
        # Where we were asked to send, by our own side.
        self._allowed = {liar.address for liar in self._liars}

    def run(self) -> str:
        for _ in range(MAX_STEPS):
            if self._chosen.is_empty:
                break
            getattr(self, f"_{self._chosen.choice(ACTIONS)}")()
            self._check_bounds()
        return f"{self._engine.session_count} {' '.join(sorted(set(self._seen)))}"

    # The network --------------------------------------------------------------------------------

    def _feed(self, data: bytes, source: Address) -> None:
        """A datagram from anywhere reaches the node."""
        self._collect()
        # Who waits for our answer is one thing, from whom we wait for one another.
        is_stranger = source not in self._allowed and not self._engine.expects(source)
        self._node.receive(data, source, self._now_ms)
        if is_stranger:
            sent = [made.data for made in self._node.datagrams() if made.address == source]
            assert sum(map(len, sent)) <= (len(data) if len(data) >= MIN_PACKET_SIZE else 0)
        self._collect()

    def _collect(self) -> None:
        for made in self._node.datagrams():
            assert len(made.data) <= MAX_PACKET_SIZE
            self._check_address(made.address)
            self._from_us.append(made)
        events = self._node.events()
        assert len(events) <= _MAX_EVENTS
        self._seen += [type(event).__name__ for event in events]
        for liar in self._liars:
            self._to_us += [(made.data, liar.address) for made in liar.datagrams()]
            liar.events()
        del self._to_us[:-_MAX_UNDER_WAY], self._from_us[:-_MAX_UNDER_WAY]

    def _check_address(self, address: Address) -> None:
        if address not in self._allowed:
            ip, port = ip_address(address[0]), address[1]
            assert ip.is_global, address
            assert not ip.is_multicast, address
            assert port >= MIN_PORT, address

    def _check_bounds(self) -> None:
        engine = self._engine
        assert engine.session_count <= MAX_SESSIONS
        assert engine.challenge_count <= MAX_CHALLENGES
        assert engine.pending_count <= MAX_PENDING
        assert len(engine._pending._by_nonce) <= engine.pending_count
        if isinstance(self._node, Discovery):
            assert len(self._node.table) <= _BUCKETS * BUCKET_SIZE
            assert len(self._node._asked_for_lookup) <= MAX_QUESTIONS
            assert len(self._node._votes) <= 16

    def _deliver(self) -> None:
        """Carry what is under way; now and then the last of it comes first."""
        how = self._chosen.byte()
        for _ in range(1 + how % 16):
            if self._from_us:
                made = self._from_us.pop(-1 if how & 64 else 0)
                liar = self._by_address.get(made.address)
                if liar is not None:
                    liar.receive(made.data, _OURS, self._now_ms)
            self._collect()
            if self._to_us and not how & 128:
                data, source = self._to_us.pop(-1 if how & 32 else 0)
                self._old = [*self._old[-8:], (data, source)]
                self._feed(data, source)

    def _pass_time(self) -> None:
        """Mostly on, a few times back."""
        self._now_ms += self._chosen.number() * 4 - 40_000
        if isinstance(self._node, Discovery):
            self._node.wanted = bool(self._chosen.byte() % 2)
        self._node.tick(self._now_ms)
        for liar in self._liars:
            liar.tick(self._now_ms)
        self._collect()

    def _bytes(self) -> bytes:
        """Any, mostly few: up to 1320."""
        length = self._chosen.byte()
        return self._chosen.take(length if length < 224 else (length - 222) * 40)

    # Peers --------------------------------------------------------------------------------------

    def _liar(self) -> Liar:
        return self._chosen.choice(self._liars)

    def _say(self) -> None:
        liar, plaintext = self._liar(), self._bytes()
        self._seen.append(f"say {liar.say((self._key.node_id, _OURS), plaintext)}")
        self._collect()

    def _lie(self) -> None:
        """The next answer of a peer is one of its records, or anything."""
        liar, kind = self._liar(), self._chosen.byte() % 8
        if kind == 0:
            number = self._chosen.byte()
            records = [told()[(number + n) % len(told())].raw for n in range(3)]
            liar.lies.append((4, b"\x01" + rlp_list(b"".join(records))))
        else:
            liar.lies.append((kind, self._bytes()))

    def _ask_us(self) -> None:
        liar, how, us = self._liar(), self._chosen.byte() % 4, record_of(100, 1, _OURS)
        if how == 0:
            # Its sequence number may be a promise of a newer record.
            plaintext = encode_message(Ping(b"\x05", self._chosen.number()))
            if liar.say((self._key.node_id, _OURS), plaintext):
                self._collect()
                return
        if how < 2:
            liar.ping(us, self._now_ms)
        elif how == 2:
            liar.find_node(us, [255, self._chosen.number() % 257], self._now_ms)
        else:
            liar.talk(us, b"x", self._chosen.take(self._chosen.byte()), self._now_ms)
        self._collect()

    def _move(self) -> None:
        """A peer's record says from now on that it is elsewhere."""
        liar, address = self._liar(), self._chosen.choice(ELSEWHERE)
        number = self._liars.index(liar) + 1
        liar.record = record_of(number, 2 + self._chosen.byte() % 3, address)

    def _ask(self) -> None:
        """What our own side does."""
        liar, how = self._liar(), self._chosen.byte() % 4
        asked = record_of(self._liars.index(liar) + 1)
        if how == 0:
            self._engine.ping(asked, self._now_ms)
        elif how == 1:
            distances = [self._chosen.number() % 257 for _ in range(3)]
            self._engine.find_node(asked, [0, 256, *distances], self._now_ms)
        elif how == 2:
            request = self._chosen.take(self._chosen.number() % MAX_TALK_SIZE)
            self._engine.talk(asked, b"", request, self._now_ms)
        elif isinstance(self._node, Discovery):
            target = self._chosen.take(NODE_ID_SIZE).ljust(NODE_ID_SIZE, b"\0")
            self._node.look_up(target, self._now_ms)
        self._collect()

    # Anyone -------------------------------------------------------------------------------------

    def _source(self) -> Address:
        number = self._chosen.byte()
        return address_of(number % 4) if number < 128 else (f"46.{number}.1.1", 1 + number)

    def _damage(self) -> None:
        """Something under way or of earlier, some bits changed: masking lets them through."""
        known = [*self._to_us, *self._old]
        if not known:
            return
        data, source = known[self._chosen.byte() % len(known)]
        changed = bytearray(data)
        for _ in range(self._chosen.byte() % 4):
            changed[self._chosen.number() % len(changed)] ^= self._chosen.byte()
        self._feed(bytes(changed), self._source() if self._chosen.byte() % 4 == 0 else source)

    def _stranger(self) -> None:
        source, data = self._source(), self._bytes()
        self._feed(data, source)

    def _header(self) -> None:
        source, head = self._source(), self._bytes()[:MAX_PACKET_SIZE]
        head = head.ljust(MASKING_IV_SIZE, b"\0")
        message = self._chosen.take(self._chosen.byte())[: MAX_PACKET_SIZE - len(head)]
        self._feed(datagram_of(self._key.node_id, head, message), source)

    def _flood(self) -> None:
        """Many nodes, from one address or from many."""
        spread = self._chosen.byte()
        for number in range(_FLOOD):
            nonce, node_id = self._draw.randbytes(NONCE_SIZE), self._draw.randbytes(NODE_ID_SIZE)
            head = ordinary_head(bytes(MASKING_IV_SIZE), nonce, node_id)
            source = (f"47.{spread}.{number if spread % 2 else 0}.1", 9000)
            self._feed(datagram_of(self._key.node_id, head, bytes(20)), source)

    def _challenge(self) -> None:
        """A challenge to one of our packets, by whoever it went to or another."""
        if not self._from_us:
            return
        made = self._from_us[self._chosen.byte() % len(self._from_us)]
        liar = self._by_address.get(made.address, self._liars[0])
        try:
            packet = decode_packet(made.data, liar.key.node_id)
        except DecodeError:
            return
        nonce = packet.request_nonce if isinstance(packet, WhoAreYouPacket) else packet.nonce
        head = whoareyou_head(
            bytes(MASKING_IV_SIZE), nonce, self._draw.randbytes(16), self._chosen.number(8)
        )
        source = made.address if self._chosen.byte() % 4 else self._source()
        self._feed(datagram_of(self._key.node_id, head), source)

    def _handshake(self) -> None:
        """A right proof of identity, with any record and any message, or a proof of any bytes."""
        liar, how = self._liar(), self._chosen.byte()
        record, plaintext = self._record(liar, how), self._chosen.take(self._chosen.byte())
        nonce = self._draw.randbytes(NONCE_SIZE)
        opening = ordinary_head(bytes(MASKING_IV_SIZE), nonce, liar.key.node_id)
        self._collect()
        self._node.receive(
            datagram_of(self._key.node_id, opening, bytes(20)), liar.address, self._now_ms
        )
        for made in self._node.datagrams():
            try:
                packet = decode_packet(made.data, liar.key.node_id)
            except DecodeError:
                continue
            if made.address != liar.address or not isinstance(packet, WhoAreYouPacket):
                continue
            ephemeral = key_of(1000 + how)
            proof = liar.key.sign(
                identity_digest(packet.head, ephemeral.public_key, self._key.node_id)
            )
            proof = proof if how % 8 else self._chosen.take(self._chosen.byte() % 80)
            keys = derive_keys(
                ephemeral.shared_secret(self._key.public_key),
                liar.key.node_id,
                self._key.node_id,
                packet.head,
            )
            head = handshake_head(
                bytes(MASKING_IV_SIZE),
                nonce,
                liar.key.node_id,
                proof,
                ephemeral.public_key,
                record[:300],
            )
            sealed = encrypt(keys.initiator, nonce, plaintext, head)
            self._feed(datagram_of(self._key.node_id, head, sealed), liar.address)

    def _record(self, liar: Liar, how: int) -> bytes:
        if how % 4 == 0:
            return self._bytes()
        if how % 4 == 1:
            return liar.record.raw
        number = self._liars.index(liar) + 1
        if how % 4 == 2:
            return record_of(number, how, self._chosen.choice(ELSEWHERE)).raw
        try:
            return signed_content(self._chosen.take(self._chosen.byte()), number)
        except DecodeError:
            return b""


def fuzz_engine(data: bytes) -> str:
    """The engine, which asks only what it is told to."""
    draw = random.Random(len(data))
    records: Sequence[NodeRecord] = told()
    node = Engine(key_of(100), record_of(100, 1, _OURS), draw.randbytes, lambda _: records)
    return Play(Consumer(data), node).run()


def fuzz_discovery(data: bytes) -> str:
    """Discovery as a whole, which begins from the peers."""
    draw = random.Random(len(data))
    start = [record_of(number) for number in PEERS]
    node = Discovery(key_of(100), record_of(100, 1, _OURS), draw.randbytes, start)
    return Play(Consumer(data), node).run()
