"""Sequences that are judged at one current slot, by us and by the specification, one by one.

What takes many objects at once must come to the same verdicts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from lightclient.bls import available_backends
from lightclient.config import Network
from lightclient.containers import LightClientObject, ObjectKind, object_type
from lightclient.errors import DecodeError
from lightclient.protocol import ACCEPTED, LightClientStore, Verdict
from tests.oracle.comparing import Comparison, Diverged
from tests.oracle.drawing import Drawer, Start, Step
from tests.oracle.playing import committees_for
from tests.oracle.specification import Specification
from tests.oracle.worlds import drawn_world


@dataclass(frozen=True)
class Judged:
    """A step with what directly processing its object led to."""

    step: Step
    value: LightClientObject | None
    verdict: Verdict
    store: LightClientStore


@dataclass(frozen=True)
class JudgedSequence:
    """A bootstrap that is accepted and what follows it, all judged at one current slot."""

    network: Network
    start: Start
    at_slot: int
    judged: Sequence[Judged]


def judged_sequence(
    draw: Random,
    kinds: Sequence[ObjectKind],
    most: int,
    is_wanted: Callable[[Step, Network], bool],
) -> JudgedSequence | None:
    """Draw a sequence with up to ``most`` objects of each of the kinds in turn.

    None if the bootstrap is not accepted. Raises Mismatch as comparing does.
    """
    world = drawn_world(draw, "minimal")
    network = world.network
    specification = Specification(network, world.store_fork)
    backend = available_backends()[0]
    committees = committees_for(network.preset.sync_committee_size, 0, backend)
    drawer = Drawer(draw, world, specification, committees)
    comparison = Comparison(specification, backend, backend, Counter())
    start = drawer.bootstrap(hostile=False)
    at_slot = start.step.current_slot + draw.randrange(3 * drawer.period_slots)
    start = replace(start, step=replace(start.step, current_slot=at_slot))
    if not is_wanted(start.step, network) or not comparison.start(start):
        return None
    store = comparison.store
    assert store is not None
    judged = [Judged(start.step, decoded_object(start.step, network), ACCEPTED, store.copy())]
    sequence = JudgedSequence(network, start, at_slot, judged)
    for kind in kinds:
        left = draw.randrange(most + 1)
        for _ in range(20 * left):
            step = replace(drawer.step(store), current_slot=at_slot)
            if left == 0 or step.kind is not kind or not is_wanted(step, network):
                continue
            try:
                verdict = comparison.step(step)
            except Diverged:
                return sequence
            left -= 1
            assert verdict is not None
            judged.append(Judged(step, decoded_object(step, network), verdict, store.copy()))
    return sequence


def decoded_object(step: Step, network: Network) -> LightClientObject | None:
    """The object of a step in its format; None if it has no such object."""
    assert step.kind is not None
    try:
        layout = object_type(step.kind, step.data_format, network.preset.sync_committee_size)
        return layout.decode(step.data)
    except DecodeError:
        return None
