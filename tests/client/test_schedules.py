"""What a provider announces, compared with the network we know."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightclient.client.schedules import (
    ScheduleChange,
    date_of_epoch,
    other_network,
    schedule_changes,
)
from lightclient.config import network_by_name
from lightclient.config.mapping import network_from_config_mapping
from lightclient.config.networks import NETWORK_NAMES
from lightclient.simulator import config_mapping
from lightclient.transports.base import Genesis, Spec

FAR = str(2**64 - 1)
MAINNET = network_by_name("mainnet")
SEPOLIA = network_by_name("sepolia")


def spec_of(name: str, **changes: Any) -> Spec:
    """What an honest node of the network announces, all in text, with ``changes``."""
    network = network_by_name(name)
    spec: dict[str, Any] = {}
    for key, value in config_mapping(network).items():
        if isinstance(value, list):
            spec[key] = [{k: str(v) for k, v in entry.items()} for entry in value]
        else:
            spec[key] = str(value)
    spec["CONFIG_NAME"] = name
    spec |= {key: value for key, value in changes.items() if value is not None}
    return {key: value for key, value in spec.items() if changes.get(key, "") is not None}


def genesis_of(name: str) -> Genesis:
    network = network_by_name(name)
    return Genesis(network.genesis_time, network.genesis_validators_root)


# Which network ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORK_NAMES)
def test_an_honest_node_differs_in_nothing(name: str) -> None:
    network = network_by_name(name)
    assert other_network(network, genesis_of(name), spec_of(name)) is None
    assert other_network(network, None, spec_of(name)) is None
    assert other_network(network, genesis_of(name), None) is None
    assert schedule_changes(network, spec_of(name)) == ()


@pytest.mark.parametrize("with_genesis", [True, False])
@pytest.mark.parametrize("name", [name for name in NETWORK_NAMES if name != "mainnet"])
def test_a_node_of_another_network_is_known_by_name(name: str, with_genesis: bool) -> None:
    genesis = genesis_of(name) if with_genesis else None
    said = other_network(MAINNET, genesis, spec_of(name))
    assert said is not None
    assert name in said or "gnosis preset" in said


def test_the_validators_root_decides_and_not_what_a_network_is_called() -> None:
    renamed = spec_of("mainnet", CONFIG_NAME="sepolia", DEPOSIT_CHAIN_ID="5")
    assert other_network(MAINNET, genesis_of("mainnet"), renamed) is None
    named_like_ours = spec_of("mainnet")
    assert other_network(MAINNET, genesis_of("sepolia"), named_like_ours) == "sepolia"
    assert other_network(MAINNET, genesis_of("sepolia"), None) == "sepolia"
    assert other_network(MAINNET, Genesis(MAINNET.genesis_time + 1, bytes(32)), None) == (
        "another network (its genesis validators root is 0x00000000..., not 0x4b363db9...)"
    )


def test_a_devnet_that_was_begun_anew_is_told_by_what_differs() -> None:
    root = MAINNET.genesis_validators_root
    said = other_network(MAINNET, Genesis(5, root[::-1]), spec_of("mainnet"))
    assert said == (
        "another network (it calls it mainnet; its genesis validators root is"
        f" 0x{root[::-1][:4].hex()}..., not 0x4b363db9...)"
    )
    assert other_network(MAINNET, Genesis(5, root), None) == (
        f"another network (its genesis time is 5, not {MAINNET.genesis_time})"
    )


def test_without_genesis_the_configuration_has_to_do() -> None:
    assert other_network(MAINNET, None, spec_of("mainnet", CONFIG_NAME="hoodi")) == "hoodi"
    other = spec_of("mainnet", CONFIG_NAME="my-devnet", GENESIS_FORK_VERSION="0x12345678")
    assert other_network(MAINNET, None, other) == (
        "another network (it calls it my-devnet; its genesis fork version is 0x12345678, not"
        " 0x00000000)"
    )
    assert other_network(MAINNET, None, spec_of("mainnet", CONFIG_NAME="my-devnet")) is None
    assert other_network(MAINNET, None, {}) is None
    assert other_network(MAINNET, None, None) is None


@pytest.mark.parametrize("name", ["x\nFAKE LOG LINE", "x" * 41, "\x1b[2J", ""])
def test_an_announced_name_that_is_no_name_is_not_shown(name: str) -> None:
    spec = spec_of("mainnet", CONFIG_NAME=name, GENESIS_FORK_VERSION="0x12345678")
    assert other_network(MAINNET, None, spec) == (
        "another network (its genesis fork version is 0x12345678, not 0x00000000)"
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("SLOTS_PER_EPOCH", "8"),
        ("EPOCHS_PER_SYNC_COMMITTEE_PERIOD", "8"),
        ("SYNC_COMMITTEE_SIZE", 32),
    ],
)
def test_another_preset_is_named_with_the_value_that_gave_it_away(key: str, value: object) -> None:
    said = other_network(MAINNET, None, spec_of("mainnet", PRESET_BASE="minimal", **{key: value}))
    assert said is not None
    assert "minimal preset" in said
    assert f"{key} is {value}" in said
    unnamed = other_network(MAINNET, None, spec_of("mainnet", PRESET_BASE=7, **{key: value}))
    assert unnamed is not None
    assert "another preset" in unnamed


# Forks ------------------------------------------------------------------------------------------


def test_a_fork_that_nobody_here_knows_is_found_with_its_epoch() -> None:
    spec = spec_of("mainnet", GLORP_FORK_EPOCH="500000", GLORP_FORK_VERSION="0x11000000")
    (change,) = schedule_changes(MAINNET, spec)
    assert change == ScheduleChange("GLORP_FORK_EPOCH", "glorp", "unknown", "epoch 500000", 500000)
    assert change.is_unknown_fork


def test_a_fork_that_is_known_to_nobody_and_not_scheduled_is_no_news() -> None:
    assert schedule_changes(MAINNET, spec_of("mainnet", GLORP_FORK_EPOCH=FAR)) == ()
    assert schedule_changes(MAINNET, spec_of("mainnet", GLORP_FORK_EPOCH="soon")) == ()
    assert schedule_changes(MAINNET, spec_of("mainnet", GLORP_FORK_EPOCH="9" * 20)) == ()
    assert schedule_changes(MAINNET, spec_of("mainnet", GLORP_FORK_EPOCH=10**4000)) == ()


@pytest.mark.parametrize(
    ("announced", "epoch"), [("500000", 500000), ("411391", 411391), (FAR, 411392), ("0", 0)]
)
def test_another_epoch_of_a_known_fork_matters_from_the_earlier_one_on(
    announced: str, epoch: int
) -> None:
    (change,) = schedule_changes(MAINNET, spec_of("mainnet", FULU_FORK_EPOCH=announced))
    if announced == "500000":
        epoch = 411392  # ours: from then on we expect what they do not sign
    assert (change.key, change.fork, change.epoch) == ("FULU_FORK_EPOCH", "fulu", epoch)
    assert change.ours == "epoch 411392"
    assert not change.is_unknown_fork


def test_a_date_for_a_fork_that_we_have_unscheduled_is_a_change() -> None:
    (change,) = schedule_changes(MAINNET, spec_of("mainnet", GLOAS_FORK_EPOCH="600000"))
    assert (change.fork, change.ours, change.epoch) == ("gloas", "not scheduled", 600000)


def test_another_version_of_a_fork_is_a_change_from_its_epoch_on() -> None:
    spec = spec_of("mainnet", FULU_FORK_VERSION="0x99999999", GLOAS_FORK_VERSION="0x99999999")
    (change,) = schedule_changes(MAINNET, spec)  # an unscheduled fork's version says nothing
    assert (change.key, change.epoch) == ("FULU_FORK_VERSION", 411392)
    assert schedule_changes(MAINNET, spec_of("mainnet", FULU_FORK_VERSION="0X06000000")) == ()


def test_a_node_too_old_to_know_a_fork_contradicts_nobody() -> None:
    spec = spec_of("mainnet", FULU_FORK_EPOCH=None, FULU_FORK_VERSION=None, BLOB_SCHEDULE=None)
    assert schedule_changes(MAINNET, spec) == ()


def test_blobs_and_slot_times_are_told_and_stop_nobody() -> None:
    blobs = [{"EPOCH": "412672", "MAX_BLOBS_PER_BLOCK": "15"}]
    (change,) = schedule_changes(MAINNET, spec_of("mainnet", BLOB_SCHEDULE=blobs))
    assert change.epoch is None
    assert (change.ours, change.theirs) == (
        "15 from epoch 412672, 21 from epoch 419072",
        "15 from epoch 412672",
    )
    found = schedule_changes(MAINNET, spec_of("mainnet", SLOT_DURATION_MS="6000"))
    assert [(item.theirs, item.epoch) for item in found] == [("6000 ms", None)]


@pytest.mark.parametrize("junk", ["~", [1], [{}], [{"EPOCH": "x"}], {}, 7, [[]]])
def test_a_blob_schedule_that_cannot_be_read_is_left_out(junk: object) -> None:
    assert schedule_changes(MAINNET, spec_of("mainnet", BLOB_SCHEDULE=junk)) == ()


def test_a_flood_of_unknown_forks_is_cut_off() -> None:
    forks = {f"FORK{number}_FORK_EPOCH": str(number) for number in range(2000)}
    assert len(schedule_changes(MAINNET, spec_of("mainnet", **forks))) == 16


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@settings(max_examples=50)
@given(st.dictionaries(st.sampled_from([*spec_of("mainnet"), "GLORP_FORK_EPOCH"]), JSON))
def test_nothing_that_is_announced_makes_it_fail(junk: dict[str, Any]) -> None:
    other_network(MAINNET, None, junk)
    schedule_changes(MAINNET, junk)


def test_our_own_devnets_announce_what_they_are() -> None:
    config = {**config_mapping(MAINNET), "GLOAS_FORK_EPOCH": 500000, "CONFIG_NAME": "dev"}
    network = replace(
        network_from_config_mapping(config, preset=MAINNET.preset),
        genesis_validators_root=bytes([1]) * 32,
        genesis_time=5,
    )
    genesis = Genesis(5, bytes([1]) * 32)
    assert other_network(network, genesis, config) is None
    assert schedule_changes(network, config) == ()
    assert other_network(network, genesis_of("sepolia"), None) == "sepolia"
    said = other_network(SEPOLIA, genesis, config)
    assert said is not None
    assert said.startswith("another network (it calls it dev; its genesis validators root is ")


def test_the_date_of_an_epoch_is_told_however_far_it_is() -> None:
    assert date_of_epoch(MAINNET, 0) == "2020-12-01 12:00 UTC"
    assert date_of_epoch(MAINNET, 2**63) == "in some thousands of years"
