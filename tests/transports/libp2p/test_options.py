"""What a pool may be told, and what is said of that which it may not."""

from __future__ import annotations

from typing import Any

import pytest

from lightclient import DiscoveryOptions, Libp2pOptions
from lightclient.config import network_by_name
from lightclient.errors import ConfigError
from lightclient.transports.libp2p.addresses import parse_peer_address
from lightclient.wire.enr import parse_record

BOOT_NODE = network_by_name("mainnet").bootstrap_nodes[0]
PEER = "/ip4/192.0.2.1/tcp/9000/p2p/16Uiu2HAm3cuhhRL2msUuLF62KRSfneFDx94RsuouyW25Ho42cFMq"


def test_peers_and_boot_nodes_are_taken_as_text_or_read_already() -> None:
    address, record = parse_peer_address(PEER), parse_record(BOOT_NODE)
    assert Libp2pOptions(direct_peers=[PEER, address]).direct_addresses == (address, address)
    options = DiscoveryOptions(bootstrap_nodes=(BOOT_NODE, record))
    assert options.records == (record, record)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"direct_peers": [PEER, "x" * 500]}, r"x+.* is no peer address: its form is"),
        ({"direct_peers": PEER}, "direct_peers is a list, not '/ip4"),
        ({"direct_peers": 5}, "direct_peers is a list, not 5"),
        ({"direct_peers": [None]}, "direct_peers: None is no peer address"),
        ({"direct_peers": [BOOT_NODE]}, "is no peer address"),
        ({"max_peers": 0}, "max_peers is 0, where 1 is the least"),
        ({"max_peers": 9, "hard_max_peers": 3}, "max_peers is 9, more than .* hard_max_peers: 3"),
        ({"tcp_port": 65536}, "tcp_port is 65536"),
        ({"listen_address": "localhost"}, "listen_address is 'localhost', which is no IP address"),
        ({"agent": "a\nb"}, "agent must be printable"),
    ],
)
def test_options_that_cannot_be_are_refused_by_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as told:
        Libp2pOptions(**options)
    assert len(str(told.value)) < 300


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bootstrap_nodes": [BOOT_NODE[:-2]]}, r"bootstrap_nodes: 'enr:.*\.\.\.: "),
        ({"bootstrap_nodes": [PEER]}, "begins with enr:"),
        ({"bootstrap_nodes": BOOT_NODE}, "bootstrap_nodes is a list, not 'enr:"),
        ({"bootstrap_nodes": [b"enr:"]}, "is no node record"),
        ({"udp_port": -1}, "udp_port is -1"),
    ],
)
def test_so_it_is_with_those_of_discovery(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DiscoveryOptions(**options)
