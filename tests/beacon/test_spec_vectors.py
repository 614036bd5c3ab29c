"""The specification's vectors that hold beacon objects: roots, encodings and proofs must agree."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import snappy
import yaml

from lightclient.beacon import (
    block_to_header,
    build_proof,
    containers_for,
    decode_view,
    node_root,
    view_from_json,
)
from lightclient.beacon.types import View
from lightclient.config.forks import FORKS, Fork
from lightclient.config.mapping import network_from_config_mapping
from lightclient.config.network import Network

PRESET_NAMES = ("mainnet", "minimal")


def _cases(spec_vectors: Path, preset_name: str, fork_name: str, inside: str) -> Iterator[Path]:
    """Folders of the cases below ``inside`` of one preset and fork, for example ``ssz_static``."""
    root = spec_vectors / "tests" / preset_name / fork_name / inside
    return (path.parent for path in sorted(root.rglob("manifest.yaml")))


def _load_yaml(path: Path) -> dict[str, object]:
    loaded = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)
    assert isinstance(loaded, dict)
    return loaded


@cache
def _decode(fork_name: str, preset_name: str, type_name: str, compressed: bytes) -> View:
    """Proof vectors repeat a whole state for every proof; decode it once."""
    view_type = containers_for(fork_name, preset_name).type_named(type_name)
    return decode_view(view_type, snappy.decompress(compressed))


@pytest.mark.parametrize("preset_name", PRESET_NAMES)
@pytest.mark.parametrize("fork", FORKS, ids=lambda fork: fork.name)
def test_merkle_proofs_of_states_and_bodies(
    spec_vectors: Path, fork: Fork, preset_name: str
) -> None:
    cases = list(_cases(spec_vectors, preset_name, fork.name, "light_client/single_merkle_proof"))
    if not cases:
        pytest.skip(f"no proofs of {fork.name} at preset {preset_name}")
    for case in cases:
        compressed = (case / "object.ssz_snappy").read_bytes()
        view = _decode(fork.name, preset_name, case.parent.name, compressed)
        proof = yaml.safe_load((case / "proof.yaml").read_text())
        gindex = proof["leaf_index"]
        assert "0x" + node_root(view, gindex).hex() == proof["leaf"], case
        assert ["0x" + node.hex() for node in build_proof(view, gindex)] == proof["branch"], case


@pytest.mark.parametrize("preset_name", PRESET_NAMES)
@pytest.mark.parametrize("fork", FORKS, ids=lambda fork: fork.name)
def test_static_objects_have_the_given_encoding_root_and_value(
    spec_vectors: Path, fork: Fork, preset_name: str
) -> None:
    cases = list(_cases(spec_vectors, preset_name, fork.name, "ssz_static"))
    if not cases:
        pytest.skip(f"no static objects of {fork.name} at preset {preset_name}")
    types_with_value_checked = set()
    for case in cases:
        type_name = case.parent.parent.name
        compressed = (case / "serialized.ssz_snappy").read_bytes()
        view = _decode(fork.name, preset_name, type_name, compressed)
        root = yaml.safe_load((case / "roots.yaml").read_text())["root"]
        assert "0x" + view.hash_tree_root().hex() == root, case
        if type_name not in types_with_value_checked:
            types_with_value_checked.add(type_name)
            assert view_from_json(type(view), _load_yaml(case / "value.yaml")) == view, case


@pytest.mark.parametrize("fork_name", ["bellatrix", "capella", "deneb", "electra", "fulu"])
def test_collected_objects_have_the_roots_they_are_named_after(
    spec_vectors: Path, fork_name: str
) -> None:
    handler = spec_vectors / "tests" / "minimal" / fork_name / "light_client" / "data_collection"
    cases = sorted(handler.glob("*/*"))
    if not cases:
        pytest.skip(f"no data collection that starts in {fork_name}")
    for case in cases:
        network, state = _network_and_state(case, fork_name)
        assert state.fork.current_version == network.compute_fork_version(0)
        blocks = 0
        for digest, name in _objects_of(case):
            kind, _, root = name.rpartition("_0x")
            type_name = _TYPE_NAMES[kind.rstrip("_0123456789")]
            fork = network.forks_by_digest[bytes.fromhex(digest.removeprefix("0x"))]
            compressed = (case / f"{name}.ssz_snappy").read_bytes()
            view = _decode(fork.name, "minimal", type_name, compressed)
            assert view.hash_tree_root().hex() == root, (case, name)
            if type_name == "SignedBeaconBlock":
                blocks += 1
                block = view.message
                assert block_to_header(block).hash_tree_root() == block.hash_tree_root()
        assert blocks > 5


_TYPE_NAMES = {
    "block": "SignedBeaconBlock",
    "bootstrap": "LightClientBootstrap",
    "update": "LightClientUpdate",
    "finality_update": "LightClientFinalityUpdate",
    "optimistic_update": "LightClientOptimisticUpdate",
}


def _network_and_state(case: Path, fork_name: str) -> tuple[Network, View]:
    """The network of a data collection case and the state in which its chain starts."""
    compressed = (case / "initial_state.ssz_snappy").read_bytes()
    state = _decode(fork_name, "minimal", "BeaconState", compressed)
    network = network_from_config_mapping(
        _load_yaml(case / "config.yaml"),
        genesis_validators_root=bytes(state.genesis_validators_root),
    )
    return network, state


def _objects_of(case: Path) -> list[tuple[str, str]]:
    """Fork digest and file name of every object that the steps of a case refer to."""
    found: dict[str, str] = {}

    def look(node: object) -> None:
        if isinstance(node, dict):
            if {"fork_digest", "data"} <= node.keys():
                found[node["data"]] = node["fork_digest"]
            for below in node.values():
                look(below)
        elif isinstance(node, list):
            for below in node:
                look(below)

    look(yaml.load((case / "steps.yaml").read_text(), Loader=yaml.CSafeLoader))
    return [(digest, name) for name, digest in found.items()]
