"""Our own pace towards a peer: requests that wait for it are counted, so that nobody is blamed."""

from __future__ import annotations

import pytest

pytest.importorskip("libp2p", reason="the extra [libp2p] is not installed")

import trio

from lightclient.client.providers import Provider
from lightclient.transports.libp2p.crossing import RemoteTransport
from lightclient.transports.libp2p.event_loops import this_event_loop
from lightclient.transports.libp2p.limits import QUOTAS, Quota, RequestPace
from lightclient.transports.libp2p.transport import Libp2pTransport
from lightclient.wire.protocols import LIGHT_CLIENT_FINALITY_UPDATE_1
from tests.client.world import World, until
from tests.transports.libp2p.attackers import PATIENCE
from tests.transports.libp2p.strangers import Stranger
from tests.transports.libp2p.world import make_node, running

pytestmark = pytest.mark.anyio


HOUR = {**QUOTAS, LIGHT_CLIENT_FINALITY_UPDATE_1.name: Quota(1, 3600)}


async def test_a_request_that_waits_for_our_pace_is_counted_at_once_and_no_other(
    world: World,
) -> None:
    node = make_node(world)
    async with running(node), Stranger(world).meeting(node) as connection:
        transport = Libp2pTransport(connection, world.network, RequestPace(1.0, HOUR))
        await transport.get_light_client_finality_update()
        await transport.get_light_client_optimistic_update()
        assert transport.held_back == 0
        async with this_event_loop() as away, trio.open_nursery() as nursery:
            remote = RemoteTransport(transport, away)
            nursery.start_soon(remote.get_light_client_finality_update)
            await until(lambda: transport.held_back == 1, PATIENCE)
            # As the client sees it, in whatever event loop it runs.
            assert Provider(remote).held_back == 1
            nursery.cancel_scope.cancel()
