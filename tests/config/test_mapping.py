"""A network from a parsed configuration: what is read, and what is taken for what is left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lightclient.config import (
    FAR_FUTURE_EPOCH,
    FORKS,
    GNOSIS,
    MINIMAL,
    BlobParameters,
    Network,
    network_by_name,
    network_from_config_mapping,
)
from lightclient.config.yaml_text import parse_yaml

BASE = {"PRESET_BASE": "minimal"}


def version_of(network: Network, fork_name: str) -> str:
    return next(s.version.hex() for s in network.forks if s.fork.name == fork_name)


def test_forks_without_an_epoch_never_come_and_versions_come_from_the_preset() -> None:
    network = network_from_config_mapping(BASE | {"ALTAIR_FORK_EPOCH": 3})
    assert [s.fork for s in network.forks] == list(FORKS)
    assert network.fork_epoch("altair") == 3
    assert all(s.epoch == FAR_FUTURE_EPOCH for s in network.forks[2:])
    assert version_of(network, "phase0") == "00000001"
    assert version_of(network, "altair") == "01000001"
    assert network.fork_at_epoch(2**63).name == "altair"


@pytest.mark.parametrize(
    ("preset", "genesis_version", "duration_ms", "churn", "blobs", "min_epochs"),
    [
        ("mainnet", "00000000", 12000, 65536, 9, 33024),
        ("minimal", "00000001", 6000, 32, 9, 272),
        ("gnosis", "00000064", 5000, 4096, 2, 33024),
    ],
)
def test_what_a_configuration_leaves_out_comes_from_its_preset(
    preset: str, genesis_version: str, duration_ms: int, churn: int, blobs: int, min_epochs: int
) -> None:
    network = network_from_config_mapping({"PRESET_BASE": preset})
    assert network.preset.name == preset
    assert version_of(network, "phase0") == genesis_version
    assert network.slot_duration_ms == duration_ms
    assert network.churn_limit_quotient == churn
    assert network.max_blobs_per_block_electra == blobs
    assert network.min_epochs_for_block_requests == min_epochs
    assert network.blob_schedule == ()
    assert network.name == "custom"
    assert network.genesis_validators_root == bytes(32)


def test_what_a_configuration_says_overrides_its_preset() -> None:
    network = network_from_config_mapping(
        {
            "PRESET_BASE": "mainnet",
            "CONFIG_NAME": "devnet-7",
            "SLOTS_PER_EPOCH": 4,
            "EPOCHS_PER_SYNC_COMMITTEE_PERIOD": "6",
            "SYNC_COMMITTEE_SIZE": 64,
            "MIN_SYNC_COMMITTEE_PARTICIPANTS": 2,
            "UPDATE_TIMEOUT": 24,
            "SECONDS_PER_SLOT": "3",
            "GENESIS_FORK_VERSION": "0x10203040",
            "ALTAIR_FORK_VERSION": 0x01020304,
            "ALTAIR_FORK_EPOCH": "0",
            "CHURN_LIMIT_QUOTIENT": 128,
            "MAX_BLOBS_PER_BLOCK_ELECTRA": 7,
            "MIN_EPOCHS_FOR_BLOCK_REQUESTS": 99,
            "DEPOSIT_CHAIN_ID": "4242",
            "SYNC_MESSAGE_DUE_BPS": "4000",
            "SYNC_MESSAGE_DUE_BPS_GLOAS": 3000,
            "CUSTODY_REQUIREMENT": "8",
            "BLOB_SCHEDULE": [{"EPOCH": "5", "MAX_BLOBS_PER_BLOCK": 12}],
            "SOMETHING_NEW": {"nested": [1.5, None]},
        },
        genesis_time=77,
        genesis_validators_root="0x" + "ab" * 32,
        bootstrap_nodes=["enr:-abc"],
    )
    assert network.name == "devnet-7"
    assert network.preset.slots_per_epoch == 4
    assert network.preset.slots_per_sync_committee_period == 24
    assert network.preset.sync_committee_size == 64
    assert network.preset.min_sync_committee_participants == 2
    assert network.slot_duration_ms == 3000
    assert version_of(network, "phase0") == "10203040"
    assert version_of(network, "altair") == "01020304"
    assert network.churn_limit_quotient == 128
    assert network.max_blobs_per_block_electra == 7
    assert network.min_epochs_for_block_requests == 99
    assert network.deposit_chain_id == 4242
    assert (network.sync_message_due_bps, network.sync_message_due_bps_gloas) == (4000, 3000)
    assert network.custody_requirement == 8
    assert network.blob_schedule == (BlobParameters(5, 12),)
    assert network.genesis_time == 77
    assert network.genesis_validators_root == b"\xab" * 32
    assert network.bootstrap_nodes == ("enr:-abc",)


def test_the_slot_duration_in_milliseconds_wins_over_seconds() -> None:
    both = BASE | {"SECONDS_PER_SLOT": 6, "SLOT_DURATION_MS": 1500}
    assert network_from_config_mapping(both).slot_duration_ms == 1500


def test_serving_depth_is_computed_where_a_newer_configuration_leaves_it_out() -> None:
    config = {"PRESET_BASE": "mainnet", "CHURN_LIMIT_QUOTIENT": 64}
    assert network_from_config_mapping(config).min_epochs_for_block_requests == 256 + 32
    config |= {"MIN_VALIDATOR_WITHDRAWABILITY_DELAY": 10}
    assert network_from_config_mapping(config).min_epochs_for_block_requests == 10 + 32


@pytest.mark.parametrize("far", [FAR_FUTURE_EPOCH, str(FAR_FUTURE_EPOCH)])
def test_the_far_future_epoch_may_be_a_number_or_a_string(far: object) -> None:
    network = network_from_config_mapping(
        BASE | {"ALTAIR_FORK_EPOCH": 0, "BELLATRIX_FORK_EPOCH": far, "CAPELLA_FORK_EPOCH": far}
    )
    assert network.fork_epoch("bellatrix") == FAR_FUTURE_EPOCH


def test_blob_schedule_entries_in_the_far_future_do_not_count() -> None:
    far = {"EPOCH": str(FAR_FUTURE_EPOCH), "MAX_BLOBS_PER_BLOCK": 0}
    network = network_from_config_mapping(
        BASE | {"BLOB_SCHEDULE": [{"EPOCH": 1, "MAX_BLOBS_PER_BLOCK": 3}, far, far]}
    )
    assert network.blob_schedule == (BlobParameters(1, 3),)


@pytest.mark.parametrize("empty", [[], (), None, "", "null", "~"])
def test_an_empty_blob_schedule_is_one_without_entries(empty: object) -> None:
    assert network_from_config_mapping(BASE | {"BLOB_SCHEDULE": empty}).blob_schedule == ()


@pytest.mark.parametrize("preset", ["gnosis", GNOSIS])
def test_the_preset_may_be_an_argument(preset: Any) -> None:
    assert network_from_config_mapping({}, preset=preset).preset == GNOSIS
    assert network_from_config_mapping({"PRESET_BASE": "gnosis"}, preset=preset).preset == GNOSIS


def test_the_public_networks_can_be_described_this_way() -> None:
    for name in ("mainnet", "gnosis", "hoodi"):
        network = network_by_name(name)
        config: dict[str, object] = {
            "PRESET_BASE": network.preset.name,
            "CONFIG_NAME": name,
            "GENESIS_FORK_VERSION": "0x" + network.forks[0].version.hex(),
            "BLOB_SCHEDULE": [
                {"EPOCH": str(b.epoch), "MAX_BLOBS_PER_BLOCK": str(b.max_blobs_per_block)}
                for b in network.blob_schedule
            ],
        }
        for scheduled in network.forks[1:]:
            key = scheduled.fork.name.upper()
            config[f"{key}_FORK_EPOCH"] = str(scheduled.epoch)
            config[f"{key}_FORK_VERSION"] = "0x" + scheduled.version.hex()
        again = network_from_config_mapping(
            config, genesis_validators_root=network.genesis_validators_root
        )
        assert again.forks == network.forks
        assert again.forks_by_digest == network.forks_by_digest


# Material beside the checkout -----------------------------------------------------------------


def test_the_configurations_of_the_specifications_vectors_are_read(spec_vectors: Path) -> None:
    files = sorted(spec_vectors.glob("tests/minimal/*/light_client/*/*/*/config.yaml"))
    assert files
    for file in files:
        config = parse_yaml(file.read_bytes(), source=str(file))
        assert isinstance(config, dict)
        network = network_from_config_mapping(config, source=str(file))
        assert network.preset == MINIMAL
        assert network.slot_duration_ms == 6000
        directory_fork = file.relative_to(spec_vectors).parts[2]
        assert network.fork_epoch(directory_fork) != FAR_FUTURE_EPOCH
        assert all(fork.index > 0 for fork in network.forks_by_digest.values())


def test_the_answer_of_a_real_nodes_spec_endpoint_is_read(real_data: Path) -> None:
    recorded = json.loads((real_data / "lodestar-minimal-electra" / "spec.json").read_text())
    network = network_from_config_mapping(recorded["data"])
    assert network.preset == MINIMAL
    assert network.fork_epoch("electra") != FAR_FUTURE_EPOCH
    assert network.slot_duration_ms == 1000 * int(recorded["data"]["SECONDS_PER_SLOT"])


def test_the_weak_subjectivity_bound_follows_from_what_is_read() -> None:
    read = network_from_config_mapping(
        {"CHURN_LIMIT_QUOTIENT": "4096", "MIN_VALIDATOR_WITHDRAWABILITY_DELAY": 1000},
        preset="mainnet",
    )
    assert read.weak_subjectivity_epochs_upper_bound == 1000 + 10 * 4096 // 200
