"""What we say of our place on the chain, and whether a peer's is on the same chain. Pure."""

from __future__ import annotations

from typing import Final

from lightclient.config import GENESIS_SLOT, Network
from lightclient.transports.pools import Heads
from lightclient.wire.messages import Status

_ZERO_ROOT: Final = bytes(32)


def fork_digests_near(network: Network, slot: int) -> frozenset[bytes]:
    """The digests that a peer with a clock as good as ours may name."""
    epoch = network.compute_epoch_at_slot(slot)
    return frozenset(
        network.compute_fork_digest(near) for near in (max(epoch - 1, 0), epoch, epoch + 1)
    )


def own_status(network: Network, heads: Heads, slot: int) -> Status:
    """Our status in ``slot``: of what is verified, and zeros before anything is."""
    digest = network.compute_fork_digest(network.compute_epoch_at_slot(slot))
    finalized, optimistic = heads.finalized, heads.optimistic
    if optimistic is None:
        return Status(digest, _ZERO_ROOT, 0, _ZERO_ROOT, 0)
    root, epoch = _ZERO_ROOT, 0
    # For genesis the specification has the zero root, and Lodestar takes any other for another
    # network's. For what is no checkpoint, too: peers compare roots by epoch, and leave.
    if finalized is not None and finalized.slot != GENESIS_SLOT:
        root, epoch = finalized.root, _checkpoint_epoch(network, finalized.slot)
    return Status(
        digest,
        root,
        epoch,
        optimistic.root,
        optimistic.slot,
        # Of blocks we have none.
        earliest_available_slot=optimistic.slot,
    )


def _checkpoint_epoch(network: Network, slot: int) -> int:
    """The epoch whose checkpoint a finalized block is: it may be older than its epoch's start."""
    return -(-slot // network.preset.slots_per_epoch)


def irrelevance(network: Network, heads: Heads, status: Status, slot: int) -> str | None:
    """Why a peer with this status is on another chain; None if it may be on ours."""
    if status.fork_digest not in fork_digests_near(network, slot):
        return f"its fork digest is 0x{status.fork_digest.hex()}"
    finalized = heads.finalized
    if finalized is None or status.finalized_root == _ZERO_ROOT:
        return None
    epoch = _checkpoint_epoch(network, finalized.slot)
    if status.finalized_epoch == epoch and status.finalized_root != finalized.root:
        return f"it finalized another block in epoch {epoch}"
    return None
