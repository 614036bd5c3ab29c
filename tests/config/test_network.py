"""Clock arithmetic and the arithmetic of slots, epochs and periods, on every preset."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightclient.config import (
    FAR_FUTURE_EPOCH,
    NETWORK_NAMES,
    Network,
    network_by_name,
    network_from_config_mapping,
)

MAINNET_GENESIS_MS = 1606824023_000


def test_slots_of_twelve_seconds_are_counted_in_milliseconds() -> None:
    mainnet = network_by_name("mainnet")
    assert mainnet.genesis_time_ms == MAINNET_GENESIS_MS
    assert mainnet.slot_start_ms(0) == MAINNET_GENESIS_MS
    assert mainnet.slot_start_ms(1) == MAINNET_GENESIS_MS + 12_000
    assert mainnet.slot_at_time_ms(MAINNET_GENESIS_MS + 11_999) == 0
    assert mainnet.slot_at_time_ms(MAINNET_GENESIS_MS + 12_000) == 1


def test_slots_of_five_seconds_are_counted_in_milliseconds() -> None:
    gnosis = network_by_name("gnosis")
    start = 1638993340_000
    assert gnosis.slot_at_time_ms(start + 4_999) == 0
    assert gnosis.slot_at_time_ms(start + 5_000) == 1
    assert gnosis.slot_at_time_ms(start + 5_000 * 1000 + 2) == 1000
    assert gnosis.slot_start_ms(1000) == start + 5_000_000


def test_slots_shorter_than_a_second_are_possible() -> None:
    network = network_from_config_mapping(
        {"PRESET_BASE": "minimal", "SLOT_DURATION_MS": 250}, genesis_time=1000
    )
    assert network.slot_at_time_ms(1_000_000 + 249) == 0
    assert network.slot_at_time_ms(1_000_000 + 1001) == 4
    assert network.slot_start_ms(3) == 1_000_750


def test_sync_messages_are_due_earlier_in_a_slot_from_gloas_on() -> None:
    forks = {"GLOAS_FORK_EPOCH": 2, "HEZE_FORK_EPOCH": 3}
    for name in ("altair", "bellatrix", "capella", "deneb", "electra", "fulu"):
        forks[f"{name.upper()}_FORK_EPOCH"] = 0
    network = network_from_config_mapping({"PRESET_BASE": "mainnet", **forks})
    due = [network.get_sync_message_due_ms(slot) for slot in (0, 63, 64, 96, 10_000)]
    assert due == [3999, 3999, 3000, 3000, 3000]
    shares = {"SYNC_MESSAGE_DUE_BPS": 10_000, "SYNC_MESSAGE_DUE_BPS_GLOAS": 0}
    own = network_from_config_mapping({"PRESET_BASE": "mainnet", **forks, **shares})
    assert [own.get_sync_message_due_ms(slot) for slot in (63, 64)] == [12_000, 0]


@pytest.mark.parametrize("early_ms", [1, 12_000, 10**9, MAINNET_GENESIS_MS, 10**15])
def test_before_genesis_the_slot_is_the_genesis_slot(early_ms: int) -> None:
    mainnet = network_by_name("mainnet")
    assert mainnet.slot_at_time_ms(MAINNET_GENESIS_MS - early_ms) == 0
    assert mainnet.is_before_genesis_ms(MAINNET_GENESIS_MS - early_ms)


def test_genesis_itself_is_not_before_genesis() -> None:
    assert not network_by_name("mainnet").is_before_genesis_ms(MAINNET_GENESIS_MS)


def test_gnosis_periods_have_512_epochs_of_16_slots() -> None:
    gnosis = network_by_name("gnosis")
    assert gnosis.compute_epoch_at_slot(15) == 0
    assert gnosis.compute_epoch_at_slot(16) == 1
    assert gnosis.compute_start_slot_at_epoch(512) == 8192
    assert gnosis.compute_sync_committee_period(511) == 0
    assert gnosis.compute_sync_committee_period(512) == 1
    assert gnosis.compute_sync_committee_period_at_slot(8191) == 0
    assert gnosis.compute_sync_committee_period_at_slot(8192) == 1
    assert gnosis.compute_start_slot_at_sync_committee_period(3) == 24576


def test_mainnet_periods_have_256_epochs_of_32_slots() -> None:
    mainnet = network_by_name("mainnet")
    assert mainnet.compute_epoch_at_slot(63) == 1
    assert mainnet.compute_sync_committee_period(256) == 1
    assert mainnet.compute_sync_committee_period_at_slot(8191) == 0
    # Altair began with the first slot of a period.
    assert mainnet.compute_start_slot_at_sync_committee_period(290) == 74240 * 32


def test_minimal_periods_have_8_epochs_of_8_slots() -> None:
    minimal = network_from_config_mapping({"PRESET_BASE": "minimal"})
    assert minimal.compute_sync_committee_period_at_slot(63) == 0
    assert minimal.compute_sync_committee_period_at_slot(64) == 1
    assert minimal.compute_epoch_at_slot(64) == 8


def test_a_fork_is_in_force_from_the_first_slot_of_its_epoch() -> None:
    mainnet = network_by_name("mainnet")
    first = 194048 * 32
    assert mainnet.fork_at_slot(first - 1).name == "bellatrix"
    assert mainnet.fork_at_slot(first).name == "capella"
    assert mainnet.compute_fork_version(194047) == bytes.fromhex("02000000")
    assert mainnet.compute_fork_version(194048) == bytes.fromhex("03000000")


def test_an_unscheduled_fork_is_never_in_force() -> None:
    mainnet = network_by_name("mainnet")
    assert mainnet.fork_at_epoch(FAR_FUTURE_EPOCH).name == "fulu"
    assert mainnet.fork_at_slot(2**64 - 1).name == "fulu"
    assert mainnet.fork_epoch("no such fork") == FAR_FUTURE_EPOCH


def test_a_fork_at_genesis_hides_the_ones_before_it() -> None:
    network = network_from_config_mapping(
        {"PRESET_BASE": "minimal", "ALTAIR_FORK_EPOCH": 0, "BELLATRIX_FORK_EPOCH": 0}
    )
    assert network.fork_at_epoch(0).name == "bellatrix"
    assert len(network.forks_by_digest) == 1


def test_networks_are_values() -> None:
    mainnet = network_by_name("mainnet")
    assert replace(mainnet) == mainnet
    assert hash(replace(mainnet)) == hash(mainnet)
    assert replace(mainnet, genesis_time=1) != mainnet


NETWORKS = st.sampled_from([network_by_name(name) for name in NETWORK_NAMES])
SLOTS = st.integers(0, 2**50)


@given(NETWORKS, SLOTS, st.integers(1, 100_000), st.data())
def test_a_slot_lasts_from_its_start_until_the_next_ones(
    network: Network, slot: int, slot_duration_ms: int, draw: st.DataObject
) -> None:
    network = replace(network, slot_duration_ms=slot_duration_ms)
    within = draw.draw(st.integers(0, slot_duration_ms - 1))
    assert network.slot_at_time_ms(network.slot_start_ms(slot) + within) == slot
    assert network.slot_at_time_ms(network.slot_start_ms(slot + 1)) == slot + 1


@given(NETWORKS, SLOTS)
def test_slots_epochs_and_periods_agree(network: Network, slot: int) -> None:
    epoch = network.compute_epoch_at_slot(slot)
    period = network.compute_sync_committee_period_at_slot(slot)
    assert network.compute_start_slot_at_epoch(epoch) <= slot
    assert slot < network.compute_start_slot_at_epoch(epoch + 1)
    assert period == network.compute_sync_committee_period(epoch)
    assert network.compute_start_slot_at_sync_committee_period(period) <= slot
    assert slot < network.compute_start_slot_at_sync_committee_period(period + 1)


@given(NETWORKS, st.integers(0, 2**64 - 1))
def test_every_epochs_digest_is_one_that_leads_back_to_its_fork(
    network: Network, epoch: int
) -> None:
    assert network.forks_by_digest[network.compute_fork_digest(epoch)] is network.fork_at_epoch(
        epoch
    )
