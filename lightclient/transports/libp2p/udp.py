"""Discovery's UDP socket, and who may be heard on it while it is flooded.

Anyone can send us anything, from any address they care to write on it. So datagrams are read in
bounded batches, at a bounded rate; and of those, strangers get a ration apart from the nodes that
we asked, whose answers still come through (``udp_answers``).
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from ipaddress import IPv6Address
from typing import Final

import anyio

from lightclient.transports.libp2p.udp_answers import AnswerSockets
from lightclient.wire.discv5.limits import TokenBucket, TokenBuckets
from lightclient.wire.discv5.packets import MAX_PACKET_SIZE
from lightclient.wire.enr import Address

BATCH_SIZE: Final = 64
"""Datagrams that are read before other tasks have their turn."""
READS_PER_TURN: Final = 250
TURN_SECONDS: Final = 0.05
"""So at most 5,000 datagrams a second are read; the kernel drops what is beyond."""
_ANSWERS_PER_BATCH: Final = 4
"""Of one node that we asked: even all of them together leave half of a turn to others."""
STRANGERS_PER_SECOND: Final = 300
STRANGER_BURST: Final = 600
_PER_SECOND_AND_IP: Final = 20
_BURST_OF_AN_IP: Final = 60
_PER_SECOND_OF_A_NODE: Final = 50
_BURST_OF_A_NODE: Final = 100
_ADDRESSES: Final = 1024
_MAPPED: Final = "::ffff:"


class Doorkeeper:
    """Decides which datagrams are worth unmasking. Sans-I/O.

    Forged source addresses cost an attacker nothing, so strangers are rationed all in all, too.
    Only a question of ours takes an address out of them: a challenge anyone can have.
    """

    def __init__(self) -> None:
        self._nodes = TokenBuckets(_PER_SECOND_OF_A_NODE, _BURST_OF_A_NODE, _ADDRESSES)
        self._strangers = TokenBuckets(_PER_SECOND_AND_IP, _BURST_OF_AN_IP, _ADDRESSES)
        self._all_strangers = TokenBucket(STRANGERS_PER_SECOND, STRANGER_BURST)

    def admits(self, size: int, address: Address, now_ms: int, *, expected: bool = False) -> bool:
        """Whether a datagram of ``size`` bytes from ``address`` is to be looked into.

        Args:
            expected: something that we asked waits for an answer from there.
        """
        if size > MAX_PACKET_SIZE:
            return False
        if expected:
            return self._nodes.take(address, now_ms)
        return self._strangers.take(address[0], now_ms) and self._all_strangers.take(now_ms)


class UdpSocket:
    """A UDP socket at an address of this machine; raises OSError if it cannot be had.

    At ``::`` it takes IPv4 as well, whose addresses are told and taken as such.

    Attributes:
        port: where it is bound.
    """

    def __init__(self, address: str, port: int) -> None:
        self._is_ipv6 = ":" in address
        family = socket.AF_INET6 if self._is_ipv6 else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            if sys.platform == "win32":
                # Another process could take our datagrams otherwise.
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
            if self._is_ipv6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            self._socket.bind((address, port))
        except BaseException:
            self._socket.close()
            raise
        self.port: int = self._socket.getsockname()[1]
        self._answers = AnswerSockets(self._socket)

    def close(self) -> None:
        """Give it back."""
        self._answers.close()
        self._socket.close()

    async def wait(self, seconds: float) -> None:
        """Until there is something to read, but ``seconds`` at most. Raises OSError."""
        with anyio.move_on_after(seconds):
            await anyio.wait_readable(self._answers.readable)

    def listen_apart(self, address: Address) -> None:
        """Have what comes from ``address`` received apart from the rest, where that can be had."""
        self._answers.open(address, self._peer(address))

    def listen_together_unless(self, is_expected: Callable[[Address], bool]) -> None:
        """Receive with the rest again what is apart and not expected any more."""
        self._answers.close_unless(is_expected)

    def receive(self) -> list[tuple[bytes, Address]]:
        """What there is to read, answers first; longer datagrams than legal are cut.

        At most BATCH_SIZE, and besides a few of each address that is listened to apart.

        Raises:
            OSError: the socket is of no use any more.
        """
        batch: list[tuple[bytes, Address]] = []
        for answers in self._answers.all:
            # A refusal (ICMP) tells that nobody is there: the question's deadline says that too.
            with suppress(OSError):
                _read(answers, _ANSWERS_PER_BATCH, batch)
        _read(self._socket, BATCH_SIZE, batch)
        return batch

    def send(self, data: bytes, address: Address) -> None:
        """Send, unless there is no room or no way: datagrams may get lost, and are asked again."""
        with suppress(OSError, OverflowError):
            self._socket.sendto(data, self._peer(address))

    def _peer(self, address: Address) -> Address:
        """``address`` as this socket's family says it."""
        ip, port = address
        return (_MAPPED + ip, port) if self._is_ipv6 and ":" not in ip else address


def _read(source: socket.socket, count: int, batch: list[tuple[bytes, Address]]) -> None:
    """Add at most ``count`` datagrams to ``batch``; raises OSError if there is nothing but that."""
    failure: OSError | None = None
    before = len(batch)
    for _ in range(count):
        try:
            data, address = source.recvfrom(MAX_PACKET_SIZE + 1)
        except BlockingIOError:
            return
        except OSError as error:
            # Windows says so when a datagram is too long, or one of ours was not wanted.
            failure = error
            continue
        batch.append((data, _plain(address)))
    if failure is not None and len(batch) == before:
        raise failure


def _plain(address: Iterable[object]) -> Address:
    """IP address and port, whatever the socket's family: an IPv4 address is told as such."""
    ip, port, *_ = address
    assert isinstance(ip, str)
    assert isinstance(port, int)
    if ":" not in ip:
        return ip, port
    ip = ip.partition("%")[0]
    mapped = IPv6Address(ip).ipv4_mapped
    return str(mapped or ip), port
