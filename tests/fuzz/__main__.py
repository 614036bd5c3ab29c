"""``make fuzz``: every decoder and the processor, for so many seconds in all.

Each target has a process of its own, so that one that hangs, crashes or eats memory is a finding
and no more. With atheris inputs are led by the branches they take; without it they are mutated at
random. Exit code 1 if anything was found.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import secrets
import sys
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.histories import CHECKOUT
from tests.fuzz.limits import MAX_SECONDS
from tests.fuzz.processes import Processes
from tests.fuzz.targets import TARGETS

FOLDER = CHECKOUT / ".fuzz"
FINDINGS = FOLDER / "findings"
LOGS = FOLDER / "logs"
_GRACE = 60
"""Seconds that a target's process may take beside fuzzing: to start, and to end."""
_LEAST_SECONDS = 0.5
"""Of one target, however small the budget."""
_COVERAGE = re.compile(r"\bcov: (\d+)")
_EXECUTED = re.compile(r"stat::number_of_executed_units:\s+(\d+)")
_COUNTED = re.compile(r"^#(\d+)\s", re.MULTILINE)
_PEAK = re.compile(r"stat::peak_rss_mb:\s+(\d+)")


@dataclass
class Result:
    """What one target came to. ``findings`` are files and reasons."""

    executions: int = 0
    coverage: int = 0
    peak_mb: int = 0
    findings: list[tuple[Path, str]] = field(default_factory=list)


def main(arguments: list[str]) -> int:
    """Returns the exit code."""
    started = time.monotonic()
    options = _options(arguments)
    if options.repeat is not None:
        return _repeat(options.target, Path(options.repeat))
    names = options.target or list(TARGETS)
    engine = options.engine
    if engine == "auto":
        engine = "atheris" if importlib.util.find_spec("atheris") else "plain"
    if engine == "plain":
        _say("Random mutations without coverage (atheris is not installed, or not wanted).")
    FINDINGS.mkdir(parents=True, exist_ok=True)
    LOGS.mkdir(exist_ok=True)
    _say(f"seed {options.seed}; {'branches' if engine == 'atheris' else 'behaviours'} as coverage")
    processes = Processes("tests.fuzz.guided" if engine == "atheris" else "tests.fuzz.plain")
    processes.load()
    _say(f"{'target':<24}{'inputs':>10}{'coverage':>10}{'peak MB':>9}{'findings':>10}")
    found = 0
    run = _guided if engine == "atheris" else _plain
    for position, name in enumerate(names):
        left = started + options.seconds - time.monotonic()
        seconds = _seconds_for(names[position:], left)
        result = run(processes, name, seconds, options.seed)
        found += len(result.findings)
        _say(
            f"{name:<24}{result.executions:>10}{result.coverage:>10}{result.peak_mb:>9}"
            f"{len(result.findings):>10}"
        )
        for path, reason in result.findings:
            shown = path.relative_to(CHECKOUT)
            _say(f"  {shown}: {reason.strip().splitlines()[-1][:160]}")
            how = f"--repeat {shown}" if path.suffix != ".txt" else f"--seed {options.seed}"
            _say(f'  again: make fuzz FUZZ_ARGS="--target {name} {how}"')
    took = f"in {time.monotonic() - started:.0f} s"
    _say(f"no findings {took}" if not found else f"{found} findings {took}")
    return 1 if found else 0


def _seconds_for(names: list[str], left: float) -> float:
    """Of the ``left`` seconds, the part for the first of the targets that are still to come."""
    shares = sum(TARGETS[name].share for name in names)
    return max(_LEAST_SECONDS, left * TARGETS[names[0]].share / shares)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument(
        "--seconds",
        type=float,
        default=120,
        help="of the clock, for all targets and starting up (a few seconds with atheris); each"
        f" target gets its share of what is left, {_LEAST_SECONDS} at least; default 120",
    )
    parser.add_argument(
        "--target", action="append", choices=list(TARGETS), help="only this one; repeatable"
    )
    parser.add_argument("--seed", default=None, help="a whole number; default: any")
    parser.add_argument("--engine", choices=("auto", "atheris", "plain"), default="auto")
    parser.add_argument("--repeat", metavar="FILE", help="run --target once, with this input")
    options = parser.parse_args(arguments)
    if options.repeat is not None and len(options.target or ()) != 1:
        parser.error("--repeat needs one --target")
    if options.seed is None:
        options.seed = str(secrets.randbelow(2**31))
    return options


def _repeat(names: list[str], path: Path) -> int:
    data = path.read_bytes()
    try:
        _say(TARGETS[names[0]].run(data))
    except Exception:  # noqa: BLE001 - whatever it is, it is to be seen
        traceback.print_exc()
        return 1
    return 0


def _plain(processes: Processes, name: str, seconds: float, seed: str) -> Result:
    arguments = [name, str(seconds), seed, str(FINDINGS)]
    exit_code, said = _run(processes, arguments, seconds)
    if exit_code != 0:
        return Result(findings=[_unexplained(name, seed, exit_code, said)])
    told = json.loads(said.splitlines()[-1])
    findings = [(Path(path), reason) for path, reason in told["findings"]]
    return Result(told["executions"], told["coverage"], told["peak_mb"], findings)


def _guided(processes: Processes, name: str, seconds: float, seed: str) -> Result:
    before = set(FINDINGS.glob(f"{name}-*"))
    arguments = [name, str(seconds), seed, str(FOLDER / "corpus" / name), str(FINDINGS)]
    exit_code, said = _run(processes, arguments, seconds)
    executed = [*_EXECUTED.findall(said), *_COUNTED.findall(said)]
    result = Result(
        executions=max(map(int, executed), default=0),
        coverage=max(map(int, _COVERAGE.findall(said)), default=0),
        peak_mb=max(map(int, _PEAK.findall(said)), default=0),
    )
    for path in sorted(set(FINDINGS.glob(f"{name}-*")) - before):
        result.findings.append((path, _reason(said)))
    if exit_code != 0 and not result.findings:
        result.findings.append(_unexplained(name, seed, exit_code, said))
    return result


def _run(processes: Processes, arguments: list[str], seconds: float) -> tuple[int | None, str]:
    log = LOGS / f"{arguments[0]}.txt"
    exit_code = processes.run(arguments, seconds + _GRACE + MAX_SECONDS, log)
    return exit_code, log.read_text("utf-8", "replace")


def _unexplained(name: str, seed: str, exit_code: int | None, said: str) -> tuple[Path, str]:
    """A finding without an input: what the process said, and how it ended."""
    path = FINDINGS / f"{name}-log-{seed}.txt"
    path.write_text(said[-20_000:], "utf-8")
    if exit_code is None:
        return path, "the process hung"
    last = (said.strip().splitlines() or [""])[-1]
    return path, f"the process ended with {exit_code}: {last}"


def _reason(said: str) -> str:
    """The exception that atheris prints, or libFuzzer's own word for it."""
    for pattern in (r"^=== Uncaught Python exception: ===\n(.*)$", r"ERROR: libFuzzer: (.*)$"):
        match = re.search(pattern, said, re.MULTILINE)
        if match:
            return match[1]
    return "see the file"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
