"""The attacks on discovery's port: floods, packet fuzz, and nodes that tell of thousands forged."""

from __future__ import annotations

import os
import random
import socket
from contextlib import suppress

import trio

from lightclient.transports.libp2p.discovery import DiscoveryService
from lightclient.transports.libp2p.options import DiscoveryOptions
from lightclient.wire.discv5 import engine
from lightclient.wire.discv5.packets import (
    MASKING_IV_SIZE,
    datagram_of,
    handshake_head,
    ordinary_head,
    whoareyou_head,
)
from lightclient.wire.enr import NodeRecord
from lightclient.wire.identity import IdentityKey
from tests.fuzz.mutation import mutated
from tests.fuzz.p2p.attacks import Attack
from tests.wire.keys import key_of

_FLOOD_SECONDS = 2.0


def _datagram(draw: random.Random, node_id: bytes) -> bytes:
    iv, nonce, source = draw.randbytes(MASKING_IV_SIZE), draw.randbytes(12), draw.randbytes(32)
    how = draw.randrange(5)
    if how == 0:
        return draw.randbytes(draw.choice((0, 1, 62, 63, 100, 700, 1280, 1281, 9000)))
    if how == 1:
        head = ordinary_head(iv, nonce, source)
    elif how == 2:
        head = whoareyou_head(iv, nonce, draw.randbytes(16), draw.getrandbits(8))
    else:
        record = draw.randbytes(draw.choice((0, 120, 299)))
        public_key = key_of(7).public_key
        head = handshake_head(iv, nonce, source, draw.randbytes(64), public_key, record)
    body = b"" if how == 2 else draw.randbytes(draw.choice((0, 16, 40, 400)))
    if how == 4:
        head = mutated(head, (), draw, 700).ljust(MASKING_IV_SIZE, b"\0")
    return datagram_of(node_id, head, body)


async def datagrams(attack: Attack) -> None:
    """As many packets as this machine sends in a while, of one kind or of all."""
    draw, node_id = attack.draw, attack.target.node.node_id
    prepared = [_datagram(draw, node_id) for _ in range(300)]
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(8)]
    try:
        for index, item in enumerate(sockets):
            item.setblocking(False)
            with suppress(OSError):
                item.bind((f"127.2.{draw.randrange(250)}.{index + 1}", 0))
        ends = trio.current_time() + _FLOOD_SECONDS
        while trio.current_time() < ends:
            for data in prepared:
                attack.inputs += 1
                with suppress(OSError):
                    draw.choice(sockets).sendto(data, ("127.0.0.1", attack.target.udp_port))
            await trio.sleep(0.02)
    finally:
        for item in sockets:
            item.close()


async def forged_records(attack: Attack) -> None:
    """A node that does handshakes as it should, and answers with records that nobody signed."""
    draw = attack.draw

    def forge(_: object) -> list[NodeRecord]:
        attack.inputs += 200
        entries = {b"id": b"v4", b"ip": b"\x7f\0\0\1", b"secp256k1": key_of(9).public_key}
        return [
            NodeRecord(1, entries | {b"udp": os.urandom(2), b"z": os.urandom(8)}, os.urandom(64))
            for _ in range(200)
        ]

    hostile = DiscoveryService(
        DiscoveryOptions(udp_port=0, bootstrap_nodes=[attack.target.node]),
        IdentityKey(draw.randbytes(31) + b"\1"),
        attack.world.network,
        wanted=lambda: 1,
        on_found=lambda _: None,
        # Nobody to dial, so that more are looked for.
        tcp_port=lambda: 0,
        clock=attack.world.clock,
        listen_address=attack.source,
    )
    engine.MAX_RECORDS_IN_ANSWER = 200  # type: ignore[misc]
    with trio.move_on_after(6):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hostile.run)
            while True:
                # It may be made anew while it starts.
                hostile._core.engine._neighbours = forge
                await trio.sleep(0.05)
