"""How to be on the network: what a ``Libp2pPool`` is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from lightclient.errors import ConfigError, DecodeError
from lightclient.transports.libp2p.addresses import PeerAddress, parse_peer_address
from lightclient.transports.libp2p.served import LightClientData
from lightclient.wire.enr import NodeRecord, parse_record

DEFAULT_MAX_PEERS: Final = 12
"""Peers to look for: enough that a few may lie or leave, few enough to cost little."""
_MAX_AGENT: Final = 128
_MAX_SHOWN: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveryOptions:
    """How to look for peers.

    Attributes:
        udp_port: 0 for any.
        bootstrap_nodes: nodes to begin with, besides those of the network: their records, verified
            or as text (``enr:...``).
        directory: where nodes that answered are kept for the next start; None to keep none.
        learns_address: whether to tell others of the address that we listen at, or that several
            nodes see us at, where none was given.
    """

    udp_port: int = 9000
    bootstrap_nodes: Sequence[NodeRecord | str] = ()
    directory: Path | None = None
    learns_address: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.udp_port <= 65535:
            raise ConfigError(f"udp_port is {self.udp_port}, which is no port")
        _require_several("bootstrap_nodes", self.bootstrap_nodes)
        for node in self.bootstrap_nodes:
            _record(node)

    @property
    def records(self) -> tuple[NodeRecord, ...]:
        """Of the nodes to begin with; verified."""
        return tuple(map(_record, self.bootstrap_nodes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Libp2pOptions:
    """Options; the defaults are those of the command line.

    Attributes:
        secret: identity key, 32 bytes; None for that kept in ``directory``, or without one for a
            new one at each start.
        listen_address: address of this machine to listen at; None to listen nowhere.
        tcp_port: 0 for any.
        external_address: what peers are told to dial; None if that is not known.
        direct_peers: kept connected whatever their number; as text
            ``/ip4/192.0.2.1/tcp/9000/p2p/16Uiu2HA...``.
        discovery: how to look for other peers; None to have none but those.
        max_peers: how many to look for. hard_max_peers: how many may be there.
        agent: what to call ourselves.
        directory: where peers that served well, and those to keep out, are remembered for the next
            start; None to remember none.
        light_client: verified objects to serve; None to serve none.
    """

    secret: bytes | None = None
    listen_address: str | None = "0.0.0.0"  # noqa: S104 - a node of a network is to be reached
    tcp_port: int = 9000
    external_address: str | None = None
    direct_peers: Sequence[PeerAddress | str] = ()
    discovery: DiscoveryOptions | None = None
    max_peers: int = DEFAULT_MAX_PEERS
    hard_max_peers: int | None = None
    agent: str = "lightclient"
    directory: Path | None = None
    light_client: LightClientData | None = None

    def __post_init__(self) -> None:
        for name in ("listen_address", "external_address"):
            address = getattr(self, name)
            try:
                if address is not None:
                    ip_address(address)
            except ValueError:
                raise ConfigError(f"{name} is {address[:80]!r}, which is no IP address") from None
        if not 0 <= self.tcp_port <= 65535:
            raise ConfigError(f"tcp_port is {self.tcp_port}, which is no port")
        _require_several("direct_peers", self.direct_peers)
        for peer in self.direct_peers:
            _address(peer)
        if self.max_peers < 1:
            raise ConfigError(f"max_peers is {self.max_peers}, where 1 is the least")
        if self.peer_limit < self.max_peers:
            raise ConfigError(
                f"max_peers is {self.max_peers}, more than the limit, hard_max_peers:"
                f" {self.peer_limit}"
            )
        if not self.agent.isprintable() or len(self.agent) > _MAX_AGENT:
            raise ConfigError(f"agent must be printable, of at most {_MAX_AGENT} characters")

    @property
    def direct_addresses(self) -> tuple[PeerAddress, ...]:
        """Of the peers that are kept connected."""
        return tuple(map(_address, self.direct_peers))

    @property
    def peer_limit(self) -> int:
        """The most peers at once: half as many more than are looked for."""
        if self.hard_max_peers is not None:
            return self.hard_max_peers
        return -(-3 * self.max_peers // 2)


def _require_several(name: str, values: object) -> None:
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise ConfigError(f"{name} is a list, not {_shown(values)}")


def _record(node: object) -> NodeRecord:
    if isinstance(node, NodeRecord):
        return node
    if not isinstance(node, str):
        raise ConfigError(f"bootstrap_nodes: {_shown(node)} is no node record, and no text of one")
    try:
        return parse_record(node)
    except DecodeError as error:
        raise ConfigError(f"bootstrap_nodes: {_shown(node)}: {error}") from None


def _address(peer: object) -> PeerAddress:
    if isinstance(peer, PeerAddress):
        return peer
    if not isinstance(peer, str):
        raise ConfigError(f"direct_peers: {_shown(peer)} is no peer address, and no text of one")
    return parse_peer_address(peer)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "..."
