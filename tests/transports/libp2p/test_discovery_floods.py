"""Whatever arrives on discovery's port: it stays cheap, and honest nodes are still found."""

from __future__ import annotations

import os
import random
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import cycle

import anyio
import pytest

from lightclient.transports.libp2p.addresses import PeerAddress
from lightclient.transports.libp2p.discovery import DiscoveryService
from lightclient.transports.libp2p.udp import (
    READS_PER_TURN,
    STRANGER_BURST,
    STRANGERS_PER_SECOND,
)
from lightclient.wire import enr
from lightclient.wire.discv5 import engine
from lightclient.wire.discv5.challenges import CHALLENGE_BURST, CHALLENGES_PER_SECOND
from lightclient.wire.discv5.packets import (
    MASKING_IV_SIZE,
    datagram_of,
    handshake_head,
    ordinary_head,
    whoareyou_head,
)
from lightclient.wire.discv5.requests import MAX_RECORDS
from lightclient.wire.enr import NodeRecord
from lightclient.wire.identity import is_valid_signature
from tests.client.world import until
from tests.transports.libp2p.finders import address_of, running, service
from tests.transports.libp2p.platforms import sorted_by_sender
from tests.wire.keys import key_of

pytestmark = pytest.mark.anyio
BOTH = pytest.mark.parametrize("anyio_backend", ["trio", "asyncio"])
SECONDS = 0.8


def random_bytes(_: bytes) -> bytes:
    return os.urandom(random.choice([0, 1, 62, 63, 100, 700, 1280, 1281, 9000]))


def strangers_question(node_id: bytes) -> bytes:
    """A message that asks for a challenge, each from another node id."""
    head = ordinary_head(os.urandom(MASKING_IV_SIZE), os.urandom(12), os.urandom(32))
    return datagram_of(node_id, head, os.urandom(40))


def challenge_of_nothing(node_id: bytes) -> bytes:
    head = whoareyou_head(os.urandom(MASKING_IV_SIZE), os.urandom(12), os.urandom(16), 0)
    return datagram_of(node_id, head)


def handshake_of_nothing(node_id: bytes) -> bytes:
    head = handshake_head(
        os.urandom(MASKING_IV_SIZE),
        os.urandom(12),
        os.urandom(32),
        os.urandom(64),
        key_of(7).public_key,
        os.urandom(299),
    )
    return datagram_of(node_id, head, os.urandom(60))


@contextmanager
def flood(port: int, datagrams: list[bytes]) -> Iterator[Callable[[], int]]:
    """Send as fast as this machine can, from a thread with eight sockets; tells how many went."""
    stopped = threading.Event()
    sent = 0

    def send() -> None:
        nonlocal sent
        sources = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(8)]
        for source, datagram in zip(cycle(sources), cycle(datagrams), strict=False):
            if stopped.is_set():
                break
            source.sendto(datagram, ("127.0.0.1", port))
            sent += 1
        for source in sources:
            source.close()

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield lambda: sent
    finally:
        stopped.set()
        thread.join()


class Watched:
    """A service of which is counted what its protocol looks into."""

    def __init__(self, victim: DiscoveryService) -> None:
        self.looked_into = 0
        self._receive = victim._core.receive
        victim._core.receive = self.receive  # type: ignore[method-assign,assignment]

    def receive(self, *args: object) -> None:
        self.looked_into += 1
        self._receive(*args)  # type: ignore[arg-type]


@BOTH
@pytest.mark.parametrize(
    "make", [random_bytes, strangers_question, challenge_of_nothing, handshake_of_nothing]
)
async def test_a_flood_is_looked_into_at_a_bounded_rate(make: Callable[[bytes], bytes]) -> None:
    victim = service(1)
    async with running(victim):
        watched = Watched(victim)
        datagrams = [make(key_of(1).node_id) for _ in range(500)]
        tracemalloc.start()
        begun, sent_before = time.monotonic(), victim.figures.sent
        most, read = 0, victim.figures.received
        with flood(victim.port, datagrams) as sent:
            while time.monotonic() - begun < SECONDS:
                await anyio.sleep(0.02)
                most = max(most, victim.figures.received - read)
                read = victim.figures.received
            elapsed = time.monotonic() - begun
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert sent() > 2 * STRANGER_BURST, "that was no flood"
        assert watched.looked_into <= STRANGER_BURST + STRANGERS_PER_SECOND * (elapsed + 1)
        answered = victim.figures.sent - sent_before
        assert answered <= CHALLENGE_BURST + CHALLENGES_PER_SECOND * (elapsed + 1)
        assert peak < 8_000_000
        # In datagrams, as a machine may be slow: while one task sleeps, no more than this is read.
        assert 0 < most <= 2 * READS_PER_TURN, "other tasks have no turn"


@sorted_by_sender
@BOTH
async def test_honest_nodes_are_found_in_the_middle_of_a_flood() -> None:
    found: list[PeerAddress] = []
    boot = service(1)
    async with running(boot):
        seeker = service(3, [boot.record], found=found)
        async with running(seeker):
            pieces = [strangers_question(key_of(3).node_id) for _ in range(300)]
            pieces += [os.urandom(200) for _ in range(300)]
            with flood(seeker.port, pieces):
                # More comes in than is read before there is anyone to find.
                await until(lambda: seeker.figures.received > 3 * READS_PER_TURN, 60)
                async with running(service(2, [boot.record])):
                    await until(lambda: address_of(2) in found, 60)


@BOTH
async def test_records_with_bad_signatures_cost_few_checks_and_come_to_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A hostile boot node tells of forged nodes, hundreds of them, as fast as it is asked."""
    checks = 0
    check = is_valid_signature

    def counted(public_key: bytes, signature: bytes, digest: bytes) -> bool:
        nonlocal checks
        checks += 1
        return check(public_key, signature, digest)

    monkeypatch.setattr(enr, "is_valid_signature", counted)
    # More to an answer than is taken, but not so many datagrams that the node falls silent.
    monkeypatch.setattr(engine, "MAX_RECORDS_IN_ANSWER", 60)
    told = 0

    def forge(_: object) -> list[NodeRecord]:
        nonlocal told
        told += 60
        entries = {b"id": b"v4", b"ip": b"\x7f\0\0\1", b"secp256k1": key_of(9).public_key}
        return [
            NodeRecord(1, entries | {b"udp": os.urandom(2), b"z": os.urandom(8)}, os.urandom(64))
            for _ in range(60)
        ]

    hostile, found = service(1), list[PeerAddress]()
    async with running(hostile), running(honest := service(2)):
        # Now, as starting makes what is behind it anew.
        hostile._core.engine._neighbours = forge
        victim = service(3, [hostile.record, honest.record], found=found)
        async with running(victim):
            await until(lambda: victim.node_count == 2)
            asked = 0
            find_node = victim._core.engine.find_node

            def count_questions(*args: object) -> object:
                nonlocal asked
                asked += 1
                return find_node(*args)  # type: ignore[arg-type]

            victim._core.engine.find_node = count_questions  # type: ignore[method-assign,assignment]
            before, told_before = checks, told

            def reached(goal: int) -> bool:
                return told >= goal

            for number in range(10):
                victim._core.look_up(os.urandom(32), int(anyio.current_time() * 1000))
                goal = told_before + 60 * (number + 1)
                await until(partial(reached, goal), 60)
            await until(lambda: victim._core.engine.pending_count == 0, 60)
            assert told - told_before >= 600
            assert checks - before <= asked * MAX_RECORDS
            assert {peer.peer_id for peer in found} <= {address_of(n).peer_id for n in (1, 2)}
            remembered = {entry.record.node_id for entry in victim._core.table}
            assert key_of(2).node_id in remembered
            assert remembered <= {key_of(1).node_id, key_of(2).node_id}
