"""A network of discovery nodes in memory: datagrams, a clock in milliseconds, seeded randomness."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeAlias

from lightclient.wire.discv5.discovery import Discovery
from lightclient.wire.discv5.engine import Datagram, Engine
from lightclient.wire.enr import Address, NodeRecord, sign_record
from lightclient.wire.identity import IdentityKey
from tests.wire.keys import key_of

Party: TypeAlias = Engine | Discovery
NOW = 1_000_000


def address_of(number: int) -> Address:
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", 9000


def record_of(number: int, sequence: int = 1, address: Address | None = None) -> NodeRecord:
    ip, port = address or address_of(number)
    packed = bytes(map(int, ip.split(".")))
    return sign_record(
        key_of(number), sequence, {b"ip": packed, b"udp": port.to_bytes(2, "big").lstrip(b"\0")}
    )


def engine_of(number: int) -> Engine:
    return Engine(key_of(number), record_of(number), random.Random(number).randbytes)


def discovery_of(number: int, start: Iterable[NodeRecord] = ()) -> Discovery:
    return Discovery(key_of(number), record_of(number), random.Random(number).randbytes, start)


class Wire:
    """Delivers datagrams between parties at their addresses; ``lost`` decides which get lost."""

    def __init__(self, parties: dict[Address, Party], now_ms: int = NOW) -> None:
        self.parties = parties
        self.now_ms = now_ms
        self.lost: Callable[[Datagram], bool] = lambda _datagram: False
        self.carried: list[tuple[Address, Datagram]] = []

    def deliver(self, most: int = 100_000) -> int:
        """Carry until nothing is under way; gives how many datagrams that were."""
        queue: deque[tuple[Address, Datagram]] = deque()
        count = 0
        while True:
            for source, party in self.parties.items():
                queue.extend((source, datagram) for datagram in party.datagrams())
            if not queue:
                return count
            source, datagram = queue.popleft()
            count += 1
            assert count < most, "datagrams without end"
            self.carried.append((source, datagram))
            there = self.parties.get(datagram.address)
            if there is not None and not self.lost(datagram):
                there.receive(datagram.data, source, self.now_ms)

    def pass_time(self, milliseconds: int, step: int = 500) -> None:
        for _ in range(milliseconds // step):
            self.now_ms += step
            for party in self.parties.values():
                party.tick(self.now_ms)
            self.deliver()


def pair() -> tuple[Wire, Engine, Engine]:
    first, second = engine_of(1), engine_of(2)
    return Wire({address_of(1): first, address_of(2): second}), first, second


def stranger(number: int) -> IdentityKey:
    return key_of(10_000 + number)
