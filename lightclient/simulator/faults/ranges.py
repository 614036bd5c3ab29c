"""Ranges of updates as servers have really sent them: short, gapped, too long, twice, jumbled."""

from __future__ import annotations

from lightclient.containers import LightClientObject
from lightclient.simulator.exchange import Asked
from lightclient.simulator.faults.base import Fault
from lightclient.simulator.views import ChainView

_Values = list[LightClientObject]


class RangeFault(Fault):
    """Acts on ranges alone."""

    def applies_to(self, asked: Asked) -> bool:
        return asked.is_range


class ShortRange(RangeFault):
    """Fewer updates than there are, though at least one."""

    name = "short_range"

    def objects(self, asked: Asked, values: _Values, view: ChainView) -> _Values:
        return values[: max(1, self.rng.randrange(len(values)))] if values else values


class EmptyRange(RangeFault):
    """No update at all."""

    name = "empty_range"

    def objects(self, asked: Asked, values: _Values, view: ChainView) -> _Values:
        return []


class GappedRange(RangeFault):
    """Without some updates from the middle; without the first if there are but two."""

    name = "gapped_range"

    def objects(self, asked: Asked, values: _Values, view: ChainView) -> _Values:
        if len(values) < 2:
            return values
        inner = range(1, len(values) - 1) if len(values) > 2 else range(1)
        missing = set(self.rng.sample(inner, self.rng.randint(1, len(inner))))
        return [value for index, value in enumerate(values) if index not in missing]


class OverlongRange(RangeFault):
    """Updates of periods that nobody asked for, before and after."""

    name = "overlong_range"

    def objects(self, asked: Asked, values: _Values, view: ChainView) -> _Values:
        earlier = max(asked.start_period - self.rng.randint(0, 2), 0)
        before = view.updates(earlier, asked.start_period - earlier)
        after = view.updates(asked.start_period + asked.count, self.rng.randint(1, 3))
        # At the head there is nothing beyond: then the last one once more.
        return [*before, *values, *(after or values[-1:])]


class DuplicatedRange(RangeFault):
    """Some or all updates twice."""

    name = "duplicated_range"

    def objects(self, asked: Asked, values: _Values, view: ChainView) -> _Values:
        sure = self.rng.randrange(len(values)) if values else 0
        doubled: _Values = []
        for index, value in enumerate(values):
            doubled += [value] * (2 if index == sure or self.rng.random() < 0.5 else 1)
        return doubled


class ReorderedRange(RangeFault):
    """In another order."""

    name = "reordered_range"

    def objects(self, asked: Asked, values: _Values, view: ChainView) -> _Values:
        mixed = list(values)
        self.rng.shuffle(mixed)
        return mixed if mixed != values else mixed[::-1]


class WrongPeriods(RangeFault):
    """The updates of other periods, in place of those asked for."""

    name = "wrong_periods"

    def objects(self, asked: Asked, values: _Values, view: ChainView) -> _Values:
        start = max(asked.start_period - self.rng.randint(1, 3), 0)
        if start == asked.start_period:
            start += asked.count
        return list(view.updates(start, min(asked.count, abs(start - asked.start_period))))
