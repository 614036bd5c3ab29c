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
import subprocess
import sys
import traceback
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.histories import CHECKOUT
from tests.fuzz.limits import MAX_SECONDS
from tests.fuzz.targets import TARGETS

FOLDER = CHECKOUT / ".fuzz"
_GRACE = 60
"""Seconds that a target's process may take beside fuzzing: to start, and to end."""
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
    options = _options(arguments)
    if options.repeat is not None:
        return _repeat(options.target, Path(options.repeat))
    names = options.target or list(TARGETS)
    engine = options.engine
    if engine == "auto":
        engine = "atheris" if importlib.util.find_spec("atheris") else "plain"
    if engine == "plain":
        _say("Random mutations without coverage (atheris is not installed, or not wanted).")
    findings_folder = FOLDER / "findings"
    findings_folder.mkdir(parents=True, exist_ok=True)
    shares = sum(TARGETS[name].share for name in names)
    _say(f"seed {options.seed}; {'branches' if engine == 'atheris' else 'behaviours'} as coverage")
    _say(f"{'target':<24}{'inputs':>10}{'coverage':>10}{'peak MB':>9}{'findings':>10}")
    found = 0
    for name in names:
        seconds = max(1, round(options.seconds * TARGETS[name].share / shares))
        run = _guided if engine == "atheris" else _plain
        result = run(name, seconds, options.seed, findings_folder)
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
    _say("no findings" if not found else f"{found} findings")
    return 1 if found else 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=120, help="in all; default 120")
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


def _plain(name: str, seconds: int, seed: str, folder: Path) -> Result:
    arguments = ["tests.fuzz.plain", name, str(seconds), seed, str(folder)]
    process = _child(arguments, seconds)
    if process is None or process.returncode != 0:
        path = folder / f"{name}-log-{seed}.txt"
        path.write_text("" if process is None else process.stderr[-20_000:])
        return Result(findings=[(path, "the process hung" if process is None else _ended(process))])
    told = json.loads(process.stdout.splitlines()[-1])
    findings = [(Path(path), reason) for path, reason in told["findings"]]
    return Result(told["executions"], told["coverage"], told["peak_mb"], findings)


def _guided(name: str, seconds: int, seed: str, folder: Path) -> Result:
    corpus = FOLDER / "corpus" / name
    before = set(folder.glob(f"{name}-*"))
    arguments = ["tests.fuzz.guided", name, str(seconds), seed, str(corpus), str(folder)]
    process = _child(arguments, seconds)
    if process is None:
        path = folder / f"{name}-log-{seed}.txt"
        path.write_text("")
        return Result(findings=[(path, "the process hung")])
    said = process.stderr
    executed = [*_EXECUTED.findall(said), *_COUNTED.findall(said)]
    result = Result(
        executions=max(map(int, executed), default=0),
        coverage=max(map(int, _COVERAGE.findall(said)), default=0),
        peak_mb=max(map(int, _PEAK.findall(said)), default=0),
    )
    for path in sorted(set(folder.glob(f"{name}-*")) - before):
        result.findings.append((path, _reason(said + process.stdout)))
    if process.returncode != 0 and not result.findings:
        path = folder / f"{name}-log-{seed}.txt"
        path.write_text(said[-20_000:])
        result.findings.append((path, _ended(process)))
    return result


def _ended(process: subprocess.CompletedProcess[str]) -> str:
    last = (process.stderr.strip().splitlines() or [""])[-1]
    return f"the process ended with {process.returncode}: {last}"


def _reason(said: str) -> str:
    """The exception that atheris prints, or libFuzzer's own word for it."""
    for pattern in (r"^=== Uncaught Python exception: ===\n(.*)$", r"ERROR: libFuzzer: (.*)$"):
        match = re.search(pattern, said, re.MULTILINE)
        if match:
            return match[1]
    return "see the file"


def _child(arguments: list[str], seconds: int) -> subprocess.CompletedProcess[str] | None:
    """A module run to its end; None if it does not come to one."""
    try:
        return subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds + _GRACE + MAX_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
