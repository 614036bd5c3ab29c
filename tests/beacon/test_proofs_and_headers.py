"""Branches, headers and strict decoding on objects made here."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightclient.beacon import (
    block_to_header,
    build_proof,
    containers_for,
    decode_view,
    execution_payload_to_header,
    get_generalized_index,
    node_root,
    view_from_json,
)
from lightclient.beacon.types import View
from lightclient.config.forks import FORKS, Fork
from lightclient.errors import DecodeError, DeriveError

FORKS_WITH_PAYLOAD_HEADERS = ["bellatrix", "capella", "deneb", "electra", "fulu"]


def _root_of_branch(leaf: bytes, branch: list[bytes], gindex: int) -> bytes:
    for depth, sibling in enumerate(branch):
        pair = sibling + leaf if gindex >> depth & 1 else leaf + sibling
        leaf = sha256(pair).digest()
    return leaf


def _state(fork_name: str) -> View:
    containers = containers_for(fork_name, "minimal")
    return containers.BeaconState(
        slot=77,
        finalized_checkpoint=containers.Checkpoint(epoch=3, root=b"\x01" * 32),
        validators=[containers.Validator(pubkey=bytes([i]) * 48) for i in range(1, 6)],
        balances=[32 * 10**9] * 5,
    )


@pytest.mark.parametrize("fork", FORKS[1:], ids=lambda fork: fork.name)
def test_a_proof_leads_from_the_leaf_to_the_root(fork: Fork) -> None:
    state = _state(fork.name)
    for gindex in (
        fork.finalized_root_gindex,
        fork.current_sync_committee_gindex,
        fork.next_sync_committee_gindex,
    ):
        branch = build_proof(state, gindex)
        assert len(branch) == gindex.bit_length() - 1
        assert _root_of_branch(node_root(state, gindex), branch, gindex) == state.hash_tree_root()
    assert node_root(state, fork.finalized_root_gindex) == b"\x01" * 32


@given(st.integers(min_value=1, max_value=2**16))
def test_every_index_has_a_valid_proof_or_none_at_all(gindex: int) -> None:
    state = _state("gloas")
    try:
        branch = build_proof(state, gindex)
    except DeriveError:
        with pytest.raises(DeriveError):
            node_root(state, gindex)
        return
    assert _root_of_branch(node_root(state, gindex), branch, gindex) == state.hash_tree_root()


@pytest.mark.parametrize("gindex", [0, -1, 2**200])
def test_an_index_outside_the_tree_is_a_derive_error(gindex: int) -> None:
    with pytest.raises(DeriveError):
        build_proof(_state("deneb"), gindex)


def test_the_proof_follows_a_change_of_the_state() -> None:
    state = _state("electra")
    gindex = get_generalized_index(type(state), "finalized_checkpoint", "root")
    before = state.hash_tree_root()
    state.finalized_checkpoint.root = b"\x02" * 32
    branch = build_proof(state, gindex)
    assert node_root(state, gindex) == b"\x02" * 32
    assert _root_of_branch(b"\x02" * 32, branch, gindex) == state.hash_tree_root() != before


@pytest.mark.parametrize("fork", FORKS, ids=lambda fork: fork.name)
def test_a_block_and_its_header_have_the_same_root(fork: Fork) -> None:
    containers = containers_for(fork.name, "minimal")
    block = containers.BeaconBlock(
        slot=9,
        proposer_index=4,
        parent_root=b"\x01" * 32,
        state_root=b"\x02" * 32,
        body=containers.BeaconBlockBody(graffiti=b"\x03" * 32),
    )
    header = block_to_header(block)
    assert header.hash_tree_root() == block.hash_tree_root()
    assert (header.slot, header.proposer_index) == (9, 4)
    assert header.body_root == block.body.hash_tree_root()


@pytest.mark.parametrize("preset_name", ["mainnet", "minimal", "gnosis"])
@pytest.mark.parametrize("fork_name", FORKS_WITH_PAYLOAD_HEADERS)
def test_a_payload_and_its_header_have_the_same_root(fork_name: str, preset_name: str) -> None:
    containers = containers_for(fork_name, preset_name)
    payload = containers.ExecutionPayload(
        block_number=5,
        block_hash=b"\x04" * 32,
        extra_data=b"extra",
        base_fee_per_gas=2**255,
        transactions=[b"one", b"two" * 100],
    )
    if "withdrawals" in payload.fields():
        payload.withdrawals.append(containers.Withdrawal(index=1, amount=2))
    header = execution_payload_to_header(payload)
    assert isinstance(header, containers.ExecutionPayloadHeader)
    assert header.hash_tree_root() == payload.hash_tree_root()


def test_a_gloas_payload_has_no_header() -> None:
    payload = containers_for("gloas", "minimal").ExecutionPayload()
    with pytest.raises(DeriveError, match="have no header"):
        execution_payload_to_header(payload)


def _signed_block(fork_name: str) -> View:
    containers = containers_for(fork_name, "minimal")
    return containers.SignedBeaconBlock(
        message=containers.BeaconBlock(
            body=containers.BeaconBlockBody(
                attestations=[containers.Attestation(aggregation_bits=[True, False, True])]
            )
        )
    )


@pytest.mark.parametrize("fork", FORKS, ids=lambda fork: fork.name)
def test_damaged_blocks_raise_nothing_but_decode_errors(fork: Fork) -> None:
    block = _signed_block(fork.name)
    encoded = block.encode_bytes()
    for damaged in (b"", encoded[:-1], encoded[:100], encoded + b"\0", b"\xff" * len(encoded)):
        with pytest.raises(DecodeError):
            decode_view(type(block), damaged)
    assert decode_view(type(block), encoded) == block


def test_bytes_that_no_offset_points_at_are_refused() -> None:
    containers = containers_for("deneb", "minimal")
    encoded = containers.PendingAttestation().encode_bytes()
    offset = int.from_bytes(encoded[:4], "little")
    gap = (offset + 1).to_bytes(4, "little") + encoded[4:] + b"\0"
    containers.PendingAttestation.decode_bytes(gap)  # remerkleable alone lets it pass
    with pytest.raises(DecodeError, match="canonical"):
        decode_view(containers.PendingAttestation, gap)


def test_an_offset_that_announces_gigabytes_is_refused_at_once() -> None:
    """remerkleable alone would read on for minutes beyond the end."""
    attestation = containers_for("gloas", "minimal").Attestation()
    encoded = bytearray(attestation.encode_bytes())
    encoded[:4] = (2**32 - 1).to_bytes(4, "little")
    with pytest.raises(DecodeError):
        decode_view(type(attestation), bytes(encoded))
    block = _signed_block("gloas")
    whole = block.encode_bytes()
    for position in range(0, min(len(whole), 600), 4):
        damaged = bytearray(whole)
        damaged[position : position + 4] = b"\xf0\xff\xff\xff"
        try:
            decode_view(type(block), bytes(damaged))
        except DecodeError:
            continue


@given(data=st.data())
def test_a_flipped_byte_is_a_decode_error_or_another_block(data: st.DataObject) -> None:
    block = _signed_block("gloas")
    encoded = bytearray(block.encode_bytes())
    position = data.draw(st.integers(0, len(encoded) - 1))
    encoded[position] ^= data.draw(st.integers(1, 255))
    try:
        other = decode_view(type(block), bytes(encoded))
    except DecodeError:
        return
    assert other.encode_bytes() == bytes(encoded)
    assert other.hash_tree_root() != block.hash_tree_root()


@pytest.mark.parametrize("fork", FORKS, ids=lambda fork: fork.name)
def test_json_of_a_block_is_read_back(fork: Fork) -> None:
    block = _signed_block(fork.name)
    assert view_from_json(type(block), block.to_obj()) == block


@pytest.mark.parametrize(
    "json_object",
    [
        None,
        [],
        {},
        {"epoch": "1"},
        {"epoch": "1", "root": "0x00"},
        {"epoch": "-1", "root": "0x" + "00" * 32},
        {"epoch": str(2**64), "root": "0x" + "00" * 32},
        {"epoch": "one", "root": "0x" + "00" * 32},
        {"epoch": "1", "root": "0x" + "zz" * 32},
        {"epoch": "1", "root": 32},
        {"epoch": "1", "root": "0x" + "00" * 32, "more": "1"},
    ],
)
def test_json_that_is_not_the_object_is_a_decode_error(json_object: object) -> None:
    with pytest.raises(DecodeError, match="Checkpoint"):
        view_from_json(containers_for("deneb", "minimal").Checkpoint, json_object)
