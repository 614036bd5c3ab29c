"""What was compared, as a table by fork."""

from __future__ import annotations

from collections import Counter
from typing import TypeAlias

from lightclient.config import FORKS

Counts: TypeAlias = Counter[tuple[str, str]]

_COLUMNS = (
    ("bootstraps", ("bootstrap accepted", "bootstrap refused")),
    ("updates", ("update accepted", "update refused")),
    ("finality", ("finality_update accepted", "finality_update refused")),
    ("optimistic", ("optimistic_update accepted", "optimistic_update refused")),
    ("forced", ("forced", "forced, nothing to do")),
)


def report(counts: Counts) -> str:
    """Lines for people: steps by fork of the attested slot, refusals by rule, and the rest."""
    lines = ["fork        " + "".join(f"{name:>16}" for name, _keys in _COLUMNS) + "  derived"]
    names = [*(fork.name for fork in FORKS), "none"]
    for fork in names:
        cells = [
            f"{counts[fork, accepted]}/{counts[fork, refused]}"
            for _name, (accepted, refused) in _COLUMNS
        ]
        row = "".join(f"{cell:>16}" for cell in cells)
        lines.append(f"{fork:<12}{row}{counts[fork, 'derived']:>9}")
    keys = [key for _name, pair in _COLUMNS for key in pair]
    steps = sum(counts[fork, key] for fork in names for key in keys)
    lines.append(f"{steps} steps (accepted/refused; 'none': does not decode)")
    for group in ("rule", "excused", "sequence", "objects", "documents", "batches", "derivation"):
        found = {what: count for (name, what), count in sorted(counts.items()) if name == group}
        if found:
            lines.append(f"{group}: " + ", ".join(f"{what} {n}" for what, n in found.items()))
    return "\n".join(lines)
