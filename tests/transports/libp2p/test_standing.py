"""What we say of our place on the chain: as the specification has it, from the first block on."""

from __future__ import annotations

from lightclient.config import network_by_name
from lightclient.containers import BeaconBlockHeader, LightClientHeader
from lightclient.sync import VerifiedHeader
from lightclient.transports.libp2p.standing import own_status
from lightclient.transports.pools import Heads

MAINNET = network_by_name("mainnet")
ZERO_ROOT = bytes(32)


def verified(slot: int) -> VerifiedHeader:
    beacon = BeaconBlockHeader(slot, 7, b"\x01" * 32, b"\x02" * 32, b"\x03" * 32)
    data_format = MAINNET.fork_at_slot(0).data_format
    return VerifiedHeader(LightClientHeader(data_format, beacon), MAINNET)


def test_nothing_verified_is_told_as_zeros() -> None:
    status = own_status(MAINNET, Heads(), 3_000_000)
    assert (status.finalized_root, status.head_root) == (ZERO_ROOT, ZERO_ROOT)
    assert (status.finalized_epoch, status.head_slot) == (0, 0)


def test_a_finalized_block_is_told_with_the_epoch_whose_checkpoint_it_is() -> None:
    finalized, head = verified(32 * 1000 - 1), verified(32_100)
    status = own_status(MAINNET, Heads(finalized, head), 32_101)
    assert (status.finalized_root, status.finalized_epoch) == (finalized.root, 1000)
    assert (status.head_root, status.head_slot) == (head.root, 32_100)


def test_genesis_is_told_as_the_zero_root_while_it_is_what_is_finalized() -> None:
    # Peers take another root of epoch 0 for another network's, and leave.
    genesis = verified(0)
    status = own_status(MAINNET, Heads(genesis, verified(5)), 6)
    assert (status.finalized_root, status.finalized_epoch) == (ZERO_ROOT, 0)
    assert status.head_slot == 5
