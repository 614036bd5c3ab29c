"""The fast coding of sequences gives what remerkleable gives without it."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from remerkleable.basic import boolean, uint8, uint64, uint256
from remerkleable.byte_arrays import ByteVector
from remerkleable.complex import List, Vector
from remerkleable.progressive import ProgressiveList

from lightclient.beacon.types import ViewType, parametrised_type

Bytes32, BLSPubkey = ByteVector[32], ByteVector[48]
ELEMENTS = [uint8, uint64, uint256, Bytes32, BLSPubkey, boolean]


def _pair(kind: str, element: ViewType, length: int) -> tuple[ViewType, ViewType]:
    """The same type made by us and by remerkleable alone."""
    if kind == "ProgressiveList":
        return parametrised_type(kind, element), ProgressiveList[element]
    plain = {"List": List, "Vector": Vector}[kind]
    return parametrised_type(kind, element, length), plain[element, length]


def _encoded(data: st.DataObject, element: ViewType, count: int) -> bytes:
    if element is boolean:
        return bytes(data.draw(st.lists(st.integers(0, 1), min_size=count, max_size=count)))
    size = element.type_byte_length() * count
    return data.draw(st.binary(min_size=size, max_size=size))


@settings(max_examples=30)
@given(data=st.data())
@pytest.mark.parametrize("element", ELEMENTS, ids=lambda element: element.__name__)
@pytest.mark.parametrize("kind", ["List", "Vector", "ProgressiveList"])
def test_decoding_gives_the_same_root_and_encoding(
    kind: str, element: ViewType, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, 90))
    limit = count if kind == "Vector" else data.draw(st.integers(count, 2**40))
    ours, plain = _pair(kind, element, limit)
    encoded = _encoded(data, element, count)
    view, expected = ours.decode_bytes(encoded), plain.decode_bytes(encoded)
    assert view.hash_tree_root() == expected.hash_tree_root()
    assert view.encode_bytes() == expected.encode_bytes() == encoded
    assert [view[0], view[count - 1]] == [expected[0], expected[count - 1]]


@settings(max_examples=30)
@given(data=st.data())
@pytest.mark.parametrize("kind", ["List", "ProgressiveList"])
def test_a_decoded_list_can_be_changed(kind: str, data: st.DataObject) -> None:
    ours, plain = _pair(kind, uint64, 1000)
    encoded = _encoded(data, uint64, data.draw(st.integers(0, 40)))
    view, expected = ours.decode_bytes(encoded), plain.decode_bytes(encoded)
    for change in data.draw(st.lists(st.sampled_from(["append", "set", "pop"]), max_size=10)):
        for sequence in (view, expected):
            if change == "append":
                sequence.append(7)
            elif len(sequence) > 0 and change == "set":
                sequence[len(sequence) // 2] = 9
            elif len(sequence) > 1:
                sequence.pop()
    assert view.hash_tree_root() == expected.hash_tree_root()
    assert view.encode_bytes() == expected.encode_bytes()


@pytest.mark.parametrize(
    ("kind", "length", "encoded"),
    [
        ("List", 2, bytes(24)),
        ("List", 2, bytes(15)),
        ("Vector", 2, bytes(8)),
        ("Vector", 2, bytes(24)),
        ("Vector", 2, bytes(17)),
        ("ProgressiveList", 0, bytes(9)),
    ],
)
def test_a_length_that_does_not_fit_is_refused(kind: str, length: int, encoded: bytes) -> None:
    ours, _ = _pair(kind, uint64, length)
    with pytest.raises(ValueError, match="bytes are not a"):
        ours.decode_bytes(encoded)


def test_a_stream_that_ends_early_is_refused() -> None:
    ours, _ = _pair("List", uint64, 4)
    with pytest.raises(ValueError, match="8 bytes of 16"):
        ours.deserialize(io.BytesIO(bytes(8)), 16)
