"""Discovery as a whole, without I/O: engine, table and look-ups, driven by datagrams and a clock.

It looks for random targets one after the other, keeps the table alive with a ping now and then,
asks for records that are out of date, and learns our own address from what others see.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Final, TypeAlias

from lightclient.wire.discv5.addresses import may_tell, may_tell_address, neighbourhood
from lightclient.wire.discv5.engine import Datagram, Engine
from lightclient.wire.discv5.events import (
    Answered,
    Asked,
    Event,
    NewerRecord,
    NodesFound,
    RequestFailed,
    SessionOpened,
)
from lightclient.wire.discv5.lookup import Lookup
from lightclient.wire.discv5.messages import Pong
from lightclient.wire.discv5.packets import NODE_ID_SIZE
from lightclient.wire.discv5.requests import MAX_PENDING
from lightclient.wire.discv5.table import NodeTable
from lightclient.wire.enr import Address, NodeRecord
from lightclient.wire.identity import IdentityKey

LOOKUP_INTERVAL_MS: Final = 600_000
"""While nobody is wanted: the table is kept alive by pings, and a look-up moves some 50 kB."""
LOOKUP_INTERVAL_WHEN_WANTED_MS: Final = 2_000
PING_INTERVAL_MS: Final = 10_000
TICK_INTERVAL_MS: Final = 500
VOTES_FOR_ADDRESS: Final = 3
_VOTES_KEPT: Final = 16
_MAX_PENDING_FOR_OTHERS: Final = MAX_PENDING // 8
"""Beyond that nobody has us ask anything by telling of newer records: look-ups go first."""
CONTENT_WITH: Final = 8
"""With so many known nodes, look-ups begin from them alone."""


@dataclass(frozen=True, slots=True)
class NodeFound:
    """A verified record that a look-up or a handshake brought; it may come again.

    ``answered`` tells that the node itself has answered us at the address in it.
    """

    record: NodeRecord
    answered: bool


@dataclass(frozen=True, slots=True)
class ExternalAddress:
    """Several nodes see our datagrams come from this address and port."""

    address: Address


@dataclass(frozen=True, slots=True)
class LookupFinished:
    """A look-up is over; ``nearest`` are those nearest to its target that answered."""

    target: bytes
    nearest: tuple[NodeRecord, ...]


DiscoveryEvent: TypeAlias = NodeFound | ExternalAddress | LookupFinished


class Discovery:
    """One node that looks for others.

    Feed :meth:`receive`, call :meth:`tick` about twice a second, send what :meth:`datagrams` gives,
    read :meth:`events`. Set :attr:`wanted` while more nodes are needed, :attr:`record` when our own
    record changes.

    Args:
        start: verified records to begin with: boot nodes, and nodes kept from earlier.
    """

    def __init__(
        self,
        key: IdentityKey,
        record: NodeRecord,
        random_bytes: Callable[[int], bytes],
        start: Iterable[NodeRecord] = (),
    ) -> None:
        self.table = NodeTable(key.node_id)
        self.engine = Engine(key, record, random_bytes, self.table.at_distances)
        self.wanted = True
        self._key = key
        self._random = random_bytes
        self._start = tuple(start)
        self._lookup: Lookup | None = None
        self._asked_for_lookup: dict[bytes, bytes] = {}
        self._looked_ms: int | None = None
        self._pinged_ms = 0
        self._events: deque[DiscoveryEvent] = deque()
        self._votes: dict[str, Address] = {}
        self._told_address: Address | None = None

    @property
    def record(self) -> NodeRecord:
        """Our own record; set it when it changes."""
        return self.engine.record

    @record.setter
    def record(self, record: NodeRecord) -> None:
        self.engine.record = record

    def datagrams(self) -> list[Datagram]:
        """What to send now; each is given once."""
        return self.engine.datagrams()

    def events(self) -> list[DiscoveryEvent]:
        """What happened; each is given once."""
        taken = list(self._events)
        self._events.clear()
        return taken

    def receive(self, datagram: bytes, address: Address, now_ms: int) -> None:
        """Take in a datagram. Never raises for what it holds."""
        self.engine.receive(datagram, address, now_ms)
        self._handle_events(now_ms)

    def tick(self, now_ms: int) -> None:
        """Go on: time-outs, the next look-up, the next ping."""
        self.engine.tick(now_ms)
        self._handle_events(now_ms)
        interval = LOOKUP_INTERVAL_WHEN_WANTED_MS if self.wanted else LOOKUP_INTERVAL_MS
        if self._lookup is None and (
            self._looked_ms is None or now_ms - self._looked_ms >= interval
        ):
            self.look_up(self._random(NODE_ID_SIZE), now_ms)
        if now_ms - self._pinged_ms >= PING_INTERVAL_MS:
            self._pinged_ms = now_ms
            record = self.table.next_to_check(now_ms)
            if record is not None:
                self.engine.ping(record, now_ms)

    def look_up(self, target: bytes, now_ms: int) -> None:
        """Look for the nodes nearest to ``target``, in place of a look-up that is under way."""
        self._looked_ms = now_ms
        self._asked_for_lookup.clear()
        known = self.table.closest(target)
        # Few known nodes: the ones to start from are asked again, too.
        start = known if len(known) >= CONTENT_WITH else map(self._newest, (*known, *self._start))
        self._lookup = Lookup(target, start, self._key.node_id)
        self._go_on(now_ms)

    def _go_on(self, now_ms: int) -> None:
        lookup = self._lookup
        if lookup is None:
            return
        while questions := lookup.questions():
            for record, distances in questions:
                request_id = self.engine.find_node(record, distances, now_ms)
                if request_id is None:
                    lookup.failed(record.node_id)
                else:
                    self._asked_for_lookup[request_id] = record.node_id
        if lookup.is_done:
            self._lookup = None
            self._looked_ms = now_ms
            self._events.append(LookupFinished(lookup.target, tuple(lookup.nearest)))

    def _handle_events(self, now_ms: int) -> None:
        for event in self.engine.events():
            self._handle(event, now_ms)
        self._go_on(now_ms)

    def _handle(self, event: Event, now_ms: int) -> None:
        match event:
            case SessionOpened(record, address, _) | Asked(record, address):
                # Someone who came to us is worth keeping only where its record says it is.
                if record.udp_endpoint == address:
                    self._answered(record, now_ms)
            case Answered(_, record, answer):
                self._answered(record, now_ms)
                if isinstance(answer, Pong):
                    self._vote(record, (answer.ip, answer.port))
            case NodesFound(request_id, record, found, _, _):
                self._answered(record, now_ms)
                self._take_found(request_id, record, found, now_ms)
            case RequestFailed(request_id, record):
                known = self.table.get(record.node_id)
                # An old record, told by whoever likes, is no reason to forget a node.
                if known is not None and known.udp_endpoint == record.udp_endpoint:
                    self.table.failed(record.node_id)
                self._fail_question(request_id)
            case NewerRecord(record, _):
                if self._may_ask_for_others:
                    self.engine.find_node(record, (0,), now_ms)

    @property
    def _may_ask_for_others(self) -> bool:
        return self.engine.pending_count < _MAX_PENDING_FOR_OTHERS

    def _newest(self, record: NodeRecord) -> NodeRecord:
        """The newest verified record of a node, ``record`` or that in the table."""
        known = self.table.get(record.node_id)
        return record if known is None or known.sequence <= record.sequence else known

    def _answered(self, record: NodeRecord, now_ms: int) -> None:
        if self.table.answered(record, now_ms):
            self._events.append(NodeFound(record, answered=True))

    def _take_found(
        self, request_id: bytes, record: NodeRecord, found: tuple[NodeRecord, ...], now_ms: int
    ) -> None:
        found = tuple(map(self._newest, found))
        for node in found:
            known = self.table.get(node.node_id)
            if node.node_id == record.node_id and not _may_move(record, node):
                continue
            if node.node_id == record.node_id and node.udp_endpoint == record.udp_endpoint:
                self.table.answered(node, now_ms)  # its own newer record, at distance 0
            elif known is not None and known.sequence < node.sequence and self._may_ask_for_others:
                self.engine.ping(node, now_ms)  # it is there once it has answered there
            self._events.append(NodeFound(node, answered=False))
        asked = self._asked_for_lookup.pop(request_id, None)
        if asked is not None and self._lookup is not None:
            self._lookup.answered(asked, found)

    def _fail_question(self, request_id: bytes) -> None:
        asked = self._asked_for_lookup.pop(request_id, None)
        if asked is not None and self._lookup is not None:
            self._lookup.failed(asked)

    def _vote(self, record: NodeRecord, address: Address) -> None:
        address = _plain(address)
        endpoint = record.udp_endpoint
        if endpoint is None or not may_tell_address(endpoint[0], address):
            return
        # One voice for a neighbourhood: keys are free, addresses are not.
        voter = neighbourhood(record) or record.node_id.hex()
        self._votes.pop(voter, None)
        self._votes[voter] = address
        if len(self._votes) > _VOTES_KEPT:
            del self._votes[next(iter(self._votes))]
        votes = sum(seen == address for seen in self._votes.values())
        if (
            address != self._told_address
            and votes >= VOTES_FOR_ADDRESS
            and votes * 2 > len(self._votes)
        ):
            self._told_address = address
            self._events.append(ExternalAddress(address))


def _plain(address: Address) -> Address:
    """An IPv4 address as such, where a node with a socket for both families told it as IPv6."""
    ip = ip_address(address[0])
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return str(mapped or ip), address[1]


def _may_move(record: NodeRecord, newer: NodeRecord) -> bool:
    """Whether a node may tell that it is reached as ``newer`` says: nobody is from next door."""
    endpoint = record.udp_endpoint
    return endpoint is not None and may_tell(endpoint[0], newer)
