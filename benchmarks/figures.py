"""A measured figure beside its target, and the table and JSON made of them.

Times are milliseconds, memory is MB of 10^6 bytes. A figure that depends on the machine's speed is
also given scaled: to the machine on which the signature libraries were first measured.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    Attributes:
        median, low, high: of the samples; low and high are the 10th and 90th percentile.
        samples: how many there were.
        scaled: the median on the reference machine; None for what is judged as measured.
        target: the promise, in the same unit; None without one.
        at_least: the promise is a lower bound, not an upper one.
    """

    name: str
    unit: str
    median: float
    low: float
    high: float
    samples: int
    scaled: float | None = None
    target: float | None = None
    at_least: bool = False

    @property
    def is_met(self) -> bool | None:
        """Whether the target is reached (scaled where that is given); None without a target."""
        if self.target is None:
            return None
        value = self.median if self.scaled is None else self.scaled
        return value >= self.target if self.at_least else value <= self.target


def figure(
    name: str,
    unit: str,
    samples: Sequence[float],
    *,
    scaled: float | None = None,
    target: float | None = None,
    at_least: bool = False,
) -> Figure:
    """The figure of at least one sample."""
    median = statistics.median(samples)
    spread = list(samples) if len(samples) > 1 else [median] * 2
    tenths = statistics.quantiles(spread, n=10, method="inclusive")
    return Figure(name, unit, median, tenths[0], tenths[-1], len(samples), scaled, target, at_least)


def as_json(item: Figure) -> dict[str, object]:
    """Plain values, with the judgement."""
    return {**asdict(item), "met": item.is_met}


def table(figures: Sequence[Figure]) -> str:
    """Text, a line for each figure."""
    rows = [("", "median", "10% - 90%", "scaled", "target", "")]
    rows += [
        (
            item.name,
            f"{_number(item.median)} {item.unit}",
            f"{_number(item.low)} - {_number(item.high)}",
            "" if item.scaled is None else f"{_number(item.scaled)} {item.unit}",
            "" if item.target is None else f"{_bound(item)} {item.target:g} {item.unit}",
            {None: "", True: "met", False: "MISSED"}[item.is_met],
        )
        for item in figures
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(row[i].rjust(widths[i]) for i in range(1, 5)), row[5]]
        ).rstrip()
        for row in rows
    ]
    return "\n".join(lines)


def _bound(item: Figure) -> str:
    return ">=" if item.at_least else "<="


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
