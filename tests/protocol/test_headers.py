"""What headers prove of their execution payloads, in each format at each side of a fork."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from lightclient.config.forks import DATA_FORMATS, DataFormat, Fork
from lightclient.containers import (
    BeaconBlockHeader,
    ExecutionPayloadHeader,
    LightClientHeader,
    execution_payload_header_type,
    light_client_header_type,
)
from lightclient.protocol import (
    compute_signature_fork_version,
    get_lc_execution_root,
    is_valid_light_client_header,
)
from lightclient.ssz import ZERO_NODE
from tests.protocol.forge import FORK_NAMES, Forge, hashed, make_payload, network_of

EPOCHS = {"phase0": 0} | {name: 2 * index for index, name in enumerate(FORK_NAMES)}
NETWORK = network_of(EPOCHS)
SLOTS_PER_EPOCH = NETWORK.preset.slots_per_epoch
BOUNDARIES = sorted({epoch * SLOTS_PER_EPOCH for epoch in EPOCHS.values()} - {0})
SLOTS = [1, *(slot + step for slot in BOUNDARIES for step in (-1, 0)), 2**64 - 1]


def with_field(payload: ExecutionPayloadHeader, name: str, value: Any) -> ExecutionPayloadHeader:
    changed: dict[str, Any] = {name: value}
    return replace(payload, **changed)


def _headers() -> Iterator[tuple[Fork, DataFormat, LightClientHeader]]:
    """Sound headers at both sides of each fork, in each format that can hold them."""
    for slot in SLOTS:
        fork = NETWORK.fork_at_slot(slot)
        for data_format in DATA_FORMATS:
            if DATA_FORMATS.index(data_format) >= DATA_FORMATS.index(fork.data_format):
                yield fork, data_format, Forge(NETWORK).header(slot, data_format=data_format)


def test_a_sound_header_is_valid_in_its_fork_s_format_and_every_newer_one() -> None:
    for fork, data_format, header in _headers():
        assert is_valid_light_client_header(header, NETWORK), (fork.name, data_format.name)


def test_the_execution_root_is_the_same_in_every_format() -> None:
    for fork, _, header in _headers():
        slot = header.beacon.slot
        payload = make_payload(slot, with_blob_gas=fork.payload_has_blob_gas)
        if fork.data_format.header == "bare":
            expected = ZERO_NODE
        elif fork.proves_parent_block_hash:
            expected = payload.block_hash
        else:
            expected = payload.hash_tree_root(with_blob_gas=fork.payload_has_blob_gas)
        assert get_lc_execution_root(header, NETWORK) == expected


@pytest.mark.parametrize("fork", ["capella", "deneb", "electra", "fulu"])
def test_the_empty_header_of_genesis_has_one_execution_root_in_every_format(fork: str) -> None:
    network = network_of({"phase0": 0, fork: 0})
    headers = [
        light_client_header_type(data_format).default()
        for data_format in DATA_FORMATS
        if data_format.header != "bare"
    ]
    with_blob_gas = network.fork_at_slot(0).payload_has_blob_gas
    empty = execution_payload_header_type(with_blob_gas).default()
    expected = empty.hash_tree_root(with_blob_gas=with_blob_gas)
    assert {get_lc_execution_root(header, network) for header in headers} == {expected}


def test_a_header_is_invalid_one_slot_over_the_fork_that_changes_its_proof() -> None:
    for slot in BOUNDARIES:
        before, after = NETWORK.fork_at_slot(slot - 1), NETWORK.fork_at_slot(slot)
        same_proof = (
            before.execution_gindex == after.execution_gindex
            and before.execution_block_hash_gindex == after.execution_block_hash_gindex
            and before.payload_has_blob_gas == after.payload_has_blob_gas
        )
        for old, new in ((slot - 1, slot), (slot, slot - 1)):
            header = Forge(NETWORK, after.data_format).header(old)
            moved = replace(header, beacon=replace(header.beacon, slot=new))
            assert is_valid_light_client_header(moved, NETWORK) is same_proof


@pytest.mark.parametrize("data_format", DATA_FORMATS[1:], ids=lambda value: value.name)
def test_before_the_first_payload_everything_about_execution_must_be_empty(
    data_format: DataFormat,
) -> None:
    header = Forge(NETWORK).header(1, data_format=data_format)
    assert header.has_default_execution
    assert is_valid_light_client_header(header, NETWORK)
    branch = header.execution_branch
    for index in range(len(branch)):
        nodes = (*branch[:index], b"\1" + bytes(31), *branch[index + 1 :])
        assert not is_valid_light_client_header(replace(header, execution_branch=nodes), NETWORK)
    if header.execution is None:
        wrong = replace(header, execution_block_hash=bytes(31) + b"\1")
        assert not is_valid_light_client_header(wrong, NETWORK)
        return
    for name in header.execution.__slots__:
        value = getattr(header.execution, name)
        other = 1 if isinstance(value, int) else b"\1" + value[1:]
        execution = with_field(header.execution, name, other)
        assert not is_valid_light_client_header(replace(header, execution=execution), NETWORK)
    # A proof that would hold does not help.
    capella = NETWORK.compute_start_slot_at_epoch(EPOCHS["capella"])
    proven = Forge(NETWORK).header(capella, data_format=data_format)
    moved = replace(proven, beacon=replace(proven.beacon, slot=capella - 1))
    assert not is_valid_light_client_header(moved, NETWORK)


def test_every_field_of_a_payload_is_proven() -> None:
    for fork, _, header in _headers():
        if header.execution is None or fork.data_format.header == "bare":
            continue
        for name in header.execution.__slots__:
            value = getattr(header.execution, name)
            other: int | bytes
            if isinstance(value, int):
                other = value ^ 1
            else:
                other = bytes([value[0] ^ 1]) + value[1:] if value else b"\0"
            execution = with_field(header.execution, name, other)
            assert not is_valid_light_client_header(replace(header, execution=execution), NETWORK)


@pytest.mark.parametrize("name", ["blob_gas_used", "excess_blob_gas"])
@pytest.mark.parametrize("data_format", DATA_FORMATS[2:4], ids=lambda value: value.name)
def test_blob_gas_before_deneb_is_refused_though_the_root_does_not_hold_it(
    name: str, data_format: DataFormat
) -> None:
    for fork_name in ("altair", "bellatrix", "capella"):
        slot = NETWORK.compute_start_slot_at_epoch(EPOCHS[fork_name]) + 1
        header = Forge(NETWORK).header(slot, data_format=data_format)
        assert header.execution is not None
        execution = with_field(header.execution, name, 1)
        assert is_valid_light_client_header(header, NETWORK)
        assert not is_valid_light_client_header(replace(header, execution=execution), NETWORK)


def test_a_deneb_payload_without_blob_gas_may_come_in_the_older_layout() -> None:
    slot = NETWORK.compute_start_slot_at_epoch(EPOCHS["deneb"])
    header = Forge(NETWORK).header(slot)
    older = replace(header, data_format=DATA_FORMATS[1])
    assert is_valid_light_client_header(older, NETWORK)
    assert older.execution is not None
    stripped = replace(older, execution=replace(older.execution, excess_blob_gas=0))
    assert not is_valid_light_client_header(stripped, NETWORK)


def test_a_format_older_than_its_fork_proves_nothing_where_the_proof_changed() -> None:
    capella, gloas = (
        NETWORK.compute_start_slot_at_epoch(EPOCHS[name]) for name in ("capella", "gloas")
    )
    bare = LightClientHeader(DATA_FORMATS[0], Forge(NETWORK).header(capella).beacon)
    assert not is_valid_light_client_header(bare, NETWORK)
    assert get_lc_execution_root(bare, NETWORK) == ZERO_NODE
    payload = Forge(NETWORK).header(gloas - 1)
    moved = replace(payload, beacon=replace(payload.beacon, slot=gloas))
    assert not is_valid_light_client_header(moved, NETWORK)


def test_a_header_put_together_by_hand_proves_no_more_than_a_decoded_one() -> None:
    """Objects of an embedder need not have come from a decoder."""
    bare = Forge(NETWORK).header(1)
    payload = make_payload(1, with_blob_gas=False)
    for smuggled in (
        replace(bare, execution=payload),
        replace(bare, execution_block_hash=hashed("block")),
        replace(bare, execution_branch=(ZERO_NODE,)),
    ):
        assert bare.data_format.header == "bare"
        assert not is_valid_light_client_header(smuggled, NETWORK)
    for name in ("capella", "gloas"):
        slot = NETWORK.compute_start_slot_at_epoch(EPOCHS[name])
        header = Forge(NETWORK).header(slot)
        for branch in ((), header.execution_branch[:-1], (*header.execution_branch, ZERO_NODE)):
            wrong = replace(header, execution_branch=branch)
            assert not is_valid_light_client_header(wrong, NETWORK)
        nothing = replace(header, execution=None, execution_block_hash=None)
        assert not is_valid_light_client_header(nothing, NETWORK)


@pytest.mark.parametrize("data_format", DATA_FORMATS, ids=lambda value: value.name)
def test_only_the_all_zero_header_is_the_default_one(data_format: DataFormat) -> None:
    layout = light_client_header_type(data_format)
    default = layout.default()
    assert default.is_default
    data = layout.encode(default)
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            header = layout.decode(bytes(changed))
        except ValueError:
            continue  # an offset
        assert not header.is_default


def test_the_fork_version_of_a_signature_is_that_of_the_slot_before() -> None:
    for slot in BOUNDARIES:
        version_of = {
            signature_slot: compute_signature_fork_version(signature_slot, NETWORK)
            for signature_slot in (slot - 1, slot, slot + 1)
        }
        epoch = NETWORK.compute_epoch_at_slot(slot)
        assert version_of[slot - 1] == version_of[slot] == NETWORK.compute_fork_version(epoch - 1)
        assert version_of[slot + 1] == NETWORK.compute_fork_version(epoch)
    assert compute_signature_fork_version(0, NETWORK) == NETWORK.compute_fork_version(0)
    assert compute_signature_fork_version(1, NETWORK) == NETWORK.compute_fork_version(0)


def test_changing_a_header_changes_its_remembered_root() -> None:
    header = BeaconBlockHeader(1, 2, hashed("a"), hashed("b"), hashed("c"))
    root = header.hash_tree_root()
    assert replace(header, slot=2).hash_tree_root() != root
    assert replace(header).hash_tree_root() == root == header.hash_tree_root()
    committee = Forge(NETWORK).committee(0)
    root = committee.hash_tree_root()
    assert replace(committee, aggregate_pubkey=bytes(48)).hash_tree_root() != root
