"""What a soak did, counted: added up over seeds and processes, and printed at the end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields

KILLS = "kills"
KILLS_IN_SAVES = "kills amid a save"
STATES_LOST = "states lost"


@dataclass
class Figures:
    """Counts of one run or of many."""

    runs: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    offered: Counter[str] = field(default_factory=Counter)
    forged: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    virtual_seconds: float = 0.0
    awake_seconds: float = 0.0

    def add(self, other: Figures) -> None:
        """Take over another's counts."""
        for item in fields(self):
            mine, theirs = getattr(self, item.name), getattr(other, item.name)
            if isinstance(mine, Counter):
                mine.update(theirs)
            else:
                setattr(self, item.name, mine + theirs)

    def lines(self) -> list[str]:
        """For people."""
        days = self.virtual_seconds / 86_400
        awake = self.awake_seconds / 86_400
        runs = self.runs.copy()
        kills, in_saves = runs.pop(KILLS, 0), runs.pop(KILLS_IN_SAVES, 0)
        lost = runs.pop(STATES_LOST, 0)
        return [
            f"virtual time       {days:,.1f} days, {awake:,.1f} of them awake",
            f"what happened      {_listed(runs)}",
            f"kills survived     {kills:,}, {in_saves:,} of them amid a save",
            f"saved states lost  {lost:,}",
            f"faults injected    {sum(self.faults.values()):,}: {_listed(self.faults)}",
            f"objects judged     {sum(self.verdicts.values()):,}: {_listed(self.verdicts)}",
            f"forged, offered    {sum(self.offered.values()):,}: {_listed(self.offered)}",
            f"forged, judged     {sum(self.forged.values()):,}: {_listed(self.forged)}",
            f"forged, accepted   {self.forged['accepted']:,}",
        ]


@dataclass
class Result:
    """What came of a seed."""

    seed: int
    figures: Figures = field(default_factory=Figures)
    violations: list[str] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)
    digest: str = ""


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.most_common() if count)
