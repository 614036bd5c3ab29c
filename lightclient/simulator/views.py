"""A chain as one server sees it: all of it, or only its past.

A :class:`SimulatedChain` is a view of itself. Whoever lags behind serves a :class:`PastView`.
"""

from __future__ import annotations

from typing import Protocol

from lightclient.config import Network
from lightclient.containers import (
    LightClientBootstrap,
    LightClientFinalityUpdate,
    LightClientObject,
    LightClientOptimisticUpdate,
    LightClientUpdate,
    ObjectKind,
)
from lightclient.protocol import is_better_update
from lightclient.protocol.excerpts import (
    create_light_client_finality_update,
    create_light_client_optimistic_update,
)
from lightclient.simulator.blocks import Checkpoint, SimulatedBlock
from lightclient.simulator.chain import SimulatedChain
from lightclient.simulator.exchange import Asked

_CANDIDATES = 32


class ChainView(Protocol):
    """What a server answers from."""

    @property
    def chain(self) -> SimulatedChain:
        """The whole chain that this is a view of."""
        ...

    @property
    def network(self) -> Network:
        """The chain's network."""
        ...

    @property
    def head(self) -> SimulatedBlock:
        """The newest block known here."""
        ...

    @property
    def finalized(self) -> SimulatedBlock | None:
        """The newest finalized block; None while there is none."""
        ...

    def is_finalized(self, block: SimulatedBlock) -> bool:
        """Whether a block of this chain is finalized."""
        ...

    def block_of_root(self, root: bytes) -> SimulatedBlock | None:
        """The block with this root, if it is known here."""
        ...

    def block_at(self, slot: int) -> SimulatedBlock:
        """The newest block at or before ``slot``; LookupError before the first."""
        ...

    def bootstrap(self, block_root: bytes) -> LightClientBootstrap | None:
        """The bootstrap of a finalized block at an epoch's first slot; None for any other root."""
        ...

    def updates(self, start_period: int, count: int) -> list[LightClientUpdate]:
        """The best updates of ``count`` periods; periods without one are left out."""
        ...

    def finality_update(self) -> LightClientFinalityUpdate | None:
        """The newest one."""
        ...

    def optimistic_update(self) -> LightClientOptimisticUpdate | None:
        """The newest one."""
        ...


def honest_objects(view: ChainView, asked: Asked) -> list[LightClientObject]:
    """What an honest server with this view answers; empty if it has nothing."""
    found: LightClientObject | None
    match asked.kind:
        case ObjectKind.BOOTSTRAP:
            found = view.bootstrap(asked.block_root)
        case ObjectKind.UPDATE:
            return list(view.updates(asked.start_period, asked.count))
        case ObjectKind.FINALITY_UPDATE:
            found = view.finality_update()
        case ObjectKind.OPTIMISTIC_UPDATE:
            found = view.optimistic_update()
        case None:
            found = None
    return [] if found is None else [found]


class PastView:
    """The chain as it was when its head was at most ``slot``.

    ``slot`` may be changed at any time; one before the first block counts as the first block's.
    """

    def __init__(self, chain: SimulatedChain, slot: int) -> None:
        self.chain = chain
        self.slot = slot
        # Of the head's own period: up to which slot the best update was looked for, and it.
        self._best_until: tuple[int, LightClientUpdate | None] = (-1, None)

    @property
    def network(self) -> Network:
        """The chain's network."""
        return self.chain.network

    @property
    def head(self) -> SimulatedBlock:
        """The newest block at or before ``slot``."""
        return self.chain.block_at(max(self.slot, self.chain.first_slot))

    @property
    def finalized(self) -> SimulatedBlock | None:
        """What the head's state finalizes; None while there is nothing."""
        head = self.head
        return None if head.finalized == Checkpoint() else self.chain.finalized_block_of(head)

    def is_finalized(self, block: SimulatedBlock) -> bool:
        """Whether a block was finalized then."""
        finalized = self.finalized
        return finalized is not None and block.slot <= finalized.slot

    def block_of_root(self, root: bytes) -> SimulatedBlock | None:
        """The block with this root, if there was one then."""
        block = self.chain.block_of_root(root)
        return block if block is not None and block.slot <= self.head.slot else None

    def block_at(self, slot: int) -> SimulatedBlock:
        """The newest block at or before ``slot`` then."""
        return self.chain.block_at(min(slot, self.head.slot))

    def bootstrap(self, block_root: bytes) -> LightClientBootstrap | None:
        """As the chain's, of what was finalized then."""
        block = self.block_of_root(block_root)
        if block is None or not self.is_finalized(block):
            return None
        return self.chain.bootstrap(block_root)

    def updates(self, start_period: int, count: int) -> list[LightClientUpdate]:
        """As the chain's; for the head's period the best of the newest blocks then."""
        newest = self.network.compute_sync_committee_period_at_slot(self.head.slot)
        past = range(start_period, min(start_period + count, newest))
        found = [self.chain.best_update(period) for period in past]
        if start_period <= newest < start_period + count:
            found.append(self._best_of_newest_period())
        return [update for update in found if update is not None]

    def _best_of_newest_period(self) -> LightClientUpdate | None:
        head = self.head
        if self._best_until[0] == head.slot:
            return self._best_until[1]
        period = self.network.compute_sync_committee_period_at_slot
        best: LightClientUpdate | None = None
        block: SimulatedBlock | None = head
        for _ in range(_CANDIDATES):
            if block is None or block.parent is None:
                break
            if period(block.parent.slot) != period(head.slot):
                break
            if block.participants >= self.network.preset.min_sync_committee_participants:
                update = self.chain.update_signed_by(block)
                if best is None or is_better_update(update, best, self.network):
                    best = update
            block = block.parent
        self._best_until = (head.slot, best)
        return best

    def finality_update(self) -> LightClientFinalityUpdate | None:
        """The newest one then."""
        block = self.chain.latest_signers(self.head).finality
        if block is None:
            return None
        return create_light_client_finality_update(self.chain.update_signed_by(block))

    def optimistic_update(self) -> LightClientOptimisticUpdate | None:
        """The newest one then."""
        block = self.chain.latest_signers(self.head).optimistic
        if block is None:
            return None
        return create_light_client_optimistic_update(self.chain.update_signed_by(block))
