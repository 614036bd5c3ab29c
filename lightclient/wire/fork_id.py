"""Which network and fork a node record says it is on: the entries ``eth2`` and ``nfd``.

``eth2`` is an SSZ ``ENRForkID``; from Fulu on its next fork may be a change of blob parameters, and
``nfd`` is the digest after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from lightclient.config import FAR_FUTURE_EPOCH, Network
from lightclient.errors import DecodeError
from lightclient.ssz import Bytes, Container, Uint
from lightclient.wire.enr import NodeRecord
from lightclient.wire.rlp import Item

_ETH2: Final = b"eth2"
_NEXT_FORK_DIGEST: Final = b"nfd"
_NO_DIGEST: Final = bytes(4)


@dataclass(frozen=True, slots=True)
class ENRForkID:
    """Fork digest of the current epoch, and the next planned fork; FAR_FUTURE_EPOCH if none is."""

    fork_digest: bytes
    next_fork_version: bytes
    next_fork_epoch: int


_ENR_FORK_ID: Final = Container(
    ENRForkID,
    {"fork_digest": Bytes(4), "next_fork_version": Bytes(4), "next_fork_epoch": Uint(64)},
    "ENRForkID",
)


class ForkMatch(Enum):
    """How a node's fork compares with ours."""

    SAME = "same"
    OTHER_NEXT_FORK = "other_next_fork"
    """The same now; it will part from us at a fork that only one of us has planned."""
    OTHER = "other"
    UNKNOWN = "unknown"
    """The record does not say: a boot node, perhaps, or no consensus client."""


def next_fork_epoch(network: Network, epoch: int) -> int:
    """When the fork digest changes after ``epoch``; FAR_FUTURE_EPOCH if that is not planned."""
    planned = {fork.epoch for fork in network.forks} | {
        blob.epoch for blob in network.blob_schedule
    }
    for later in sorted(planned - {FAR_FUTURE_EPOCH}):
        if later > epoch and network.compute_fork_digest(later) != network.compute_fork_digest(
            later - 1
        ):
            return later
    return FAR_FUTURE_EPOCH


def fork_id_at(network: Network, epoch: int) -> ENRForkID:
    """What to say at ``epoch``."""
    later = next_fork_epoch(network, epoch)
    version = network.compute_fork_version(epoch if later == FAR_FUTURE_EPOCH else later)
    return ENRForkID(network.compute_fork_digest(epoch), version, later)


def fork_entries(network: Network, epoch: int) -> dict[bytes, Item]:
    """The entries for our own record at ``epoch``."""
    later = next_fork_epoch(network, epoch)
    digest = _NO_DIGEST if later == FAR_FUTURE_EPOCH else network.compute_fork_digest(later)
    return {_ETH2: _ENR_FORK_ID.encode(fork_id_at(network, epoch)), _NEXT_FORK_DIGEST: digest}


def fork_id_of(record: NodeRecord) -> ENRForkID | None:
    """What a record says; None if it says nothing that can be read."""
    raw = record.entries.get(_ETH2)
    if not isinstance(raw, bytes):
        return None
    try:
        return _ENR_FORK_ID.decode(raw)
    except DecodeError:
        return None


def compare_forks(record: NodeRecord, network: Network, epoch: int) -> ForkMatch:
    """Whether the node of ``record`` can be of use at ``epoch``.

    A node that expects another next fork is not to be left before that fork (Fulu p2p-interface);
    who may choose prefers the others. Only a fork digest of ``nfd`` that is told and differs counts
    as different.
    """
    theirs, ours = fork_id_of(record), fork_id_at(network, epoch)
    if theirs is None:
        return ForkMatch.UNKNOWN
    if theirs.fork_digest != ours.fork_digest:
        return ForkMatch.OTHER
    next_digest = record.entries.get(_NEXT_FORK_DIGEST)
    if theirs != ours or next_digest not in (None, fork_entries(network, epoch)[_NEXT_FORK_DIGEST]):
        return ForkMatch.OTHER_NEXT_FORK
    return ForkMatch.SAME
