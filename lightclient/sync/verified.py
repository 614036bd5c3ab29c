"""A verified header as applications see it, and the events that bring it.

Only ``sync.Processor`` makes these: whoever holds a :class:`VerifiedHeader` holds something that
followed from the trusted block root by the protocol's rules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from lightclient.config.network import Network
from lightclient.containers import BeaconBlockHeader, LightClientHeader, SyncAggregate

Clock: TypeAlias = Callable[[], int]
"""Tells the time in Unix milliseconds."""


@dataclass(frozen=True, slots=True)
class VerifiedHeader:
    """A header that was verified, with what is known about it.

    Attributes:
        header: the light client header itself.
        network: the network it belongs to.
        participants: sync committee members behind the update that brought it; None if it came
            with the bootstrap or from the caller, where trust has another source.
        sync_committee_size: seats of the committee.
        signature_slot: slot of that update's signature; None as above.
        clock: what :meth:`age` reads, Unix milliseconds; None if whoever verified it has no clock.
    """

    header: LightClientHeader
    network: Network
    participants: int | None = None
    sync_committee_size: int = 0
    signature_slot: int | None = None
    clock: Clock | None = field(default=None, repr=False, compare=False)

    @property
    def beacon(self) -> BeaconBlockHeader:
        """The beacon block header."""
        return self.header.beacon

    @property
    def slot(self) -> int:
        """Slot of the block."""
        return self.header.beacon.slot

    @property
    def root(self) -> bytes:
        """Beacon block root, 32 bytes."""
        return self.header.beacon.hash_tree_root()

    @property
    def fork(self) -> str:
        """Name of the fork in force at the block's slot."""
        return self.network.fork_at_slot(self.slot).name

    @property
    def _proves_execution(self) -> bool:
        return self.network.fork_at_slot(self.slot).data_format.header != "bare"

    @property
    def execution_block_hash(self) -> bytes | None:
        """Execution block hash, 32 bytes; None before Capella, which proves none.

        From Gloas on it is that of the **parent's** execution block: see
        :attr:`is_parent_execution_block`.
        """
        if not self._proves_execution:
            return None
        execution = self.header.execution
        return execution.block_hash if execution is not None else self.header.execution_block_hash

    @property
    def is_parent_execution_block(self) -> bool:
        """Whether :attr:`execution_block_hash` is the parent block's payload (from Gloas on)."""
        return self.network.fork_at_slot(self.slot).proves_parent_block_hash

    @property
    def execution_block_number(self) -> int | None:
        """Execution block number; None where the fork or format does not prove it."""
        execution = self.header.execution
        return execution.block_number if execution and self._proves_execution else None

    @property
    def execution_state_root(self) -> bytes | None:
        """Execution state root, 32 bytes; None where the fork or format does not prove it."""
        execution = self.header.execution
        return execution.state_root if execution and self._proves_execution else None

    @property
    def participation(self) -> float | None:
        """Share of the committee behind it, 0 to 1; None as for :attr:`participants`."""
        if self.participants is None or not self.sync_committee_size:
            return None
        return self.participants / self.sync_committee_size

    def age(self, now_ms: int | None = None) -> float:
        """Seconds from the start of its slot to ``now_ms`` (Unix milliseconds; default: now).

        Raises:
            ValueError: no time given, and the header came without a clock.
        """
        if now_ms is None:
            if self.clock is None:
                raise ValueError("this header came without a clock: say what time it is")
            now_ms = self.clock()
        return (now_ms - self.network.slot_start_ms(self.slot)) / 1000

    def __repr__(self) -> str:
        return f"VerifiedHeader(slot={self.slot}, root=0x{self.root.hex()}, fork={self.fork!r})"


@dataclass(frozen=True, slots=True)
class NewFinalizedHeader:
    """The finalized header moved."""

    header: VerifiedHeader


@dataclass(frozen=True, slots=True)
class NewOptimisticHeader:
    """The optimistic header moved."""

    header: VerifiedHeader


Event: TypeAlias = NewFinalizedHeader | NewOptimisticHeader


def verified_by(
    header: LightClientHeader,
    network: Network,
    aggregate: SyncAggregate,
    signature_slot: int,
    clock: Clock | None,
) -> VerifiedHeader:
    """``header`` as verified by the signature of a committee."""
    return VerifiedHeader(
        header,
        network,
        participants=aggregate.num_active_participants,
        sync_committee_size=network.preset.sync_committee_size,
        signature_slot=signature_slot,
        clock=clock,
    )
