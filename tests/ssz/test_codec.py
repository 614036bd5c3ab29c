"""SSZ bytes: each type takes exactly one encoding of a value and refuses everything near it."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightclient.errors import DecodeError
from lightclient.ssz import Bitvector, ByteList, Bytes, ByteVectors, Container, Nodes, SSZType, Uint


class Inner(NamedTuple):
    number: int
    blob: bytes


class Outer(NamedTuple):
    first: bytes
    small: int
    inner: Inner
    second: bytes
    tail: bytes


class Fixed(NamedTuple):
    big: int
    bits: bytes
    node: tuple[bytes, ...]


INNER: Container[Any] = Container(Inner, {"number": Uint(16), "blob": ByteList(4)}, "Inner")
OUTER: Container[Any] = Container(
    Outer,
    {
        "first": ByteList(3),
        "small": Uint(64),
        "inner": INNER,
        "second": ByteList(3),
        "tail": Bytes(2),
    },
    "Outer",
)
FIXED: Container[Any] = Container(
    Fixed, {"big": Uint(256), "bits": Bitvector(10), "node": Nodes(2)}, "Fixed"
)

FIXED_SIZE_TYPES: list[tuple[SSZType[Any], Any]] = [
    (Uint(8), 0xAB),
    (Uint(64), 2**64 - 1),
    (Uint(256), 2**255 + 1),
    (Bytes(1), b"\x01"),
    (Bytes(48), bytes(range(48))),
    (Bitvector(32), b"\xff\xff\xff\xff"),
    (Bitvector(9), b"\xff\x01"),
    (ByteVectors(3, 48), bytes(range(144))),
    (Nodes(2), (bytes(32), b"\x01" * 32)),
    (FIXED, Fixed(7, b"\xff\x03", (bytes(32), bytes(32)))),
]
fixed_size_types = pytest.mark.parametrize(
    ("kind", "value"), FIXED_SIZE_TYPES, ids=lambda value: type(value).__name__
)


@fixed_size_types
def test_a_fixed_size_value_survives_the_round_trip(kind: SSZType[Any], value: Any) -> None:
    data = kind.encode(value)
    assert len(data) == kind.fixed_size
    assert kind.decode(data) == value
    assert kind.decode(kind.encode(kind.default())) == kind.default()


@fixed_size_types
def test_a_fixed_size_type_refuses_every_other_length(kind: SSZType[Any], value: Any) -> None:
    data = kind.encode(value)
    for wrong in [data[:length] for length in range(len(data))]:
        with pytest.raises(DecodeError):
            kind.decode(wrong)
    for extra in (b"\0", b"\xff", bytes(31), bytes(32), data):
        with pytest.raises(DecodeError):
            kind.decode(data + extra)


@fixed_size_types
@pytest.mark.parametrize("wrap", [bytearray, memoryview])
def test_any_buffer_decodes_to_values_that_do_not_alias_it(
    kind: SSZType[Any], value: Any, wrap: type
) -> None:
    buffer = bytearray(kind.encode(value))
    decoded = kind.decode(wrap(buffer))
    buffer[:] = bytes(len(buffer))
    assert decoded == value
    hash(decoded)  # a bytearray that slipped through would not be hashable


@pytest.mark.parametrize("length", [1, 4, 7, 9, 12, 31])
def test_every_padding_bit_of_a_bitvector_is_refused(length: int) -> None:
    kind = Bitvector(length)
    size = (length + 7) // 8
    for bit in range(size * 8):
        data = (1 << bit).to_bytes(size, "little")
        if bit < length:
            assert kind.decode(data) == data
        else:
            with pytest.raises(DecodeError, match="padding"):
                kind.decode(data)


def test_a_bitvector_inside_a_container_has_its_padding_checked() -> None:
    data = bytearray(FIXED.encode(FIXED.default()))
    data[33] = 0x04  # bit 10 of a vector of 10
    with pytest.raises(DecodeError, match="bits: padding"):
        FIXED.decode(bytes(data))


def test_a_byte_list_takes_up_to_its_limit() -> None:
    kind = ByteList(32)
    for length in range(33):
        assert kind.decode(bytes(length)) == bytes(length)
    with pytest.raises(DecodeError, match="at most 32"):
        kind.decode(bytes(33))
    with pytest.raises(ValueError, match="at most 32"):
        kind.encode(bytes(33))


outers = st.builds(
    Outer,
    st.binary(max_size=3),
    st.integers(0, 2**64 - 1),
    st.builds(Inner, st.integers(0, 2**16 - 1), st.binary(max_size=4)),
    st.binary(max_size=3),
    st.binary(min_size=2, max_size=2),
)


@given(outers)
def test_a_container_with_variable_fields_survives_the_round_trip(value: Outer) -> None:
    assert OUTER.decode(OUTER.encode(value)) == value


@given(outers, st.data())
def test_what_decodes_re_encodes_to_the_same_bytes(value: Outer, data: st.DataObject) -> None:
    """Bytes next to a true encoding: changed, cut, stretched. Never two of them for one value."""
    encoded = bytearray(OUTER.encode(value))
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(encoded) - 1)) if encoded else 0
        change = data.draw(st.sampled_from(["byte", "insert", "delete"]))
        if change == "byte" and encoded:
            encoded[position] = data.draw(st.integers(0, 255))
        elif change == "insert":
            encoded[position:position] = data.draw(st.binary(min_size=1, max_size=4))
        elif encoded:
            del encoded[position]
    try:
        decoded = OUTER.decode(bytes(encoded))
    except DecodeError:
        return
    assert OUTER.encode(decoded) == encoded


def _outer(first: int, inner: int, second: int, rest: bytes) -> bytes:
    """An Outer with these three offsets; its fixed part has 22 bytes."""
    offsets = [value.to_bytes(4, "little") for value in (first, inner, second)]
    return offsets[0] + bytes(8) + offsets[1] + offsets[2] + b"tt" + rest


INNER_BYTES = b"\x05\x00" + (6).to_bytes(4, "little")


def test_the_hand_made_container_of_the_offset_tests_is_itself_sound() -> None:
    sound = _outer(22, 24, 30, b"ab" + INNER_BYTES + b"xyz")
    assert OUTER.decode(sound) == Outer(b"ab", 0, Inner(5, b""), b"xyz", b"tt")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(_outer(23, 25, 31, b"\0ab" + INNER_BYTES), id="gap before the first part"),
        pytest.param(_outer(21, 24, 30, b"ab" + INNER_BYTES), id="first offset inside fixed part"),
        pytest.param(_outer(0, 24, 30, b"ab" + INNER_BYTES), id="first offset zero"),
        pytest.param(_outer(22, 21, 30, b"ab" + INNER_BYTES), id="offsets going back"),
        pytest.param(_outer(22, 30, 24, b"ab" + INNER_BYTES), id="offsets swapped"),
        pytest.param(_outer(22, 24, 31, b"ab" + INNER_BYTES), id="last offset beyond the end"),
        pytest.param(_outer(22, 2**32 - 1, 30, b"ab" + INNER_BYTES), id="offset of 4 GiB"),
        pytest.param(_outer(22, 24, 2**32 - 1, b"ab" + INNER_BYTES), id="last offset of 4 GiB"),
        pytest.param(_outer(22, 26, 32, b"abcd" + INNER_BYTES), id="first list too long"),
        pytest.param(_outer(22, 24, 30, b"ab" + INNER_BYTES + b"wxyz"), id="trailing byte"),
        pytest.param(_outer(22, 24, 24, b"ab" + INNER_BYTES), id="empty inner container"),
        pytest.param(_outer(22, 24, 29, b"ab" + INNER_BYTES), id="inner container cut"),
        pytest.param(
            _outer(22, 24, 31, b"ab" + b"\x05\x00" + (7).to_bytes(4, "little") + b"\0"),
            id="gap inside the inner container",
        ),
        pytest.param(_outer(22, 24, 35, b"ab" + INNER_BYTES + b"12345"), id="inner list too long"),
        pytest.param(b"", id="nothing"),
        pytest.param(_outer(22, 24, 30, b"")[:21], id="fixed part cut"),
    ],
)
def test_offsets_that_leave_gaps_overlap_or_point_outside_are_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        OUTER.decode(data)


def test_an_error_names_the_field_it_is_in() -> None:
    with pytest.raises(DecodeError, match=r"^inner\.blob: 5 bytes where at most 4"):
        OUTER.decode(_outer(22, 24, 35, b"ab" + INNER_BYTES + b"12345"))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Bytes(4), b"123"),
        (Bitvector(8), b"12"),
        (ByteVectors(2, 4), bytes(7)),
        (Nodes(2), (bytes(32),)),
        (Nodes(2), (bytes(31), bytes(32))),
        (ByteList(2), b"123"),
    ],
)
def test_a_value_of_the_wrong_shape_is_never_encoded(kind: SSZType[Any], value: Any) -> None:
    with pytest.raises(ValueError, match=r"expected|at most"):
        kind.encode(value)
