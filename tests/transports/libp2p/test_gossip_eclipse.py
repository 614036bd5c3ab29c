"""Who comes to us by the dozen cannot be all of our mesh: some of it are peers that we chose."""

from __future__ import annotations

import random

import pytest

pytest.importorskip("libp2p", reason="the extra [libp2p] is not installed")

from lightclient.transports.libp2p.gossip_rpc import GossipRPC
from lightclient.transports.libp2p.gossipsub import (
    HEARTBEAT_SECONDS,
    MESH,
    MESH_HIGH,
    MESH_OUTBOUND,
    Router,
)
from tests.client.world import World, until
from tests.transports.libp2p.attackers import PATIENCE
from tests.transports.libp2p.strangers import Stranger, topic
from tests.transports.libp2p.world import address_of, make_node, running

TOPIC = "/eth2/01020304/light_client_optimistic_update/ssz_snappy"


def crowded_router(seed: int = 0) -> Router:
    """A router whose mesh is full of peers that came by themselves and asked to be in it."""
    router = Router(600.0, random.Random(seed).sample)
    router.subscribe(TOPIC, 0.0)
    for number in range(3 * MESH_HIGH):
        add(router, f"came {number:02}", asks_in=True)
    assert len(router.mesh_of(TOPIC)) == MESH_HIGH
    return router


def add(router: Router, name: str, *, is_outbound: bool = False, asks_in: bool = False) -> None:
    router.add_peer(name, is_outbound=is_outbound)
    router.receive(name, GossipRPC([(TOPIC, True)], graft=[TOPIC] if asks_in else []), 0.0)


def ours_in(router: Router) -> set[str]:
    return {name for name in router.mesh_of(TOPIC) if name.startswith("ours")}


@pytest.mark.parametrize("seed", range(20))
def test_peers_that_we_dialled_are_asked_into_a_mesh_that_is_full_of_others(seed: int) -> None:
    router = crowded_router(seed)
    for number in range(4):
        add(router, f"ours {number}", is_outbound=True)
    router.take_outgoing()
    router.heartbeat(1.0)
    asked = {name for name, rpc in router.take_outgoing().items() if rpc.graft == [TOPIC]}
    assert len(ours_in(router)) == MESH_OUTBOUND
    assert asked == ours_in(router)
    # It is too large now. Whoever is sent away, they are not.
    for beat in range(2, 30):
        router.heartbeat(beat * HEARTBEAT_SECONDS)
        assert len(ours_in(router)) >= MESH_OUTBOUND
        assert len(router.mesh_of(TOPIC)) <= MESH_HIGH
    assert len(router.mesh_of(TOPIC)) >= MESH


def test_a_peer_that_we_dialled_may_ask_into_a_full_mesh_and_others_may_not() -> None:
    router = crowded_router()
    add(router, "ours", is_outbound=True, asks_in=True)
    add(router, "came last", asks_in=True)
    assert "ours" in router.mesh_of(TOPIC)
    assert "came last" not in router.mesh_of(TOPIC)
    assert router.take_outgoing()["came last"].prune


def test_who_has_asked_to_be_left_alone_is_left_alone_though_we_dialled_it() -> None:
    router = crowded_router()
    add(router, "ours", is_outbound=True)
    router.receive("ours", GossipRPC(prune=[(TOPIC, 60)]), 0.0)
    router.take_outgoing()
    router.heartbeat(30.0)
    assert "ours" not in router.mesh_of(TOPIC)
    router.heartbeat(61.0)
    assert "ours" in router.mesh_of(TOPIC)


def test_without_peers_that_we_dialled_the_mesh_is_of_others() -> None:
    router = crowded_router()
    for beat in range(1, 10):
        router.heartbeat(beat * HEARTBEAT_SECONDS)
    assert len(router.mesh_of(TOPIC)) == MESH_HIGH


@pytest.mark.anyio
async def test_a_node_tells_its_router_whom_it_dialled(world: World) -> None:
    node, other = make_node(world), make_node(world)
    stranger = Stranger(world)
    async with running(node, other), stranger.meeting(node):
        node.add_candidate(address_of(other))
        await until(lambda: other.peer_id in node.peers, PATIENCE)
        peers = node._gossip.router._peers
        await until(lambda: other.peer_id in peers, PATIENCE)
        assert peers[other.peer_id].is_outbound
        assert not peers[stranger.board.peer_id].is_outbound
        assert topic(world) in node._gossip.router.topics
