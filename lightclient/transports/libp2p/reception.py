"""Which connections of others are taken: so many in all, fewer of one network, and at what rate.

A handshake costs milliseconds before anybody has proven anything, and a place held by somebody
silent is a place less. Sans-I/O; times are milliseconds of a clock that never steps back.
"""

from __future__ import annotations

from collections import Counter
from ipaddress import ip_address
from typing import Final

from lightclient.transports.libp2p.addresses import neighbourhood_of, network_of
from lightclient.wire.discv5.limits import TokenBucket, TokenBuckets

MAX_HALF_OPEN: Final = 32
"""Connections that have not proven an identity yet; the oldest makes room for another."""
MAX_HALF_OPEN_OF_ADDRESS: Final = 8
PER_SECOND: Final = 40
BURST: Final = 80
PER_SECOND_OF_ADDRESS: Final = 0.5
BURST_OF_ADDRESS: Final = 24
_ADDRESSES: Final = 1024
_LEAST_SHARE: Final = 2


class Reception:
    """Counts and rates of the connections that others make.

    Args:
        places: how many may be there at once. A /24 of the internet (IPv6: a /48) has half of them
            at most; at an address of one's own network a router may stand for everybody.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._share = max(places // 2, _LEAST_SHARE)
        self._rate = TokenBucket(PER_SECOND, BURST)
        self._rates = TokenBuckets(PER_SECOND_OF_ADDRESS, BURST_OF_ADDRESS, _ADDRESSES)
        self._half_open: Counter[str] = Counter()
        self._up: Counter[str] = Counter()

    def admits(self, host: str, now_ms: int) -> bool:
        """Whether to shake hands with whoever connected from ``host``."""
        network = network_of(host)
        if not self._has_place(host) or self._half_open[network] >= MAX_HALF_OPEN_OF_ADDRESS:
            return False
        # Programs of this machine may come and go as they like, within what is for all.
        is_local = ip_address(host).is_loopback
        return (is_local or self._rates.take(network, now_ms)) and self._rate.take(now_ms)

    def _has_place(self, host: str) -> bool:
        if self._up.total() >= self._places:
            return False
        return not ip_address(host).is_global or self._up[neighbourhood_of(host)] < self._share

    @property
    def is_crowded(self) -> bool:
        """Whether the oldest of those that shake hands is to be given up for the next."""
        return self._half_open.total() > MAX_HALF_OPEN

    def begin(self, host: str) -> None:
        """A handshake begins."""
        self._half_open[network_of(host)] += 1

    def end(self, host: str) -> None:
        """It is over, whatever came of it."""
        _less(self._half_open, network_of(host))

    def take_place(self, host: str) -> bool:
        """Whether there is a place for who has proven an identity; it is taken then."""
        if not self._has_place(host):
            return False
        self._up[neighbourhood_of(host)] += 1
        return True

    def leave_place(self, host: str) -> None:
        """A connection that had a place is gone."""
        _less(self._up, neighbourhood_of(host))


def _less(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
