"""Parsed configurations that are refused, by key and source, and junk in place of one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightclient.config import FAR_FUTURE_EPOCH, MAINNET, network_from_config_mapping
from lightclient.errors import ConfigError

BASE = {"PRESET_BASE": "minimal"}
UINT_KEYS = [
    "ALTAIR_FORK_EPOCH",
    "HEZE_FORK_EPOCH",
    "SECONDS_PER_SLOT",
    "SLOT_DURATION_MS",
    "SLOTS_PER_EPOCH",
    "EPOCHS_PER_SYNC_COMMITTEE_PERIOD",
    "SYNC_COMMITTEE_SIZE",
    "MIN_SYNC_COMMITTEE_PARTICIPANTS",
    "UPDATE_TIMEOUT",
    "CHURN_LIMIT_QUOTIENT",
    "MIN_EPOCHS_FOR_BLOCK_REQUESTS",
    "MAX_BLOBS_PER_BLOCK_ELECTRA",
    "DEPOSIT_CHAIN_ID",
    "SYNC_MESSAGE_DUE_BPS",
    "SYNC_MESSAGE_DUE_BPS_GLOAS",
    "CUSTODY_REQUIREMENT",
]
NOT_UINTS = [
    -1,
    2**64,
    10**5000,
    1.0,
    float("nan"),
    True,
    "-1",
    "1.0",
    "1e3",
    "1_000",
    "0x10",
    "010",
    " 1",
    "",
    "٣",
    "NaN",
    str(2**64),
    "9" * 5000,
    [],
    {},
    b"1",
]


@pytest.mark.parametrize("key", UINT_KEYS)
def test_a_number_that_is_none_is_refused_by_key(key: str) -> None:
    for value in NOT_UINTS:
        with pytest.raises(ConfigError, match=f"^the source: {key}: ") as caught:
            network_from_config_mapping(BASE | {key: value}, source="the source")
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "key",
    [
        "SECONDS_PER_SLOT",
        "SLOT_DURATION_MS",
        "SLOTS_PER_EPOCH",
        "EPOCHS_PER_SYNC_COMMITTEE_PERIOD",
        "SYNC_COMMITTEE_SIZE",
        "MIN_SYNC_COMMITTEE_PARTICIPANTS",
    ],
)
@pytest.mark.parametrize("value", [0, 2**63])
def test_a_shape_of_nothing_or_of_everything_is_refused(key: str, value: int) -> None:
    with pytest.raises(ConfigError, match=key):
        network_from_config_mapping(BASE | {key: value})


@pytest.mark.parametrize("key", ["GENESIS_FORK_VERSION", "ALTAIR_FORK_VERSION"])
@pytest.mark.parametrize(
    "value",
    [
        *("", "0x", "01000000", "0x010000", "0x0100000000", "0x0100000g", "0X01000000"),
        *(" 0x01000000", "0x01000000\n", b"\1\0\0\0", -1, 2**32, True, 1.5, []),
    ],
)
def test_a_fork_version_that_is_not_four_bytes_is_refused_by_key(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=key):
        network_from_config_mapping(BASE | {key: value})


def test_forks_out_of_order_are_refused_with_both_names() -> None:
    config = BASE | {"ALTAIR_FORK_EPOCH": 5, "BELLATRIX_FORK_EPOCH": 4}
    with pytest.raises(ConfigError, match=r"BELLATRIX_FORK_EPOCH.*ALTAIR_FORK_EPOCH"):
        network_from_config_mapping(config)
    network = network_from_config_mapping(config, check_order=False)
    assert network.fork_at_epoch(4).name == "bellatrix"


def test_a_fork_after_one_that_never_comes_is_refused_with_both_names() -> None:
    config = BASE | {"ALTAIR_FORK_EPOCH": 0, "CAPELLA_FORK_EPOCH": 4}
    with pytest.raises(ConfigError, match=r"CAPELLA_FORK_EPOCH.*BELLATRIX_FORK_EPOCH.*not sched"):
        network_from_config_mapping(config)


@pytest.mark.parametrize(
    ("schedule", "place"),
    [
        ("5", "BLOB_SCHEDULE"),
        (5, "BLOB_SCHEDULE"),
        ({"EPOCH": 1, "MAX_BLOBS_PER_BLOCK": 2}, "BLOB_SCHEDULE"),
        ([5], r"BLOB_SCHEDULE\[0\]"),
        ([{"EPOCH": 1}], r"BLOB_SCHEDULE\[0\].MAX_BLOBS_PER_BLOCK"),
        ([{"MAX_BLOBS_PER_BLOCK": 1}], r"BLOB_SCHEDULE\[0\].EPOCH"),
        ([{"EPOCH": -1, "MAX_BLOBS_PER_BLOCK": 1}], r"BLOB_SCHEDULE\[0\].EPOCH"),
        ([{"EPOCH": 1, "MAX_BLOBS_PER_BLOCK": "many"}], "MAX_BLOBS_PER_BLOCK"),
        ([{"EPOCH": e, "MAX_BLOBS_PER_BLOCK": 1} for e in (1, 1)], r"BLOB_SCHEDULE\[1\]"),
        ([{"EPOCH": e, "MAX_BLOBS_PER_BLOCK": 1} for e in (1, 3, 2)], r"BLOB_SCHEDULE\[2\]"),
        ([{"EPOCH": e, "MAX_BLOBS_PER_BLOCK": 1} for e in range(5000)], "too many"),
    ],
)
@pytest.mark.parametrize("check_order", [True, False])
def test_a_blob_schedule_that_does_not_ascend_or_parse_is_refused(
    schedule: object, place: str, check_order: bool
) -> None:
    with pytest.raises(ConfigError, match=place):
        network_from_config_mapping(BASE | {"BLOB_SCHEDULE": schedule}, check_order=check_order)


@pytest.mark.parametrize("value", ["maximal", "", "Mainnet", 5, [], "x" * 10_000])
def test_an_unknown_preset_is_refused_with_the_known_ones(value: object) -> None:
    with pytest.raises(ConfigError, match="PRESET_BASE") as caught:
        network_from_config_mapping({"PRESET_BASE": value})
    assert len(str(caught.value)) < 200


def test_a_missing_preset_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"PRESET_BASE: missing; .* mainnet, minimal or gnosis"):
        network_from_config_mapping({"ALTAIR_FORK_EPOCH": 0})


def test_a_preset_that_contradicts_the_argument_is_refused() -> None:
    with pytest.raises(ConfigError, match="contradicts"):
        network_from_config_mapping(BASE, preset=MAINNET)


@pytest.mark.parametrize("value", ["a\nb", "\x1b[31m", "x" * 65, " x", 7, []])
def test_a_name_that_would_spoil_a_log_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match="CONFIG_NAME"):
        network_from_config_mapping(BASE | {"CONFIG_NAME": value})


def test_an_update_timeout_that_does_not_fit_the_preset_is_refused() -> None:
    with pytest.raises(ConfigError, match="UPDATE_TIMEOUT"):
        network_from_config_mapping(BASE | {"UPDATE_TIMEOUT": 8192})


def test_more_participants_than_members_are_refused() -> None:
    with pytest.raises(ConfigError, match="MIN_SYNC_COMMITTEE_PARTICIPANTS"):
        network_from_config_mapping(BASE | {"MIN_SYNC_COMMITTEE_PARTICIPANTS": 33})


@pytest.mark.parametrize("root", [b"", b"x" * 31, "0x", "ab" * 31, "0x" + "g" * 64, None, 5])
def test_a_genesis_validators_root_that_is_not_32_bytes_is_refused(root: Any) -> None:
    with pytest.raises(ConfigError, match="genesis_validators_root"):
        network_from_config_mapping(BASE, genesis_validators_root=root)


@pytest.mark.parametrize("time", [-1, 2**60, True, 1.5, "5", None])
def test_a_genesis_time_that_is_none_is_refused(time: Any) -> None:
    with pytest.raises(ConfigError, match="genesis_time"):
        network_from_config_mapping(BASE, genesis_time=time)


@pytest.mark.parametrize("config", [None, [], "PRESET_BASE: minimal", 5])
def test_something_that_is_no_mapping_is_refused(config: Any) -> None:
    with pytest.raises(ConfigError, match="not a mapping"):
        network_from_config_mapping(config)


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=8)
    | st.sampled_from(["minimal", "mainnet", "0x01000000", "5", str(FAR_FUTURE_EPOCH), "null"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["EPOCH", "MAX_BLOBS_PER_BLOCK"]) | st.text(max_size=3),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)
KEYS = [
    *UINT_KEYS,
    "PRESET_BASE",
    "CONFIG_NAME",
    "GENESIS_FORK_VERSION",
    "FULU_FORK_VERSION",
    "FULU_FORK_EPOCH",
    "BLOB_SCHEDULE",
]


@given(st.dictionaries(st.sampled_from(KEYS), JUNK, max_size=6), st.booleans())
def test_junk_gives_a_network_or_a_config_error_and_nothing_else(
    config: dict[str, object], check_order: bool
) -> None:
    refusal = ""
    try:
        network = network_from_config_mapping({**BASE, **config}, check_order=check_order)
        assert network.forks_by_digest
        assert network.slot_at_time_ms(network.slot_start_ms(9)) == 9
    except ConfigError as error:
        refusal = str(error)
    assert refusal == "" or refusal.isprintable()
    assert len(refusal) < 1000
