"""A beacon chain that is a function of its seed: any slot's data without the slots before it.

States and bodies are sparse Merkle trees around what light clients get proven, so years cost
nothing until somebody asks. All that a light client can check is as on a real chain; block parents,
which it cannot, are only named.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache

from lightclient.bls.encoding import CURVE_ORDER, G2_INFINITY
from lightclient.config import FAR_FUTURE_EPOCH, GENESIS_SLOT, Network
from lightclient.config.forks import DATA_FORMATS, DataFormat
from lightclient.containers import (
    BeaconBlockHeader,
    LightClientBootstrap,
    LightClientFinalityUpdate,
    LightClientHeader,
    LightClientOptimisticUpdate,
    LightClientUpdate,
    SyncAggregate,
    default_sync_committee,
    light_client_header_type,
    zero_branch,
)
from lightclient.protocol import (
    DOMAIN_SYNC_COMMITTEE,
    compute_domain,
    compute_signature_fork_version,
    compute_signing_root,
)
from lightclient.protocol.excerpts import (
    create_light_client_finality_update,
    create_light_client_optimistic_update,
)
from lightclient.protocol.ranking import is_better_update
from lightclient.simulator.keys import SimulatedCommittee, ValidatorKeys
from lightclient.ssz import ZERO_NODE
from tests.soak.blocks import Block, SparseTree, body_at, execution_block_hash, hashed

_EPOCHS_TO_FINALITY = 2
_CANDIDATES_A_PERIOD = 64
_KEPT_BLOCKS = 256
_LONG_EPOCH = 16


@dataclass
class Course:
    """What happens on a chain besides one block a slot, final two epochs later, by all.

    May be added to while the chain is in use, but only for slots that have not begun.

    Attributes:
        missed: the share of slots without a block, drawn for each slot by itself.
        droughts: ranges of slots without any block.
        stalls: ranges of epochs at whose start nothing new is finalized.
        participation: the usual share of the committee that signs.
        weak: ranges of slots with another share.
    """

    missed: float = 0.0
    droughts: list[range] = field(default_factory=list)
    stalls: list[range] = field(default_factory=list)
    participation: float = 0.98
    weak: list[tuple[range, float]] = field(default_factory=list)

    def participation_at(self, slot: int) -> float:
        """The share that signs in ``slot``, on average."""
        return next((share for slots, share in self.weak if slot in slots), self.participation)


class FunctionalChain:
    """A chain from ``first_slot`` on, which is where its nodes' history begins.

    Args:
        network: its genesis validators root is taken as it is.
        seed: the same seed and course give the same chain, bit for bit.
        keys: the validators.
    """

    def __init__(
        self, network: Network, seed: int, keys: ValidatorKeys, first_slot: int, course: Course
    ) -> None:
        self.network = network
        self.seed = seed
        self.keys = keys
        self.first_slot = first_slot
        self.course = course
        self.slots_by_root: dict[bytes, int] = {}
        self._period = network.compute_sync_committee_period_at_slot
        self._epoch = network.compute_epoch_at_slot
        self._best: dict[int, tuple[int, LightClientUpdate | None]] = {}
        self._checkpoints: dict[int, bytes] = {}
        self._secret_sums: dict[int, int] = {}
        # In long epochs the first block finalizes what no node has any more. Otherwise the root of
        # each checkpoint would depend on all before it, and sleeping for a year take long.
        spe = network.preset.slots_per_epoch
        self._chain_break = spe if spe >= _LONG_EPOCH else FAR_FUTURE_EPOCH
        self.block = lru_cache(_KEPT_BLOCKS)(self._make_block)
        self.update_signed_in = lru_cache(64)(self._make_update)

    # Which slots have blocks, and what is final ------------------------------------------------

    def has_block(self, slot: int) -> bool:
        """Whether a block was made in ``slot``."""
        if slot <= self.first_slot:
            return slot == self.first_slot
        if self.course.missed and _draw(self.seed, "missed", slot) < self.course.missed:
            return False
        return not any(slot in drought for drought in self.course.droughts)

    def block_slot(self, slot: int) -> int:
        """The newest slot with a block at or before ``slot``; LookupError before the first."""
        while slot > self.first_slot and not self.has_block(slot):
            slot -= 1
        if slot < self.first_slot:
            raise LookupError(f"the chain starts at slot {self.first_slot}")
        return slot

    def block_slot_from(self, slot: int, head_slot: int) -> int | None:
        """The first slot with a block from ``slot`` to ``head_slot``."""
        slots = range(max(slot, self.first_slot), head_slot + 1)
        return next((slot for slot in slots if self.has_block(slot)), None)

    def finalized_epoch(self, epoch: int) -> int | None:
        """The epoch whose checkpoint states of ``epoch`` finalize; None: before this history."""
        stall = next((stall for stall in self.course.stalls if epoch in stall), None)
        while stall is not None:
            epoch = stall.start - 1
            stall = next((stall for stall in self.course.stalls if epoch in stall), None)
        finalized = epoch - _EPOCHS_TO_FINALITY
        start = self.network.compute_start_slot_at_epoch(finalized)
        return finalized if start >= self.first_slot else None

    def checkpoint_slot(self, epoch: int) -> int:
        """The slot of the block that the checkpoint of ``epoch`` names."""
        return self.block_slot(self.network.compute_start_slot_at_epoch(epoch))

    def finalized_slot(self, slot: int) -> int | None:
        """The slot of the block that the state of ``slot`` finalizes."""
        epoch = self.finalized_epoch(self._epoch(slot))
        return None if epoch is None else self.checkpoint_slot(epoch)

    def root_at(self, slot: int) -> bytes:
        """The root of the block in ``slot``."""
        return self.block(slot).header.hash_tree_root()

    def is_block(self, slot: int, root: bytes) -> bool:
        """Whether ``root`` is that of this chain's block in ``slot``."""
        return slot >= self.first_slot and self.has_block(slot) and self.root_at(slot) == root

    def trusted_slot(self, slot: int, head_slot: int) -> int:
        """The first slot from ``slot`` on with a bootstrap when ``head_slot`` is the newest."""
        spe = self.network.preset.slots_per_epoch
        newest = self.finalized_slot(self.block_slot(head_slot))
        if newest is None:
            raise LookupError("nothing is finalized yet")
        for start in range(-(-max(slot, self.first_slot) // spe) * spe, newest + 1, spe):
            if self.has_block(start):
                return start
        return newest

    # Blocks ------------------------------------------------------------------------------------

    def _checkpoint_root(self, epoch: int) -> bytes:
        # From old to new: a checkpoint's state holds the root of the checkpoint before it.
        pending = []
        wanted: int | None = epoch
        while wanted is not None and wanted not in self._checkpoints:
            pending.append(wanted)
            slot = self.checkpoint_slot(wanted)
            wanted = self.finalized_epoch(self._epoch(slot)) if slot % self._chain_break else None
        for item in reversed(pending):
            self._checkpoints[item] = self.root_at(self.checkpoint_slot(item))
        return self._checkpoints[epoch]

    def _make_block(self, slot: int) -> Block:
        fork = self.network.fork_at_slot(slot)
        period = self._period(slot)
        epoch = self.finalized_epoch(self._epoch(slot))
        if slot % self._chain_break == 0:
            epoch = None
        finalized_slot = None if epoch is None else self.checkpoint_slot(epoch)
        finalized_root = hashed(self.seed, "pruned")
        if epoch is not None:
            # Finality of genesis is said with zeros.
            finalized_root = self._checkpoint_root(epoch) if finalized_slot else ZERO_NODE
        state = SparseTree(
            {
                fork.finalized_root_gindex: finalized_root,
                fork.current_sync_committee_gindex: self._committee_root(period),
                fork.next_sync_committee_gindex: self._committee_root(period + 1),
            },
            hashed(self.seed, "state", slot),
        )
        body, execution = body_at(self.seed, slot, self.network)
        parent = hashed(self.seed, "parent", slot)
        header = BeaconBlockHeader(slot, slot % 1009, parent, state.node(1), body.node(1))
        if slot % self.network.preset.slots_per_epoch == 0:
            self.slots_by_root[header.hash_tree_root()] = slot
        return Block(header, state, body, execution, finalized_slot)

    def _committee_root(self, period: int) -> bytes:
        return self.keys.committee(period).public.hash_tree_root()

    # Signatures --------------------------------------------------------------------------------

    def committee_at_slot(self, slot: int) -> SimulatedCommittee:
        """The committee that signs in ``slot``."""
        return self.keys.committee(self._period(slot))

    def absent_seats(self, slot: int) -> list[int]:
        """The seats that did not sign what the block in ``slot`` holds."""
        size = self.network.preset.sync_committee_size
        share = self.course.participation_at(slot)
        draw = random.Random(f"{self.seed} seats {slot}")
        absent = round(size * (1 - share) * draw.uniform(0.5, 1.5)) if share < 1 else 0
        return draw.sample(range(size), min(absent, size))

    def sign(
        self,
        header: BeaconBlockHeader,
        signature_slot: int,
        absent: list[int],
        committee: SimulatedCommittee | None = None,
    ) -> SyncAggregate:
        """A true aggregate of all but ``absent`` over any header."""
        signers = committee or self.committee_at_slot(signature_slot)
        domain = compute_domain(
            DOMAIN_SYNC_COMMITTEE,
            compute_signature_fork_version(signature_slot, self.network),
            self.network.genesis_validators_root,
        )
        message = compute_signing_root(header.hash_tree_root(), domain)
        bits = (1 << signers.size) - 1
        secret = self._secret_sum(signers)
        for seat in absent:
            bits ^= 1 << seat
            secret -= signers.secrets[seat]
        secret %= CURVE_ORDER
        signature = self.keys.backend.sign(secret, message) if bits else G2_INFINITY
        return SyncAggregate(bits.to_bytes(-(-signers.size // 8), "little"), signature)

    def _secret_sum(self, committee: SimulatedCommittee) -> int:
        key = id(committee)  # they live as long as their keys do
        if key not in self._secret_sums:
            self._secret_sums[key] = sum(committee.secrets)
        return self._secret_sums[key]

    # Headers and objects -----------------------------------------------------------------------

    def header_of(self, block: Block, data_format: DataFormat | None = None) -> LightClientHeader:
        """The light client header in ``data_format``; in that of its slot's fork by default."""
        slot = block.header.slot
        fork = self.network.fork_at_slot(slot)
        wanted = max(data_format or fork.data_format, fork.data_format, key=DATA_FORMATS.index)
        depth = wanted.execution_branch_depth
        if wanted.header == "bare":
            return LightClientHeader(wanted, block.header)
        if fork.data_format.header == "bare":
            return replace(light_client_header_type(wanted).default(), beacon=block.header)
        if wanted.header == "payload":
            branch = block.body.branch(fork.execution_gindex, depth)
            return LightClientHeader(wanted, block.header, block.execution, branch)
        block_hash = execution_block_hash(self.seed, slot)
        branch = block.body.branch(fork.execution_block_hash_gindex, depth)
        return LightClientHeader(wanted, block.header, None, branch, block_hash)

    def bootstrap(self, slot: int) -> LightClientBootstrap:
        """The bootstrap of the block in ``slot``."""
        fork, block = self.network.fork_at_slot(slot), self.block(slot)
        depth = fork.data_format.current_sync_committee_branch_depth
        return LightClientBootstrap(
            fork.data_format,
            self.header_of(block),
            self.committee_at_slot(slot).public,
            block.state.branch(fork.current_sync_committee_gindex, depth),
        )

    def update_of(
        self, attested: Block, aggregate: SyncAggregate, signature_slot: int
    ) -> LightClientUpdate:
        """The full update that attests ``attested``, on this chain or beside it."""
        slot = attested.header.slot
        fork = self.network.fork_at_slot(slot)
        data_format = fork.data_format
        committee = default_sync_committee(self.network.preset.sync_committee_size)
        committee_branch = zero_branch(data_format.next_sync_committee_branch_depth)
        if self._period(slot) == self._period(signature_slot):
            committee = self.keys.committee(self._period(slot) + 1).public
            committee_branch = attested.state.branch(
                fork.next_sync_committee_gindex, data_format.next_sync_committee_branch_depth
            )
        finalized = light_client_header_type(data_format).default_value
        finality_branch = zero_branch(data_format.finality_branch_depth)
        if attested.finalized_slot is not None:
            if attested.finalized_slot != GENESIS_SLOT:
                finalized = self.header_of(self.block(attested.finalized_slot), data_format)
            finality_branch = attested.state.branch(
                fork.finalized_root_gindex, data_format.finality_branch_depth
            )
        return LightClientUpdate(
            data_format,
            self.header_of(attested, data_format),
            committee,
            committee_branch,
            finalized,
            finality_branch,
            aggregate,
            signature_slot,
        )

    def _make_update(self, slot: int) -> LightClientUpdate:
        """What the aggregate in the block of ``slot`` makes of its parent."""
        parent = self.block(self.block_slot(slot - 1))
        aggregate = self.sign(parent.header, slot, self.absent_seats(slot))
        return self.update_of(parent, aggregate, slot)

    # What a node serves --------------------------------------------------------------------------

    def best_update(self, period: int, head_slot: int) -> LightClientUpdate | None:
        """The best update of ``period`` out of some, as a node at ``head_slot`` has it."""
        network = self.network
        start = network.compute_start_slot_at_sync_committee_period(period)
        last = network.compute_start_slot_at_sync_committee_period(period + 1) - 1
        seen_slot, best = self._best.get(period, (start, None))
        if seen_slot < min(head_slot, last):
            for signature_slot in self._candidates(start, seen_slot, min(head_slot, last)):
                update = self._make_update(signature_slot)
                if update.sync_aggregate.num_active_participants and (
                    best is None or is_better_update(update, best, network)
                ):
                    best = update
            self._best[period] = min(head_slot, last), best
        elif seen_slot > head_slot:  # a provider that is behind
            return best if best is not None and best.signature_slot <= head_slot else None
        return best

    def _candidates(self, start: int, after: int, until: int) -> Iterator[int]:
        """Slots whose blocks sign a block of the same period: a few of them, evenly spread."""
        stride = max(self.network.preset.slots_per_sync_committee_period // _CANDIDATES_A_PERIOD, 1)
        offset = min(1 + stride // 3, stride)  # never an epoch's first blocks alone
        first = start + offset + max(after - start - offset, 0) // stride * stride
        for wanted in range(first, until + 1, stride):
            slot = self.block_slot_from(wanted, min(wanted + stride - 1, until))
            if slot is not None and slot > after and self.block_slot_or_before(slot - 1) >= start:
                yield slot

    def block_slot_or_before(self, slot: int) -> int:
        """As :meth:`block_slot`; -1 before the first block."""
        return self.block_slot(slot) if slot >= self.first_slot else -1

    def optimistic_update(self, head_slot: int) -> LightClientOptimisticUpdate | None:
        """The newest one when ``head_slot`` is the newest slot."""
        update = self._newest(head_slot)
        if update is None:
            return None
        return create_light_client_optimistic_update(update)

    def finality_update(self, head_slot: int) -> LightClientFinalityUpdate | None:
        """The newest one when ``head_slot`` is the newest slot; None without finality."""
        update = self._newest(head_slot)
        if update is not None and not update.finalized_header.beacon.slot:
            update = self._newest(update.attested_header.beacon.slot)
        if update is None or not update.finalized_header.beacon.slot:
            return None
        return create_light_client_finality_update(update)

    def _newest(self, head_slot: int) -> LightClientUpdate | None:
        slot = self.block_slot_or_before(head_slot)
        if slot <= self.first_slot:
            return None
        update: LightClientUpdate = self.update_signed_in(slot)
        return update if update.sync_aggregate.num_active_participants else None


def _draw(seed: int, what: str, slot: int) -> float:
    return int.from_bytes(hashed(seed, what, slot)[:4], "big") / 2**32
