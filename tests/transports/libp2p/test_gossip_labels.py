"""Gossip under a label that is not its own: processed where it may be, passed on by nobody.

What is passed on goes to peers that hold to the letter: a message on another topic than its
own, or in another form than its topic's, would have them reject it and think ill of us.
"""

from __future__ import annotations

import pytest

pytest.importorskip("libp2p", reason="the extra [libp2p] is not installed")

from dataclasses import replace

from lightclient.containers import (
    LightClientFinalityUpdate,
    LightClientOptimisticUpdate,
    ObjectKind,
    encode_ssz,
)
from lightclient.errors import DecodeError
from lightclient.transports.libp2p.gossip_rpc import GossipMessage
from lightclient.transports.libp2p.gossipsub import Arrival
from lightclient.transports.libp2p.judgement import Acceptance, decode_gossip
from lightclient.transports.libp2p.node import Node
from lightclient.wire.gossip import TOPIC_KINDS, Topic, topic_of
from tests.client.world import World
from tests.transports.libp2p.strangers import Stranger
from tests.transports.libp2p.world import Member, make_node, running
from tests.transports.objects import make_object

pytestmark = pytest.mark.anyio

FORK_EPOCH = 24
CAPELLA_SLOT = 100


@pytest.mark.parametrize("name", TOPIC_KINDS)
@pytest.mark.parametrize("form", ["deneb", "electra", "gloas", "altair"])
def test_an_update_in_another_form_than_its_topics_is_rejected(name: str, form: str) -> None:
    """The rules would take a newer form; peers that know one form for a digest would not."""
    world = World(CAPELLA_SLOT)
    update = make_object(TOPIC_KINDS[name], world.network, CAPELLA_SLOT, form)
    assert isinstance(update, LightClientFinalityUpdate | LightClientOptimisticUpdate)
    assert update.data_format is not world.network.fork_at_slot(CAPELLA_SLOT).data_format
    with pytest.raises(DecodeError):
        decode_gossip(topic_of(update, world.network), encode_ssz(update), world.network)


async def test_an_update_under_its_signatures_digest_is_judged_but_not_passed_on() -> None:
    world = World(FORK_EPOCH * 8 + 1)
    network, member = world.network, Member()
    fork_slot = network.compute_start_slot_at_epoch(FORK_EPOCH)
    zeros = make_object(ObjectKind.OPTIMISTIC_UPDATE, network, fork_slot - 1, "electra")
    assert isinstance(zeros, LightClientOptimisticUpdate)
    update = replace(zeros, signature_slot=fork_slot)
    later = Topic(network.compute_fork_digest(FORK_EPOCH), topic_of(update, network).name)
    assert later != topic_of(update, network)
    node = make_node(world, member)
    stranger = Stranger(world)
    async with running(node), stranger.meeting(node):
        assert await judged(node, stranger.board.peer_id, later, update) is Acceptance.IGNORE
        assert len(member.judged) == 1


async def judged(
    node: Node, peer: str, topic: Topic, update: LightClientOptimisticUpdate
) -> Acceptance | None:
    content = encode_ssz(update)
    arrival = Arrival(peer, GossipMessage(str(topic), b""), b"id", content)
    return await node._validation.judge(arrival)
