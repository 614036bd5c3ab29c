"""States of a client along a simulated chain, in the order in which it goes through them."""

from __future__ import annotations

from functools import cache

from lightclient.bls import choose_backend
from lightclient.config import Network
from lightclient.containers import LightClientObject
from lightclient.protocol import SignatureVerifier
from lightclient.storage import StoredState
from lightclient.sync import Processor
from tests.sync.chains import (
    NOW,
    bootstrap,
    chain,
    finality_update,
    optimistic_update,
    processor,
    update,
)

ROOT = bootstrap().header.beacon.hash_tree_root()
OTHER_ROOT = bytes(range(32))
SCORES = {"https://beacon.example": {"availability": 300, "honesty": -1000}}


def network() -> Network:
    return chain().network


def verifier() -> SignatureVerifier:
    """One that remembers nothing."""
    return SignatureVerifier(choose_backend())


def state_of(made: Processor, saved_at_ms: int = 0, root: bytes = ROOT) -> StoredState:
    assert made.store is not None
    return StoredState.of(network(), root, made.store.copy(), made.proofs, saved_at_ms, SCORES)


@cache
def states() -> tuple[StoredState, ...]:
    """From the bootstrap to the head, then one with a candidate of a stalled period."""
    made = processor()
    found = [state_of(made, 1)]
    later: list[LightClientObject] = [
        *map(update, range(5)),
        finality_update(),
        optimistic_update(),
    ]
    for value in later:
        made.process(value, NOW)
        found.append(state_of(made, len(found) + 1))
    weak = processor(weak=True)
    for period in range(2):
        weak.process(update(period, weak=True), NOW)
    found.append(
        state_of(weak, len(found) + 1, bootstrap(weak=True).header.beacon.hash_tree_root())
    )
    return tuple(found)


def newest() -> StoredState:
    """The state at the head."""
    return states()[-2]


def same(one: StoredState | None, other: StoredState) -> bool:
    """Whether both hold the same; what is not needed of a proof may be gone."""
    return one is not None and (
        one.store == other.store
        and one.network == other.network
        and one.trusted_block_root == other.trusted_block_root
        and one.saved_at_ms == other.saved_at_ms
        and one.scores == other.scores
    )
