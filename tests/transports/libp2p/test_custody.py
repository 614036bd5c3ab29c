"""How many custody groups we tell: what the network's configuration asks of a node at least."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("libp2p", reason="the extra [libp2p] is not installed")

from lightclient.config import network_by_name
from lightclient.transports.libp2p.own_record import OwnRecord
from lightclient.wire.enr import parse_record
from lightclient.wire.messages import METADATA_V3
from tests.client.world import World
from tests.transports.libp2p.world import make_node
from tests.wire.keys import key_of

MAINNET = network_by_name("mainnet")


@pytest.mark.parametrize(
    ("groups", "entry"), [(4, b"\x04"), (8, b"\x08"), (0, b""), (300, b"\x01\x2c")]
)
def test_a_record_tells_what_the_networks_configuration_says(groups: int, entry: bytes) -> None:
    """In as few bytes as it takes, and so none for 0 (fulu p2p-interface)."""
    network = replace(MAINNET, custody_requirement=groups)
    own = OwnRecord(key_of(1), network, "1.2.3.4", 1_700_000_000_000)
    own.update(500_000, 9000, 9000)
    assert parse_record(own.record.text).entries[b"cgc"] == entry


@pytest.mark.anyio
@pytest.mark.parametrize("groups", [4, 8, 128])
async def test_metadata_tell_what_the_networks_configuration_says(groups: int) -> None:
    world = World(300)
    world.network = replace(world.network, custody_requirement=groups)
    told = make_node(world).metadata
    assert METADATA_V3.encode(told).endswith(groups.to_bytes(8, "little"))
