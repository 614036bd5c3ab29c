"""``python -m tests.oracle``: compares the light client with the executable specification.

Draws networks, chains, hostile objects and documents from a seed until the time is up. Needs the
package eth-consensus-specs; ``make oracle`` sets that up. Exit code 1 if anything differed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from random import Random

import click

from tests.oracle.specification import PACKAGE, VERSION

if find_spec(PACKAGE) is None:
    sys.exit(f"{PACKAGE}, release {VERSION}, is not installed: run make oracle")

from tests.oracle.batches import compare_batches
from tests.oracle.chains import compare_chain
from tests.oracle.comparing import Mismatch
from tests.oracle.documents import compare_documents
from tests.oracle.figures import Counts, report
from tests.oracle.objects import compare_any
from tests.oracle.playing import play

MAX_FAILURES = 20


def _sequence(preset: str) -> Callable[[str, Counts, Path], None]:
    def compare(seed: str, counts: Counts, failures: Path) -> None:
        failure = play(seed, preset, counts)
        if failure is not None:
            failures.mkdir(parents=True, exist_ok=True)
            failure.write(failures / f"{seed.replace(' ', '-')}.jsonl")
            raise Mismatch(failure.as_text())

    return compare


def _objects(seed: str, counts: Counts, _failures: Path) -> None:
    for index in range(10):
        counts["objects", compare_any(Random(f"{seed} {index}"))] += 1


def _documents(seed: str, counts: Counts, _failures: Path) -> None:
    with tempfile.TemporaryDirectory() as directory:
        compare_documents(seed, Path(directory), counts)


def _chains(seed: str, counts: Counts, _failures: Path) -> None:
    compare_chain(seed, counts)


def _batches(seed: str, counts: Counts, _failures: Path) -> None:
    compare_batches(seed, counts)


_PARTS: dict[str, tuple[float, Callable[[str, Counts, Path], None]]] = {
    "minimal": (10, _sequence("minimal")),
    "mainnet": (0.7, _sequence("mainnet")),
    "objects": (6, _objects),
    "documents": (2, _documents),
    "batches": (1.5, _batches),
    "chains": (0.8, _chains),
}


def main() -> int:
    """Run until the time is up; the number of mismatches decides the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.oracle", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long (default: 60)")
    parser.add_argument("--seed", default="0", help="the same seed draws the same cases")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--part", choices=_PARTS, help="compare only this")
    parser.add_argument("--case", help="compare only the case of this name, of --part")
    parser.add_argument(
        "--failures", type=Path, default=Path("build/oracle"), help="where mismatches are written"
    )
    options = parser.parse_args()
    counts: Counts = Counter()
    mismatches = 0
    end = time.monotonic() + options.seconds
    number = options.first
    while time.monotonic() < end and mismatches < MAX_FAILURES:
        draw = Random(f"{options.seed} {number}")
        names = [options.part] if options.part else list(_PARTS)
        part = draw.choices(names, [_PARTS[name][0] for name in names])[0]
        seed = options.case or f"{options.seed} {number} {part}"
        try:
            _PARTS[part][1](seed, counts, options.failures)
        except Mismatch as mismatch:
            mismatches += 1
            click.echo(f"MISMATCH {seed!r}\n  {str(mismatch)[:3000]}\n")
        number += 1
        if options.case:
            break
    click.echo(report(counts))
    click.echo(
        f"seed {options.seed!r}, cases {options.first} to {number - 1}: {mismatches} mismatches"
    )
    return 1 if mismatches else 0


if __name__ == "__main__":
    sys.exit(main())
