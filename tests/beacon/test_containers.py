"""Containers per fork and preset: what exists, its shape, and its agreement with the fork table."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightclient.beacon import containers_for, decode_view, get_generalized_index, node_root
from lightclient.beacon.registry import BeaconContainers
from lightclient.beacon.schema import apply_changes
from lightclient.config.forks import FORKS, FORKS_BY_NAME, Fork
from lightclient.config.presets import MINIMAL, PRESETS
from lightclient.errors import ConfigError, DeriveError

LIGHT_CLIENT_FORKS = FORKS[1:]
ALL_CONTAINERS = [
    containers_for(fork.name, preset_name) for fork in FORKS for preset_name in PRESETS
]


def _label(value: object) -> str:
    if isinstance(value, BeaconContainers):
        return f"{value.preset_name}-{value.fork_name}"
    return value.name if isinstance(value, Fork) else str(value)


every_fork_and_preset = pytest.mark.parametrize("containers", ALL_CONTAINERS, ids=_label)


@pytest.mark.parametrize("preset_name", PRESETS)
@pytest.mark.parametrize("fork", LIGHT_CLIENT_FORKS, ids=_label)
def test_state_indices_are_those_of_the_fork_table(fork: Fork, preset_name: str) -> None:
    state = containers_for(fork.name, preset_name).BeaconState
    assert fork.finalized_root_gindex == get_generalized_index(
        state, "finalized_checkpoint", "root"
    )
    assert fork.current_sync_committee_gindex == get_generalized_index(
        state, "current_sync_committee"
    )
    assert fork.next_sync_committee_gindex == get_generalized_index(state, "next_sync_committee")


@pytest.mark.parametrize("preset_name", PRESETS)
@pytest.mark.parametrize("fork", FORKS[3:], ids=_label)
def test_body_indices_are_those_of_the_fork_table(fork: Fork, preset_name: str) -> None:
    body = containers_for(fork.name, preset_name).BeaconBlockBody
    if fork.proves_parent_block_hash:
        path: tuple[str, ...] = ("signed_execution_payload_bid", "message", "parent_block_hash")
    else:
        path = ("execution_payload", "block_hash")
        assert fork.execution_gindex == get_generalized_index(body, "execution_payload")
    assert fork.execution_block_hash_gindex == get_generalized_index(body, *path)


@pytest.mark.parametrize("fork", LIGHT_CLIENT_FORKS, ids=_label)
def test_branches_are_as_long_as_their_generalized_index_is_deep(fork: Fork) -> None:
    containers = containers_for(fork.name, "minimal")
    update, header = containers.LightClientUpdate.fields(), containers.LightClientHeader.fields()
    assert update["finality_branch"].vector_length() == _depth(fork.finalized_root_gindex)
    assert update["next_sync_committee_branch"].vector_length() == _depth(
        fork.next_sync_committee_gindex
    )
    bootstrap = containers.LightClientBootstrap.fields()
    assert bootstrap["current_sync_committee_branch"].vector_length() == _depth(
        fork.current_sync_committee_gindex
    )
    if "execution" in header:
        assert header["execution_branch"].vector_length() == _depth(fork.execution_gindex)
    elif "execution_block_hash" in header:
        depth = _depth(fork.execution_block_hash_gindex)
        assert header["execution_branch"].vector_length() == depth
    else:
        assert fork.data_format.header == "bare"


def _depth(gindex: int) -> int:
    return gindex.bit_length() - 1


@every_fork_and_preset
def test_default_instances_survive_a_round_trip(containers: BeaconContainers) -> None:
    for name in containers.names():
        if name == "BeaconState" and containers.preset_name != "minimal":
            continue  # seconds each: 90,000 roots
        view_type = containers.type_named(name)
        default = view_type()
        again = decode_view(view_type, default.encode_bytes())
        assert again.hash_tree_root() == default.hash_tree_root(), name


@every_fork_and_preset
def test_remembered_sizes_are_what_the_fields_add_up_to(containers: BeaconContainers) -> None:
    for name in containers.names():
        view_type = containers.type_named(name)
        fields = view_type.fields().values()
        assert view_type.is_fixed_byte_length() == all(f.is_fixed_byte_length() for f in fields)
        smallest = sum(f.min_byte_length() + 4 * (not f.is_fixed_byte_length()) for f in fields)
        assert view_type.min_byte_length() == smallest
        if view_type.is_fixed_byte_length():
            assert view_type.type_byte_length() == len(view_type().encode_bytes()) == smallest


def test_preset_lengths_follow_from_the_constants_of_the_preset() -> None:
    lengths = {
        name: (
            containers_for("gloas", name).BeaconState.fields()["proposer_lookahead"],
            containers_for("phase0", name).BeaconState.fields()["eth1_data_votes"],
            containers_for("deneb", name).ExecutionPayload.fields()["withdrawals"],
            containers_for("altair", name).SyncCommittee.fields()["pubkeys"],
            containers_for("gloas", name).BeaconState.fields()["ptc_window"],
        )
        for name in PRESETS
    }
    assert {
        name: (a.vector_length(), b.limit(), c.limit(), d.vector_length(), e.vector_length())
        for name, (a, b, c, d, e) in lengths.items()
    } == {
        "mainnet": (64, 2048, 16, 512, 96),
        "minimal": (16, 32, 4, 32, 24),
        "gnosis": (32, 1024, 8, 512, 48),
    }


def test_a_networks_own_preset_values_size_the_containers() -> None:
    preset = replace(MINIMAL, sync_committee_size=8, slots_per_epoch=4)
    containers = containers_for("fulu", preset)
    assert containers.SyncCommittee.fields()["pubkeys"].vector_length() == 8
    assert containers.BeaconState.fields()["proposer_lookahead"].vector_length() == 8
    assert containers.LightClientUpdate.fields()["next_sync_committee"] is containers.SyncCommittee


def test_gloas_states_bodies_and_payloads_are_progressive() -> None:
    gloas, fulu = containers_for("gloas", "minimal"), containers_for("fulu", "minimal")
    progressive = {name for name in gloas if hasattr(gloas.type_named(name), "active_fields")}
    assert progressive == {
        "Attestation",
        "BeaconBlockBody",
        "BeaconState",
        "ExecutionPayload",
        "ExecutionPayloadBid",
        "ExecutionPayloadEnvelope",
        "ExecutionRequests",
        "IndexedAttestation",
        "PayloadAttestation",
    }
    assert not any(hasattr(fulu.type_named(name), "active_fields") for name in fulu)
    # The active fields are mixed in at the right of the root: one bit per field.
    field_count = len(gloas.BeaconBlockBody.fields())
    expected = ((1 << field_count) - 1).to_bytes(32, "little")
    assert node_root(gloas.BeaconBlockBody(), 3) == expected


def test_heze_has_the_light_client_types_of_gloas() -> None:
    gloas, heze = containers_for("gloas", "minimal"), containers_for("heze", "minimal")
    names = [name for name in heze.names() if name.startswith("LightClient")]
    assert len(names) == 5
    for name in names:
        assert heze.type_named(name) is gloas.type_named(name)
    assert heze.ExecutionPayloadBid is not gloas.ExecutionPayloadBid


def test_an_unchanged_container_is_the_same_type_in_every_fork_and_preset() -> None:
    assert len({containers.Checkpoint for containers in ALL_CONTAINERS}) == 1
    assert len({containers.BeaconBlockHeader for containers in ALL_CONTAINERS}) == 1


@pytest.mark.parametrize(
    ("fork_name", "preset_name", "complaint"),
    [("osaka", "mainnet", "unknown fork"), ("deneb", "medium", "unknown preset")],
)
def test_an_unknown_fork_or_preset_is_a_config_error(
    fork_name: str, preset_name: str, complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        containers_for(fork_name, preset_name)


def test_a_preset_without_beacon_containers_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="'tiny' has no beacon containers"):
        containers_for("deneb", replace(MINIMAL, name="tiny"))


@pytest.mark.parametrize(
    ("fork_name", "name"),
    [
        ("phase0", "LightClientUpdate"),
        ("altair", "ExecutionPayload"),
        ("gloas", "ExecutionPayloadHeader"),
        ("deneb", "NoSuchContainer"),
    ],
)
def test_a_container_that_the_fork_does_not_have_is_a_config_error(
    fork_name: str, name: str
) -> None:
    containers = containers_for(fork_name, "minimal")
    assert name not in containers
    assert name not in containers.names()
    with pytest.raises(ConfigError, match=f"{fork_name} has no container '{name}'"):
        getattr(containers, name)


@pytest.mark.parametrize(
    "change",
    [
        "A\n    - missing",
        "A\n    missing -> other: uint64",
        "A\n    first -> second: uint64",
        "A\n    no colon here",
        "- Missing",
    ],
)
def test_a_schema_change_of_what_is_not_there_is_refused(change: str) -> None:
    before = apply_changes({}, "A\n    first: uint64\n    second: uint64")
    with pytest.raises(ValueError, match=r"cannot|not 'field"):
        apply_changes(before, change)


def test_a_schema_change_keeps_the_place_of_what_it_replaces() -> None:
    before = apply_changes({}, "A\n    first: uint64\n    second: uint64\n    third: uint64")
    after = apply_changes(
        before,
        "A\n    first -> one:\n        List[uint64, X]\n    second: uint8\n"
        "    - third\n    last: B",
    )
    assert list(after["A"].fields.items()) == [
        ("one", "List[uint64, X]"),
        ("second", "uint8"),
        ("last", "B"),
    ]
    assert list(before["A"].fields) == ["first", "second", "third"]


@given(st.sampled_from(LIGHT_CLIENT_FORKS), st.text(max_size=20))
def test_no_path_that_does_not_exist_has_a_generalized_index(fork: Fork, name: str) -> None:
    update = containers_for(fork.name, "minimal").LightClientUpdate
    if name not in update.fields():
        with pytest.raises(DeriveError):
            get_generalized_index(update, name)


def test_importing_the_library_does_not_import_this_room() -> None:
    code = (
        "import sys, lightclient;"
        "print([m for m in sys.modules if 'remerkleable' in m or 'beacon' in m])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_every_fork_of_the_table_has_containers() -> None:
    assert {containers.fork_name for containers in ALL_CONTAINERS} == set(FORKS_BY_NAME)
