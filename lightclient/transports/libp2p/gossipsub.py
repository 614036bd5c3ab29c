"""Gossipsub 1.2 for anonymous messages, sans-I/O: what peers told in, what to tell them out.

Theory of operation. For each topic some of the peers that listen to it form our mesh: they get
every message at once. Each heartbeat mends the mesh towards its size, and tells a few others the
ids of recent messages, which they may ask for. A message that comes in is neither forwarded nor
told of until somebody has judged it (:meth:`Router.settle`); until then copies of it are dropped.

A judgement may be "ignore", which costs nobody anything; the router knows no scores. It tells of
offences (:attr:`Router.offences`) and leaves their weight to others. Whatever peers send, memory is
bounded by the constants below, the number of peers and that of our topics. Times are seconds of a
clock that never steps back.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from lightclient.transports.libp2p.gossip_rpc import GossipMessage, GossipRPC
from lightclient.wire.gossip import read_message

MESHSUB: Final = ("/meshsub/1.2.0", "/meshsub/1.1.0", "/meshsub/1.0.0")

# Of the consensus specification (phase0 p2p-interface, "The gossip domain: gossipsub").
MESH: Final = 8
MESH_LOW: Final = 6
MESH_HIGH: Final = 12
MESH_OUTBOUND: Final = 2
"""D_out of gossipsub 1.1: peers that we dialled; who comes to us cannot be all whom we hear."""
LAZY: Final = 6
HEARTBEAT_SECONDS: Final = 0.7
HISTORY: Final = 6
GOSSIPED_HISTORY: Final = 3

_GOSSIP_SHARE: Final = 0.25
_BACK_OFF: Final = 60.0
_UNSUBSCRIBE_BACK_OFF: Final = 10.0
_LONGEST_BACK_OFF: Final = 3600.0

MAX_SEEN: Final = 8192
MAX_CACHED_BYTES: Final = 8 * 2**20
MAX_UNSETTLED: Final = 64
MAX_UNSETTLED_OF_PEER: Final = 8
MAX_TOPICS_OF_PEER: Final = 512
"""A beacon node listens to some 150 topics, for a while to those of two forks."""
MAX_BACK_OFFS: Final = 4096
"""Of peers that are gone, too: who comes again is not to be asked before its time, either."""
MAX_IDS: Final = 512
"""Message ids that are read of one peer's control messages in a heartbeat."""
MAX_ASKED_FOR: Final = 64
MAX_SENT_AGAIN: Final = 3


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message to be judged: who sent it first, what it is, and its decompressed content.

    ``content`` is None if the payload is not valid snappy.
    """

    peer: str
    message: GossipMessage
    message_id: bytes
    content: bytes | None


@dataclass(slots=True)
class _Peer:
    """What a peer told, and what it may still cost us in this heartbeat."""

    is_outbound: bool = False
    topics: set[str] = field(default_factory=set)
    do_not_want: OrderedDict[bytes, None] = field(default_factory=OrderedDict)
    sent_again: dict[bytes, int] = field(default_factory=dict)
    ids_left: int = MAX_IDS
    wants_left: int = MAX_ASKED_FOR
    unsettled: int = 0

    def note_has(self, message_id: bytes) -> None:
        """It is not to be sent this message."""
        self.do_not_want[message_id] = None
        while len(self.do_not_want) > MAX_IDS:
            self.do_not_want.popitem(last=False)


class Router:
    """The state of gossip with all peers, which are named by any text.

    Args:
        seen_seconds: for how long a message's id is remembered; two epochs.
        choose: draws so many of a list, as ``random.sample``.

    Attributes:
        offences: which peer did what no honest one does, since it was last emptied; the last value
            tells whether it can be nothing but malice.
    """

    def __init__(
        self, seen_seconds: float, choose: Callable[[Sequence[str], int], list[str]]
    ) -> None:
        self._seen_seconds = seen_seconds
        self._choose = choose
        self._peers: dict[str, _Peer] = {}
        self._mesh: dict[str, set[str]] = {}
        self._back_off: dict[tuple[str, str], float] = {}
        self._seen: OrderedDict[bytes, float] = OrderedDict()
        self._unsettled: dict[bytes, Arrival] = {}
        self._cached: OrderedDict[bytes, GossipMessage] = OrderedDict()
        self._cached_bytes = 0
        self._history: deque[list[bytes]] = deque([[]], maxlen=HISTORY)
        self._out: dict[str, GossipRPC] = {}
        self.offences: list[tuple[str, str, bool]] = []

    # Peers and topics ---------------------------------------------------------------------------

    @property
    def topics(self) -> frozenset[str]:
        """What we listen to."""
        return frozenset(self._mesh)

    def mesh_of(self, topic: str) -> frozenset[str]:
        """The peers of our mesh for ``topic``."""
        return frozenset(self._mesh.get(topic, ()))

    def peers_of(self, topic: str) -> list[str]:
        """The peers that said they listen to ``topic``."""
        return [name for name, peer in self._peers.items() if topic in peer.topics]

    def add_peer(self, name: str, *, is_outbound: bool = False) -> None:
        """A peer can be talked to, whom we dialled or not; it is told what we listen to."""
        if name not in self._peers:
            self._peers[name] = _Peer(is_outbound)
            self._to(name).subscriptions += [(topic, True) for topic in sorted(self._mesh)]

    def remove_peer(self, name: str) -> None:
        """A peer is gone."""
        self._peers.pop(name, None)
        self._out.pop(name, None)
        for mesh in self._mesh.values():
            mesh.discard(name)

    def greet_again(self, name: str) -> None:
        """What a peer was told may be lost: it hears all anew. What it told stands."""
        peer = self._peers.get(name)
        if peer is not None:
            self.remove_peer(name)
            self.add_peer(name)
            self._peers[name] = peer

    def subscribe(self, topic: str, now: float) -> None:
        """Listen to ``topic``."""
        if topic in self._mesh:
            return
        self._mesh[topic] = set()
        for name in self._peers:
            self._to(name).subscriptions.append((topic, True))
        self._fill(topic, now)

    def unsubscribe(self, topic: str, now: float) -> None:
        """Listen to ``topic`` no longer."""
        for name in self._mesh.pop(topic, ()):
            self._prune(name, topic, now, _UNSUBSCRIBE_BACK_OFF)
        for name in self._peers:
            self._to(name).subscriptions.append((topic, False))

    # What comes in ------------------------------------------------------------------------------

    def receive(self, name: str, rpc: GossipRPC, now: float) -> list[Arrival]:
        """Take in what a peer told; the messages that are new are to be judged."""
        peer = self._peers.get(name)
        if peer is None:
            return []
        self.offences += [(name, offence, True) for offence in rpc.offences[:1]]
        for topic, subscribe in rpc.subscriptions:
            self._note_subscription(name, peer, topic, subscribe)
        arrivals = [self._arrival(name, peer, message, now) for message in rpc.messages]
        self._note_control(name, peer, rpc, now)
        return [arrival for arrival in arrivals if arrival is not None]

    def _note_subscription(self, name: str, peer: _Peer, topic: str, subscribe: bool) -> None:
        if not subscribe:
            peer.topics.discard(topic)
            self._mesh.get(topic, set()).discard(name)
        elif len(peer.topics) < MAX_TOPICS_OF_PEER or topic in self._mesh:
            peer.topics.add(topic)

    def _arrival(
        self, name: str, peer: _Peer, message: GossipMessage, now: float
    ) -> Arrival | None:
        if message.topic not in self._mesh:
            return None
        payload = read_message(message.topic, message.data)
        message_id = payload.message_id
        if message_id in self._unsettled or message_id in self._seen:
            # Who tells it while it is judged need not be told it: among honest peers most of them.
            peer.note_has(message_id)
            return None
        if peer.unsettled >= MAX_UNSETTLED_OF_PEER or len(self._unsettled) >= MAX_UNSETTLED:
            return None  # as if it had been lost: it is not remembered
        peer.unsettled += 1
        arrival = Arrival(name, message, message_id, payload.content)
        self._unsettled[message_id] = arrival
        self._remember(message_id, now)
        return arrival

    def _remember(self, message_id: bytes, now: float) -> None:
        self._seen[message_id] = now
        while len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)

    def _note_control(self, name: str, peer: _Peer, rpc: GossipRPC, now: float) -> None:
        for topic in dict.fromkeys(rpc.graft):
            self._graft(name, peer, topic, now)
        for topic, seconds in rpc.prune:
            if topic in self._mesh:
                self._mesh[topic].discard(name)
                # As told: who stopped listening asks again after ten seconds, and rightly so.
                back_off = min(float(seconds) or _BACK_OFF, _LONGEST_BACK_OFF)
                self._note_back_off(name, topic, now + back_off)
        for message_id in rpc.do_not_want[:MAX_IDS]:
            peer.note_has(message_id)
        self._ask_for(name, peer, rpc.have)
        self._send_again(name, peer, rpc.want)

    def _graft(self, name: str, peer: _Peer, topic: str, now: float) -> None:
        mesh = self._mesh.get(topic)
        if mesh is None or name in mesh:
            return  # of a topic that is not ours nothing is said, lest we be made to talk
        # Two clocks and a network lie between when it counts from and when we do.
        if self._back_off.get((name, topic), 0.0) > now + HEARTBEAT_SECONDS:
            self.offences.append((name, "asked into the mesh before its time", False))
            self._prune(name, topic, now, _BACK_OFF)
        elif len(mesh) >= MESH_HIGH and not peer.is_outbound:
            self._prune(name, topic, now, _BACK_OFF)
        else:
            peer.topics.add(topic)
            mesh.add(name)

    def _ask_for(self, name: str, peer: _Peer, have: Iterable[tuple[str, list[bytes]]]) -> None:
        for topic, ids in have:
            if topic not in self._mesh:
                continue
            read = ids[: peer.ids_left]
            peer.ids_left -= len(read)
            wanted = [item for item in dict.fromkeys(read) if item not in self._seen]
            wanted = wanted[: peer.wants_left]
            peer.wants_left -= len(wanted)
            if wanted:
                self._to(name).want += wanted

    def _send_again(self, name: str, peer: _Peer, wanted: Sequence[bytes]) -> None:
        read = wanted[: peer.ids_left]
        peer.ids_left -= len(read)
        for message_id in dict.fromkeys(read):
            message = self._cached.get(message_id)
            count = peer.sent_again.get(message_id, 0)
            if message is not None and count < MAX_SENT_AGAIN:
                peer.sent_again[message_id] = count + 1
                self._to(name).messages.append(message)

    # Messages -----------------------------------------------------------------------------------

    def settle(self, message_id: bytes, *, accept: bool, forget: bool = False) -> int:
        """The judgement about an arrival; to how many peers it is forwarded.

        Args:
            forget: there was none. Another copy is new then; else whoever is the first to tell a
                message that is not judged, because it is told too much, would have it unheard.
        """
        arrival = self._unsettled.pop(message_id, None)
        if arrival is None:
            return 0
        if forget:
            self._seen.pop(message_id, None)
        peer = self._peers.get(arrival.peer)
        if peer is not None:
            peer.unsettled -= 1
        if not accept:
            return 0
        return self._spread(arrival.message, message_id, self.mesh_of(arrival.message.topic), peer)

    def publish(self, topic: str, data: bytes, now: float) -> int:
        """Send a message of our own to all who listen; to how many peers it goes."""
        message_id = read_message(topic, data).message_id
        if message_id in self._seen:
            return 0
        self._remember(message_id, now)
        return self._spread(GossipMessage(topic, data), message_id, self.peers_of(topic), None)

    def _spread(
        self, message: GossipMessage, message_id: bytes, names: Iterable[str], source: _Peer | None
    ) -> int:
        self._cached[message_id] = message
        self._cached_bytes += len(message.data)
        self._history[0].append(message_id)
        while self._cached_bytes > MAX_CACHED_BYTES:
            _, oldest = self._cached.popitem(last=False)
            self._cached_bytes -= len(oldest.data)
        count = 0
        for name in names:
            peer = self._peers[name]
            if peer is not source and message_id not in peer.do_not_want:
                self._to(name).messages.append(message)
                count += 1
        return count

    # Time ---------------------------------------------------------------------------------------

    def heartbeat(self, now: float) -> None:
        """Mend the mesh, tell ids of recent messages, forget what is old."""
        for peer in self._peers.values():
            peer.ids_left, peer.wants_left = MAX_IDS, MAX_ASKED_FOR
        self._back_off = {key: until for key, until in self._back_off.items() if until > now}
        for topic, mesh in self._mesh.items():
            if len(mesh) < MESH_LOW:
                self._fill(topic, now)
            elif len(mesh) > MESH_HIGH:
                self._cut(topic, now)
            self._keep_outbound(topic, now)
            self._tell_ids(topic)
        self._forget(now)

    def _fill(self, topic: str, now: float) -> None:
        self._ask_in(topic, self._candidates(topic, now), MESH - len(self._mesh[topic]))

    def _candidates(self, topic: str, now: float) -> list[str]:
        """Who may be asked into the mesh now."""
        others = [name for name in self.peers_of(topic) if name not in self._mesh[topic]]
        return [name for name in others if self._back_off.get((name, topic), 0.0) <= now]

    def _ask_in(self, topic: str, candidates: Sequence[str], count: int) -> None:
        for name in self._choose(candidates, min(count, len(candidates))):
            self._mesh[topic].add(name)
            self._to(name).graft.append(topic)

    def _outbound(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if self._peers[name].is_outbound]

    def _cut(self, topic: str, now: float) -> None:
        """Make the mesh smaller, but not by those that we need of whom we dialled."""
        mesh = self._mesh[topic]
        ours = self._outbound(sorted(mesh))
        kept = set(self._choose(ours, min(MESH_OUTBOUND, len(ours))))
        for name in self._choose(sorted(mesh - kept), len(mesh) - MESH):
            mesh.discard(name)
            self._prune(name, topic, now, _BACK_OFF)

    def _keep_outbound(self, topic: str, now: float) -> None:
        missing = max(MESH_OUTBOUND - len(self._outbound(self._mesh[topic])), 0)
        self._ask_in(topic, self._outbound(self._candidates(topic, now)), missing)

    def _tell_ids(self, topic: str) -> None:
        ids = [
            message_id
            for window in list(self._history)[:GOSSIPED_HISTORY]
            for message_id in window
            if message_id in self._cached and self._cached[message_id].topic == topic
        ]
        others = [name for name in self.peers_of(topic) if name not in self._mesh[topic]]
        if not ids or not others:
            return
        count = min(max(LAZY, int(len(others) * _GOSSIP_SHARE)), len(others))
        for name in self._choose(others, count):
            self._to(name).have.append((topic, ids[:MAX_IDS]))

    def _forget(self, now: float) -> None:
        if len(self._history) == HISTORY:
            for message_id in self._history[-1]:
                message = self._cached.pop(message_id, None)
                self._cached_bytes -= 0 if message is None else len(message.data)
                for peer in self._peers.values():
                    peer.sent_again.pop(message_id, None)
        self._history.appendleft([])
        while self._seen and next(iter(self._seen.values())) <= now - self._seen_seconds:
            self._seen.popitem(last=False)

    # What goes out ------------------------------------------------------------------------------

    def take_outgoing(self) -> dict[str, GossipRPC]:
        """What to tell whom, since this was last asked."""
        outgoing, self._out = self._out, {}
        return {name: rpc for name, rpc in outgoing.items() if not rpc.is_empty}

    def _to(self, name: str) -> GossipRPC:
        return self._out.setdefault(name, GossipRPC())

    def _prune(self, name: str, topic: str, now: float, seconds: float) -> None:
        self._note_back_off(name, topic, now + seconds)
        self._to(name).prune.append((topic, int(seconds)))

    def _note_back_off(self, name: str, topic: str, until: float) -> None:
        self._back_off.pop((name, topic), None)
        self._back_off[name, topic] = until
        if len(self._back_off) > MAX_BACK_OFFS:
            del self._back_off[next(iter(self._back_off))]
