"""Which format an object is in: found by hint, version, digest, layout or slot."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from lightclient.config import network_by_name
from lightclient.config.forks import DATA_FORMATS, FORKS, DataFormat
from lightclient.config.presets import MINIMAL
from lightclient.containers import (
    ObjectKind,
    decode_json,
    decode_ssz,
    encode_ssz,
    format_of_digest,
    format_of_version,
    to_json,
    unwrap_envelope,
)
from lightclient.errors import DecodeError
from tests.containers.samples import (
    MINIMAL_SHAPES,
    SHAPES,
    Shape,
    digest_of,
    network_with_all_forks,
    random_ssz,
    slot_of,
)

NETWORK = network_with_all_forks(MINIMAL)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
every_minimal_shape = pytest.mark.parametrize("shape", MINIMAL_SHAPES, ids=str)


def sample(shape: Shape) -> bytes:
    """SSZ of a random object at a slot where its format is at home."""
    network = network_with_all_forks(shape.preset)
    return random_ssz(shape, "detect", slot_of(shape.data_format, network))


@every_shape
def test_raw_ssz_without_a_label_is_recognised(shape: Shape) -> None:
    data = sample(shape)
    value = decode_ssz(shape.kind, data, network_with_all_forks(shape.preset))
    assert value.data_format is shape.data_format
    assert encode_ssz(value) == data


@every_minimal_shape
def test_json_without_a_label_is_recognised(shape: Shape) -> None:
    value = shape.layout.decode(sample(shape))
    assert decode_json(shape.kind, to_json(value), NETWORK) == value


@every_minimal_shape
@pytest.mark.parametrize("hint", [None, *DATA_FORMATS], ids=lambda value: value and value.name)
def test_a_wrong_label_does_not_keep_an_object_from_being_read(
    shape: Shape, hint: DataFormat | None
) -> None:
    data = sample(shape)
    value = shape.layout.decode(data)
    for read in (
        decode_ssz(shape.kind, data, NETWORK, (hint, None)),
        decode_ssz(shape.kind, data, NETWORK, (None, hint, shape.data_format)),
        decode_json(shape.kind, to_json(value), NETWORK, (hint,)),
    ):
        # Deneb's and Electra's optimistic updates are the same bytes: there a label decides.
        if read.data_format is not shape.data_format:
            assert shape.kind is ObjectKind.OPTIMISTIC_UPDATE
            assert read.data_format is hint
            assert {hint.name, shape.data_format.name} == {"deneb", "electra"}
        else:
            assert read == value
        assert encode_ssz(read) == data


def test_of_two_formats_with_one_layout_the_slot_decides_and_else_the_newer() -> None:
    shapes = {str(shape): shape for shape in MINIMAL_SHAPES}
    for name in ("deneb", "electra"):
        shape = shapes[f"minimal-{name}-optimistic_update"]
        data = sample(shape)
        assert decode_ssz(shape.kind, data, NETWORK).data_format.name == name
        before_both = random_ssz(shape, "early", slot=0)
        assert decode_ssz(shape.kind, before_both, NETWORK).data_format.name == "electra"


@pytest.mark.parametrize("kind", ObjectKind)
def test_what_fits_no_format_is_refused_with_a_reason(kind: ObjectKind) -> None:
    for junk in (b"", b"\0", bytes(100), bytes(600), b"\xff" * 3000, b"junk" * 1000):
        with pytest.raises(DecodeError, match=f"no {kind} in any format of the minimal preset"):
            decode_ssz(kind, junk, NETWORK)
        with pytest.raises(DecodeError, match=f"no {kind} of format gloas"):
            decode_ssz(kind, junk, NETWORK, (DATA_FORMATS[-1],))


@every_minimal_shape
def test_an_object_of_another_preset_or_kind_is_refused(shape: Shape) -> None:
    data = sample(shape)
    with pytest.raises(DecodeError):
        decode_ssz(shape.kind, data, network_by_name("mainnet"))
    for kind in set(ObjectKind) - {shape.kind}:
        with pytest.raises(DecodeError):
            decode_ssz(kind, data, NETWORK)


# Labels -----------------------------------------------------------------------------------------


def test_a_version_is_a_fork_s_name_however_it_is_written() -> None:
    for fork in FORKS:
        for written in (fork.name, fork.name.upper(), f" {fork.name} ", f'"{fork.name}"'):
            assert format_of_version(written) is fork.data_format


@pytest.mark.parametrize("written", ["", "osaka", "deneb,electra", None, 5, 1.5, True, [], {}])
def test_an_unknown_version_is_no_label(written: Any) -> None:
    assert format_of_version(written) is None


def test_a_digest_tells_the_format_and_an_unknown_one_does_not() -> None:
    for data_format in DATA_FORMATS:
        digest = digest_of(data_format, NETWORK)
        assert format_of_digest(digest, NETWORK) is data_format
        buffer: Any = bytearray(digest)
        assert format_of_digest(buffer, NETWORK) is data_format
        assert format_of_digest(digest, network_by_name("mainnet")) is None
    for unknown in (b"", b"\0\0\0\0", bytes(32)):
        assert format_of_digest(unknown, NETWORK) is None


def test_an_envelope_is_whatever_has_data() -> None:
    assert unwrap_envelope({"version": "deneb", "data": 1}) == ("deneb", 1)
    assert unwrap_envelope({"data": None}) == (None, None)
    plain: Any
    for plain in ({"version": "deneb"}, [], "data", None, 7):
        assert unwrap_envelope(plain) == (None, plain)


# JSON shapes ------------------------------------------------------------------------------------


def json_of(name: str, kind: ObjectKind) -> tuple[Shape, Any, Any]:
    """(shape, value, its JSON)"""
    [shape] = [s for s in MINIMAL_SHAPES if s.data_format.name == name and s.kind is kind]
    value = shape.layout.decode(sample(shape))
    return shape, value, to_json(value)


@pytest.mark.parametrize("kind", ObjectKind)
def test_headers_of_the_first_format_may_be_flat(kind: ObjectKind) -> None:
    _, value, body = json_of("altair", kind)
    for name in [name for name in body if name.endswith("header")]:
        assert set(body[name]) == {"beacon"}
        body[name] = body[name]["beacon"]
        assert decode_json(kind, body, NETWORK) == value  # some flat, some not: any mixture
    assert decode_json(kind, {"version": "altair", "data": body}, NETWORK) == value


@every_minimal_shape
def test_numbers_may_be_numbers(shape: Shape) -> None:
    value = shape.layout.decode(sample(shape))
    assert decode_json(shape.kind, _with_numbers(to_json(value)), NETWORK) == value


def _with_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _with_numbers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_numbers(item) for item in value]
    return int(value) if value.isdigit() else value


@every_minimal_shape
def test_the_envelope_s_version_is_only_a_hint(shape: Shape) -> None:
    value = shape.layout.decode(sample(shape))
    body = to_json(value)
    true_name = shape.data_format.name
    version: Any
    for version in (true_name, "osaka", None, 7, [], {"deneb": 1}):
        assert decode_json(shape.kind, {"version": version, "data": body}, NETWORK) == value
    extra = {"data": body, "execution_optimistic": False, "finalized": True, "code": 200}
    assert decode_json(shape.kind, extra, NETWORK) == value


@pytest.mark.parametrize("kind", ObjectKind)
@pytest.mark.parametrize("name", ["capella", "deneb", "electra", "gloas"])
def test_an_object_of_a_rich_format_is_never_read_as_a_poorer_one(
    name: str, kind: ObjectKind
) -> None:
    """Each field of the execution matters: without one the object is refused, not stripped."""
    _, value, body = json_of(name, kind)
    headers = [header for header in body if header.endswith("header")]
    for header in headers:
        for path in _paths(body[header]):
            broken = copy.deepcopy(body)
            *above, last = path
            inner = broken[header]
            for step in above:
                inner = inner[step]
            del inner[last]
            with pytest.raises(DecodeError):
                decode_json(kind, broken, NETWORK)
    assert decode_json(kind, body, NETWORK) == value


def _paths(value: Any) -> list[tuple[str, ...]]:
    """The path of every key in nested objects."""
    if not isinstance(value, dict):
        return []
    return [(key, *rest) for key in value for rest in [(), *_paths(value[key])]]


@every_minimal_shape
@pytest.mark.parametrize(
    "junk", [None, True, 1.5, float("nan"), -1, "", "0x", "junk", [], [[]], {}, {"data": 1}]
)
def test_junk_in_place_of_a_field_is_refused(shape: Shape, junk: Any) -> None:
    body = to_json(shape.layout.decode(sample(shape)))
    for path in _paths(body):
        broken = copy.deepcopy(body)
        *above, last = path
        inner = broken
        for step in above:
            inner = inner[step]
        if last == "extra_data" and junk == "0x":
            continue  # an empty list is a list
        inner[last] = junk
        with pytest.raises(DecodeError):
            decode_json(shape.kind, broken, NETWORK)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        1,
        "text",
        True,
        [],
        {},
        {"data": None},
        {"data": []},
        {"data": "0x00"},
        {"data": {}},
        {"data": {"data": {}}},
        {"code": 404, "message": "LC bootstrap unavailable"},
        {"code": 500, "message": "x", "stacktraces": ["Error: x", "    at y"]},
    ],
)
@pytest.mark.parametrize("kind", ObjectKind)
def test_an_answer_that_is_no_object_is_refused_in_one_line(kind: ObjectKind, answer: Any) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_json(kind, answer, NETWORK)
    assert "\n" not in str(caught.value)
    assert str(kind) in str(caught.value)
