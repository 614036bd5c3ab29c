"""Sync committees and their aggregates.

A committee keeps its keys as one byte string: it is sliced by index and hashed in one flat loop.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from lightclient.ssz import Bitvector, Bytes, ByteVectors, Container

PUBKEY_SIZE = 48
SIGNATURE_SIZE = 96


@dataclass(frozen=True, slots=True)
class SyncCommittee:
    """Altair ``SyncCommittee``.

    Attributes:
        pubkeys: all keys in seat order, ``size`` x 48 bytes.
        aggregate_pubkey: their sum as the state transition computed it, 48 bytes.
    """

    pubkeys: bytes
    aggregate_pubkey: bytes
    _root: bytes | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def size(self) -> int:
        """Number of seats."""
        return len(self.pubkeys) // PUBKEY_SIZE

    @property
    def is_default(self) -> bool:
        """Whether every byte is zero: the protocol's way to say "unknown"."""
        # Compared whole: going through a committee byte by byte costs more than hashing it.
        return self == sync_committee_type(self.size).default_value

    def pubkey(self, seat: int) -> bytes:
        """The 48-byte key of a seat."""
        return self.pubkeys[seat * PUBKEY_SIZE : (seat + 1) * PUBKEY_SIZE]

    def hash_tree_root(self) -> bytes:
        """32-byte root; computed once."""
        if self._root is None:
            root = sync_committee_type(self.size).hash_tree_root(self)
            object.__setattr__(self, "_root", root)
        assert self._root is not None
        return self._root


@dataclass(frozen=True, slots=True)
class SyncAggregate:
    """Altair ``SyncAggregate``: bits as SSZ bytes (seat i is bit i), signature of 96 bytes."""

    sync_committee_bits: bytes
    sync_committee_signature: bytes

    @property
    def num_active_participants(self) -> int:
        """How many seats took part."""
        return int.from_bytes(self.sync_committee_bits, "little").bit_count()


@lru_cache(maxsize=8)
def sync_committee_type(size: int) -> Container[SyncCommittee]:
    """SSZ type of a committee of ``size`` seats."""
    return Container(
        SyncCommittee,
        {"pubkeys": ByteVectors(size, PUBKEY_SIZE), "aggregate_pubkey": Bytes(PUBKEY_SIZE)},
        "SyncCommittee",
    )


@lru_cache(maxsize=8)
def sync_aggregate_type(size: int) -> Container[SyncAggregate]:
    """SSZ type of an aggregate over ``size`` seats."""
    return Container(
        SyncAggregate,
        {
            "sync_committee_bits": Bitvector(size),
            "sync_committee_signature": Bytes(SIGNATURE_SIZE),
        },
        "SyncAggregate",
    )
