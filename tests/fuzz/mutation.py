"""Random changes of inputs, for where no coverage-guided fuzzer can be had; all from one seed."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

_INTERESTING = (b"\0", b"\xff", b"\x7f", b"\x80", b"\x01", b"\xff\xff\xff\xff", b"\0\0\0\x80")
_WORDS = (
    *(b"{", b"}", b"[", b"]", b'"', b":", b",", b"null", b"true", b"-1", b"1e9", b"NaN", b"0x"),
    *(b"18446744073709551615", b"18446744073709551616", b"\\u0000", b"\xed\xa0\x80"),
    *(b"\xef\xbb\xbf", b"\r\n", b"\n\n", b"data: ", b"event: ", b"&a ", b"*a ", b"!!python "),
    *(b"--- ", b"<<: ", b"%s", b"../", b"//", b"@", b"%00"),
)
_NUMBER = re.compile(rb"\d+")


def mutated(data: bytes, corpus: Sequence[bytes], draw: random.Random, most: int) -> bytes:
    """``data`` after one to eight changes, at most ``most`` bytes."""
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 2, 4, 8))):
        draw.choice(_CHANGES)(changed, corpus, draw)
    return bytes(changed[:most])


def _place(data: bytearray, draw: random.Random) -> int:
    return draw.randrange(len(data) + 1)


def _flip(data: bytearray, _: Sequence[bytes], draw: random.Random) -> None:
    if data:
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)


def _overwrite(data: bytearray, _: Sequence[bytes], draw: random.Random) -> None:
    if data:
        data[draw.randrange(len(data))] = draw.randrange(256)


def _put(data: bytearray, _: Sequence[bytes], draw: random.Random) -> None:
    place = _place(data, draw)
    word = draw.choice(draw.choice((_INTERESTING, _WORDS)))
    replaced = draw.choice((0, len(word)))
    data[place : place + replaced] = word


def _delete(data: bytearray, _: Sequence[bytes], draw: random.Random) -> None:
    place = _place(data, draw)
    del data[place : place + draw.choice((1, 2, 4, 32, 48, 200))]


def _cut(data: bytearray, _: Sequence[bytes], draw: random.Random) -> None:
    del data[_place(data, draw) :]


def _repeat(data: bytearray, _: Sequence[bytes], draw: random.Random) -> None:
    place = _place(data, draw)
    piece = bytes(data[place : place + draw.choice((1, 4, 32, 500))])
    data[place:place] = piece * draw.choice((1, 2, 10, 100))


def _splice(data: bytearray, corpus: Sequence[bytes], draw: random.Random) -> None:
    other = draw.choice(corpus) if corpus else b""
    start = draw.randrange(len(other) + 1)
    data[_place(data, draw) :] = other[start:]


def _insert(data: bytearray, corpus: Sequence[bytes], draw: random.Random) -> None:
    other = draw.choice(corpus) if corpus else b""
    start = draw.randrange(len(other) + 1)
    place = _place(data, draw)
    data[place:place] = other[start : start + draw.choice((1, 4, 32, 96, 400))]


def _renumber(data: bytearray, _: Sequence[bytes], draw: random.Random) -> None:
    found = list(_NUMBER.finditer(bytes(data)))
    if found:
        match = draw.choice(found)
        number = draw.choice((b"0", b"-1", b"1" * 25, b"9" * 5000, b"1.5", b"007"))
        data[match.start() : match.end()] = number


def _count(data: bytearray, _: Sequence[bytes], draw: random.Random) -> None:
    """Change a little-endian number by a little, as offsets and lengths are."""
    width = draw.choice((1, 2, 4, 8))
    place = _place(data, draw)
    number = int.from_bytes(data[place : place + width], "little") + draw.randrange(-40, 41)
    data[place : place + width] = (number % (1 << 8 * width)).to_bytes(width, "little")


_CHANGES = (
    _flip,
    _flip,
    _overwrite,
    _put,
    _put,
    _delete,
    _cut,
    _repeat,
    _splice,
    _insert,
    _renumber,
    _count,
    _count,
)
