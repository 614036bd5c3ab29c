"""``python -m tests.soak``: many seeds in two processes, the long runs beside them, the figures.

A seed that fails is printed with the command that plays it again; the exit code is 1 then.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from tests.soak.figures import Figures, Result
from tests.soak.scenario import draw_scenario
from tests.soak.stages import STAGES, Report, run_stage
from tests.soak.world import play

_SEEDS_A_TASK = 10
_SHOWN_VIOLATIONS = 5


def tell(text: str) -> None:
    """Print, at once: somebody is waiting."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def play_seeds(seeds: Sequence[int]) -> list[Result]:
    """Play each; what a worker does."""
    return [play(draw_scenario(seed)) for seed in seeds]


@dataclass
class Soak:
    """A whole run: hands out work while there is time, and adds up."""

    options: argparse.Namespace
    figures: Figures = field(default_factory=Figures)
    failed: int = 0
    reports: list[Report] = field(default_factory=list)

    def run(self) -> int:
        """Returns the exit code."""
        started = time.monotonic()
        last = self.options.first + self.options.seeds
        batches = _batches(self.options.first, last)
        with ProcessPoolExecutor(self.options.workers) as pool:
            running: set[Future[Any]] = {pool.submit(run_stage, name) for name in self._stages()}
            while True:
                while len(running) < self.options.workers + 1:
                    is_late = time.monotonic() - started > self.options.seconds
                    batch = None if is_late else next(batches, None)
                    if batch is None:
                        break
                    running.add(pool.submit(play_seeds, batch))
                if not running:
                    break
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    self._take(future.result())
        self._print(time.monotonic() - started)
        return 1 if self.failed else 0

    def _stages(self) -> list[str]:
        return [] if self.options.seeds_only else list(STAGES)

    def _take(self, result: Report | list[Result]) -> None:
        if isinstance(result, Report):
            self.reports.append(result)
            self.failed += not result.passed
            tell(f"\n{result.text}")
            return
        for played in result:
            self.figures.add(played.figures)
            if played.violations:
                self.failed += 1
                print_failure(played)

    def _print(self, seconds: float) -> None:
        played = self.figures.runs["seeds"]
        tell(f"\n{played:,} of {self.options.seeds:,} seeds in {seconds:,.0f} s of real time")
        if played < self.options.seeds:
            tell("(the time was over: SOAK_ARGS='--seconds N' gives more)")
        tell("\n".join(self.figures.lines()))
        tell("FAILED" if self.failed else "passed")


def _batches(first: int, last: int) -> Iterator[range]:
    for start in range(first, last, _SEEDS_A_TASK):
        yield range(start, min(start + _SEEDS_A_TASK, last))


def print_failure(played: Result) -> None:
    """What went wrong in a seed, and how to see it again."""
    tell(f'\nseed {played.seed} FAILED; again: make soak SOAK_ARGS="--seed {played.seed}"')
    for violation in played.violations[:_SHOWN_VIOLATIONS]:
        tell(f"  {violation}")
    hidden = len(played.violations) - _SHOWN_VIOLATIONS
    if hidden > 0:
        tell(f"  ... and {hidden} more")


def play_one(seed: int) -> int:
    """Play one seed and tell all of it; returns the exit code."""
    scenario = draw_scenario(seed)
    tell(scenario.told())
    result = play(scenario)
    tell("\n".join((*result.trace, *result.figures.lines(), f"digest {result.digest}")))
    if result.violations:
        print_failure(result)
    return 1 if result.violations else 0


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seed", type=int, help="play this one alone, and tell of it")
    parser.add_argument("--first", type=int, default=0, help="the first of the seeds")
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--seconds", type=float, default=540, help="begin nothing after so long")
    parser.add_argument("--workers", type=int, default=min(os.cpu_count() or 1, 2))
    parser.add_argument("--seeds-only", action="store_true", help="without the long runs")
    parser.add_argument("--stage", choices=[*STAGES, "month"], help="one of the long runs alone")
    options = parser.parse_args(arguments)
    if options.seed is not None:
        return play_one(options.seed)
    if options.stage is not None:
        report = run_stage(options.stage)
        tell(report.text)
        return 0 if report.passed else 1
    return Soak(options).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
