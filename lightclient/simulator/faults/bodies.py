"""Bodies that stop, crawl, never end, or are not what their headers say.

In process these are played: what a careful client would be left with, and nothing else.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import ClassVar

import anyio

from lightclient.containers import LightClientObject
from lightclient.simulator.exchange import Answer, Asked, BrokenOff, ConnectionLost
from lightclient.simulator.faults.base import Fault
from lightclient.simulator.views import ChainView

_PIECE_BYTES = 64 * 1024
_BOMB_BYTES = 32 * 1024 * 1024
_NESTING = 200_000
_Values = list[LightClientObject]


class BodyFault(Fault):
    """Spoils the bytes of light client objects; in process nothing readable is left of them."""

    is_on_wire = True

    def applies_to(self, asked: Asked) -> bool:
        return asked.kind is not None and not asked.pushed

    async def in_process(self, asked: Asked, values: _Values) -> _Values:
        raise BrokenOff(malformed=True)

    def cut(self, length: int) -> int:
        """Some number of bytes, at least one and less than ``length``."""
        return self.rng.randrange(1, max(length, 2))

    def some(self, asked: Asked, values: _Values) -> _Values:
        """What is whole of a cut answer: part of a range, nothing of a single object."""
        return values[: self.rng.randrange(len(values))] if asked.is_range and values else []


# That do not arrive ---------------------------------------------------------------------------


class StallingMidBody(BodyFault):
    """Sends a part of the body and then nothing, with the connection open."""

    name = "stalling_mid_body"

    async def body(self, asked: Asked, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in body:
            yield piece[: self.cut(len(piece))]
            await anyio.sleep_forever()

    async def in_process(self, asked: Asked, values: _Values) -> _Values:
        await anyio.sleep_forever()
        return values


class Dripping(BodyFault):
    """One byte a second."""

    name = "dripping"

    def __init__(
        self, rng: random.Random, chance: float = 1.0, *, seconds_a_byte: float = 1.0
    ) -> None:
        super().__init__(rng, chance)
        self.seconds_a_byte = seconds_a_byte

    async def body(self, asked: Asked, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in body:
            for index in range(len(piece)):
                yield piece[index : index + 1]
                await anyio.sleep(self.seconds_a_byte)

    async def in_process(self, asked: Asked, values: _Values) -> _Values:
        # No light client object is so short that this ends within any timeout in use.
        await anyio.sleep(500 * self.seconds_a_byte)
        return values


class EndlessBody(BodyFault):
    """The body, and then ever more."""

    name = "endless_body"

    def answer(self, asked: Asked, answer: Answer, view: ChainView) -> Answer:
        answer.headers["Transfer-Encoding"] = "chunked"
        return answer

    async def body(self, asked: Asked, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in body:
            yield piece
        more = b" " * _PIECE_BYTES
        while True:
            yield more
            await anyio.sleep(0.001)


class ResettingMidBody(BodyFault):
    """Resets the connection after a part of the body."""

    name = "resetting_mid_body"

    async def body(self, asked: Asked, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in body:
            yield piece[: self.cut(len(piece))]
        raise ConnectionLost

    async def in_process(self, asked: Asked, values: _Values) -> _Values:
        raise BrokenOff(self.some(asked, values))


class TruncatedBody(BodyFault):
    """Ends the connection before as many bytes came as were announced."""

    name = "truncated_body"

    async def body(self, asked: Asked, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in body:
            yield piece[: self.cut(len(piece))]

    async def in_process(self, asked: Asked, values: _Values) -> _Values:
        raise BrokenOff(self.some(asked, values))


class CutObject(BodyFault):
    """A body cut short whose Content-Length says just that: whole for HTTP, no object."""

    name = "cut_object"

    def answer(self, asked: Asked, answer: Answer, view: ChainView) -> Answer:
        answer.body = answer.body[: self.cut(len(answer.body))]
        return answer

    async def in_process(self, asked: Asked, values: _Values) -> _Values:
        raise BrokenOff(self.some(asked, values), malformed=True)


class ShortLength(BodyFault):
    """Announces fewer bytes than it sends."""

    name = "short_length"

    def answer(self, asked: Asked, answer: Answer, view: ChainView) -> Answer:
        answer.headers["Content-Length"] = str(self.cut(len(answer.body)))
        return answer


# That are something else ----------------------------------------------------------------------


class JunkBody(BodyFault):
    """Random bytes, as many as there should be."""

    name = "junk_body"

    def answer(self, asked: Asked, answer: Answer, view: ChainView) -> Answer:
        answer.body = self.rng.randbytes(len(answer.body))
        return answer


class FixedBody(BodyFault):
    """Always the same body, with status 200."""

    content_type: ClassVar[str] = "application/json"
    content: ClassVar[bytes] = b""

    def answer(self, asked: Asked, answer: Answer, view: ChainView) -> Answer:
        return Answer(200, {"Content-Type": self.content_type}, self.content)


class EmptyBody(FixedBody):
    """Nothing, with status 200."""

    name = "empty_body"


class WebPage(FixedBody):
    """A web page, as captive portals and parked domains serve it."""

    name = "web_page"
    content_type = "text/html; charset=utf-8"
    content = b"<!doctype html><html><head><title>Welcome</title></head><body>...</body></html>"


class ErrorAsSuccess(FixedBody):
    """An error's words under status 200."""

    name = "error_as_success"
    content = b'{"code":500,"message":"Internal server error"}'


class NestedJson(FixedBody):
    """JSON whose brackets never close."""

    name = "nested_json"
    content = b'{"data":' + b"[" * _NESTING


class GzipBomb(BodyFault):
    """A thousandth of the bytes that come out of it."""

    name = "gzip_bomb"

    def answer(self, asked: Asked, answer: Answer, view: ChainView) -> Answer:
        answer.headers["Content-Encoding"] = "gzip"
        answer.body = gzip_bomb()
        return answer


@lru_cache(maxsize=1)
def gzip_bomb(size: int = _BOMB_BYTES) -> bytes:
    """``size`` spaces, compressed."""
    gzip = zlib.compressobj(wbits=31)
    piece = b" " * (1 << 20)
    parts = [gzip.compress(piece) for _ in range(size // len(piece))]
    return b"".join((*parts, gzip.flush()))


class WrongContentEncoding(BodyFault):
    """Says gzip, and is not."""

    name = "wrong_content_encoding"

    def answer(self, asked: Asked, answer: Answer, view: ChainView) -> Answer:
        answer.headers["Content-Encoding"] = "gzip"
        return answer


class WrongContentType(BodyFault):
    """The right bytes under a wrong media type, or none. A careful client reads them anyway."""

    name = "wrong_content_type"

    def answer(self, asked: Asked, answer: Answer, view: ChainView) -> Answer:
        said = answer.headers.pop("Content-Type", "")
        types = ("application/octet-stream", "application/json", "text/plain", "")
        wrong = self.rng.choice([one for one in types if one != said])
        if wrong:
            answer.headers["Content-Type"] = wrong
        return answer

    async def in_process(self, asked: Asked, values: _Values) -> _Values:
        return values
