"""The attacks of those whom the victim takes for peers: gossip, requests, answers, identities."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import trio
import trio.lowlevel

from lightclient.containers import encode_ssz
from lightclient.transports.libp2p import multistream
from lightclient.transports.libp2p.connections import Connection
from lightclient.transports.libp2p.gossip_rpc import GossipMessage, GossipRPC, encode_rpc
from lightclient.transports.libp2p.gossipsub import MESHSUB
from lightclient.transports.libp2p.identify import IDENTIFY
from lightclient.transports.libp2p.protobuf import encode_fields
from lightclient.transports.libp2p.streams import Stream, StreamBroken
from lightclient.wire.gossip import encode_payload
from lightclient.wire.messages import Status, UpdatesByRange
from lightclient.wire.protocols import (
    GOODBYE_1,
    LIGHT_CLIENT_BOOTSTRAP_1,
    LIGHT_CLIENT_UPDATES_BY_RANGE_1,
    METADATA_2,
    METADATA_3,
    PING_1,
    STATUS_1,
    STATUS_2,
    Protocol,
)
from lightclient.wire.requests import encode_request
from lightclient.wire.varint import encode_varint
from tests.fuzz.mutation import mutated
from tests.fuzz.p2p.attacks import Attack, junk
from tests.fuzz.p2p.hosts import _OBJECTS, HostilePeer

_MEETING_SECONDS = 9
_STAY_SECONDS = 6


async def _meet(attack: Attack, peer: HostilePeer, act: Any) -> None:
    """Get acquainted, act, and note whether the victim parted from us."""
    with trio.move_on_after(_MEETING_SECONDS + _STAY_SECONDS):
        async with peer.meeting(attack.target, attack.source) as connection:
            await trio.sleep(0.3)
            with suppress(StreamBroken, multistream.NegotiationError):
                await act(connection)
            with trio.move_on_after(1):
                await connection.closed.wait()
            attack.cut_off += connection.closed.is_set()
    attack.inputs += peer.inputs


# Gossip -----------------------------------------------------------------------------------------


class Rumours:
    """Makes exchanges of gossipsub, right in form, of any content and size."""

    def __init__(self, attack: Attack) -> None:
        self._attack = attack
        self._draw = attack.draw
        digest = attack.answers.digest.hex()
        self._topics = [
            f"/eth2/{digest}/light_client_finality_update/ssz_snappy",
            f"/eth2/{digest}/light_client_optimistic_update/ssz_snappy",
            "/eth2/00000000/light_client_finality_update/ssz_snappy",
            f"/eth2/{digest}/beacon_block/ssz_snappy",
            "x",
        ]

    def _topic(self) -> str:
        draw = self._draw
        if draw.random() < 0.1:
            return draw.randbytes(draw.randrange(120) // 2).hex()
        return draw.choice(self._topics[:2] * 3 + self._topics)

    def message(self) -> GossipMessage:
        draw, chain = self._draw, self._attack.world.chain
        update = draw.choice((chain.finality_update(), chain.optimistic_update()))
        content = b"" if update is None else encode_ssz(update)
        how = draw.randrange(6)
        if how < 3 and content:
            # Right in form, wrong in a few bits: a signature is to be checked.
            changed = bytearray(content)
            for _ in range(how + 1):
                changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
            content = bytes(changed)
        elif how == 3:
            content = draw.randbytes(draw.randrange(2000))
        elif how == 4:
            return GossipMessage(self._topic(), junk(draw))
        return GossipMessage(self._topic(), encode_payload(content))

    def ids(self, count: int) -> list[bytes]:
        draw = self._draw
        return [draw.randbytes(draw.choice((20, 20, 0, 300))) for _ in range(count)]

    def rpc(self) -> bytes:
        draw = self._draw
        rpc, many = GossipRPC(), draw.choice((1, 3, 30, 600, 5000))
        how = draw.randrange(9)
        if how == 0:
            rpc.subscriptions = [(self._topic(), draw.random() < 0.7) for _ in range(many)]
        elif how == 1:
            rpc.have = [(self._topic(), self.ids(min(many, 900))) for _ in range(draw.randrange(4))]
        elif how == 2:
            rpc.want = self.ids(many)
        elif how == 3:
            rpc.graft = [self._topic() for _ in range(many)]
        elif how == 4:
            rpc.prune = [(self._topic(), draw.getrandbits(63)) for _ in range(many)]
        elif how == 5:
            rpc.do_not_want = self.ids(many)
        elif how == 6:
            return self._signed()
        else:
            rpc.messages = [self.message() for _ in range(min(many, 30))]
        encoded = encode_rpc(rpc)
        return mutated(encoded, (), draw, 10**6) if draw.random() < 0.15 else encoded

    def _signed(self) -> bytes:
        draw, message = self._draw, self.message()
        more = [(draw.choice((1, 3, 5, 6)), draw.randbytes(8)) for _ in range(draw.randrange(3))]
        topics = [(4, message.topic.encode())] * draw.choice((0, 1, 2, 900))
        return encode_fields([(2, encode_fields([(2, message.data), *topics, *more]))])


async def gossip(attack: Attack) -> None:
    """Exchanges of all kinds, some bits of them wrong, on one stream or several."""
    draw, peer = attack.draw, HostilePeer(attack.world, attack.draw)
    rumours = Rumours(attack)

    async def act(connection: Connection) -> None:
        stream = await _gossip_stream(connection)
        for _ in range(draw.choice((1, 10, 100))):
            if draw.random() < 0.05:
                stream = await _gossip_stream(connection)
            attack.inputs += 1
            content = rumours.rpc()
            size = len(content) if draw.random() < 0.98 else draw.choice((0, 2**20 + 1, 2**63))
            await stream.write(encode_varint(size) + content)
            await trio.lowlevel.checkpoint()

    await _meet(attack, peer, act)


async def _gossip_stream(connection: Connection) -> Stream:
    stream = await connection.open_stream()
    with trio.fail_after(8):
        await multistream.propose(stream, MESHSUB)
    return stream


async def gossip_at_line_rate(attack: Attack) -> None:
    """One kind of exchange as fast as the connection takes it."""
    draw, peer = attack.draw, HostilePeer(attack.world, attack.draw)
    rumours = Rumours(attack)
    how = draw.randrange(4)
    if how == 0:
        piece = bytes(60_000)  # empty exchanges
    elif how == 1:
        content = encode_rpc(GossipRPC(messages=[rumours.message()]))
        piece = (encode_varint(len(content)) + content) * 20
    elif how == 2:
        content = encode_rpc(GossipRPC(graft=[rumours._topic()], want=rumours.ids(20)))
        piece = (encode_varint(len(content)) + content) * 50
    else:
        inner = encode_fields([(1, encode_fields([(2, b"x")] * 50))] * 50)
        piece = encode_varint(len(inner) + 4) + encode_fields([(3, inner)])

    async def act(connection: Connection) -> None:
        stream = await _gossip_stream(connection)
        with trio.move_on_after(_STAY_SECONDS):
            while True:
                attack.inputs += 50
                await stream.write(piece)

    await _meet(attack, peer, act)


async def updates_at_line_rate(attack: Attack) -> None:
    """Updates with wrong signatures, each another one, as fast as the connection takes them."""
    draw, peer = attack.draw, HostilePeer(attack.world, attack.draw)
    rumours = Rumours(attack)
    update = attack.world.chain.optimistic_update()
    assert update is not None
    right = encode_ssz(update)

    async def act(connection: Connection) -> None:
        stream = await _gossip_stream(connection)
        for _ in range(2000):
            attack.inputs += 1
            wrong = bytearray(right)
            # The signature lies before the last eight bytes, the slot.
            wrong[-9 - draw.randrange(90)] ^= 1 << draw.randrange(8)
            message = GossipMessage(rumours._topics[1], encode_payload(bytes(wrong)))
            content = encode_rpc(GossipRPC(messages=[message]))
            await stream.write(encode_varint(len(content)) + content)

    await _meet(attack, peer, act)


# Requests ---------------------------------------------------------------------------------------


def _requests(attack: Attack) -> list[tuple[Protocol, bytes]]:
    digest = attack.answers.digest
    status = Status(digest, bytes(32), 0, bytes(32), 0)
    other = Status(b"\1\2\3\4", bytes(32), 2**64 - 1, bytes(32), 2**64 - 1)
    right: list[tuple[Protocol, Any]] = [
        (STATUS_1, status),
        (STATUS_2, status),
        (STATUS_2, other),
        (PING_1, 1),
        (METADATA_2, None),
        (METADATA_3, None),
        (LIGHT_CLIENT_BOOTSTRAP_1, attack.world.root()),
        (LIGHT_CLIENT_BOOTSTRAP_1, bytes(32)),
        (LIGHT_CLIENT_UPDATES_BY_RANGE_1, UpdatesByRange(0, 128)),
        (LIGHT_CLIENT_UPDATES_BY_RANGE_1, UpdatesByRange(2**64 - 1, 2**64 - 1)),
        (_OBJECTS[2], None),
        (_OBJECTS[3], None),
        (GOODBYE_1, attack.draw.getrandbits(64)),
    ]
    return [(protocol, encode_request(protocol, value)) for protocol, value in right]


async def requests(attack: Attack) -> None:
    """Requests: right but too many, mutated, truncated, dripping, with lying lengths, or reset."""
    draw, peer = attack.draw, HostilePeer(attack.world, attack.draw)
    right = _requests(attack)

    async def one(connection: Connection) -> None:
        protocol, data = draw.choice(right)
        if protocol is GOODBYE_1 and draw.random() < 0.95:
            return
        attack.inputs += 1
        how = draw.randrange(8)
        drips = False
        if how == 0:
            data = mutated(data, (), draw, 2000)
        elif how == 1:
            data = data[: draw.randrange(len(data) + 1)]
        elif how == 2:
            size = draw.choice((0, 2**20, 2**32, 2**63, 2**64 - 1))
            data = encode_varint(size) + data[1:]
        elif how == 3:
            data = junk(draw)
        elif how == 4:
            drips = True
        with suppress(StreamBroken, multistream.NegotiationError), trio.move_on_after(7):
            stream = await connection.open_stream()
            if drips:
                await multistream.propose(stream, [protocol.protocol_id])
                for byte in data[:6]:
                    await stream.write(bytes([byte]))
                    await trio.sleep(1)
            else:
                await multistream.propose_with(stream, protocol.protocol_id, data)
            if draw.random() < 0.6:
                await stream.close_write()
            if draw.random() < 0.8:
                while await stream.read():
                    pass
            await stream.reset()

    async def act(connection: Connection) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(draw.choice((1, 20, 150))):
                nursery.start_soon(one, connection)
                await trio.sleep(draw.choice((0, 0.01)))

    await _meet(attack, peer, act)


# Answers ----------------------------------------------------------------------------------------


async def answers(attack: Attack) -> None:
    """Be asked, and lie."""
    draw = attack.draw
    wrong: list[Protocol] = draw.choice(
        [list(_OBJECTS), [draw.choice(_OBJECTS)], [STATUS_2, STATUS_1], [PING_1, METADATA_3]]
    )
    peer = HostilePeer(attack.world, draw, wrong=wrong, share=draw.choice((0.5, 1.0)))

    async def act(connection: Connection) -> None:
        with trio.move_on_after(_STAY_SECONDS):
            await connection.closed.wait()

    await _meet(attack, peer, act)


async def identities(attack: Attack) -> None:
    """Say of oneself what cannot be, or too much of it."""
    draw = attack.draw

    def wrong(right: bytes) -> bytes:
        how = draw.randrange(5)
        if how == 0:
            return junk(draw)
        if how == 1:
            names = [(3, draw.randbytes(100)) for _ in range(3000)]
            content = encode_fields([*names, (6, b"a\x1b[31m\n" * 50)])
            return encode_varint(len(content)) + content
        if how == 2:
            return encode_varint(2 ** draw.randrange(64)) + right[2:]
        if how == 3:
            return right[: draw.randrange(len(right))]
        return mutated(right, (), draw, 3000)

    peer = HostilePeer(attack.world, draw, identify=wrong)

    async def act(connection: Connection) -> None:
        await trio.sleep(0.5)
        stream = await connection.open_stream()
        with trio.fail_after(5):
            await multistream.propose(stream, [IDENTIFY])
        await stream.write(junk(draw))
        attack.inputs += 1

    await _meet(attack, peer, act)
