"""What a peer book is made of in tests: addresses, a clock that is set by hand, and low draws."""

from __future__ import annotations

from lightclient.transports.libp2p.addresses import PeerAddress, encode_base58

HOUR_MS = 3_600_000


def address(number: int) -> PeerAddress:
    return PeerAddress("ip4", "127.0.0.1", 1 + number % 65535, encode_base58(b"%d" % number))


class Clock:
    now_ms = 1_000_000

    def __call__(self) -> int:
        return self.now_ms


def low(least: float, _: float) -> float:
    return least
