"""An iterative look-up as a pure state machine: whom to ask next, and when there is nobody left.

Starting from nodes that are known, it asks the nearest to the target for nodes nearer still, three
at a time, until the sixteen nearest it heard of have answered. Its caller sends the questions and
brings the answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from lightclient.wire.discv5.addresses import neighbourhood
from lightclient.wire.discv5.messages import MAX_DISTANCE, log_distance
from lightclient.wire.discv5.table import BUCKET_SIZE
from lightclient.wire.enr import NodeRecord

CONCURRENCY: Final = 3
MAX_CANDIDATES: Final = 64
MAX_QUESTIONS: Final = 48
"""So that nodes that always know of a nearer one cannot keep a look-up going."""
_PER_NEIGHBOURHOOD: Final = 4
_DISTANCES: Final = 3


def distances_to_ask(node_id: bytes, target: bytes) -> tuple[int, ...]:
    """Distances of ``node_id`` at which nodes near ``target`` are, the likeliest first."""
    exact = log_distance(node_id, target)
    around = (exact, exact + 1, exact - 1, exact + 2, exact - 2)
    return tuple(distance for distance in around if 0 < distance <= MAX_DISTANCE)[:_DISTANCES]


class Lookup:
    """Looks for the nodes nearest to ``target`` (32 bytes)."""

    def __init__(self, target: bytes, start: Iterable[NodeRecord], local_id: bytes) -> None:
        self.target = target
        self._local_id = local_id
        self._candidates: dict[bytes, NodeRecord] = {}
        self._asked: set[bytes] = set()
        self._waiting: set[bytes] = set()
        self._answered: set[bytes] = set()
        self._add(start)

    @property
    def is_done(self) -> bool:
        """Whether nobody is left to ask and nobody's answer is waited for."""
        return not self._waiting and self._next() is None

    @property
    def nearest(self) -> list[NodeRecord]:
        """The nearest nodes that answered, at most 16, nearest first."""
        return [self._candidates[i] for i in self._in_order() if i in self._answered][:BUCKET_SIZE]

    def questions(self) -> list[tuple[NodeRecord, tuple[int, ...]]]:
        """Whom to ask now, and for which distances; each is given once."""
        questions = []
        while len(self._waiting) < CONCURRENCY and (node_id := self._next()) is not None:
            self._asked.add(node_id)
            self._waiting.add(node_id)
            questions.append((self._candidates[node_id], distances_to_ask(node_id, self.target)))
        return questions

    def answered(self, node_id: bytes, found: Iterable[NodeRecord]) -> None:
        """A node that was asked told of these."""
        if node_id in self._waiting:
            self._waiting.discard(node_id)
            self._answered.add(node_id)
            self._add(found)

    def failed(self, node_id: bytes) -> None:
        """A node that was asked did not answer, or could not be asked."""
        if node_id in self._waiting:
            self._waiting.discard(node_id)
            del self._candidates[node_id]

    def _add(self, records: Iterable[NodeRecord]) -> None:
        crowd = Counter(neighbourhood(record) for record in self._candidates.values())
        for record in records:
            node_id = record.node_id
            if node_id in self._asked or node_id == self._local_id or not record.udp_endpoint:
                continue
            known = self._candidates.get(node_id)
            where = neighbourhood(record)
            if known is None and where is not None and crowd[where] >= _PER_NEIGHBOURHOOD:
                continue
            if known is None or record.sequence > known.sequence:
                self._candidates[node_id] = record
                crowd[where] += 1
        for node_id in self._in_order()[MAX_CANDIDATES:]:
            if node_id not in self._waiting:
                del self._candidates[node_id]

    def _in_order(self) -> list[bytes]:
        number = int.from_bytes(self.target, "big")
        return sorted(self._candidates, key=lambda i: int.from_bytes(i, "big") ^ number)

    def _next(self) -> bytes | None:
        if len(self._asked) >= MAX_QUESTIONS:
            return None
        nearest = self._in_order()[:BUCKET_SIZE]
        return next((node_id for node_id in nearest if node_id not in self._asked), None)
