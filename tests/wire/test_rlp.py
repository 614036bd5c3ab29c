"""RLP: one encoding of each value, and nothing else decodes."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightclient.errors import DecodeError
from lightclient.wire.rlp import Item, as_bytes, as_number, decode_list, decode_rlp, encode_rlp

items = st.recursive(
    st.binary(max_size=70), lambda inner: st.lists(inner, max_size=5).map(tuple), max_leaves=8
)


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (b"dog", "83646f67"),
        ((b"cat", b"dog"), "c88363617483646f67"),
        (b"", "80"),
        ((), "c0"),
        (b"\0", "00"),
        (b"\x0f", "0f"),
        (b"\x04\x00", "820400"),
        (((), ((),), ((), ((),))), "c7c0c1c0c3c0c1c0"),
        (
            b"Lorem ipsum dolor sit amet, consectetur adipisicing elit",
            "b8384c6f72656d20697073756d20646f6c6f722073697420616d65742c20636f6e7365637465747572206164697069736963696e6720656c6974",
        ),
    ],
)
def test_the_published_examples(value: Item, encoded: str) -> None:
    assert encode_rlp(value).hex() == encoded
    assert decode_rlp(bytes.fromhex(encoded)) == value


def test_numbers_are_big_endian_without_leading_zeros() -> None:
    assert encode_rlp(0) == b"\x80"
    assert encode_rlp(1024) == b"\x82\x04\x00"
    assert as_number(b"", "n") == 0
    assert as_number(b"\x04\x00", "n") == 1024
    with pytest.raises(ValueError, match="negative"):
        encode_rlp(-1)


@pytest.mark.parametrize(
    "encoded",
    [
        "",
        "81",  # a prefix without content
        "8100",  # a small byte with a prefix
        "817f",
        "b800",  # a long prefix for a short string
        "b837" + "00" * 55,
        "b90038" + "00" * 56,  # leading zero in the length
        "f800",
        "c101c0",  # something after the end
        "c281",  # an item that would leave its list
        "c28201",
        "c5c183616263",
        "c3b83700",
        "bf" + "ff" * 8,
        "ff" + "ff" * 8,
        "ff",
    ],
)
def test_anything_that_is_not_canonical_or_whole_is_refused(encoded: str) -> None:
    with pytest.raises(DecodeError):
        decode_rlp(bytes.fromhex(encoded))


def test_depth_and_size_are_bounded() -> None:
    nested: Item = ()
    for _ in range(8):
        nested = (nested,)
    with pytest.raises(DecodeError, match="nested deeper"):
        decode_rlp(encode_rlp(nested))
    with pytest.raises(DecodeError, match="may be"):
        decode_rlp(encode_rlp(bytes(1280)))
    with pytest.raises(DecodeError, match="nested deeper"):
        decode_rlp(bytes(0xC0 + depth for depth in range(50, -1, -1)))


def test_items_of_the_wrong_kind_are_named() -> None:
    with pytest.raises(DecodeError, match="port is a list"):
        as_bytes((), "port")
    with pytest.raises(DecodeError, match="port has leading zeros"):
        as_number(b"\0\x01", "port")
    with pytest.raises(DecodeError, match="more than 16 bits"):
        as_number(b"\x01\0\0", "port", 16)
    with pytest.raises(DecodeError, match="an RLP string where a list"):
        decode_list(b"\x80")


@given(items)
def test_every_value_reads_back(value: Item) -> None:
    with suppress(DecodeError):  # too deep or too long
        assert decode_rlp(encode_rlp(value)) == value


@given(st.binary(max_size=80))
def test_what_decodes_encodes_to_the_same_bytes(data: bytes) -> None:
    with suppress(DecodeError):
        assert encode_rlp(decode_rlp(data)) == data
