"""The nodes that answered us, by distance: where look-ups begin, and what we tell others.

Only who answered gets in, so records in it have been reached at their address. Few of one network
neighbourhood are kept, so that one operator with many keys cannot fill it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from lightclient.wire.discv5.addresses import neighbourhood
from lightclient.wire.discv5.messages import MAX_DISTANCE, log_distance
from lightclient.wire.enr import NodeRecord

BUCKET_SIZE: Final = 16
_LOWEST_DISTANCE: Final = 240
"""Nodes nearer than that do not occur by chance; they share the last bucket."""
_NEIGHBOURS_IN_BUCKET: Final = 2
_NEIGHBOURS_IN_TABLE: Final = 10
_FAILURES_ALLOWED: Final = 3


@dataclass
class Entry:
    """A node of the table; ``failures`` counts questions not answered since the last answer."""

    record: NodeRecord
    checked_ms: int
    failures: int = 0


class NodeTable:
    """Nodes around ``local_id``, at most 16 at each distance."""

    def __init__(self, local_id: bytes) -> None:
        self._local_id = local_id
        self._buckets: dict[int, dict[bytes, Entry]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def __contains__(self, node_id: bytes) -> bool:
        return node_id in self._bucket_of(node_id)

    def __iter__(self) -> Iterator[Entry]:
        for bucket in self._buckets.values():
            yield from bucket.values()

    def get(self, node_id: bytes) -> NodeRecord | None:
        """The record of a node, if it is in the table."""
        entry = self._bucket_of(node_id).get(node_id)
        return entry.record if entry else None

    @property
    def good_records(self) -> list[NodeRecord]:
        """Nodes that answered when they were last asked: worth keeping for the next start."""
        return [entry.record for entry in self if not entry.failures]

    def answered(self, record: NodeRecord, now_ms: int) -> bool:
        """A node answered at the address in its record; tells whether it is new to the table.

        A full bucket keeps its nodes as long as they answer: old nodes are the ones that stay.
        """
        if record.node_id == self._local_id or record.udp_endpoint is None:
            return False
        bucket = self._bucket_of(record.node_id)
        entry = bucket.get(record.node_id)
        if entry is not None:
            self._renew(entry, record, bucket)
            return False
        if not self._has_room_in_neighbourhood(record, bucket):
            return False
        if len(bucket) >= BUCKET_SIZE:
            worst = max(bucket, key=lambda node_id: bucket[node_id].failures)
            if not bucket[worst].failures:
                return False
            del bucket[worst]
        bucket[record.node_id] = Entry(record, now_ms)
        return True

    def _renew(self, entry: Entry, record: NodeRecord, bucket: dict[bytes, Entry]) -> None:
        if record.sequence <= entry.record.sequence:
            # Whoever answers where a node was earlier says nothing of where it is now.
            if record.udp_endpoint == entry.record.udp_endpoint:
                entry.failures = 0
            return
        is_moved = neighbourhood(record) != neighbourhood(entry.record)
        if is_moved and not self._has_room_in_neighbourhood(record, bucket):
            # Otherwise one network could fill the table with nodes that came from another.
            del bucket[record.node_id]
            return
        entry.record, entry.failures = record, 0

    def failed(self, node_id: bytes) -> None:
        """A node did not answer; after three times in a row it is forgotten."""
        bucket = self._bucket_of(node_id)
        entry = bucket.get(node_id)
        if entry is None:
            return
        entry.failures += 1
        if entry.failures >= _FAILURES_ALLOWED:
            del bucket[node_id]

    def closest(self, target: bytes, count: int = BUCKET_SIZE) -> list[NodeRecord]:
        """The records nearest to ``target``, nearest first."""
        number = int.from_bytes(target, "big")
        by_distance = sorted(
            self, key=lambda entry: int.from_bytes(entry.record.node_id, "big") ^ number
        )
        return [entry.record for entry in by_distance[:count]]

    def at_distances(self, distances: Sequence[int]) -> list[NodeRecord]:
        """The records at logarithmic distances of us, for an answer to FINDNODE."""
        wanted = [distance for distance in dict.fromkeys(distances) if 0 < distance <= MAX_DISTANCE]
        return [
            entry.record
            for distance in wanted
            for entry in self._buckets.get(max(distance, _LOWEST_DISTANCE), {}).values()
            if not entry.failures and log_distance(self._local_id, entry.record.node_id) == distance
        ]

    def next_to_check(self, now_ms: int) -> NodeRecord | None:
        """The node that was not checked for longest; it counts as checked now."""
        entry = min(self, key=lambda entry: entry.checked_ms, default=None)
        if entry is None:
            return None
        entry.checked_ms = now_ms
        return entry.record

    def _bucket_of(self, node_id: bytes) -> dict[bytes, Entry]:
        distance = max(log_distance(self._local_id, node_id), _LOWEST_DISTANCE)
        return self._buckets.setdefault(distance, {})

    def _has_room_in_neighbourhood(self, record: NodeRecord, bucket: dict[bytes, Entry]) -> bool:
        where = neighbourhood(record)
        if where is None:
            return True

        def near(entries: Iterator[Entry]) -> int:
            return sum(neighbourhood(entry.record) == where for entry in entries)

        return (
            near(iter(bucket.values())) < _NEIGHBOURS_IN_BUCKET
            and near(iter(self)) < _NEIGHBOURS_IN_TABLE
        )
