"""Which addresses to believe: a node that tells of others must not steer us, nor others, anywhere.

Datagrams go wherever a record says. So nobody on the internet can tell us of addresses in our own
network, nor can anyone have us knock at ports where other services listen.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from lightclient.wire.enr import Address, NodeRecord

MIN_PORT: Final = 1025
"""Below are DNS, NTP and the like, which answer strangers with more than they get."""


def neighbourhood(record: NodeRecord) -> str | None:
    """The /24 (IPv4) or /64 (IPv6) that a node is in; None for local addresses, never limited.

    By the address that it is asked at: another one in its record is only a claim.
    """
    endpoint = record.udp_endpoint
    address = ip_address(endpoint[0]) if endpoint else record.ip or record.ip6
    if address is None or not address.is_global:
        return None
    length = 24 if isinstance(address, IPv4Address) else 64
    return str(ip_network((address, length), strict=False))


def may_tell(ip: str, record: NodeRecord) -> bool:
    """Whether a node at ``ip`` may tell of ``record``, or be told of it."""
    endpoint = record.udp_endpoint
    return endpoint is not None and may_tell_address(ip, endpoint)


def may_tell_address(ip: str, endpoint: Address) -> bool:
    """Whether a node at ``ip`` may tell that some node, or we, are at ``endpoint``.

    Loopback is for loopback, a private network for itself; no multicast, unspecified or reserved
    address, and no low port, is for anyone.
    """
    address = ip_address(endpoint[0])
    if endpoint[1] < MIN_PORT or address.is_multicast or address.is_unspecified:
        return False
    if address.is_reserved and not address.is_loopback:  # as ``::1`` is
        return False
    return address.is_global or _reach(ip_address(ip)) >= _reach(address)


def _reach(address: IPv4Address | IPv6Address) -> int:
    """2 on loopback, 1 in a network of its own, 0 on the internet."""
    if address.is_loopback:
        return 2
    return 0 if address.is_global else 1
