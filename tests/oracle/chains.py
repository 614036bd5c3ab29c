"""Simulated chains: what is derived from their states and blocks, and a store that follows them."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from random import Random
from typing import Any

from lightclient.beacon.types import View
from lightclient.bls import available_backends
from lightclient.config import Network
from lightclient.containers import LightClientObject, encode_ssz
from lightclient.errors import DeriveError
from lightclient.protocol.excerpts import (
    create_light_client_finality_update,
    create_light_client_optimistic_update,
)
from lightclient.simulator.blocks import SimulatedBlock
from lightclient.simulator.chain import SimulatedChain
from tests.oracle.comparing import Comparison, Diverged, Mismatch
from tests.oracle.drawing import Start, Step
from tests.oracle.mutations import mutated_bytes
from tests.oracle.specification import Specification
from tests.oracle.worlds import drawn_world


def compare_chain(seed: str, counts: Counter[tuple[str, str]]) -> None:
    """Draw a chain, compare what full nodes derive from it, and follow it.

    Raises:
        Mismatch: an object, a verdict or the store differs.
    """
    draw = Random(seed)
    world = drawn_world(draw, "minimal")
    period = world.network.preset.slots_per_sync_committee_period
    around = draw.choice([0, *world.boundaries])
    dense_from = max(0, around - period)
    chain = SimulatedChain(
        world.network,
        seed=draw.randrange(4),
        dense_from_slot=dense_from,
        participation=draw.choice([None, 1.0, 0.66, 0.7, lambda slot: (slot * 7 % 33) / 32]),
        missed_slots={draw.randrange(around + 2 * period) for _ in range(draw.randrange(60))},
        non_final_epochs=set(draw.sample(range(80), draw.randrange(6))),
    )
    chain.advance_to(around + draw.randrange(period, 3 * period))
    specification = Specification(chain.network, world.store_fork)
    for _ in range(6):
        _compare_derived(draw, chain, specification, counts)
    _follow(draw, chain, specification, counts)


# Deriving -----------------------------------------------------------------------------------------


def _view(specification: Specification, block: SimulatedBlock, name: str, view: View) -> Any:
    module = specification.modules[block.fork.name]
    return getattr(module, name).decode_bytes(bytes(view.encode_bytes()))


def _signed_block(specification: Specification, block: SimulatedBlock) -> Any:
    message = _view(specification, block, "BeaconBlock", block.block)
    return specification.modules[block.fork.name].SignedBeaconBlock(message=message)


def _compare_derived(
    draw: Random,
    chain: SimulatedChain,
    specification: Specification,
    counts: Counter[tuple[str, str]],
) -> None:
    block = draw.choice(chain.blocks)
    bootstrap = chain.bootstrap(draw.choice(chain.trusted_block_roots() or [bytes(32)]))
    if bootstrap is not None:
        of = chain.blocks_by_root[bootstrap.header.beacon.hash_tree_root()]
        module = specification.modules[of.fork.name]
        state = _view(specification, of, "BeaconState", of.state)
        theirs = module.create_light_client_bootstrap(state, _signed_block(specification, of))
        _same_object(bootstrap, theirs)
        counts[of.fork.name, "derived"] += 1
    attested = block.parent
    if attested is None or not block.participants:
        return
    finalized = chain.finalized_block_of(attested)
    module = specification.modules[attested.fork.name]
    parts = (
        _view(specification, block, "BeaconState", block.state),
        _signed_block(specification, block),
        _view(specification, attested, "BeaconState", attested.state),
        _signed_block(specification, attested),
        None if finalized is None else _signed_block(specification, finalized),
    )
    try:
        ours = chain.update_signed_by(block)
    except DeriveError as error:
        try:
            module.create_light_client_update(*parts)
        except AssertionError:
            counts["derivation", "refused"] += 1
            return
        raise Mismatch(f"not derived: {error}") from None
    theirs = module.create_light_client_update(*parts)
    _same_object(ours, theirs)
    _same_object(
        create_light_client_finality_update(ours),
        module.create_light_client_finality_update(theirs),
    )
    _same_object(
        create_light_client_optimistic_update(ours),
        module.create_light_client_optimistic_update(theirs),
    )
    counts[attested.fork.name, "derived"] += 3


def _same_object(ours: LightClientObject, theirs: Any) -> None:
    mine, data = encode_ssz(ours), bytes(theirs.encode_bytes())
    if mine != data:
        raise Mismatch(f"derived {ours.kind}: {mine.hex()}, not {data.hex()}")


# Following ----------------------------------------------------------------------------------------


def _step(value: LightClientObject, current_slot: int) -> Step:
    return Step(value.kind, value.data_format, encode_ssz(value), current_slot)


def _follow(
    draw: Random,
    chain: SimulatedChain,
    specification: Specification,
    counts: Counter[tuple[str, str]],
) -> None:
    roots = chain.trusted_block_roots()
    if not roots:
        return
    root = draw.choice(roots)
    bootstrap = chain.bootstrap(root)
    assert bootstrap is not None
    backend = draw.choice(available_backends())
    comparison = Comparison(specification, backend, backend, counts)
    if not comparison.start(Start(_step(bootstrap, bootstrap.header.beacon.slot), root)):
        raise Mismatch("an honest bootstrap is refused")
    try:
        for step in _history(draw, chain, bootstrap.header.beacon.slot, chain.network):
            comparison.step(step)
    except Diverged:
        counts["sequence", "ended by an excused difference"] += 1


def _history(draw: Random, chain: SimulatedChain, slot: int, network: Network) -> list[Step]:
    """A period's best update each, then what is pushed, some of it damaged or out of order."""
    period = network.compute_sync_committee_period_at_slot(slot)
    now = chain.head.slot + 1
    steps = []
    with suppress(DeriveError):
        steps = [_step(update, now) for update in chain.updates(period, 8)]
    signers = [block for block in chain.blocks if block.parent and block.participants]
    for block in draw.sample(signers, min(len(signers), 14)):
        try:
            update = chain.update_signed_by(block)
        except DeriveError:  # a finalized genesis block at a later epoch has no proof
            continue
        values: list[LightClientObject] = [
            update,
            create_light_client_finality_update(update),
            create_light_client_optimistic_update(update),
        ]
        value = draw.choice(values)
        steps.append(_step(value, draw.choice([now, block.slot, block.slot - 1])))
    if draw.random() < 0.4:
        draw.shuffle(steps)
    damaged = []
    for step in steps:
        if draw.random() < 0.3:
            name, data = mutated_bytes(draw, step.data)
            damaged.append(Step(step.kind, step.data_format, data, step.current_slot, (name,)))
        damaged.append(step)
    return damaged
