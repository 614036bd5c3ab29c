"""What goes wrong at peers: the faults of servers that mean something here, and some of gossip's.

Each is a small object with a name, composable and seeded, like all faults of the simulator.
"""

from __future__ import annotations

from typing import ClassVar, Final

from lightclient.simulator.exchange import Answer, Asked
from lightclient.simulator.faults.base import Fault
from lightclient.simulator.faults.catalogue import FAULTS
from lightclient.simulator.faults.forged import FORGING
from lightclient.simulator.views import ChainView
from lightclient.transports.libp2p.gossip_rpc import GossipMessage
from lightclient.transports.libp2p.standing import fork_digests_near
from lightclient.wire.gossip import Topic, encode_payload, parse_topic
from lightclient.wire.varint import encode_varint, read_varint

_CHUNK_HEAD: Final = 5
"""The result code and the fork digest, before a chunk's length."""
_FOUR_GIB: Final = 2**32


class PeerFault(Fault):
    """A fault that only peers can have."""

    def messages(self, messages: list[GossipMessage], view: ChainView) -> list[GossipMessage]:
        """What is gossiped in place of ``messages``."""
        return messages


class LengthLie(PeerFault):
    """Announces 4 GiB in front of an object: a bomb for who makes room before it looks."""

    name = "length_lie"
    is_on_wire = True

    def applies_to(self, asked: Asked) -> bool:
        return asked.kind is not None and not asked.pushed

    def answer(self, asked: Asked, answer: Answer, view: ChainView) -> Answer:
        found = read_varint(answer.body[_CHUNK_HEAD:])
        if found is not None:
            rest = answer.body[_CHUNK_HEAD + found[1] :]
            answer.body = answer.body[:_CHUNK_HEAD] + encode_varint(_FOUR_GIB - 1) + rest
        return answer


class GossipFault(PeerFault):
    """Spoils what is gossiped, and nothing that is asked for."""

    def applies_to(self, asked: Asked) -> bool:
        return asked.pushed


class JunkGossip(GossipFault):
    """Besides the true messages some that hold no snappy, or no object."""

    name = "junk_gossip"
    _COUNT: ClassVar[int] = 4
    _SIZE: ClassVar[int] = 500

    def messages(self, messages: list[GossipMessage], view: ChainView) -> list[GossipMessage]:
        junk = []
        for message in messages:
            for number in range(self._COUNT):
                content = self.rng.randbytes(self._SIZE)
                payload = content if number % 2 else encode_payload(content)
                junk.append(GossipMessage(message.topic, payload))
        return [*junk, *messages]


class CutGossip(GossipFault):
    """Messages whose end is missing."""

    name = "cut_gossip"

    def messages(self, messages: list[GossipMessage], view: ChainView) -> list[GossipMessage]:
        return [
            GossipMessage(message.topic, message.data[: self.rng.randrange(len(message.data))])
            for message in messages
        ]


class MisplacedGossip(GossipFault):
    """Near a fork the other side's digest in the topic: true objects where they do not belong."""

    name = "misplaced_gossip"

    def messages(self, messages: list[GossipMessage], view: ChainView) -> list[GossipMessage]:
        return [self._misplaced(message, view) for message in messages]

    def _misplaced(self, message: GossipMessage, view: ChainView) -> GossipMessage:
        topic = parse_topic(message.topic)
        assert topic is not None
        others = fork_digests_near(view.network, view.head.slot) - {topic.fork_digest}
        if not others:
            return message
        other = Topic(self.rng.choice(sorted(others)), topic.name)
        return GossipMessage(str(other), message.data)


# The other faults of servers are about HTTP: its headers, its media types, its event streams.
_OF_SERVERS: Final = (
    "short_range",
    "empty_range",
    "gapped_range",
    "overlong_range",
    "duplicated_range",
    "reordered_range",
    "wrong_periods",
    "lagging",
    "frozen",
    "stale_latest",
    "stale_finality",
    "wrong_network",
    "resetting",
    "silent",
    "slow_first_byte",
    "server_error",
    "rate_limiting",
    "light_client_off",
    "bootstrap_missing",
    "stalling_mid_body",
    "dripping",
    "endless_body",
    "resetting_mid_body",
    "truncated_body",
    "cut_object",
    "junk_body",
    "empty_body",
    "wrong_preset",
    *(kind.name for kind in FORGING.values()),
)
PEER_FAULTS: Final[dict[str, type[Fault]]] = {
    **{kind.name: kind for kind in (LengthLie, JunkGossip, CutGossip, MisplacedGossip)},
    **{name: FAULTS[name] for name in _OF_SERVERS},
}
"""Every fault that a peer can have, by its stable name."""
