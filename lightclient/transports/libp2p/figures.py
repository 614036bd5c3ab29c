"""A node's state and what it did so far, as plain numbers for whoever watches it for months."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from lightclient.transports.pools import PoolFigures

if TYPE_CHECKING:
    from lightclient.transports.libp2p.discovery import DiscoveryService
    from lightclient.transports.libp2p.node import Node


def figures_of(node: Node, discovery: DiscoveryService | None) -> PoolFigures:
    """The figures of a node and of its discovery. May be called from any thread."""
    peers = tuple(node.peers.values())
    gauges = {
        "peers_outbound": sum(peer.connection.is_outbound for peer in peers),
        "peers_serving": sum(peer.known.serves is True for peer in peers),
        "peers_banned": node.book.banned_count,
        "unread_bytes": node.unread_bytes,
    }
    counters = {
        "received_bytes": node.traffic.received,
        "sent_bytes": node.traffic.sent,
        "restarts": node.restarts,
        **{f"gossip_{name}": count for name, count in asdict(node.gossip).items()},
        **{f"peers_{name}": count for name, count in asdict(node.company.figures).items()},
    }
    if discovery is not None:
        gauges["discovery_nodes"] = discovery.node_count
        discovered = asdict(discovery.figures)
        counters |= {f"discovery_{name}": count for name, count in discovered.items()}
    return PoolFigures(len(peers), gauges, counters)
