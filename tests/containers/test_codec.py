"""The light client objects in every format and preset against an independent SSZ implementation."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import snappy
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lightclient.beacon import containers_for, decode_view, view_from_json
from lightclient.config.forks import FORKS, FORKS_BY_NAME
from lightclient.config.presets import PRESETS
from lightclient.containers import (
    BEACON_BLOCK_HEADER,
    ObjectKind,
    encode_ssz,
    execution_payload_header_type,
    hash_tree_root,
    light_client_header_type,
    object_type,
    sync_aggregate_type,
    sync_committee_type,
    to_json,
    type_of,
)
from lightclient.errors import DecodeError
from lightclient.ssz import Container
from tests.containers.samples import MINIMAL_SHAPES, ORACLE_NAMES, SHAPES, Shape, random_ssz
from tests.measuring import unmeasured

every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
every_minimal_shape = pytest.mark.parametrize("shape", MINIMAL_SHAPES, ids=str)


@every_shape
def test_random_objects_have_the_oracle_s_bytes_and_root(shape: Shape) -> None:
    for seed in range(3 if shape.preset.sync_committee_size == 32 else 1):
        data = random_ssz(shape, seed)
        value = shape.layout.decode(data)
        assert encode_ssz(value) == data
        assert type_of(value).decode(data) == value
        view = shape.oracle.decode_bytes(data)
        assert hash_tree_root(value) == bytes(view.hash_tree_root())
        assert (value.kind, value.data_format) == (shape.kind, shape.data_format)
        # As text, since remerkleable reads numbers of 256 bits but writes them in hex.
        assert view_from_json(shape.oracle, to_json(value)).encode_bytes() == data


@every_shape
def test_the_default_object_is_the_oracle_s(shape: Shape) -> None:
    value = shape.layout.default()
    assert encode_ssz(value) == shape.oracle().encode_bytes()
    assert hash_tree_root(value) == bytes(shape.oracle().hash_tree_root())


@every_shape
def test_json_survives_the_round_trip_through_text(shape: Shape) -> None:
    value = shape.layout.decode(random_ssz(shape, "json"))
    assert shape.layout.from_json(json.loads(json.dumps(to_json(value)))) == value


@every_minimal_shape
def test_an_object_s_hash_and_equality_are_those_of_its_value(shape: Shape) -> None:
    data = random_ssz(shape, "equal")
    buffer: Any = memoryview(bytearray(data))
    value, twin = shape.layout.decode(data), shape.layout.decode(buffer)
    buffer[:] = bytes(len(data))  # what was decoded is a copy
    assert value == twin
    assert hash(value) == hash(twin)
    hash_tree_root(value)  # remembered in the one and not in the other
    assert value == twin
    assert value != shape.layout.decode(random_ssz(shape, "other"))


@every_minimal_shape
def test_every_truncation_is_refused(shape: Shape) -> None:
    data = random_ssz(shape, "truncated")
    # The last list in it, a header's extra_data of at most 32 bytes, may only become shorter.
    sure = len(data) - (32 if shape.layout.fixed_size is None else 0)
    for length in range(len(data)):
        cut = data[:length]
        if length >= sure and _oracle_takes(shape, cut):
            assert encode_ssz(shape.layout.decode(cut)) == cut
            continue
        with pytest.raises(DecodeError):
            shape.layout.decode(cut)


def _oracle_takes(shape: Shape, data: bytes) -> bool:
    """Whether remerkleable decodes ``data`` and gives the same bytes back."""
    try:
        with unmeasured():
            decode_view(shape.oracle, data)
    except DecodeError:
        return False
    return True


@every_minimal_shape
def test_what_is_appended_is_refused_or_lengthens_the_last_list(shape: Shape) -> None:
    data = random_ssz(shape, "extended")
    for extra in (b"\0", b"\xff", bytes(4), bytes(32), bytes(33), data):
        longer = data + extra
        if _oracle_takes(shape, longer):
            assert shape.layout.fixed_size is None
            assert encode_ssz(shape.layout.decode(longer)) == longer
        else:
            with pytest.raises(DecodeError):
                shape.layout.decode(longer)


@settings(max_examples=25)
@every_minimal_shape
@given(data=st.data())
def test_altered_bytes_are_refused_exactly_where_they_are_no_encoding(
    shape: Shape, data: st.DataObject
) -> None:
    """Bytes changed, put in, left out or moved, with offsets following or not."""
    encoded = bytearray(random_ssz(shape, "altered"))
    draw = random.Random(data.draw(st.integers(0, 2**32)))
    for _ in range(data.draw(st.integers(1, 3))):
        _alter(encoded, shape, draw)
    altered = bytes(encoded)
    try:
        value = shape.layout.decode(altered)
    except DecodeError:
        assert not _oracle_takes(shape, altered)
    else:
        assert encode_ssz(value) == altered
        assert _oracle_takes(shape, altered)


def _alter(encoded: bytearray, shape: Shape, draw: random.Random) -> None:
    position = draw.randrange(len(encoded))
    match draw.choice(["flip", "insert", "delete", "shift an offset", "gap"]):
        case "flip":
            encoded[position] ^= 1 << draw.randrange(8)
        case "insert":
            encoded[position:position] = draw.randbytes(draw.choice([1, 4, 32]))
        case "delete":
            del encoded[position : position + draw.choice([1, 4, 32])]
            encoded += b"" if encoded else b"\0"
        case "shift an offset" | "gap" as how:
            # The first field of every object is its header: in formats with a payload an offset.
            step = draw.choice([-4, -1, 1, 4, 32, 2**31])
            offset = (int.from_bytes(encoded[:4], "little") + step) % 2**32
            encoded[:4] = offset.to_bytes(4, "little")
            if how == "gap" and 0 < step < 64 and offset <= len(encoded):
                encoded[offset - step : offset - step] = bytes(step)


@every_minimal_shape
def test_an_object_of_one_shape_is_no_object_of_another(shape: Shape) -> None:
    data = random_ssz(shape, "mistaken", slot=5)
    for other in MINIMAL_SHAPES:
        same_layout = other.kind is shape.kind is ObjectKind.OPTIMISTIC_UPDATE and {
            other.data_format.name,
            shape.data_format.name,
        } == {"deneb", "electra"}
        if other == shape or same_layout:
            assert encode_ssz(other.layout.decode(data)) == data
        else:
            with pytest.raises(DecodeError):
                other.layout.decode(data)
    for preset in PRESETS.values():
        if preset.sync_committee_size != 32:
            with pytest.raises(DecodeError):
                object_type(shape.kind, shape.data_format, 512).decode(data)


def test_formats_are_shaped_as_the_fork_of_their_name_and_shared_by_the_others() -> None:
    for fork in FORKS[1:]:
        for kind, name in ORACLE_NAMES.items():
            shape = Shape(kind, fork.data_format, PRESETS["minimal"])
            own = getattr(containers_for(fork.name, "minimal"), name)
            data = random_ssz(shape, fork.name)
            assert decode_view(own, data).encode_bytes() == data


def _parts(fork_name: str, size: int) -> dict[str, Container[Any]]:
    """Our types by the names that the specification's vectors use."""
    data_format = FORKS_BY_NAME[fork_name].data_format
    types: dict[str, Container[Any]] = {
        "BeaconBlockHeader": BEACON_BLOCK_HEADER,
        "SyncCommittee": sync_committee_type(size),
        "SyncAggregate": sync_aggregate_type(size),
        "LightClientHeader": light_client_header_type(data_format),
    }
    if data_format.header == "payload":
        types["ExecutionPayloadHeader"] = execution_payload_header_type(data_format.blob_gas)
    types |= {name: object_type(kind, data_format, size) for kind, name in ORACLE_NAMES.items()}
    return types


def test_the_official_ssz_static_vectors_hold(spec_vectors: Path) -> None:
    checked = 0
    for folder in sorted(spec_vectors.glob("tests/*/*/ssz_static/*")):
        preset, fork_name, name = folder.parts[-4], folder.parts[-3], folder.parts[-1]
        kind = _parts(fork_name, PRESETS[preset].sync_committee_size).get(name)
        if kind is None:
            continue
        for case in sorted(folder.glob("*/*")):
            data = snappy.decompress((case / "serialized.ssz_snappy").read_bytes())
            root = yaml.safe_load((case / "roots.yaml").read_text())["root"]
            value = kind.decode(data)
            assert kind.encode(value) == data
            assert "0x" + kind.hash_tree_root(value).hex() == root
            checked += 1
    assert checked > 50
