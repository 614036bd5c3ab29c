"""What all processes of a run share: one simulated chain, one clock, and who is where."""

from __future__ import annotations

import json
import random
import time
from dataclasses import asdict, dataclass

from lightclient.transports.libp2p.addresses import PeerAddress, parse_peer_address
from lightclient.wire.enr import NodeRecord, parse_record
from tests.client.world import World

FIRST_SLOT = 300
SLOT_MS = 3_000


class SceneWorld(World):
    """A chain whose clock runs since ``started_ms`` of the machine's, the same everywhere."""

    def __init__(self, started_ms: int) -> None:
        self._started_ms = started_ms
        super().__init__(FIRST_SLOT, slot_duration_ms=SLOT_MS)

    def clock(self) -> int:
        return self.now_ms + time.time_ns() // 1_000_000 - self._started_ms

    @property
    def slot(self) -> int:
        slot = self.network.slot_at_time_ms(self.clock())
        self.chain.advance_to(slot)
        return slot


@dataclass(frozen=True)
class Target:
    """Where the victim is, as the processes tell each other.

    Attributes:
        record: its node record as text; empty while it has none.
    """

    address: str
    udp_port: int
    record: str
    started_ms: int

    @property
    def peer(self) -> PeerAddress:
        return parse_peer_address(self.address)

    @property
    def node(self) -> NodeRecord:
        return parse_record(self.record)

    def to_text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Target:
        return cls(**json.loads(text))


def draw_for(seed: str, number: int) -> random.Random:
    """The randomness of one case, the same in each run."""
    return random.Random(f"{seed}/{number}")
