"""What to make of each gossip message: bounds first, then the client's judgement of updates.

Blocks cannot be judged here: nobody's signature on them can be checked without a state. So they
are handed to whoever asked for them and never passed on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from lightclient.config import Network
from lightclient.errors import DecodeError
from lightclient.transports.libp2p.acquaintance import Peer
from lightclient.transports.libp2p.blocks import BlockFeed
from lightclient.transports.libp2p.gossipsub import Arrival
from lightclient.transports.libp2p.judgement import Acceptance, GossipRules, decode_gossip
from lightclient.transports.pools import PoolMember
from lightclient.wire.gossip import BEACON_BLOCK, Topic, parse_topic, topic_of

MAX_PUSHES_A_SLOT: Final = 16
"""Messages that a peer may be first to tell; two are usual, and each costs a signature check."""


class GossipValidation:
    """Judges messages.

    Args:
        peers: those connected, by id.
        on_offence: called with a peer, what it did, and whether that can be nothing but malice.
        clock: Unix milliseconds.
    """

    def __init__(
        self,
        network: Network,
        member: PoolMember,
        peers: Mapping[str, Peer],
        blocks: BlockFeed,
        on_offence: Callable[[str, str, bool], None],
        clock: Callable[[], int],
    ) -> None:
        self._network = network
        self._member = member
        self._peers = peers
        self._blocks = blocks
        self._on_offence = on_offence
        self._clock = clock
        self._rules = GossipRules(network)

    async def judge(self, arrival: Arrival) -> Acceptance | None:
        """What to do with a message that just came; None if it could not be judged."""
        peer = self._peers.get(arrival.peer)
        topic = parse_topic(arrival.message.topic)
        if peer is None or topic is None:
            return Acceptance.IGNORE
        try:
            if arrival.content is None:
                raise DecodeError("a message that is not snappy")
            if topic.name == BEACON_BLOCK:
                return self._take_block(peer, topic, arrival.content)
            return await self._judge_update(peer, topic, arrival.content)
        except DecodeError as error:
            self._on_offence(arrival.peer, f"{topic.name}: {error}", True)
            return Acceptance.REJECT

    async def _judge_update(self, peer: Peer, topic: Topic, content: bytes) -> Acceptance | None:
        update = decode_gossip(topic, content, self._network)
        if not self._may_push(peer):
            return None
        outcome = await self._member.judge(peer.transport, update)
        if outcome is None:
            return None
        is_at_home = topic_of(update, self._network) == topic
        return self._rules.decide(update, outcome, self._clock(), is_at_home=is_at_home)

    def _take_block(self, peer: Peer, topic: Topic, content: bytes) -> Acceptance:
        if self._may_push(peer):
            self._blocks.take(topic.fork_digest, content)
        return Acceptance.IGNORE

    def _may_push(self, peer: Peer) -> bool:
        slot = self._network.slot_at_time_ms(self._clock())
        peer.slot, peer.pushes = slot, peer.pushes + 1 if peer.slot == slot else 1
        return peer.has_joined and peer.pushes <= MAX_PUSHES_A_SLOT
