"""The event streams of one simulated server: who subscribed to what, and what new blocks bring."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import anyio
from anyio.streams.memory import MemoryObjectSendStream

from lightclient.containers import ObjectKind
from lightclient.simulator.beacon_api import BeaconApi
from lightclient.simulator.blocks import SimulatedBlock
from lightclient.simulator.chain import SimulatedChain
from lightclient.simulator.exchange import EVENTS_PATH, Asked, Received, Refusal
from lightclient.simulator.habits import ServerHabits
from lightclient.simulator.routes import topics_of

_STREAM_BUFFER = 256
_TOPICS = {
    ObjectKind.FINALITY_UPDATE: "light_client_finality_update",
    ObjectKind.OPTIMISTIC_UPDATE: "light_client_optimistic_update",
}
_V0_SUFFIX = "_v0"


class EventStreams:
    """Listens to a chain while there are subscribers."""

    def __init__(self, chain: SimulatedChain, habits: ServerHabits) -> None:
        self.chain = chain
        self.habits = habits
        self._subscribers: dict[MemoryObjectSendStream[bytes], frozenset[str]] = {}

    def close(self) -> None:
        """End every stream."""
        for stream in list(self._subscribers):
            self._leave(stream)

    def _leave(self, stream: MemoryObjectSendStream[bytes]) -> None:
        stream.close()
        if self._subscribers.pop(stream, None) is not None and not self._subscribers:
            self.chain.listeners.remove(self._publish)

    def subscribe(self, request: Received) -> AsyncIterator[bytes]:
        """The stream that a request asks for, an event a piece. Raises Refusal."""
        topics = topics_of(request)
        if not self.habits.events:
            raise Refusal(404, "Route not found")
        unknown = topics - self._known_topics()
        if unknown or not topics:
            raise Refusal(400, f"Invalid topics: {sorted(unknown)}")
        return self._events(topics)

    async def _events(self, topics: frozenset[str]) -> AsyncIterator[bytes]:
        send, receive = anyio.create_memory_object_stream[bytes](_STREAM_BUFFER)
        if not self._subscribers:
            self.chain.listeners.append(self._publish)
        self._subscribers[send] = topics
        try:
            yield b":\n\n"
            async for event in receive:
                yield event
        finally:
            self._leave(send)
            receive.close()

    def _known_topics(self) -> frozenset[str]:
        names = {"head"}
        if self.habits.light_client_status is None:
            names.update(name + suffix for name in _TOPICS.values() for suffix in self._suffixes())
        return frozenset(names)

    def _suffixes(self) -> tuple[str, ...]:
        return {"v1": ("",), "v0": (_V0_SUFFIX,), "both": ("", _V0_SUFFIX)}[self.habits.api]

    def _publish(self, block: SimulatedBlock) -> None:
        """Push what a new block brings to all subscribers."""
        self._push("head", {"slot": str(block.slot), "block": "0x" + block.root.hex()})
        if self.chain.is_latest_finality(block):
            self._push_latest(ObjectKind.FINALITY_UPDATE)
        if self.chain.is_latest_optimistic(block):
            self._push_latest(ObjectKind.OPTIMISTIC_UPDATE)

    def _push_latest(self, kind: ObjectKind) -> None:
        asked = Asked(kind, path=EVENTS_PATH, pushed=True)
        episode = self.habits.faults.begin(asked, self.chain)
        api = BeaconApi(episode, self.habits)
        for value in episode.objects():
            for suffix in self._suffixes():
                self._push(_TOPICS[kind] + suffix, api.json_of(value))

    def _push(self, topic: str, value: object) -> None:
        event = f"event: {topic}\ndata: {json.dumps(value, separators=(',', ':'))}\n\n".encode()
        for stream, topics in list(self._subscribers.items()):
            if topic in topics:
                try:
                    stream.send_nowait(event)
                except (anyio.WouldBlock, anyio.BrokenResourceError, anyio.ClosedResourceError):
                    # Too slow to follow: the stream ends, as a node's does.
                    self._leave(stream)
