"""Signed beacon blocks as the wire has them: what can be read of any fork's without its types.

The first fields of a block have been the same in all forks: slot, proposer, parent, state root.
They are read here, strictly; the body stays bytes, for whoever has the types (``beacon``) and can
compute the block's root. Nothing here is proven by anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from lightclient.config import Fork, Network
from lightclient.errors import DecodeError

_OFFSET: Final = 4
_SIGNATURE: Final = 96
_MESSAGE_AT: Final = _OFFSET + _SIGNATURE
_SLOT, _PROPOSER, _PARENT, _STATE, _BODY = 0, 8, 16, 48, 80
_BLOCK_HEAD: Final = _BODY + _OFFSET
LEAST_SIGNED_BLOCK: Final = _MESSAGE_AT + _BLOCK_HEAD


@dataclass(frozen=True, slots=True)
class SignedBlock:
    """A block that somebody sent; nothing about it is verified.

    Attributes:
        fork: the fork of its slot, whose ``SignedBeaconBlock`` the bytes should be.
        parent_root, state_root: 32 bytes each, as the block says.
        ssz: the whole ``SignedBeaconBlock``.
    """

    fork: Fork
    slot: int
    proposer_index: int
    parent_root: bytes
    state_root: bytes
    ssz: bytes = field(repr=False)


def read_signed_block(fork_digest: bytes, ssz: bytes, network: Network) -> SignedBlock:
    """The block of ``ssz`` bytes that were sent under ``fork_digest`` (4 bytes).

    Raises:
        DecodeError: too short or too long for its fork, offsets that are not a block's, or a slot
            at which the network has another fork digest.
    """
    fork = network.forks_by_digest.get(fork_digest)
    if fork is None:
        raise DecodeError(f"a block under fork digest 0x{fork_digest.hex()}, which is not ours")
    if not LEAST_SIGNED_BLOCK <= len(ssz) <= fork.max_payload_size:
        raise DecodeError(f"a block of {len(ssz)} bytes")
    block = memoryview(ssz)[_MESSAGE_AT:]
    if _number(ssz, 0, _OFFSET) != _MESSAGE_AT or _number(block, _BODY, _OFFSET) != _BLOCK_HEAD:
        raise DecodeError("a block whose parts are not where they should be")
    slot = _number(block, _SLOT, 8)
    if network.compute_fork_digest(network.compute_epoch_at_slot(slot)) != fork_digest:
        raise DecodeError(f"a block of slot {slot} under another fork's digest")
    return SignedBlock(
        fork,
        slot,
        _number(block, _PROPOSER, 8),
        bytes(block[_PARENT:_STATE]),
        bytes(block[_STATE:_BODY]),
        ssz,
    )


def _number(data: bytes | memoryview, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")
