"""What is read of a signed block on the wire without its fork's types."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightclient.beacon import containers_for
from lightclient.config import FORKS
from lightclient.errors import DecodeError
from lightclient.simulator import simulated_network
from lightclient.wire.blocks import LEAST_SIGNED_BLOCK, read_signed_block

EPOCHS = {fork.name: 2 * fork.index for fork in FORKS if fork.index}
NETWORK = simulated_network("minimal", EPOCHS)


def block_of(fork_index: int, slot: int | None = None) -> tuple[bytes, bytes]:
    """A signed block of a fork, and the digest of its slot."""
    fork = FORKS[fork_index]
    first = NETWORK.compute_start_slot_at_epoch(EPOCHS.get(fork.name, 0))
    kind = containers_for(fork.name, "minimal").SignedBeaconBlock
    block = kind()
    block.message.slot = first + 3 if slot is None else slot
    block.message.proposer_index = 77
    block.message.parent_root = b"\1" * 32
    block.message.state_root = b"\2" * 32
    digest = NETWORK.compute_fork_digest(NETWORK.compute_epoch_at_slot(first))
    return bytes(block.encode_bytes()), digest


@pytest.mark.parametrize("fork_index", range(len(FORKS)))
def test_the_first_fields_are_read_alike_in_every_fork(fork_index: int) -> None:
    ssz, digest = block_of(fork_index)
    block = read_signed_block(digest, ssz, NETWORK)
    assert block.fork is FORKS[fork_index]
    assert block.slot == 16 * fork_index + 3
    assert block.proposer_index == 77
    assert (block.parent_root, block.state_root) == (b"\1" * 32, b"\2" * 32)
    assert block.ssz == ssz
    assert str(len(ssz)) not in repr(block)


def test_a_block_under_another_forks_digest_is_refused() -> None:
    ssz, digest = block_of(4)
    with pytest.raises(DecodeError, match="another fork"):
        read_signed_block(block_of(5)[1], ssz, NETWORK)
    with pytest.raises(DecodeError, match="not ours"):
        read_signed_block(b"\1\2\3\4", ssz, NETWORK)
    with pytest.raises(DecodeError, match="another fork"):
        read_signed_block(digest, block_of(4, slot=2**64 - 1)[0], NETWORK)


def test_a_block_that_is_too_short_or_too_long_or_ill_made_is_refused() -> None:
    ssz, digest = block_of(1)
    too_long = ssz + bytes(FORKS[1].max_payload_size)
    misplaced = b"\x65" + ssz[1:], ssz[:180] + b"\x55" + ssz[181:]
    for bad in (b"", ssz[: LEAST_SIGNED_BLOCK - 1], too_long, *misplaced):
        with pytest.raises(DecodeError):
            read_signed_block(digest, bad, NETWORK)


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_a_block_or_a_decode_error(data: bytes, at_the_front: bool) -> None:
    ssz, digest = block_of(4)
    mixed = data + ssz[len(data) :] if at_the_front else data
    with suppress(DecodeError):
        assert read_signed_block(digest, mixed, NETWORK).slot < 2**64
