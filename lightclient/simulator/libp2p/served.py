"""What a simulated chain has for peers: light client objects, and a place on the chain to tell.

:class:`ServedChain` makes a chain the source of a node of ours; the simulated peers tell their
status and judge what is forwarded to them by the same chain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from lightclient.config import Network
from lightclient.containers import (
    LightClientBootstrap,
    LightClientFinalityUpdate,
    LightClientOptimisticUpdate,
    LightClientUpdate,
)
from lightclient.errors import DeriveError
from lightclient.protocol.excerpts import (
    create_light_client_finality_update,
    create_light_client_optimistic_update,
)
from lightclient.simulator.chain import SimulatedChain
from lightclient.simulator.views import ChainView
from lightclient.transports.libp2p.judgement import PushedUpdate
from lightclient.wire.messages import Status


class HasChain(Protocol):
    """Whoever has a chain, which may grow as it is asked for. A chain has itself."""

    @property
    def chain(self) -> SimulatedChain:
        """The chain as of now."""
        ...


class ServedChain:
    """A chain as the source of what a node serves; see ``LightClientData``."""

    def __init__(self, owner: HasChain) -> None:
        self._owner = owner

    async def bootstrap(self, block_root: bytes) -> LightClientBootstrap | None:
        """The bootstrap of a block, if there is one."""
        return self._owner.chain.bootstrap(block_root)

    async def updates(self, start_period: int, count: int) -> Sequence[LightClientUpdate]:
        """The best updates of a range of periods, ascending, with gaps left out."""
        return self._owner.chain.updates(start_period, count)

    async def finality_update(self) -> LightClientFinalityUpdate | None:
        """The latest finality update, if there is one."""
        return self._owner.chain.finality_update()

    async def optimistic_update(self) -> LightClientOptimisticUpdate | None:
        """The latest optimistic update, if there is one."""
        return self._owner.chain.optimistic_update()


def latest_updates(chain: SimulatedChain) -> list[PushedUpdate]:
    """What a full node gossips of a chain's head: the finality update first, where there is one."""
    found = (chain.finality_update(), chain.optimistic_update())
    return [update for update in found if update is not None]


def status_of(view: ChainView, slot: int) -> Status:
    """What a full node with this view says of itself in ``slot``, by the clock."""
    network: Network = view.network
    finalized = view.finalized
    return Status(
        network.compute_fork_digest(network.compute_epoch_at_slot(slot)),
        bytes(32) if finalized is None else view.head.finalized.root,
        0 if finalized is None else view.head.finalized.epoch,
        view.head.root,
        view.head.slot,
        view.chain.first_slot,
    )


def is_of_chain(update: PushedUpdate, chain: SimulatedChain) -> bool:
    """Whether an update is, bit for bit, one that an honest node of the chain could have made."""
    try:
        signer = chain.block_at(update.signature_slot)
        if signer.slot != update.signature_slot:
            return False
        full = chain.update_signed_by(signer)
        if isinstance(update, LightClientFinalityUpdate):
            return create_light_client_finality_update(full) == update
        return create_light_client_optimistic_update(full) == update
    except (LookupError, DeriveError):
        return False
