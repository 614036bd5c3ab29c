"""A simulated beacon chain: blocks as slots pass, and the light client data of a full node.

Every block is linked to its parent and every object is derived from real states and blocks, with
real signatures. To make years in seconds, the chain may be sparse in its past: then all slots but
three a sync committee period are missed ones, just enough for an update with finality.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Container, Sequence
from dataclasses import replace

from lightclient.bls import Backend, choose_backend
from lightclient.config import FIRST_LIGHT_CLIENT_FORK, GENESIS_SLOT, Network
from lightclient.containers import (
    BeaconBlockHeader,
    LightClientBootstrap,
    LightClientFinalityUpdate,
    LightClientOptimisticUpdate,
    LightClientUpdate,
    SyncAggregate,
)
from lightclient.protocol import (
    DOMAIN_SYNC_COMMITTEE,
    compute_domain,
    compute_signature_fork_version,
    compute_signing_root,
    is_better_update,
)
from lightclient.protocol.derivation import (
    create_light_client_bootstrap,
    create_light_client_update,
)
from lightclient.protocol.excerpts import (
    create_light_client_finality_update,
    create_light_client_optimistic_update,
)
from lightclient.simulator.blocks import BlockContents, BlockMaker, Checkpoint, SimulatedBlock
from lightclient.simulator.keys import SimulatedCommittee, ValidatorKeys, shuffled
from lightclient.simulator.signers import LatestSigners

DEFAULT_PARTICIPATION = 0.98
_EPOCHS_TO_FINALITY = 2


class SimulatedChain:
    """A chain that grows by :meth:`advance_to`; what it serves is as of its head.

    Args:
        network: from :func:`simulated_network` or elsewhere; a zero genesis validators root is
            replaced by that of the simulated validators (see the attribute ``network``).
        seed: the same arguments and seed give the same chain, bit for bit.
        dense_from_slot: from here on every slot has a block; before it the chain is sparse.
        participation: the fraction of the committee that signs, always or by the slot of the block
            that holds the aggregate. By default each member signs with a probability of 0.98.
        missed_slots: slots without a block.
        non_final_epochs: epochs at whose start nothing new is finalized.
        empty_payload_slots: slots whose payload is never delivered (where blocks hold bids).
        keys: validators of another chain to share, instead of new ones.

    ``listeners`` are called with each new block, when the chain's answers already include it.
    """

    def __init__(
        self,
        network: Network,
        *,
        seed: int = 0,
        dense_from_slot: int = 0,
        participation: float | Callable[[int], float] | None = None,
        missed_slots: Container[int] = (),
        non_final_epochs: Container[int] = (),
        empty_payload_slots: Container[int] = (),
        keys: ValidatorKeys | None = None,
        backend: Backend | None = None,
    ) -> None:
        self.seed = seed
        self.backend = choose_backend() if backend is None else backend
        size = network.preset.sync_committee_size
        self.keys = ValidatorKeys(self.backend, seed, size) if keys is None else keys
        if not any(network.genesis_validators_root):
            root = BlockMaker(network, self.keys).genesis_validators_root()
            network = replace(network, genesis_validators_root=root)
        self.network = network
        self.blocks: list[SimulatedBlock] = []
        self.blocks_by_root: dict[bytes, SimulatedBlock] = {}
        self.listeners: list[Callable[[SimulatedBlock], None]] = []
        self._maker = BlockMaker(network, self.keys)
        self._dense_from_slot = dense_from_slot
        self._participation = participation
        self._missed_slots = missed_slots
        self._non_final_epochs = non_final_epochs
        self._empty_payload_slots = empty_payload_slots
        self._slots: list[int] = []
        self._candidates: dict[int, list[SimulatedBlock]] = {}
        self._best: dict[int, LightClientUpdate] = {}
        self._latest = LatestSigners()
        self._latest_by_root: dict[bytes, LatestSigners] = {}
        first_fork = FIRST_LIGHT_CLIENT_FORK.name
        self.first_slot = network.compute_start_slot_at_epoch(network.fork_epoch(first_fork))
        self._slots_passed = self.first_slot
        self.advance_to(self.first_slot)

    # Growing -----------------------------------------------------------------------------------

    @property
    def chain(self) -> SimulatedChain:
        """Itself: whoever serves all of it."""
        return self

    @property
    def head(self) -> SimulatedBlock:
        """The newest block."""
        return self.blocks[-1]

    def advance_to(self, slot: int) -> list[SimulatedBlock]:
        """Make all blocks up to ``slot``; returns the new ones."""
        new = []
        while self._slots_passed <= slot:
            next_slot = self._next_slot(self._slots_passed)
            if next_slot > slot:
                break
            self._slots_passed = next_slot + 1
            if next_slot not in self._missed_slots or not self.blocks:
                new.append(self._add_block(next_slot))
        self._slots_passed = max(self._slots_passed, slot + 1)
        return new

    def advance_to_time_ms(self, now_ms: int) -> list[SimulatedBlock]:
        """Make all blocks of slots that have begun at ``now_ms`` (Unix milliseconds)."""
        return self.advance_to(self.network.slot_at_time_ms(now_ms))

    def _next_slot(self, slot: int) -> int:
        """The next slot from ``slot`` on for which the chain has a plan for a block."""
        if slot >= self._dense_from_slot or slot == self.first_slot:
            return slot
        for wanted in (*self._sparse_slots(slot), *self._sparse_slots(slot, after=1)):
            if wanted >= slot:
                return min(wanted, self._dense_from_slot)
        raise AssertionError("a period has sparse slots")

    def _sparse_slots(self, slot: int, after: int = 0) -> tuple[int, int, int]:
        """A checkpoint at the period's start, a block whose state finalizes it, and its signer."""
        preset = self.network.preset
        period = self.network.compute_sync_committee_period_at_slot(slot) + after
        start = self.network.compute_start_slot_at_sync_committee_period(period)
        last = preset.slots_per_sync_committee_period - 1
        signed = min(_EPOCHS_TO_FINALITY * preset.slots_per_epoch + 2, last)
        return start, start + signed - 1, start + signed

    def _add_block(self, slot: int) -> SimulatedBlock:
        parent = self.blocks[-1] if self.blocks else None
        contents = self.contents_at(parent, slot, self._aggregate(parent, slot))
        block = self.make_block(parent, slot, contents)
        self.blocks.append(block)
        self.blocks_by_root[block.root] = block
        self._slots.append(slot)
        self._note(block)
        for listener in tuple(self.listeners):
            listener(block)
        return block

    def contents_at(
        self, parent: SimulatedBlock | None, slot: int, aggregate: SyncAggregate
    ) -> BlockContents:
        """What an honest block at ``slot`` on ``parent`` contains, with this aggregate."""
        period = self.network.compute_sync_committee_period_at_slot(slot)
        return BlockContents(
            aggregate=aggregate,
            finalized=self._finalized_at(parent, slot),
            current_sync_committee=self.keys.committee(period).public,
            next_sync_committee=self.keys.committee(period + 1).public,
            payload_delivered=slot not in self._empty_payload_slots,
        )

    def make_block(
        self, parent: SimulatedBlock | None, slot: int, contents: BlockContents
    ) -> SimulatedBlock:
        """A block with any contents beside the chain, which does not get it."""
        return self._maker.make(parent, slot, contents)

    def _aggregate(self, parent: SimulatedBlock | None, slot: int) -> SyncAggregate:
        committee = self.committee_at_slot(slot)
        # In the sparse past one signature a period is all that anybody needs.
        skipped = slot < self._dense_from_slot and slot != self._sparse_slots(slot)[-1]
        if parent is None or skipped:
            return committee.sign(self.backend, b"", ())
        return self.sign(parent.header, slot, self._seats(slot, committee.size))

    def _seats(self, slot: int, size: int) -> list[int]:
        text = f"participation {self.seed} {slot}"
        participation = self._participation
        if participation is None:
            draw = random.Random(text)
            return [seat for seat in range(size) if draw.random() < DEFAULT_PARTICIPATION]
        fraction = participation if isinstance(participation, float | int) else participation(slot)
        return sorted(shuffled(text, size)[: round(size * fraction)])

    def _finalized_at(self, parent: SimulatedBlock | None, slot: int) -> Checkpoint:
        if parent is None:
            return Checkpoint()
        epoch = self.network.compute_epoch_at_slot(slot)
        if epoch == self.network.compute_epoch_at_slot(parent.slot):
            return parent.finalized
        finalized_epoch = epoch - _EPOCHS_TO_FINALITY
        first_epoch = self.network.compute_epoch_at_slot(self.first_slot)
        if epoch in self._non_final_epochs or finalized_epoch <= first_epoch:
            return parent.finalized
        start = self.network.compute_start_slot_at_epoch(finalized_epoch)
        return Checkpoint(finalized_epoch, self.block_at(start).root)

    # Looking up --------------------------------------------------------------------------------

    def block_at(self, slot: int) -> SimulatedBlock:
        """The newest block at or before ``slot``; LookupError before the first."""
        index = bisect_right(self._slots, slot)
        if not index:
            raise LookupError(f"the chain starts at slot {self.first_slot}, after slot {slot}")
        return self.blocks[index - 1]

    def block_of_root(self, root: bytes) -> SimulatedBlock | None:
        """The block with this root; None if it is not on the chain."""
        return self.blocks_by_root.get(root)

    def finalized_block_of(self, block: SimulatedBlock) -> SimulatedBlock | None:
        """The block that ``block``'s state finalizes: genesis before any, None if unknown."""
        if block.finalized == Checkpoint():
            return self.blocks[0] if self.first_slot == GENESIS_SLOT else None
        return self.blocks_by_root.get(block.finalized.root)

    @property
    def finalized(self) -> SimulatedBlock | None:
        """The newest finalized block; None while there is none."""
        if self.head.finalized == Checkpoint():
            return None
        return self.finalized_block_of(self.head)

    def is_finalized(self, block: SimulatedBlock) -> bool:
        """Whether a block of this chain is finalized."""
        finalized = self.finalized
        return finalized is not None and block.slot <= finalized.slot

    def trusted_block_roots(self) -> list[bytes]:
        """The roots with a bootstrap: finalized blocks in the first slot of an epoch, ascending."""
        return [block.root for block in self.blocks if self._has_bootstrap(block)]

    def trusted_block_root(self, slot: int = 0) -> bytes:
        """The first root with a bootstrap at or after ``slot``; LookupError if there is none."""
        first = bisect_right(self._slots, slot - 1)
        for block in self.blocks[first:]:
            if self._has_bootstrap(block):
                return block.root
        raise LookupError(f"no block from slot {slot} on is finalized and starts an epoch")

    def _has_bootstrap(self, block: SimulatedBlock) -> bool:
        return block.slot % self.network.preset.slots_per_epoch == 0 and self.is_finalized(block)

    # Signing -----------------------------------------------------------------------------------

    def committee_at_slot(self, slot: int) -> SimulatedCommittee:
        """The committee that signs in ``slot``."""
        return self.keys.committee(self.network.compute_sync_committee_period_at_slot(slot))

    def sign(
        self,
        header: BeaconBlockHeader,
        signature_slot: int,
        seats: Sequence[int] | None = None,
        *,
        committee: SimulatedCommittee | None = None,
        fork_version: bytes | None = None,
    ) -> SyncAggregate:
        """A true aggregate over any header.

        Args:
            seats: who signs; everybody by default.
            committee: another one than that of ``signature_slot``'s period.
            fork_version: another one than that of the slot before ``signature_slot``.
        """
        signers = self.committee_at_slot(signature_slot) if committee is None else committee
        if fork_version is None:
            fork_version = compute_signature_fork_version(signature_slot, self.network)
        domain = compute_domain(
            DOMAIN_SYNC_COMMITTEE, fork_version, self.network.genesis_validators_root
        )
        signing_root = compute_signing_root(header.hash_tree_root(), domain)
        return signers.sign(
            self.backend, signing_root, range(signers.size) if seats is None else seats
        )

    # Light client data -------------------------------------------------------------------------

    def bootstrap(self, block_root: bytes) -> LightClientBootstrap | None:
        """The bootstrap of a finalized block at an epoch's first slot; None for any other root."""
        block = self.blocks_by_root.get(block_root)
        if block is None or not self._has_bootstrap(block):
            return None
        return create_light_client_bootstrap(block.state, block.block, self.network)

    def update_signed_by(self, block: SimulatedBlock) -> LightClientUpdate:
        """The full update that the sync aggregate in ``block`` makes; DeriveError if empty."""
        if block.parent is None:
            raise LookupError("the first block of the chain signs nothing")
        return self._derive_update(block, self.finalized_block_of(block.parent))

    def update_attesting(
        self,
        attested: SimulatedBlock,
        signature_slot: int,
        seats: Sequence[int] | None = None,
        *,
        finalized: SimulatedBlock | None = None,
        with_finality: bool = True,
    ) -> LightClientUpdate:
        """The update of a block in ``signature_slot`` that signs ``attested``, on the chain or not.

        Args:
            seats: who signs; everybody by default.
            finalized: the block that ``attested`` finalizes, where that is not on the chain.
            with_finality: whether that block is at hand at all.
        """
        aggregate = self.sign(attested.header, signature_slot, seats)
        contents = self.contents_at(attested, signature_slot, aggregate)
        signer = self.make_block(attested, signature_slot, contents)
        if with_finality and finalized is None:
            finalized = self.finalized_block_of(attested)
        return self._derive_update(signer, finalized)

    def _derive_update(
        self, signer: SimulatedBlock, finalized: SimulatedBlock | None
    ) -> LightClientUpdate:
        attested = signer.parent
        assert attested is not None
        return create_light_client_update(
            signer.state,
            signer.block,
            attested.state,
            attested.block,
            finalized.block if finalized else None,
            self.network,
        )

    def best_update(self, period: int) -> LightClientUpdate | None:
        """The best update so far attested and signed in a period, by ``is_better_update``."""
        for candidate in self._candidates.pop(period, ()):
            update = self.update_signed_by(candidate)
            best = self._best.get(period)
            if best is None or is_better_update(update, best, self.network):
                self._best[period] = update
        return self._best.get(period)

    def updates(self, start_period: int, count: int) -> list[LightClientUpdate]:
        """The best updates of ``count`` periods; periods without one are left out."""
        newest = self.network.compute_sync_committee_period_at_slot(self.head.slot)
        periods = range(start_period, min(start_period + count, newest + 1))
        found = (self.best_update(period) for period in periods)
        return [update for update in found if update is not None]

    def finality_update(self) -> LightClientFinalityUpdate | None:
        """The newest one, as a full node pushes it: a new finalized block or first two thirds."""
        block = self._latest.finality
        if block is None:
            return None
        return create_light_client_finality_update(self.update_signed_by(block))

    def optimistic_update(self) -> LightClientOptimisticUpdate | None:
        """The newest one."""
        block = self._latest.optimistic
        if block is None:
            return None
        return create_light_client_optimistic_update(self.update_signed_by(block))

    def is_latest_finality(self, block: SimulatedBlock) -> bool:
        """Whether the current finality update is the one signed in ``block``."""
        return block is self._latest.finality

    def is_latest_optimistic(self, block: SimulatedBlock) -> bool:
        """Whether the current optimistic update is the one signed in ``block``."""
        return block is self._latest.optimistic

    def latest_signers(self, head: SimulatedBlock) -> LatestSigners:
        """What the newest updates were made from when ``head``, of this chain, was its head."""
        return self._latest_by_root[head.root]

    def _note(self, block: SimulatedBlock) -> None:
        """Remember which objects the aggregate in a new block can make; derive none of them."""
        attested = block.parent
        minimum = self.network.preset.min_sync_committee_participants
        if attested is not None and block.participants >= minimum:
            period = self.network.compute_sync_committee_period_at_slot(block.slot)
            if period == self.network.compute_sync_committee_period_at_slot(attested.slot):
                self._candidates.setdefault(period, []).append(block)
            self._latest = self._latest.after(block, self.network.preset)
        self._latest_by_root[block.root] = self._latest
