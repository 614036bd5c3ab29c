"""A year of chain time as a laptop has it, and a month as a server has it: long, quiet scenarios.

Both are on a network of mainnet's shape: 12 s slots, 8,192 of them a period, committees of 512. The
year passes all forks; most of it the machine sleeps. The month is followed slot by slot.
"""

from __future__ import annotations

import gc
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

from lightclient.config import FORKS, Network
from lightclient.config.presets import MAINNET
from lightclient.simulator import simulated_network
from tests.soak.blocks import hashed
from tests.soak.chain import Course
from tests.soak.figures import Figures, Result
from tests.soak.providers import HONEST, Behaviour
from tests.soak.scenario import CALM_SLOTS, Kind, Phase, Restart, Scenario
from tests.soak.virtual_time import draws_for
from tests.soak.world import World, play

_DAY_SLOTS = 7200
_SLOT_MS = MAINNET.slot_duration_ms
_WAKING_SLOTS = 12
_WAKINGS_A_DAY = 3
_MEGABYTE = 1 << 20
_TOLERATED_GROWTH_BYTES = 8 * _MEGABYTE
"""Of the whole process: the simulated chain remembers each epoch and each committee."""
_SETTLED_AFTER_DAYS = 7
"""What may hold so much and no more is full by then: records of conflicts, committees, measures."""
_TOLERATED_OWN_GROWTH_BYTES = _MEGABYTE // 4


@dataclass
class LongResult:
    """What came of a long run.

    Attributes:
        memory: days, bytes that the process occupies, bytes that the client holds.
    """

    result: Result
    slots_awake: int
    periods: int
    memory: list[tuple[float, int, int]] = field(default_factory=list)

    @property
    def violations(self) -> list[str]:
        """What went wrong."""
        found = list(self.result.violations)
        if self.memory_growth > _TOLERATED_GROWTH_BYTES:
            found.append(f"memory grew by {self.memory_growth / _MEGABYTE:.1f} MB")
        if self.own_growth > _TOLERATED_OWN_GROWTH_BYTES:
            found.append(f"the client grew by {self.own_growth / _MEGABYTE:.2f} MB")
        return found

    @property
    def memory_growth(self) -> int:
        """Bytes of the process from the end of the first week to the end."""
        return self._growth(1)

    @property
    def own_growth(self) -> int:
        """Bytes of the client, likewise."""
        return self._growth(2)

    def _growth(self, column: int) -> int:
        settled = self.memory[_SETTLED_AFTER_DAYS - 1 :]
        return int(settled[-1][column] - settled[0][column]) if settled else 0

    def told(self) -> str:
        """For people."""
        figures: Figures = self.result.figures
        slots = figures.virtual_seconds * 1000 / _SLOT_MS
        lines = [f"{self.slots_awake:,} slots followed of {slots:,.0f}, {self.periods:,} periods"]
        lines += figures.lines()
        for days, resident, own in self.memory[:: max(len(self.memory) // 6, 1)]:
            lines.append(
                f"  after {days:5.1f} days: {resident / _MEGABYTE:6.1f} MB resident,"
                f" {own / _MEGABYTE:.2f} MB of the client's own"
            )
        if self.memory:
            growth = self.memory_growth / _MEGABYTE
            held = self.own_growth / _MEGABYTE
            lines.append(
                f"  growth after the first week: {growth:+.1f} MB, {held:+.2f} MB of its own"
            )
        return "\n".join([*lines, *self.violations[:5]])


def follow_a_year(seed: int, days: int = 365) -> LongResult:
    """A laptop's year: some minutes at a time, asleep for hours in between, twice for two weeks."""
    draw = draws_for("year", seed)
    network = _network(days)
    phases: list[Phase] = []
    faulty = (
        Behaviour(down=0.5, latency=(0.0, 8.0)),
        Behaviour(forging=0.3, replaying=0.2, pushes="broken"),
    )
    day = 0
    while day < days:
        naps = [draw.uniform(0.5, 1.5) for _ in range(_WAKINGS_A_DAY)]
        if day in (120, 250):
            naps[0] += 14 * _WAKINGS_A_DAY
            day += 14
        for nap in naps:
            slots = int(nap * _DAY_SLOTS / _WAKINGS_A_DAY) - _WAKING_SLOTS
            phases.append(
                Phase(
                    Kind.CALM,
                    _WAKING_SLOTS,
                    (HONEST, *faulty),
                    suspend_ms=slots * _SLOT_MS,
                    restart=Restart.NONE if draw.random() < 0.98 else Restart.KILL,
                )
            )
        day += 1
    return _played(seed, network, phases)


def follow_a_month(seed: int, days: int = 30) -> LongResult:
    """A server's month: awake all the time, one provider pushes, the other one is polled."""
    network = _network(days)
    behaviours = (replace(HONEST, pushes="honest"), HONEST)
    day = (
        Phase(Kind.TROUBLED, _DAY_SLOTS - CALM_SLOTS, behaviours),
        Phase(Kind.CALM, CALM_SLOTS, behaviours),
    )
    phases = [phase for _ in range(days) for phase in day]
    return _played(seed, network, phases, measure=True)


def _network(days: int) -> Network:
    """All forks, spread over the time."""
    epochs = days * _DAY_SLOTS // MAINNET.slots_per_epoch
    first = 2 * MAINNET.epochs_per_sync_committee_period
    names = [fork.name for fork in FORKS[2:]]
    step = epochs // (len(names) + 1)
    forks = {name: first + step * (index + 1) for index, name in enumerate(names)}
    network = simulated_network(MAINNET, {"altair": 0, **forks}, genesis_time=1_600_000_000)
    return replace(network, genesis_validators_root=hashed("a long time", days))


def _played(
    seed: int, network: Network, phases: list[Phase], *, measure: bool = False
) -> LongResult:
    start_slot = MAINNET.slots_per_sync_committee_period + 500
    scenario = Scenario(
        seed,
        network,
        first_slot=0,
        trusted_slot=start_slot - 200,
        start_slot=start_slot,
        course=Course(missed=0.01),
        phases=tuple(phases),
        has_disk=True,
    )
    memory: list[tuple[float, int, int]] = []

    def look(world: World) -> None:
        gc.collect()
        days = (world.slot - start_slot) / _DAY_SLOTS
        if memory and days < memory[-1][0] + 0.5:
            return
        memory.append((days, resident_bytes(), world.client_bytes()))

    result = play(scenario, after_phase=look if measure else None)
    slots = result.figures.virtual_seconds * 1000 / network.slot_duration_ms
    return LongResult(
        result,
        int(result.figures.awake_seconds * 1000 / network.slot_duration_ms),
        int(slots / MAINNET.slots_per_sync_committee_period),
        memory,
    )


def resident_bytes() -> int:
    """The memory that this process occupies; 0 where nobody says."""
    if sys.platform != "linux":
        return 0
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096
