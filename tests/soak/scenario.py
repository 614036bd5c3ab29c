"""What happens to a simulated client, drawn from a seed: network, providers, clock, troubles.

A scenario is a list of phases. In each, every provider keeps one behaviour; between them time may
jump, clocks be set, and the client be stopped, killed and started again.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum

from lightclient.config import FORKS, Network, Preset
from lightclient.config.presets import GNOSIS, MAINNET
from lightclient.simulator import simulated_network
from tests.soak.blocks import hashed
from tests.soak.chain import Course
from tests.soak.providers import HONEST, Behaviour
from tests.soak.virtual_time import draws_for

CALM_SLOTS = 150
"""With an honest provider in reach and a right clock, so many slots suffice to reach the head."""

_GENESIS = 1_600_000_000
_HOUR_MS = 3_600_000


class Kind(StrEnum):
    """What a phase is for."""

    CALM = "calm"
    """An honest provider is there all the time and the clock is right: the head must be reached."""
    TROUBLED = "troubled"
    """Anything."""
    HOPELESS = "hopeless"
    """Nobody serves the true chain's present: nothing false may be shown, and no claim be made."""


class Restart(StrEnum):
    """How the client is started again before a phase."""

    NONE = "none"
    STOP = "stop"
    KILL = "kill"


@dataclass(frozen=True)
class Phase:
    """A stretch of time.

    Attributes:
        slots: how long, while the machine is awake.
        behaviours: of each provider.
        suspend_ms: how long the machine sleeps first. skew_ms: of its clock, from here on.
        disk_failure: "full" or "broken" from here on. damage: of what is on disk, while the client
            is down.
        stall_epochs, drought_slots, weak_slots: trouble of the chain itself, from here on;
            ``weak_share`` of the committee signs meanwhile.
    """

    kind: Kind
    slots: int
    behaviours: tuple[Behaviour, ...]
    restart: Restart = Restart.NONE
    suspend_ms: int = 0
    skew_ms: int = 0
    disk_failure: str | None = None
    damage: bool = False
    stall_epochs: int = 0
    drought_slots: int = 0
    weak_slots: int = 0
    weak_share: float = 0.5


@dataclass(frozen=True)
class Scenario:
    """One seed's world.

    Attributes:
        first_slot: where the nodes' history begins.
        trusted_slot: the trusted block is the first one with a bootstrap from here on.
        start_slot: the slot in which the client is first started.
        backend: "toy", or the name of a real one.
        over_http: whether providers are asked through the REST transport, over HTTP in process.
        has_disk: whether the client keeps its state.
        insists: after a refusal to start from something old, the user insists; otherwise a newer
            trusted block root is given.
    """

    seed: int
    network: Network
    first_slot: int
    trusted_slot: int
    start_slot: int
    course: Course
    phases: tuple[Phase, ...]
    backend: str = "toy"
    forced_update: str = "never"
    over_http: bool = False
    has_disk: bool = False
    insists: bool = True
    min_providers: int = 1
    conflict_policy: str = "continue"

    @property
    def providers(self) -> int:
        """How many there are."""
        return len(self.phases[0].behaviours)

    @property
    def may_conflict(self) -> bool:
        """Whether more than half of a committee has signed beside the chain."""
        return any(
            behaviour.treason > 0.5 for phase in self.phases for behaviour in phase.behaviours
        )

    def told(self) -> str:
        """For people who look for what went wrong."""
        preset = self.network.preset
        keeping = "with a disk" if self.has_disk else "without a disk"
        way = "over HTTP" if self.over_http else "in process"
        lines = [
            f"seed {self.seed}: {preset}, {self.network.slot_duration_ms} ms a slot",
            f"  {way}, {self.backend} keys, forced update {self.forced_update}, {keeping}",
            f"  min_providers {self.min_providers}, on conflicts {self.conflict_policy}",
            f"  first slot {self.first_slot}, trusted {self.trusted_slot}, start {self.start_slot}",
            f"  {self.course}",
        ]
        for number, phase in enumerate(self.phases):
            changes = [f"{phase.kind}, {phase.slots} slots"]
            changes += [
                f"{item.name} {getattr(phase, item.name)}"
                for item in fields(phase)[3:]
                if getattr(phase, item.name) != item.default
            ]
            lines.append(f"  {number} {', '.join(changes)}")
            lines += [f"      {_told(behaviour)}" for behaviour in phase.behaviours]
        return "\n".join(lines)


def _told(behaviour: Behaviour) -> str:
    changed = [
        f"{item.name} {getattr(behaviour, item.name)}"
        for item in fields(behaviour)
        if getattr(behaviour, item.name) != item.default
    ]
    return ", ".join(changed) or "honest"


def draw_scenario(seed: int) -> Scenario:
    """The scenario of ``seed``."""
    draw = draws_for("scenario", seed)
    preset = _draw_preset(draw)
    spe, period = preset.slots_per_epoch, preset.slots_per_sync_committee_period
    first_slot = draw.choice((0, 0, 3, 40)) * period
    history = draw.choice((3 * spe + 2, period, 3 * period, 12 * period)) + draw.randrange(period)
    history = max(history, 4 * spe + 2)
    start_slot = first_slot + history
    trusted_slot = first_slot
    if draw.random() < 0.5:
        trusted_slot = draw.randrange(first_slot, max(start_slot - 3 * spe, first_slot + 1))
    network = _draw_network(draw, preset, start_slot // spe, period // spe)
    course = Course(
        missed=draw.choice((0.0, 0.02, 0.2)), participation=draw.choice((1.0, 0.98, 0.85))
    )
    forced_update = draw.choice(("never", "never", "never", "spec-timeout", "nimbus"))
    phases = _draw_phases(draw, network, may_betray=forced_update == "never")
    providers = len(phases[0].behaviours)
    return Scenario(
        seed,
        network,
        first_slot,
        trusted_slot,
        start_slot,
        course,
        phases,
        backend="toy" if draw.random() < 0.985 else draw.choice(("milagro", "arkworks", "blst")),
        forced_update=forced_update,
        over_http=draw.random() < 0.15,
        has_disk=draw.random() < 0.6,
        insists=draw.random() < 0.5,
        min_providers=draw.choice((1, 1, 1, min(2, providers), min(3, providers))),
        conflict_policy=draw.choice(("halt", "continue")),
    )


def _draw_preset(draw: random.Random) -> Preset:
    kind = draw.random()
    if kind < 0.04:
        return MAINNET
    if kind < 0.06:
        return GNOSIS
    return Preset(
        name="minimal",
        slots_per_epoch=draw.choice((4, 8)),
        epochs_per_sync_committee_period=draw.choice((4, 8, 16)),
        sync_committee_size=draw.choice((16, 32, 40, 64)),
        min_sync_committee_participants=1,
        slot_duration_ms=draw.choice((2_000, 6_000, 12_000, 60_000)),
    )


def _draw_network(
    draw: random.Random, preset: Preset, start_epoch: int, period_epochs: int
) -> Network:
    """Forks before the start, on the way, or never."""
    names = [fork.name for fork in FORKS[2:]]
    epochs = {"altair": 0}
    epoch = 0
    for name in names:
        if draw.random() < 0.2:
            break
        if draw.random() < 0.5:
            # The rest comes about when the client is at work.
            epoch = max(epoch, start_epoch - draw.randrange(period_epochs + 1))
        epoch += draw.choice((0, 0, 1, draw.randrange(3 * period_epochs)))
        epochs[name] = epoch
    network = simulated_network(preset, epochs, genesis_time=_GENESIS)
    root = hashed("genesis", preset.name, tuple(epochs.items()))
    return replace(network, genesis_validators_root=root)


# Phases -------------------------------------------------------------------------------------------


def _draw_phases(draw: random.Random, network: Network, *, may_betray: bool) -> tuple[Phase, ...]:
    count = draw.choice((1, 1, 2, 3, 3, 4, 5))
    kinds = [draw.choice((Kind.TROUBLED, Kind.TROUBLED, Kind.HOPELESS)) for _ in range(2)]
    kinds.insert(draw.randrange(3), Kind.CALM)
    if kinds[-1] is not Kind.CALM and draw.random() < 0.5:
        kinds.append(Kind.CALM)
    return tuple(
        _draw_phase(draw, network, kind, count, is_first=index == 0, may_betray=may_betray)
        for index, kind in enumerate(kinds)
    )


def _draw_phase(
    draw: random.Random,
    network: Network,
    kind: Kind,
    count: int,
    *,
    is_first: bool,
    may_betray: bool,
) -> Phase:
    preset = network.preset
    spe, period = preset.slots_per_epoch, preset.slots_per_sync_committee_period
    period_ms = period * network.slot_duration_ms
    suspend_ms = 0
    if not is_first and draw.random() < 0.5:
        suspend_ms = draw.choice(
            (5_000, _HOUR_MS, 10 * _HOUR_MS, period_ms, 2 * period_ms, 7 * period_ms)
        )
        suspend_ms = min(suspend_ms, 12 * period_ms)
    restart = Restart.NONE
    if not is_first and draw.random() < 0.6:
        restart = draw.choice((Restart.STOP, Restart.KILL, Restart.KILL))
    phase = Phase(
        kind,
        slots={
            Kind.CALM: CALM_SLOTS,
            Kind.TROUBLED: draw.randrange(10, 80),
            Kind.HOPELESS: 2 * spe + draw.randrange(8, 40),
        }[kind],
        behaviours=_draw_behaviours(draw, network, kind, count, may_betray=may_betray),
        restart=restart,
        suspend_ms=suspend_ms,
        damage=restart is not Restart.NONE and draw.random() < 0.25,
    )
    if kind is Kind.CALM:
        return phase
    return replace(
        phase,
        skew_ms=_draw_skew(draw, network) if draw.random() < 0.3 else 0,
        disk_failure=draw.choice(("full", "broken")) if draw.random() < 0.3 else None,
        stall_epochs=_draw_length(draw, period // spe) if draw.random() < 0.2 else 0,
        drought_slots=draw.randrange(1, 3 * spe) if draw.random() < 0.2 else 0,
        weak_slots=_draw_length(draw, period) if draw.random() < 0.2 else 0,
        weak_share=draw.choice((0.1, 0.4, 0.6, 0.7)),
    )


def _draw_length(draw: random.Random, period: int) -> int:
    """Rarely so long that nobody can go on without a forced update."""
    return draw.randrange(1, 3 * period if draw.random() < 0.15 else max(period // 2, 2))


def _draw_skew(draw: random.Random, network: Network) -> int:
    slot_ms = network.slot_duration_ms
    period_ms = slot_ms * network.preset.slots_per_sync_committee_period
    size = draw.choice((slot_ms // 2, slot_ms, 3 * slot_ms, 40 * slot_ms, period_ms, 9 * period_ms))
    return draw.choice((-1, 1)) * size


def _draw_behaviours(
    draw: random.Random, network: Network, kind: Kind, count: int, *, may_betray: bool
) -> tuple[Behaviour, ...]:
    slot_seconds = network.slot_duration_ms / 1000
    if kind is Kind.HOPELESS:
        return tuple(draw.choice(_hopeless(slot_seconds)) for _ in range(count))
    behaviours = [_draw_faulty(draw, slot_seconds, may_betray=may_betray) for _ in range(count)]
    honest = count if kind is Kind.CALM and draw.random() < 0.3 else kind is Kind.CALM
    for index in draw.sample(range(count), int(honest)):
        pushes = draw.choice(("", "honest"))
        behaviours[index] = replace(HONEST, pushes=pushes)
    return tuple(behaviours)


def _hopeless(slot_seconds: float) -> Sequence[Behaviour]:
    return (
        Behaviour(down=1.0),
        Behaviour(timeout=1.0),
        Behaviour(rate_limited=1.0),
        Behaviour(malformed=1.0),
        Behaviour(knows_bootstrap=False, missing=frozenset(_ENDPOINTS)),
        Behaviour(false=True),
        Behaviour(false=True, pushes="honest"),
        Behaviour(false=True, pushes="flood", latency=(0.0, 2 * slot_seconds)),
        Behaviour(forging=1.0),
        Behaviour(forging=1.0, pushes="flood"),
        Behaviour(frozen_at=0),
        Behaviour(lag=1_000_000),
    )


_ENDPOINTS = ("bootstrap", "updates", "finality_update", "optimistic_update")


def _draw_faulty(draw: random.Random, slot_seconds: float, *, may_betray: bool) -> Behaviour:
    """Some troubles together."""
    shares = (0.1, 0.5, 0.9)
    changes: dict[str, object] = {}
    for _ in range(draw.choice((1, 1, 2, 3))):
        trouble = draw.choice(_TROUBLES)
        if trouble == "latency":
            changes[trouble] = (0.0, draw.choice((0.3, 1.5, 6.0)) * slot_seconds)
        elif trouble == "lag":
            changes[trouble] = draw.choice((1, 3, 20, 200))
        elif trouble == "missing":
            changes[trouble] = frozenset(draw.sample(_ENDPOINTS, draw.randrange(1, 3)))
        elif trouble == "pushes":
            changes[trouble] = draw.choice(("honest", "silent", "flood", "broken"))
        elif trouble == "treason":
            changes[trouble] = draw.choice((0.02, 0.3, 0.6)) if may_betray else 0.0
        elif trouble in {"knows_bootstrap", "shuffled", "false"}:
            changes[trouble] = trouble != "knows_bootstrap"
        elif trouble == "overlong":
            changes[trouble] = draw.choice((1, 5))
        else:
            changes[trouble] = draw.choice(shares)
    return replace(HONEST, **changes)  # type: ignore[arg-type] # drawn by name


_TROUBLES = (
    "latency", "lag", "down", "timeout", "rate_limited", "malformed", "missing", "knows_bootstrap",
    "gaps", "repeats", "shuffled", "overlong", "forging", "forging", "treason", "replaying",
    "false", "pushes", "pushes",
)  # fmt: skip
