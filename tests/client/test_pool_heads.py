"""What peers are told of our place on the chain when it is not what the chain finalized.

Peers compare finalized roots by epoch, both ways: a block from the midst of an epoch, told as its
checkpoint, has honest peers take us for another network's, and us them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lightclient.client.pool_membership import PoolMembership
from lightclient.containers import LightClientUpdate
from lightclient.sync import VerifiedHeader
from lightclient.sync.proofs import StoreProofs
from lightclient.transports.libp2p.standing import irrelevance, own_status
from lightclient.wire.messages import Status
from tests.client.world import World

SLOT = 300
ZERO_ROOT = bytes(32)


@pytest.fixture(scope="module")
def world() -> World:
    return World(SLOT)


def latest_update(world: World) -> LightClientUpdate:
    update = world.chain.finality_update()
    assert update is not None
    full = update.as_update(world.network.preset.sync_committee_size)
    assert full.finalized_header.beacon.slot < SLOT - 3
    return attested_at(full, SLOT - 3)


def attested_at(update: LightClientUpdate, slot: int) -> LightClientUpdate:
    """The update with another attested slot; nothing is verified here."""
    beacon = replace(update.attested_header.beacon, slot=slot)
    return replace(update, attested_header=replace(update.attested_header, beacon=beacon))


class Store:
    """A client's store by hand, and its membership in a pool."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.processor = SimpleNamespace(
            finalized_header=None, optimistic_header=None, proofs=StoreProofs()
        )
        fetcher = cast("Any", SimpleNamespace(processor=self.processor))
        self.membership = PoolMembership(fetcher, world.clock, lambda: None)

    def take(self, update: LightClientUpdate, *, forced: bool) -> None:
        if forced:  # as the specification does where there is no finality
            update = replace(update, finalized_header=update.attested_header)
        self.processor.proofs = StoreProofs(update, update)
        self.processor.finalized_header = self.verified(update.finalized_header)
        self.processor.optimistic_header = self.verified(update.attested_header)

    def verified(self, header: Any) -> VerifiedHeader:
        return VerifiedHeader(header, self.world.network)

    def status(self) -> Status:
        return own_status(self.world.network, self.membership.heads(), self.world.slot)

    def irrelevance(self, status: Status) -> str | None:
        return irrelevance(self.world.network, self.membership.heads(), status, self.world.slot)


@pytest.fixture
def update(world: World) -> LightClientUpdate:
    return latest_update(world)


@pytest.fixture
def store(world: World) -> Iterator[Store]:
    made = Store(world)
    with made.membership._send, made.membership._receive:
        yield made


def test_after_a_forced_update_the_last_checkpoint_is_told_with_the_new_head(
    store: Store, update: LightClientUpdate
) -> None:
    store.take(update, forced=False)
    before = store.status()
    assert before.finalized_root == update.finalized_header.beacon.hash_tree_root()
    store.take(attested_at(update, SLOT - 1), forced=True)
    status = store.status()
    assert (status.finalized_root, status.finalized_epoch) == (
        before.finalized_root,
        before.finalized_epoch,
    )
    assert status.head_slot == SLOT - 1


def test_a_forced_block_in_the_midst_of_an_epoch_is_told_as_no_checkpoint(
    store: Store, update: LightClientUpdate
) -> None:
    store.take(update, forced=True)
    status = store.status()
    assert (status.finalized_root, status.finalized_epoch) == (ZERO_ROOT, 0)
    assert status.head_root == update.attested_header.beacon.hash_tree_root()
    assert status.head_slot == update.attested_header.beacon.slot


def test_honest_peers_stay_when_they_finalize_the_epoch_of_a_forced_block(
    store: Store, update: LightClientUpdate
) -> None:
    store.take(update, forced=True)
    per_epoch = store.world.network.preset.slots_per_epoch
    epoch = -(-update.attested_header.beacon.slot // per_epoch)
    honest = replace(store.status(), finalized_root=b"\x01" * 32, finalized_epoch=epoch)
    assert store.irrelevance(honest) is None
    # Where the chain finalized it, another block in its epoch is another chain's.
    store.take(update, forced=False)
    epoch = -(-update.finalized_header.beacon.slot // per_epoch)
    other = replace(store.status(), finalized_root=b"\x01" * 32, finalized_epoch=epoch)
    assert store.irrelevance(other) is not None


@pytest.mark.parametrize(("slot", "is_told"), [(288, True), (289, False), (295, False)])
def test_a_trusted_block_is_told_as_a_checkpoint_if_it_may_be_one(
    store: Store, update: LightClientUpdate, slot: int, is_told: bool
) -> None:
    header = attested_at(update, slot).attested_header
    store.processor.finalized_header = store.verified(header)
    store.processor.optimistic_header = store.verified(header)
    assert (store.status().finalized_root != ZERO_ROOT) is is_told
    assert store.status().head_slot == slot


def test_a_store_that_begins_anew_forgets_the_checkpoint(
    store: Store, update: LightClientUpdate
) -> None:
    store.take(update, forced=False)
    assert store.status().finalized_root != ZERO_ROOT
    store.processor.finalized_header = store.processor.optimistic_header = None
    assert store.membership.heads().finalized is None
    assert store.status().finalized_root == ZERO_ROOT
