"""Event streams gone wrong: silent, junk, without a line's end, in old shapes, too many, too short.

On the wire they act on the stream of one subscriber; in process on what is pushed.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import anyio

from lightclient.containers import LightClientObject
from lightclient.simulator.exchange import EVENTS_PATH, Asked, BrokenOff, Refusal
from lightclient.simulator.faults.base import Fault
from lightclient.simulator.views import ChainView

_PIECE_BYTES = 64 * 1024
_REPETITIONS = 40
_Values = list[LightClientObject]


class EventFault(Fault):
    """Acts on event streams alone."""

    is_on_wire = True

    def applies_to(self, asked: Asked) -> bool:
        return asked.path == EVENTS_PATH or asked.pushed


class NoEvents(EventFault):
    """There is no event stream."""

    name = "no_events"

    async def before(self, asked: Asked, view: ChainView) -> None:
        raise Refusal(404, "Route not found")


class SilentEvents(EventFault):
    """A stream that opens and says nothing."""

    name = "silent_events"

    async def body(self, asked: Asked, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in body:
            yield piece
            await anyio.sleep_forever()

    async def in_process(self, asked: Asked, values: _Values) -> _Values:
        return []


class JunkEvents(EventFault):
    """Events of the right name whose contents are no updates."""

    name = "junk_events"

    async def body(self, asked: Asked, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in body:
            name, _, _ = piece.partition(b"\n")
            junk = self.rng.randbytes(64).hex().encode()
            yield name + b"\ndata: " + junk + b"\nid\n\x00\n\n"

    async def in_process(self, asked: Asked, values: _Values) -> _Values:
        raise BrokenOff(malformed=True)


class OversizeEvent(EventFault):
    """An event whose line never ends."""

    name = "oversize_event"

    async def body(self, asked: Asked, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        yield b"event: light_client_optimistic_update\ndata: "
        more = b"0" * _PIECE_BYTES
        while True:
            yield more
            await anyio.sleep(0.001)

    async def in_process(self, asked: Asked, values: _Values) -> _Values:
        raise BrokenOff(malformed=True)


class BareEvents(EventFault):
    """Updates as they were pushed before there were envelopes. Legal, and once broke clients."""

    name = "bare_events"

    async def body(self, asked: Asked, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in body:
            name, separator, content = piece.partition(b"\ndata: ")
            value = json.loads(content) if separator else None
            if isinstance(value, dict) and isinstance(value.get("data"), dict):
                piece = name + separator + json.dumps(value["data"]).encode() + b"\n\n"
            yield piece


class FloodingEvents(EventFault):
    """Every event many times."""

    name = "flooding_events"

    async def body(self, asked: Asked, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in body:
            for _ in range(_REPETITIONS):
                yield piece

    async def in_process(self, asked: Asked, values: _Values) -> _Values:
        return values * _REPETITIONS


class EndingEvents(EventFault):
    """Streams that end after a few events."""

    name = "ending_events"

    async def body(self, asked: Asked, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        left = self.rng.randint(1, 4)
        async for piece in body:
            yield piece
            left -= 1
            if not left:
                return

    async def in_process(self, asked: Asked, values: _Values) -> _Values:
        raise BrokenOff(values)
