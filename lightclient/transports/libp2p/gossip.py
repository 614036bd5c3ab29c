"""Gossip with peers: the streams around the router, and what is done with what comes in.

Each peer has one stream of ours to it, written by one task from a bounded queue, and one of its own
to us. A message is judged before the next is read from the same peer, so that one who floods waits
for itself.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import trio

from lightclient.errors import DecodeError
from lightclient.transports.libp2p.connections import NEGOTIATION_SECONDS, Connection
from lightclient.transports.libp2p.gossip_rpc import GossipRPC, decode_rpc, encode_rpc
from lightclient.transports.libp2p.gossipsub import HEARTBEAT_SECONDS, MESHSUB, Arrival, Router
from lightclient.transports.libp2p.judgement import Acceptance
from lightclient.transports.libp2p.multistream import NegotiationError, propose
from lightclient.transports.libp2p.pacing import Pace
from lightclient.transports.libp2p.streams import Stream, StreamBroken
from lightclient.wire.varint import encode_varint, read_varint

_logger = logging.getLogger("lightclient.libp2p")

MAX_RPC: Final = 2**20
"""Bytes of an exchange. Those of the light client's topics take a few KB."""
QUEUED_RPCS: Final = 64
FRAME_SECONDS: Final = 20.0
"""In which an exchange that has begun must have come whole."""
RPCS_PER_SECOND: Final = 50
RPC_BURST: Final = 400
"""Exchanges of a peer that are read; a large one counts as several. A few a second are usual."""
TALK_AGAIN_SECONDS: Final = 10.0
"""How long to wait before a stream that broke is made anew."""
_PACED_BYTES: Final = 1024
_MOST_PACED: Final = 2**18

Validator = Callable[[Arrival], Awaitable[Acceptance | None]]
"""None: not judged, so that it is as if the message had been lost."""
_Queue: TypeAlias = "tuple[trio.MemorySendChannel[GossipRPC], trio.MemoryReceiveChannel[GossipRPC]]"


@dataclass(slots=True)
class GossipFigures:
    """Counts since the start."""

    received: int = 0
    accepted: int = 0
    rejected: int = 0
    forwarded: int = 0
    published: int = 0
    unheard: int = 0
    """Messages of our own that reached no peer."""
    dropped: int = 0
    """Exchanges that a peer did not take in time."""


@dataclass(slots=True)
class Gossip:
    """Ties the router to connections.

    Args:
        validate: judges what comes in; must not raise.
        on_offence: called with a peer, what it did that no honest one does, and whether that can be
            nothing but malice.
        max_rpc: bytes of an exchange; more only while topics are listened to that need it.
    """

    router: Router
    validate: Validator
    on_offence: Callable[[str, str, bool], None]
    figures: GossipFigures = field(default_factory=GossipFigures)
    max_rpc: int = MAX_RPC
    _queues: dict[str, _Queue] = field(default_factory=dict)
    _paces: dict[str, Pace] = field(default_factory=dict)
    _listening: dict[str, Stream] = field(default_factory=dict)
    _is_heard: bool = True

    async def run(self) -> None:
        """Keep the mesh until cancelled."""
        while True:
            self.router.heartbeat(trio.current_time())
            self._flush()
            await trio.sleep(HEARTBEAT_SECONDS)

    def set_topics(self, topics: Iterable[str]) -> None:
        """Listen to these topics and no others."""
        wanted, now = set(topics), trio.current_time()
        for topic in self.router.topics - wanted:
            self.router.unsubscribe(topic, now)
        for topic in sorted(wanted - self.router.topics):
            self.router.subscribe(topic, now)
        self._flush()

    def publish(self, topic: str, data: bytes) -> int:
        """Send a message of our own; to how many peers. That it reaches nobody is no error."""
        count = self.router.publish(topic, data, trio.current_time())
        self.figures.published += 1
        if not count:
            self.figures.unheard += 1
            # Once: without peers it is so in every slot.
            level = logging.INFO if self._is_heard else logging.DEBUG
            _logger.log(level, "Published to nobody", extra={"lc": {"topic": topic}})
        self._is_heard = bool(count)
        self._flush()
        return count

    # To a peer ----------------------------------------------------------------------------------

    def attach(self, peer: str, *, is_outbound: bool = False) -> None:
        """A peer is connected: from now on it counts, and what is for it is kept."""
        queue, outgoing = trio.open_memory_channel[GossipRPC](QUEUED_RPCS)
        self._queues[peer] = (queue, outgoing)
        self._paces[peer] = Pace(RPCS_PER_SECOND, RPC_BURST)
        self.router.add_peer(peer, is_outbound=is_outbound)
        self._flush()

    def detach(self, peer: str) -> None:
        """A peer is gone, or does not gossip."""
        self.router.remove_peer(peer)
        self._paces.pop(peer, None)
        queue, _ = self._queues.pop(peer, (None, None))
        if queue is not None:
            queue.close()

    async def talk(self, connection: Connection) -> None:
        """Tell an attached peer what is for it, until it is detached or does not gossip.

        Streams break, and connections last for months: another is made then.
        """
        peer = connection.peer_id
        _, outgoing = self._queues[peer]
        try:
            while await self._talk_on_a_stream(connection, outgoing):
                await trio.sleep(TALK_AGAIN_SECONDS)
                while outgoing.statistics().current_buffer_used:
                    outgoing.receive_nowait()
                self.router.greet_again(peer)
                self._flush()
        finally:
            self.detach(peer)

    @staticmethod
    async def _talk_on_a_stream(
        connection: Connection, outgoing: trio.MemoryReceiveChannel[GossipRPC]
    ) -> bool:
        """Whether the stream broke, so that another may do better."""
        stream: Stream | None = None
        try:
            stream = await connection.open_stream()
            with trio.fail_after(NEGOTIATION_SECONDS):
                await propose(stream, MESHSUB)
            async for rpc in outgoing:
                content = encode_rpc(rpc)
                await stream.write(encode_varint(len(content)) + content)
        except (NegotiationError, StreamBroken, trio.TooSlowError) as error:
            about = {"peer": connection.peer_id, "reason": error}
            _logger.debug("No gossip", extra={"lc": about})
            return not isinstance(error, NegotiationError)
        finally:
            if stream is not None:
                await stream.reset()
        return False

    def _flush(self) -> None:
        for peer, rpc in self.router.take_outgoing().items():
            if peer not in self._queues:
                continue
            try:
                self._queues[peer][0].send_nowait(rpc)
            except trio.WouldBlock:
                self.figures.dropped += 1

    # From a peer --------------------------------------------------------------------------------

    async def listen(self, stream: Stream) -> None:
        """Take in what a peer tells on a stream of its own.

        Raises:
            StreamBroken, DecodeError, trio.TooSlowError: the stream is not worth reading on.
        """
        peer = stream.peer_id
        before, self._listening[peer] = self._listening.get(peer), stream
        if before is not None:
            await before.reset()
        # Of the peer and not of the stream, of which it may have one after the other.
        pace = self._paces.get(peer) or Pace(RPCS_PER_SECOND, RPC_BURST)
        buffer = bytearray()
        try:
            while (content := await self._next(stream, buffer)) is not None:
                await pace.wait(1 + min(len(content), _MOST_PACED) / _PACED_BYTES)
                await self._take_in(peer, decode_rpc(content))
        except DecodeError as error:
            self.on_offence(peer, str(error), True)
            raise
        finally:
            if self._listening.get(peer) is stream:
                del self._listening[peer]

    async def _next(self, stream: Stream, buffer: bytearray) -> bytes | None:
        """The next exchange; None at the end of the stream."""
        with trio.CancelScope() as scope:
            while True:
                if buffer:
                    scope.deadline = min(scope.deadline, trio.current_time() + FRAME_SECONDS)
                    found = read_varint(buffer)
                    if found is not None:
                        size, start = found
                        if size > self.max_rpc:
                            raise DecodeError(f"a gossip exchange of {size} bytes")
                        if len(buffer) >= start + size:
                            content = bytes(buffer[start : start + size])
                            del buffer[: start + size]
                            return content
                data = await stream.read()
                if not data:
                    return None
                buffer += data
        raise trio.TooSlowError("a gossip exchange that does not come to its end")

    async def _take_in(self, peer: str, rpc: GossipRPC) -> None:
        arrivals = self.router.receive(peer, rpc, trio.current_time())
        self._flush()
        self._tell_offences()
        for arrival in arrivals:
            acceptance: Acceptance | None = None
            self.figures.received += 1
            try:
                acceptance = await self.validate(arrival)
            finally:
                accept = acceptance is Acceptance.ACCEPT
                self.figures.forwarded += self.router.settle(
                    arrival.message_id, accept=accept, forget=acceptance is None
                )
            self.figures.accepted += accept
            self.figures.rejected += acceptance is Acceptance.REJECT
            self._flush()

    def _tell_offences(self) -> None:
        offences, self.router.offences = self.router.offences, []
        for peer, offence, is_malice in offences:
            self.on_offence(peer, offence, is_malice)
