"""Plays sequences, and shortens one that ends in a mismatch."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from lightclient.bls import Backend, available_backends
from lightclient.config import config_mapping
from tests.oracle.committees import Committees
from tests.oracle.comparing import Comparison, Diverged, Mismatch
from tests.oracle.drawing import Drawer, Start, Step
from tests.oracle.specification import Specification
from tests.oracle.worlds import FORK_NAMES, World, drawn_world

STEPS = 45
_committees: dict[tuple[int, int], Committees] = {}


@dataclass(frozen=True)
class Failure:
    """A sequence whose last step is judged differently, as short as it could be made."""

    seed: str
    world: World
    start: Start
    steps: tuple[Step, ...]
    reason: str

    def as_text(self) -> str:
        """A few lines for people."""
        names = [", ".join(step.names) or "plain" for step in (self.start.step, *self.steps)]
        last = (self.start.step, *self.steps)[-1]
        lines = [
            f"seed {self.seed!r}, store fork {self.world.store_fork}",
            f"steps: {' | '.join(names)}",
            f"last: {last.kind} in format {last.data_format.name} at slot {last.current_slot}",
            self.reason[:1500],
        ]
        return "\n  ".join(lines)

    def write(self, path: Path) -> None:
        """As JSON lines: the network and the bootstrap, then each step."""
        network = self.world.network
        first: dict[str, Any] = {
            "seed": self.seed,
            "config": config_mapping(network),
            "genesis_validators_root": network.genesis_validators_root.hex(),
            "trusted_block_root": self.start.trusted_block_root.hex(),
            "store_fork": self.world.store_fork,
            "reason": self.reason,
        }
        lines = [first, *(_as_json(step) for step in (self.start.step, *self.steps))]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def _as_json(step: Step) -> dict[str, Any]:
    return {
        "kind": None if step.kind is None else step.kind.value,
        "format": step.data_format.name,
        "current_slot": step.current_slot,
        "names": step.names,
        "ssz": step.data.hex(),
    }


def _backends(draw: Random) -> tuple[Backend, Backend]:
    usable = available_backends()
    return draw.choice(usable), draw.choice(usable)


def committees_for(size: int, seed: int, backend: Backend) -> Committees:
    """Committees of a size; the same few are shared by all sequences."""
    key = (size, seed)
    if key not in _committees:
        _committees[key] = Committees(backend, size, seed)
    return _committees[key]


def play(seed: str, preset: str, counts: Counter[tuple[str, str]]) -> Failure | None:
    """Draw and play one sequence; None if everything agreed."""
    draw = Random(seed)
    world = drawn_world(draw, preset, draw.choice([*FORK_NAMES, *FORK_NAMES[2:], "gloas"]))
    specification = Specification(world.network, world.store_fork)
    backends = _backends(draw)
    size = world.network.preset.sync_committee_size
    committees = committees_for(size, draw.randrange(3), available_backends()[0])
    drawer = Drawer(draw, world, specification, committees)
    comparison = Comparison(specification, *backends, counts)
    start = drawer.bootstrap(hostile=draw.random() < 0.25)
    steps: list[Step] = []
    try:
        if not comparison.start(start):
            return None
        for _ in range(draw.randrange(5, 2 * STEPS)):
            assert comparison.store is not None
            step = drawer.step(comparison.store)
            steps.append(step)
            comparison.step(step)
    except Diverged:
        counts["sequence", "ended by an excused difference"] += 1
    except Mismatch as mismatch:
        failure = Failure(seed, world, start, tuple(steps), str(mismatch))
        return shortened(failure, backends)
    return None


def reason_of(
    failure: Failure, steps: Sequence[Step], backends: tuple[Backend, Backend]
) -> str | None:
    """Why these steps after the failure's bootstrap end in a mismatch; None if they do not."""
    comparison = Comparison(
        Specification(failure.world.network, failure.world.store_fork), *backends, Counter()
    )
    last = len(steps) - 1
    try:
        if not comparison.start(failure.start):
            return None
        for index, step in enumerate(steps):
            try:
                comparison.step(step)
            except Mismatch as mismatch:
                return str(mismatch) if index == last else None
    except Mismatch as mismatch:
        return str(mismatch) if not steps else None
    except Diverged:
        return None
    return None


def shortened(failure: Failure, backends: tuple[Backend, Backend]) -> Failure:
    """The failure without the steps that it does not need."""
    steps = list(failure.steps)
    index = len(steps) - 2
    while index >= 0:
        fewer = steps[:index] + steps[index + 1 :]
        if reason_of(failure, fewer, backends) is not None:
            steps = fewer
        index -= 1
    reason = reason_of(failure, steps, backends) or f"(not repeatable) {failure.reason}"
    return Failure(failure.seed, failure.world, failure.start, tuple(steps), reason)
