"""The four light client objects, one class each for all forks.

An object remembers the format that it came in and re-encodes to the same bytes. The protocol judges
full, finality and optimistic updates alike, through :meth:`as_update`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import ClassVar, TypeAlias

from lightclient.config.forks import DataFormat
from lightclient.containers.committees import SyncAggregate, SyncCommittee, sync_committee_type
from lightclient.containers.headers import LightClientHeader, light_client_header_type


class ObjectKind(StrEnum):
    """What an object is; the values are stable and part of the command line's output."""

    BOOTSTRAP = "bootstrap"
    UPDATE = "update"
    FINALITY_UPDATE = "finality_update"
    OPTIMISTIC_UPDATE = "optimistic_update"


@lru_cache(maxsize=32)
def zero_branch(depth: int) -> tuple[bytes, ...]:
    """The all-zero branch, which says "no proof here"."""
    return (bytes(32),) * depth


@lru_cache(maxsize=8)
def default_sync_committee(size: int) -> SyncCommittee:
    """The all-zero committee."""
    return sync_committee_type(size).default_value


@dataclass(frozen=True, slots=True)
class LightClientBootstrap:
    """Header of the trusted block with the committee of its period and the proof of it."""

    kind: ClassVar[ObjectKind] = ObjectKind.BOOTSTRAP

    data_format: DataFormat
    header: LightClientHeader
    current_sync_committee: SyncCommittee
    current_sync_committee_branch: tuple[bytes, ...]

    @property
    def main_header(self) -> LightClientHeader:
        """The header whose slot tells the object's fork."""
        return self.header

    @property
    def sync_committee_size(self) -> int:
        """Seats of the committee."""
        return self.current_sync_committee.size


@dataclass(frozen=True, slots=True)
class LightClientUpdate:
    """A full update: headers, the next committee, their proofs and the signature."""

    kind: ClassVar[ObjectKind] = ObjectKind.UPDATE

    data_format: DataFormat
    attested_header: LightClientHeader
    next_sync_committee: SyncCommittee
    next_sync_committee_branch: tuple[bytes, ...]
    finalized_header: LightClientHeader
    finality_branch: tuple[bytes, ...]
    sync_aggregate: SyncAggregate
    signature_slot: int

    @property
    def main_header(self) -> LightClientHeader:
        """The header whose slot tells the object's fork."""
        return self.attested_header

    @property
    def sync_committee_size(self) -> int:
        """Seats of the committee."""
        return self.next_sync_committee.size

    def as_update(self, _sync_committee_size: int | None = None) -> LightClientUpdate:
        """Itself."""
        return self


@dataclass(frozen=True, slots=True)
class LightClientFinalityUpdate:
    """A new finalized header without a committee."""

    kind: ClassVar[ObjectKind] = ObjectKind.FINALITY_UPDATE

    data_format: DataFormat
    attested_header: LightClientHeader
    finalized_header: LightClientHeader
    finality_branch: tuple[bytes, ...]
    sync_aggregate: SyncAggregate
    signature_slot: int

    @property
    def main_header(self) -> LightClientHeader:
        """The header whose slot tells the object's fork."""
        return self.attested_header

    @property
    def sync_committee_size(self) -> int:
        """Seats that the bits have room for; the committee may have fewer in the last byte."""
        return len(self.sync_aggregate.sync_committee_bits) * 8

    def as_update(self, sync_committee_size: int | None = None) -> LightClientUpdate:
        """The update that the specification makes of it: no next committee.

        The absent committee has ``sync_committee_size`` seats (default: as many as there are bits).
        """
        return LightClientUpdate(
            self.data_format,
            self.attested_header,
            default_sync_committee(sync_committee_size or self.sync_committee_size),
            zero_branch(self.data_format.next_sync_committee_branch_depth),
            self.finalized_header,
            self.finality_branch,
            self.sync_aggregate,
            self.signature_slot,
        )


@dataclass(frozen=True, slots=True)
class LightClientOptimisticUpdate:
    """A new attested header without finality."""

    kind: ClassVar[ObjectKind] = ObjectKind.OPTIMISTIC_UPDATE

    data_format: DataFormat
    attested_header: LightClientHeader
    sync_aggregate: SyncAggregate
    signature_slot: int

    @property
    def main_header(self) -> LightClientHeader:
        """The header whose slot tells the object's fork."""
        return self.attested_header

    @property
    def sync_committee_size(self) -> int:
        """Seats that the bits have room for; the committee may have fewer in the last byte."""
        return len(self.sync_aggregate.sync_committee_bits) * 8

    def as_update(self, sync_committee_size: int | None = None) -> LightClientUpdate:
        """The update that the specification makes of it: neither finality nor next committee.

        The absent committee has ``sync_committee_size`` seats (default: as many as there are bits).
        """
        data_format = self.data_format
        return LightClientUpdate(
            data_format,
            self.attested_header,
            default_sync_committee(sync_committee_size or self.sync_committee_size),
            zero_branch(data_format.next_sync_committee_branch_depth),
            light_client_header_type(data_format).default_value,
            zero_branch(data_format.finality_branch_depth),
            self.sync_aggregate,
            self.signature_slot,
        )


AnyUpdate: TypeAlias = LightClientUpdate | LightClientFinalityUpdate | LightClientOptimisticUpdate
LightClientObject: TypeAlias = LightClientBootstrap | AnyUpdate
