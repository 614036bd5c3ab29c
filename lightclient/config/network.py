"""A network: its preset, genesis, fork schedule and the arithmetic that follows from them.

Pure values and pure functions: nothing here reads a clock. Times are integer milliseconds since the
Unix epoch (``*_ms``) unless a name says otherwise; slots, epochs and periods are plain ints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from hashlib import sha256
from types import MappingProxyType

from lightclient.config.forks import FAR_FUTURE_EPOCH, Fork

GENESIS_SLOT = 0
BASIS_POINTS = 10_000


@dataclass(frozen=True, slots=True)
class Preset:
    """Compile-time constants that the light client needs; names are the specification's."""

    name: str
    slots_per_epoch: int
    epochs_per_sync_committee_period: int
    sync_committee_size: int
    min_sync_committee_participants: int
    slot_duration_ms: int

    @property
    def slots_per_sync_committee_period(self) -> int:
        """Length of a sync committee period, in slots."""
        return self.slots_per_epoch * self.epochs_per_sync_committee_period

    @property
    def update_timeout(self) -> int:
        """UPDATE_TIMEOUT, in slots."""
        return self.slots_per_sync_committee_period


@dataclass(frozen=True, slots=True)
class ScheduledFork:
    """A fork with this network's version (4 bytes) and activation epoch."""

    fork: Fork
    version: bytes
    epoch: int


@dataclass(frozen=True, slots=True)
class BlobParameters:
    """An entry of BLOB_SCHEDULE."""

    epoch: int
    max_blobs_per_block: int


def compute_fork_data_root(current_version: bytes, genesis_validators_root: bytes) -> bytes:
    """``hash_tree_root(ForkData(...))``, phase0 specification."""
    return sha256(current_version.ljust(32, b"\0") + genesis_validators_root).digest()


@dataclass(frozen=True)
class Network:
    """One network.

    Args:
        genesis_time: Unix time in seconds.
        genesis_validators_root: 32 bytes.
        forks: every known fork in activation order; unscheduled ones have ``FAR_FUTURE_EPOCH``.
        blob_schedule: BLOB_SCHEDULE, ascending by epoch.
        sync_message_due_bps, sync_message_due_bps_gloas: SYNC_MESSAGE_DUE_BPS and that of Gloas:
            the share of a slot after which sync committees speak, in 1/10,000.
        custody_requirement: CUSTODY_REQUIREMENT, the least custody group count of a node (fulu).
        bootstrap_nodes: ENRs, as text.
        retired: the network no longer runs; its old objects can still be verified.
    """

    name: str
    preset: Preset
    genesis_time: int
    genesis_validators_root: bytes
    slot_duration_ms: int
    forks: tuple[ScheduledFork, ...]
    blob_schedule: tuple[BlobParameters, ...] = ()
    max_blobs_per_block_electra: int = 9
    churn_limit_quotient: int = 65536
    min_validator_withdrawability_delay: int = 256
    min_epochs_for_block_requests: int = 33024
    deposit_chain_id: int = 1
    sync_message_due_bps: int = 3333
    sync_message_due_bps_gloas: int = 2500
    custody_requirement: int = 4
    bootstrap_nodes: tuple[str, ...] = field(default=(), repr=False)
    retired: bool = False

    def __getstate__(self) -> dict[str, object]:
        # To another process go the fields alone: what was computed from them is computed anew.
        return {item.name: getattr(self, item.name) for item in fields(self)}

    # Forks ------------------------------------------------------------------------------------

    @cached_property
    def _slots_per_period(self) -> int:
        return self.preset.slots_per_sync_committee_period

    @cached_property
    def _newest_first(self) -> tuple[ScheduledFork, ...]:
        return tuple(s for s in reversed(self.forks) if s.epoch != FAR_FUTURE_EPOCH)

    def scheduled_fork_at_epoch(self, epoch: int) -> ScheduledFork:
        """The fork in force at ``epoch``, with this network's version."""
        for scheduled in self._newest_first:
            if epoch >= scheduled.epoch:
                return scheduled
        return self.forks[0]

    def fork_at_epoch(self, epoch: int) -> Fork:
        """The row of the fork in force at ``epoch``."""
        return self.scheduled_fork_at_epoch(epoch).fork

    def fork_at_slot(self, slot: int) -> Fork:
        """The row of the fork in force at ``slot``."""
        return self.scheduled_fork_at_epoch(slot // self.preset.slots_per_epoch).fork

    def compute_fork_version(self, epoch: int) -> bytes:
        """Fork version (4 bytes) at ``epoch``."""
        return self.scheduled_fork_at_epoch(epoch).version

    def fork_epoch(self, name: str) -> int:
        """Activation epoch of a fork by name; ``FAR_FUTURE_EPOCH`` if not scheduled."""
        return next((s.epoch for s in self.forks if s.fork.name == name), FAR_FUTURE_EPOCH)

    def get_blob_parameters(self, epoch: int) -> BlobParameters:
        """The last entry of the schedule at or before ``epoch`` (fulu specification)."""
        for entry in reversed(self.blob_schedule):
            if epoch >= entry.epoch:
                return entry
        return BlobParameters(self.fork_epoch("electra"), self.max_blobs_per_block_electra)

    def compute_fork_digest(self, epoch: int) -> bytes:
        """Fork digest (4 bytes) at ``epoch``; from Fulu on with the blob parameters mixed in."""
        scheduled = self.scheduled_fork_at_epoch(epoch)
        root = compute_fork_data_root(scheduled.version, self.genesis_validators_root)
        if not scheduled.fork.digest_has_blob_parameters:
            return root[:4]
        blob = self.get_blob_parameters(epoch)
        mask = sha256(
            blob.epoch.to_bytes(8, "little") + blob.max_blobs_per_block.to_bytes(8, "little")
        ).digest()
        return bytes(a ^ b for a, b in zip(root[:4], mask[:4], strict=True))

    @cached_property
    def forks_by_digest(self) -> Mapping[bytes, Fork]:
        """Every digest that this network's schedule produces, with its fork."""
        epochs = {s.epoch for s in self.forks} | {b.epoch for b in self.blob_schedule} | {0}
        epochs.discard(FAR_FUTURE_EPOCH)
        return MappingProxyType(
            {self.compute_fork_digest(e): self.fork_at_epoch(e) for e in sorted(epochs)}
        )

    # Slots, epochs, periods -------------------------------------------------------------------

    def compute_epoch_at_slot(self, slot: int) -> int:
        """Epoch of ``slot``."""
        return slot // self.preset.slots_per_epoch

    def compute_start_slot_at_epoch(self, epoch: int) -> int:
        """First slot of ``epoch``."""
        return epoch * self.preset.slots_per_epoch

    def compute_sync_committee_period(self, epoch: int) -> int:
        """Sync committee period of ``epoch``."""
        return epoch // self.preset.epochs_per_sync_committee_period

    def compute_sync_committee_period_at_slot(self, slot: int) -> int:
        """Sync committee period of ``slot``."""
        return slot // self._slots_per_period

    def compute_start_slot_at_sync_committee_period(self, period: int) -> int:
        """First slot of sync committee ``period``."""
        return period * self.preset.slots_per_sync_committee_period

    @property
    def weak_subjectivity_epochs_upper_bound(self) -> int:
        """Upper bound of the weak subjectivity period, in epochs, whatever the validator set.

        ``MIN_VALIDATOR_WITHDRAWABILITY_DELAY + SAFETY_DECAY * CHURN_LIMIT_QUOTIENT // 200`` of the
        phase0 weak subjectivity guide, with its SAFETY_DECAY of 10 per cent.
        """
        return self.min_validator_withdrawability_delay + 10 * self.churn_limit_quotient // 200

    # Clock arithmetic, milliseconds ------------------------------------------------------------

    @property
    def genesis_time_ms(self) -> int:
        """Genesis in milliseconds since the Unix epoch."""
        return self.genesis_time * 1000

    def slot_at_time_ms(self, now_ms: int) -> int:
        """The slot at ``now_ms``; the genesis slot before genesis."""
        return max(now_ms - self.genesis_time_ms, 0) // self.slot_duration_ms

    def slot_start_ms(self, slot: int) -> int:
        """When ``slot`` starts, milliseconds since the Unix epoch."""
        return self.genesis_time_ms + slot * self.slot_duration_ms

    def get_sync_message_due_ms(self, slot: int) -> int:
        """How far into ``slot`` sync committee messages are due, in milliseconds.

        ``get_sync_message_due_ms`` of the validator specifications of altair and gloas.
        """
        early = self.fork_at_slot(slot).has_early_dues
        share = self.sync_message_due_bps_gloas if early else self.sync_message_due_bps
        return share * self.slot_duration_ms // BASIS_POINTS

    def is_before_genesis_ms(self, now_ms: int) -> bool:
        """Whether ``now_ms`` lies before genesis."""
        return now_ms < self.genesis_time_ms
