"""A whole light client whose only peer is js-libp2p from npm, serving a simulated chain's bytes."""

from __future__ import annotations

import pytest

pytest.importorskip("libp2p", reason="the extra [libp2p] is not installed")

import anyio

from lightclient.client import SyncState
from lightclient.containers import encode_ssz
from lightclient.wire.gossip import encode_payload, topic_of, topics_at
from lightclient.wire.protocols import (
    LIGHT_CLIENT_BOOTSTRAP_1,
    LIGHT_CLIENT_OPTIMISTIC_UPDATE_1,
    LIGHT_CLIENT_UPDATES_BY_RANGE_1,
    PING_1,
    STATUS_2,
)
from tests.client.world import TickingWorld
from tests.interop.js_libp2p.chain import serving
from tests.interop.js_libp2p.peers import BOTH, PATIENCE, JsPeer, JsPeers
from tests.transports.libp2p.world import make_client

pytestmark = pytest.mark.anyio
SLOT = 500
HEAD = LIGHT_CLIENT_OPTIMISTIC_UPDATE_1.protocol_id
PINGED_EVERY = 1.0
"""Seconds, in this test: long-lived connections are what may break."""


async def tell_head(peer: JsPeer, world: TickingWorld) -> None:
    """Gossip the head of the chain."""
    for update in (world.chain.finality_update(), world.chain.optimistic_update()):
        assert update is not None
        topic = str(topic_of(update, world.network))
        await peer.publish(topic, encode_payload(encode_ssz(update)))


@BOTH
async def test_it_bootstraps_catches_up_and_follows_and_is_not_disconnected(
    js_peers: JsPeers, muxer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightclient.transports.libp2p.conversation.PING_SECONDS", PINGED_EVERY)
    monkeypatch.setattr("lightclient.transports.libp2p.conversation.PINGS_TO_STATUS", 3)
    world = TickingWorld(SLOT, slot_duration_ms=2000)
    async with js_peers.attached() as js:
        server = await js.start("server", [muxer], serving(world))
        for topic in topics_at(world.network, SLOT):
            await server.order("subscribe", topic=str(topic))
        client = make_client(world, server.address)
        async with client:
            with anyio.fail_after(PATIENCE):
                finalized = await client.wait_until_synced()
                assert finalized.slot > SLOT - 64
                assert {protocol_id for protocol_id, _ in server.requests} >= {
                    STATUS_2.protocol_id,
                    LIGHT_CLIENT_BOOTSTRAP_1.protocol_id,
                    LIGHT_CLIENT_UPDATES_BY_RANGE_1.protocol_id,
                }
            followed = str(topics_at(world.network, world.slot)[-1])
            await server.gossip_once(followed, lambda state: bool(state["subscribers"]))
            asked_before = [item for item in server.requests if item[0] == HEAD]
            heads = client.optimistic_headers()
            seen = [(await anext(heads)).slot]
            with anyio.fail_after(2 * PATIENCE):
                while len(seen) < 4:
                    slot = world.slot
                    update = world.chain.optimistic_update()
                    if update is not None and update.attested_header.beacon.slot > seen[-1]:
                        await tell_head(server, world)
                        seen.append((await anext(heads)).slot)
                    ends_ms = world.network.slot_start_ms(slot + 1) - world.clock()
                    await anyio.sleep(max(ends_ms, 0) / 1000 + 0.05)
            assert seen == sorted(set(seen))
            asked = [item for item in server.requests if item[0] == HEAD]
            assert len(asked) - len(asked_before) < len(seen) - 1, "gossip brought some of them"
            assert client.status.state is SyncState.SYNCED
            assert client.status.usable_providers == 1
            assert {protocol_id for protocol_id, _ in server.requests} >= {PING_1.protocol_id}
            assert len(server.told("connected")) == 1
            assert not server.told("fault")
            assert not server.told("disconnected")
            assert await server.order("connections")
