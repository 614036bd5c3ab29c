"""What real nodes served: every object decodes and re-encodes byte for byte, whatever framed it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lightclient.config import Network, network_by_name, network_from_config_mapping
from lightclient.containers import (
    LightClientObject,
    ObjectKind,
    decode_json,
    decode_ssz,
    encode_ssz,
    format_of_version,
    light_client_header_type,
    read_document,
    split_update_stream,
    sync_aggregate_type,
    sync_committee_type,
    to_json,
)
from lightclient.containers.headers import BEACON_BLOCK_HEADER, execution_payload_header_type
from lightclient.errors import DecodeError

MAINNET = network_by_name("mainnet")

MAINNET_FILES = {
    "mainnet-capella/bootstrap.ssz": ObjectKind.BOOTSTRAP,
    "mainnet-capella/finUpdate.json": ObjectKind.FINALITY_UPDATE,
    "mainnet-capella/finUpdate.ssz": ObjectKind.FINALITY_UPDATE,
    "mainnet-capella/optUpdate.json": ObjectKind.OPTIMISTIC_UPDATE,
    "mainnet-capella/optUpdate.ssz": ObjectKind.OPTIMISTIC_UPDATE,
    "mainnet-capella/optimistic_update.ssz": ObjectKind.OPTIMISTIC_UPDATE,
    "mainnet-deneb/BootstrapDeneb.json": ObjectKind.BOOTSTRAP,
    "mainnet-deneb/LightClientBootstrapDeneb.ssz": ObjectKind.BOOTSTRAP,
    "mainnet-deneb/LightClientUpdateDeneb.ssz": ObjectKind.UPDATE,
    "mainnet-deneb/LightClientUpdateNewPeriodDeneb.ssz": ObjectKind.UPDATE,
    "mainnet-deneb/UpdateDeneb.json": ObjectKind.UPDATE,
    "mainnet-deneb/UpdateNewPeriodDeneb.json": ObjectKind.UPDATE,
}


@pytest.mark.parametrize("name", MAINNET_FILES)
def test_each_file_holds_one_object_of_its_folder_s_format(real_data: Path, name: str) -> None:
    data = (real_data / name).read_bytes()
    [entry] = read_document(MAINNET_FILES[name], data, MAINNET)
    value = entry.decode()
    assert value.data_format.name in name
    if name.endswith(".ssz"):
        assert encode_ssz(value) == data
        assert decode_json(value.kind, json.loads(json.dumps(to_json(value))), MAINNET) == value
    else:
        assert decode_ssz(value.kind, encode_ssz(value), MAINNET) == value
        assert to_json(value) == json.loads(data)["data"]


def test_the_same_object_is_the_same_in_json_and_in_ssz(real_data: Path) -> None:
    folder = real_data / "mainnet-deneb"
    for text, binary, kind in (
        ("BootstrapDeneb.json", "LightClientBootstrapDeneb.ssz", ObjectKind.BOOTSTRAP),
        ("UpdateDeneb.json", "LightClientUpdateDeneb.ssz", ObjectKind.UPDATE),
        ("UpdateNewPeriodDeneb.json", "LightClientUpdateNewPeriodDeneb.ssz", ObjectKind.UPDATE),
    ):
        [one], [two] = (
            read_document(kind, (folder / name).read_bytes(), MAINNET) for name in (text, binary)
        )
        assert one.decode() == two.decode()


def test_the_update_stream_re_encodes_chunk_by_chunk(real_data: Path) -> None:
    data = (real_data / "mainnet-capella" / "updates.ssz").read_bytes()
    values = [entry.decode() for entry in read_document(ObjectKind.UPDATE, data, MAINNET)]
    assert len(values) == 21
    chunks = list(split_update_stream(data, len(data)))
    assert [encode_ssz(value) for value in values] == [payload for _, payload in chunks]
    assert {digest for digest, _ in chunks} == {bytes.fromhex("bba4da96")}


def test_parts_in_files_of_their_own_re_encode(real_data: Path) -> None:
    deneb = format_of_version("deneb")
    assert deneb is not None
    parts: dict[str, Any] = {
        "BeaconBlockHeader": BEACON_BLOCK_HEADER,
        "ExecutionPayloadHeader": execution_payload_header_type(True),
        "LightClientHeader": light_client_header_type(deneb),
        "SyncAggregate": sync_aggregate_type(512),
        "SyncCommittee": sync_committee_type(512),
    }
    for name, kind in parts.items():
        data = (real_data / "mainnet-deneb" / f"{name}Deneb.ssz").read_bytes()
        assert kind.encode(kind.decode(data)) == data


# JSON of a richer kind holds every key of a poorer one: read as that, it is that.
HELD = {
    (ObjectKind.UPDATE, ObjectKind.FINALITY_UPDATE),
    (ObjectKind.UPDATE, ObjectKind.OPTIMISTIC_UPDATE),
    (ObjectKind.FINALITY_UPDATE, ObjectKind.OPTIMISTIC_UPDATE),
}


@pytest.mark.parametrize("name", MAINNET_FILES)
def test_a_file_of_one_kind_is_no_object_of_another(real_data: Path, name: str) -> None:
    data, own = (real_data / name).read_bytes(), MAINNET_FILES[name]
    for kind in set(ObjectKind) - {own}:
        [entry] = read_document(kind, data, MAINNET)
        if name.endswith(".json") and (own, kind) in HELD:
            assert entry.decode().kind is kind
        else:
            with pytest.raises(DecodeError):
                entry.decode()


# A local chain in minimal preset that a Lodestar node served -----------------------------------


@pytest.fixture(scope="module")
def lodestar() -> Path:
    folder = Path(__file__).resolve().parents[3] / "shared" / "real-data"
    folder /= "lodestar-minimal-electra"
    if not folder.is_dir():
        pytest.skip("needs ../shared/real-data beside the checkout")
    return folder


@pytest.fixture(scope="module")
def network(lodestar: Path) -> Network:
    """The chain's network, from what the node itself says of it."""
    genesis = json.loads((lodestar / "genesis.json").read_bytes())["data"]
    return network_from_config_mapping(
        json.loads((lodestar / "spec.json").read_bytes())["data"],
        genesis_validators_root=bytes.fromhex(genesis["genesis_validators_root"][2:]),
        genesis_time=int(genesis["genesis_time"]),
        name="lodestar",
    )


def objects(kind: ObjectKind, data: bytes, network: Network) -> list[LightClientObject]:
    return [entry.decode() for entry in read_document(kind, data, network)]


@pytest.mark.parametrize("kind", [kind for kind in ObjectKind if kind is not ObjectKind.UPDATE])
def test_a_node_s_single_objects_are_read_in_both_forms(
    lodestar: Path, network: Network, kind: ObjectKind
) -> None:
    [by_json] = objects(kind, (lodestar / f"{kind}.json").read_bytes(), network)
    data = (lodestar / f"{kind}_ssz.ssz").read_bytes()
    [by_ssz] = objects(kind, data, network)
    assert encode_ssz(by_ssz) == data
    assert to_json(by_json) == json.loads((lodestar / f"{kind}.json").read_bytes())["data"]
    assert by_json.data_format is by_ssz.data_format is format_of_version("electra")


def test_a_node_s_updates_are_read_in_both_forms(lodestar: Path, network: Network) -> None:
    by_json = objects(ObjectKind.UPDATE, (lodestar / "updates.json").read_bytes(), network)
    by_ssz = objects(ObjectKind.UPDATE, (lodestar / "updates_ssz.ssz").read_bytes(), network)
    assert by_json == by_ssz
    assert [value.data_format.name for value in by_json] == ["deneb", "deneb", "electra", "electra"]


@pytest.mark.parametrize(
    "name", ["bootstrap_unknown", "bootstrap_bad", "updates_big", "updates_future", "updates_zero"]
)
def test_a_node_s_errors_are_no_objects(lodestar: Path, network: Network, name: str) -> None:
    kind = ObjectKind.BOOTSTRAP if "bootstrap" in name else ObjectKind.UPDATE
    entries = list(read_document(kind, (lodestar / f"{name}.json").read_bytes(), network))
    for entry in entries:
        with pytest.raises(DecodeError):
            entry.decode()
    assert bool(entries) == (name != "updates_zero")


def test_a_node_s_events_hold_objects(lodestar: Path, network: Network) -> None:
    topic, read = "", []
    for line in (lodestar / "events.sse").read_text().splitlines():
        if line.startswith("event: "):
            topic = line.removeprefix("event: ")
        elif line.startswith("data: ") and topic.startswith("light_client_"):
            kind = ObjectKind(topic.removeprefix("light_client_"))
            read += objects(kind, line.removeprefix("data: ").encode(), network)
    assert {value.kind for value in read} >= {ObjectKind.OPTIMISTIC_UPDATE}
    assert {value.data_format.name for value in read} == {"electra"}
