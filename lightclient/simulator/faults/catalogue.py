"""All faults by name, and how a seed composes some of them."""

from __future__ import annotations

import random
from collections.abc import Collection

from lightclient.simulator.faults import availability, bodies, events, forged, labels, ranges, views
from lightclient.simulator.faults.base import Fault

_KINDS: tuple[type[Fault], ...] = (
    ranges.ShortRange,
    ranges.EmptyRange,
    ranges.GappedRange,
    ranges.OverlongRange,
    ranges.DuplicatedRange,
    ranges.ReorderedRange,
    ranges.WrongPeriods,
    views.Lagging,
    views.Frozen,
    views.StaleLatest,
    views.StaleFinality,
    views.WrongNetwork,
    availability.Refusing,
    availability.Flapping,
    availability.Resetting,
    availability.Silent,
    availability.SlowFirstByte,
    availability.Failing,
    availability.Unavailable,
    availability.RateLimiting,
    availability.RateLimitingSilently,
    availability.LightClientOff,
    availability.UnknownBootstrap,
    bodies.StallingMidBody,
    bodies.Dripping,
    bodies.EndlessBody,
    bodies.ResettingMidBody,
    bodies.TruncatedBody,
    bodies.CutObject,
    bodies.ShortLength,
    bodies.JunkBody,
    bodies.EmptyBody,
    bodies.WebPage,
    bodies.ErrorAsSuccess,
    bodies.NestedJson,
    bodies.GzipBomb,
    bodies.WrongContentEncoding,
    bodies.WrongContentType,
    labels.LyingVersionHeader,
    labels.LyingVersionBody,
    labels.LyingDigest,
    labels.WrongPreset,
    labels.WrongDate,
    labels.UnknownFork,
    labels.RedirectCircle,
    labels.RedirectWithoutEnd,
    events.NoEvents,
    events.SilentEvents,
    events.JunkEvents,
    events.OversizeEvent,
    events.BareEvents,
    events.FloodingEvents,
    events.EndingEvents,
    *forged.FORGING.values(),
    forged.Equivocating,
)

FAULTS: dict[str, type[Fault]] = {kind.name: kind for kind in _KINDS}
"""Every fault by its stable name."""

_CHANCES = (1.0, 1.0, 0.5, 0.2)


def make_fault(name: str, rng: random.Random, chance: float = 1.0) -> Fault:
    """The fault of this name; KeyError if there is none.

    Its randomness is drawn from ``rng`` here and independent of it afterwards.
    """
    kind = FAULTS[name]
    return kind(random.Random(f"{name} {rng.getrandbits(64)}"), chance)


def fault_names(
    *, on_wire: bool | None = None, with_dishonest_committee: bool = False
) -> tuple[str, ...]:
    """Names in a stable order.

    Args:
        on_wire: only those that work on bytes, or only those that do not; None for all.
        with_dishonest_committee: also what only a sync committee could sign.
    """
    return tuple(
        name
        for name, kind in FAULTS.items()
        if (on_wire is None or kind.is_on_wire is on_wire)
        and (with_dishonest_committee or not kind.needs_dishonest_committee)
    )


def faults_from_seed(
    rng: random.Random, count: int, *, names: Collection[str] | None = None
) -> list[Fault]:
    """Some faults together, each acting always or only sometimes.

    The same state of ``rng`` gives the same faults that behave the same.

    Args:
        count: how many different ones.
        names: what to draw from, in this order; by default everything that an honest sync
            committee does not rule out (:func:`fault_names`).
    """
    offered = fault_names() if names is None else tuple(names)
    return [
        make_fault(name, rng, rng.choice(_CHANCES))
        for name in rng.sample(offered, min(count, len(offered)))
    ]
