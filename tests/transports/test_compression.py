"""Compressed bodies: right, damaged, cut and explosive."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightclient.errors import DecodeError
from lightclient.transports.compression import Inflater


def raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    "identity": lambda data: data,
    "gzip": gzip.compress,
    "X-GZIP": lambda data: gzip.compress(data[:3]) + gzip.compress(data[3:]),
    "deflate": zlib.compress,
    " Deflate": raw_deflate,
}


@given(st.sampled_from(sorted(ENCODERS)), st.binary(max_size=500), st.integers(1, 50))
def test_what_was_compressed_comes_back_in_whatever_pieces(
    encoding: str, data: bytes, step: int
) -> None:
    packed = ENCODERS[encoding](data)
    inflater = Inflater(encoding)
    pieces = [inflater.feed(packed[i : i + step], 1000) for i in range(0, len(packed), step)]
    assert b"".join(pieces) == data
    assert inflater.is_complete


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_bomb_is_never_inflated_beyond_the_bound(encoding: str) -> None:
    bomb = ENCODERS[encoding](bytes(50_000_000))
    assert len(bomb) < 100_000
    assert len(Inflater(encoding).feed(bomb, 1000)) == 1001


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_cut_body_is_not_complete(encoding: str) -> None:
    inflater = Inflater(encoding)
    inflater.feed(ENCODERS[encoding](b"some words" * 9)[:-3], 1000)
    assert not inflater.is_complete


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "compress", "x" * 999])
def test_an_encoding_nobody_asked_for_is_refused(encoding: str) -> None:
    with pytest.raises(DecodeError, match="not asked for"):
        Inflater(encoding)


@given(st.sampled_from(["gzip", "deflate"]), st.binary(max_size=200))
def test_junk_is_refused_or_inflated_within_the_bound(encoding: str, junk: bytes) -> None:
    try:
        inflated = Inflater(encoding).feed(junk, 100)
    except DecodeError:
        return
    assert len(inflated) <= 101
