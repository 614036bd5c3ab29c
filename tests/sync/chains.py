"""Simulated chains for the engine's tests, made once each."""

from __future__ import annotations

from functools import cache

from lightclient.containers import (
    LightClientBootstrap,
    LightClientFinalityUpdate,
    LightClientOptimisticUpdate,
    LightClientUpdate,
)
from lightclient.simulator import SimulatedChain, simulated_network
from lightclient.sync import Processor

GENESIS = 1_700_000_000
SLOT_MS = 6_000
PERIOD = 64
HEAD = 4 * PERIOD + 30
FORK_EPOCHS = {"altair": 0, "capella": 8, "electra": 24}


@cache
def chain() -> SimulatedChain:
    """Four sparse periods and the beginning of a fifth, all well signed and final."""
    network = simulated_network(
        "minimal", FORK_EPOCHS, genesis_time=GENESIS, slot_duration_ms=SLOT_MS
    )
    made = SimulatedChain(network, dense_from_slot=HEAD - 24)
    made.advance_to(HEAD)
    return made


@cache
def weak_chain() -> SimulatedChain:
    """The same, but from period 1 on only half of the committee signs: nothing is final any more.

    The validators and their committees are those of :func:`chain`.
    """
    made = SimulatedChain(
        chain().network,
        keys=chain().keys,
        dense_from_slot=HEAD,
        participation=lambda slot: 0.5 if slot >= PERIOD else 1.0,
    )
    made.advance_to(HEAD)
    return made


@cache
def bootstrap(slot: int = 0, *, weak: bool = False) -> LightClientBootstrap:
    """The first bootstrap from ``slot`` on."""
    source = weak_chain() if weak else chain()
    found = source.bootstrap(source.trusted_block_root(slot))
    assert found is not None
    return found


@cache
def update(period: int, *, weak: bool = False) -> LightClientUpdate:
    """The best update of ``period``."""
    found = (weak_chain() if weak else chain()).best_update(period)
    assert found is not None
    return found


def finality_update() -> LightClientFinalityUpdate:
    """The newest one."""
    found = chain().finality_update()
    assert found is not None
    return found


def optimistic_update() -> LightClientOptimisticUpdate:
    """The newest one."""
    found = chain().optimistic_update()
    assert found is not None
    return found


def at(slot: float) -> int:
    """The time so many slots after genesis, Unix milliseconds."""
    return GENESIS * 1000 + int(slot * SLOT_MS)


NOW = at(HEAD)


def processor(slot: int = 0, *, weak: bool = False, **options: object) -> Processor:
    """A processor that has its bootstrap."""
    first = bootstrap(slot, weak=weak)
    made = Processor(
        chain().network,
        first.header.beacon.hash_tree_root(),
        **options,  # type: ignore[arg-type]
    )
    assert made.process(first, NOW).progress
    return made
