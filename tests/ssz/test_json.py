"""The Beacon API's JSON form: what a field may look like, and the many things it may not."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightclient.errors import DecodeError
from lightclient.ssz import (
    Bitvector,
    ByteList,
    Bytes,
    ByteVectors,
    Container,
    Nodes,
    SSZType,
    Uint,
    located,
)

UINT64, UINT256 = Uint(64), Uint(256)


@pytest.mark.parametrize(
    ("written", "number"),
    [("0", 0), (0, 0), ("18446744073709551615", 2**64 - 1), (2**64 - 1, 2**64 - 1), ("007", 7)],
)
def test_numbers_are_strings_or_numbers(written: Any, number: int) -> None:
    assert UINT64.from_json(written) == number


NOT_NUMBERS = [
    -1,
    "-1",
    "+1",
    2**64,
    str(2**64),
    10**400,
    1.0,
    1e3,
    float("nan"),
    float("inf"),
    "1.0",
    "1e3",
    "NaN",
    "Infinity",
    True,
    False,
    None,
    "",
    " 1",
    "1 ",
    "1\n",
    "0x1",
    "0b1",
    "1_000",
    "1,000",
    "\u0661\u0662",  # Arabic-Indic digits
    "\uff11",  # full-width digit
    "\u00b2",  # superscript two
    "1\x00",
    "9" * 79,
    "9" * 100_000,
    [],
    ["1"],
    {},
    {"value": 1},
]


@pytest.mark.parametrize("written", NOT_NUMBERS, ids=lambda value: repr(value)[:20])
def test_what_is_no_whole_number_in_range_is_refused(written: Any) -> None:
    with pytest.raises(DecodeError):
        UINT64.from_json(written)


def test_a_256_bit_number_takes_its_78_digits_and_no_more_than_fits() -> None:
    assert UINT256.from_json(str(2**256 - 1)) == 2**256 - 1
    with pytest.raises(DecodeError, match="256 bits"):
        UINT256.from_json(str(2**256))


NOT_FOUR_BYTES = [
    "01020304",  # no 0x
    "0x0102030",  # odd
    "0x010203",
    "0x0102030405",
    "0x",
    "",
    "0x0102030g",
    "0x01 02 03",
    " 0x01020304",
    "0x01020304\n",
    "0x01020304 ",
    "x01020304",
    "0x\uff10\uff11\uff10\uff12\uff10\uff13\uff10\uff14",
    "0x" + "00" * 100_000,
    16909060,
    True,
    None,
    [1, 2, 3, 4],
    {"0x": 1},
    b"0x01020304",
]


@pytest.mark.parametrize("written", NOT_FOUR_BYTES, ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize("kind", [Bytes(4), Bitvector(32)], ids=["Bytes", "Bitvector"])
def test_what_is_not_hex_of_exactly_the_size_is_refused(kind: Any, written: Any) -> None:
    assert kind.from_json("0x01020304") == kind.from_json("0X01020304") == b"\1\2\3\4"
    assert kind.from_json("0xABcdEF00") == bytes.fromhex("abcdef00")
    with pytest.raises(DecodeError):
        kind.from_json(written)


def test_padding_bits_in_hex_are_refused() -> None:
    assert Bitvector(4).from_json("0x0f") == b"\x0f"
    with pytest.raises(DecodeError, match="padding"):
        Bitvector(4).from_json("0x1f")


def test_a_byte_list_in_hex_has_a_limit() -> None:
    kind = ByteList(2)
    assert [kind.from_json(text) for text in ("0x", "0x01", "0x0102")] == [b"", b"\1", b"\1\2"]
    for text in ("0x010203", "", "0x1", "01"):
        with pytest.raises(DecodeError):
            kind.from_json(text)


KEYS = ByteVectors(3, 48)
ONE_KEY = "0x" + "ab" * 48


def test_a_list_of_keys_is_read_whole() -> None:
    assert KEYS.from_json([ONE_KEY, ONE_KEY.upper().replace("X", "x"), ONE_KEY]) == b"\xab" * 144


@pytest.mark.parametrize(
    "item",
    [
        ONE_KEY[2:],
        ONE_KEY[2:] + "ab",
        "1x" + "ab" * 48,
        "0y" + "ab" * 48,
        ONE_KEY[:-2],
        ONE_KEY[:-1],
        ONE_KEY + "ab",
        ONE_KEY[:-1] + "g",
        "0x" + "ab " * 32,  # bytes.fromhex would pass over the blanks
        "0x" + " ab" * 48,
        "0x" + " " + "ab" * 48,
        "0x" + "\t" * 96,
        "0x" + "\u0661" * 96,
        "",
        None,
        7,
        1.5,
        True,
        [],
        [ONE_KEY],
        {},  # a slice of a dict is a TypeError or a KeyError, by Python's version
        {"a": 1},
        b"\xab" * 48,
    ],
    ids=lambda value: repr(value)[:24],
)
def test_one_bad_key_in_a_list_is_refused_and_located(item: Any) -> None:
    with pytest.raises(DecodeError, match=r"^\[1\]"):
        KEYS.from_json([ONE_KEY, item, ONE_KEY])


def test_keys_whose_lengths_only_add_up_are_refused() -> None:
    with pytest.raises(DecodeError):
        KEYS.from_json([ONE_KEY + "ab", ONE_KEY[:-2], ONE_KEY])


@pytest.mark.parametrize("kind", [KEYS, Nodes(3)], ids=["keys", "nodes"])
@pytest.mark.parametrize("written", [[], [ONE_KEY] * 2, [ONE_KEY] * 4, {}, ONE_KEY, None, 3])
def test_a_list_of_the_wrong_length_is_refused(kind: Any, written: Any) -> None:
    with pytest.raises(DecodeError, match="a list of 3 was expected"):
        kind.from_json(written)


def test_a_bad_node_in_a_branch_is_located() -> None:
    good = "0x" + "11" * 32
    assert Nodes(2).from_json([good, good]) == (b"\x11" * 32,) * 2
    bad: Any
    for bad in (good[:-2], good + "11", None, 5, [good], {}):
        with pytest.raises(DecodeError, match=r"^\[1\]"):
            Nodes(2).from_json([good, bad])


class Pair(NamedTuple):
    left: int
    right: bytes


class Wrapped(NamedTuple):
    pair: Pair


PAIR: Container[Any] = Container(Pair, {"left": UINT64, "right": Bytes(1)}, "Pair", refused=("no",))
WRAPPED: Container[Any] = Container(Wrapped, {"pair": PAIR}, "Wrapped", flat="pair")


def test_unknown_keys_are_passed_over_and_refused_ones_are_not() -> None:
    body = {"left": 1, "right": "0x02", "extra": {"deep": [None]}}
    assert PAIR.from_json(body) == Pair(1, b"\2")
    with pytest.raises(DecodeError, match="no: not a field"):
        PAIR.from_json({**body, "no": None})


@pytest.mark.parametrize("written", [{}, {"left": 1}, {"right": "0x02"}, [], "x", 1, None, True])
def test_missing_fields_and_other_things_than_objects_are_refused(written: Any) -> None:
    with pytest.raises(DecodeError):
        PAIR.from_json(written)


def test_a_flat_container_may_leave_its_only_field_out() -> None:
    body = {"left": "1", "right": "0x02"}
    assert WRAPPED.from_json(body) == WRAPPED.from_json({"pair": body}) == Wrapped(Pair(1, b"\2"))
    with pytest.raises(DecodeError, match=r"^pair\.left: missing"):
        WRAPPED.from_json({})
    with pytest.raises(DecodeError, match=r"^pair: None where"):
        WRAPPED.from_json({"pair": None, **body})


@given(st.integers(0, 2**64 - 1), st.binary(min_size=1, max_size=1))
def test_json_survives_the_round_trip(left: int, right: bytes) -> None:
    written = PAIR.to_json(Pair(left, right))
    assert written == {"left": str(left), "right": "0x" + right.hex()}
    assert PAIR.from_json(written) == Pair(left, right)


KINDS: list[SSZType[Any]] = [
    UINT64,
    Bytes(1),
    ByteList(3),
    Bitvector(3),
    Nodes(3),
    KEYS,
    PAIR,
    WRAPPED,
]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["pair", "left", "right", "no", "?"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(json_values)
def test_any_json_value_is_read_or_refused_in_one_sentence(written: Any) -> None:
    for kind in KINDS:
        try:
            value = kind.from_json(written)
        except DecodeError as error:
            sentence = str(error)
        else:
            assert kind.from_json(kind.to_json(value)) == value
            continue
        assert 0 < len(sentence) < 200
        assert "\n" not in sentence


@pytest.mark.parametrize("opening", ["list", "dict"])
def test_a_refusal_of_deeply_nested_json_does_not_recurse(opening: str) -> None:
    deep: Any = "x"
    for _ in range(50 * sys.getrecursionlimit()):
        deep = [deep] if opening == "list" else {"a": deep}
    for kind in KINDS:
        with pytest.raises(DecodeError):
            kind.from_json(deep)


def test_a_location_is_put_in_front_once_per_level() -> None:
    with (
        pytest.raises(DecodeError, match=r"^outer\.list\[3\]: too short$"),
        located("outer"),
        located("list"),
        located("[3]"),
    ):
        raise DecodeError("too short")
