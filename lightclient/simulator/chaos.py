"""A cast of providers of which most misbehave, ever differently: who does what and when, by a seed.

The same cast plays over HTTP and in process: all it takes is a :class:`FaultSet` for each part. A
:class:`Witness` knows the true chain and notes every header that is shown and is not of it.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import anyio

from lightclient.simulator.chain import SimulatedChain
from lightclient.simulator.faults import Fault, FaultSet, fault_names, make_fault
from lightclient.sync import VerifiedHeader

PROVIDERS = 5
_LIARS = (4, 4, 4, 3, 2)
_MOST_FAULTS = 3
_PAUSE_CHANCE = 0.15
_CHANCES = (1.0, 1.0, 0.5, 0.2)
_ACT_SECONDS = (3.0, 7.0)
_AWAY = (
    "refusing",
    "flapping",
    "service_unavailable",
    "rate_limiting",
    "silent",
    "slow_first_byte",
    "stalling_mid_body",
)
_AWAY_CHANCE = 0.8
_AWAY_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Act:
    """A provider's behaviour from a moment on.

    Attributes:
        starts: seconds after the beginning.
        faults: names, each with its chance to act on a request; none: honest for a while.
    """

    starts: float
    faults: tuple[tuple[str, float], ...]

    def __str__(self) -> str:
        words = [name if chance == 1 else f"{name} {chance:.0%}" for name, chance in self.faults]
        return f"{self.starts:.0f} s: {', '.join(words) or 'nothing'}"


@dataclass(frozen=True, slots=True)
class Part:
    """What one provider does.

    Attributes:
        is_honest: whether everything that it serves is true, whole and new. In the first half it
            may be away now and then, as the best are.
    """

    name: str
    seed: str
    is_honest: bool
    acts: tuple[Act, ...] = ()

    def faults_of(self, act: Act) -> list[Fault]:
        """The faults of an act, the same ones each time it is played."""
        rng = random.Random(f"{self.seed} {act.starts}")
        return [make_fault(name, rng, chance) for name, chance in act.faults]

    async def play(self, faults: FaultSet) -> None:
        """Let the acts follow each other in a server's faults; the last one goes on."""
        started = anyio.current_time()
        for act in self.acts:
            await anyio.sleep(max(started + act.starts - anyio.current_time(), 0))
            faults.faults = tuple(self.faults_of(act))


def cast_from_seed(
    seed: int,
    *,
    providers: int = PROVIDERS,
    honest: int | None = None,
    seconds: float = 30.0,
    act_seconds: tuple[float, float] = _ACT_SECONDS,
    names: Collection[str] | None = None,
) -> tuple[Part, ...]:
    """Who does what and when; the same arguments give the same cast.

    Args:
        honest: how many never misbehave; by default the seed decides: one at least, and seldom
            more of five.
        seconds: for how long new acts begin.
        act_seconds: the least and the most that an act takes.
        names: of the faults to draw from; by default all that leave the sync committee honest.
    """
    rng = random.Random(f"chaos {seed}")
    offered = fault_names() if names is None else tuple(names)
    if honest is None:
        honest = max(providers - rng.choice(_LIARS), 1)
    honest_ones = set(rng.sample(range(providers), honest))
    cast = []
    for number in range(providers):
        is_honest = number in honest_ones
        acts = (
            _absences(rng, seconds, act_seconds)
            if is_honest
            else _acts(rng, seconds, act_seconds, offered)
        )
        cast.append(Part(f"provider {number + 1}", f"{seed} {number}", is_honest, tuple(acts)))
    return tuple(cast)


def _absences(
    rng: random.Random, seconds: float, act_seconds: tuple[float, float]
) -> Iterable[Act]:
    if rng.random() >= _AWAY_CHANCE:
        return
    starts = rng.uniform(0, act_seconds[0])
    while starts < seconds * _AWAY_SHARE:
        yield Act(starts, ((rng.choice(_AWAY), 1.0),))
        starts += rng.uniform(*act_seconds) / 2
        yield Act(starts, ())
        starts += rng.uniform(*act_seconds) / 2


def _acts(
    rng: random.Random,
    seconds: float,
    act_seconds: tuple[float, float],
    offered: Collection[str],
) -> Iterable[Act]:
    starts = 0.0
    while starts < seconds:
        names = rng.sample(tuple(offered), min(rng.randint(1, _MOST_FAULTS), len(offered)))
        chances = [rng.choice(_CHANCES) for _ in names]
        chances[:1] = [1.0]  # no act without effect
        faults = tuple(zip(names, chances, strict=True))
        # The first act is never honest, or there would be nothing to survive at the start.
        yield Act(starts, () if starts and rng.random() < _PAUSE_CHANCE else faults)
        starts += rng.uniform(*act_seconds)


@dataclass(slots=True)
class Witness:
    """Compares what a client shows with the true chain.

    Attributes:
        shown: how many headers were shown.
        false_headers: those that are not of the chain.
    """

    chain: SimulatedChain
    shown: int = 0
    false_headers: list[VerifiedHeader] = field(default_factory=list)

    def see(self, header: VerifiedHeader | None) -> bool:
        """Note a header that was shown, None for none; whether it is true."""
        if header is None:
            return True
        self.shown += 1
        block = self.chain.block_of_root(header.root)
        is_true = block is not None and block.slot == header.slot
        if not is_true:
            self.false_headers.append(header)
        return is_true

    def slots_behind(self, header: VerifiedHeader | None) -> int | None:
        """How far a header is behind the chain's head; None for none."""
        return None if header is None else self.chain.head.slot - header.slot
