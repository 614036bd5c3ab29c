"""The fuzzer of our own: mutations from a seed, guided by the words that a target gives.

It finds less than one that sees the code's branches, and runs everywhere. One input may take
``MAX_SECONDS`` at most; an input that takes longer, or raises, is a finding.
"""

from __future__ import annotations

import json
import random
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from tests.fuzz.limits import MAX_RESIDENT_MB, MAX_SECONDS
from tests.fuzz.mutation import mutated
from tests.fuzz.targets import TARGETS, Target, add_spec_vectors

_MAX_KEPT = 5000


class TooSlow(BaseException):
    """An input takes too long; not an Exception, so that nothing swallows it."""


@dataclass
class Finding:
    """An input that must not do what it did."""

    data: bytes
    reason: str


@dataclass
class Run:
    """What one target's run came to.

    Attributes:
        behaviours: different words that the target gave.
        slowest: seconds of the slowest input.
        peak_mb: most memory that the process had.
    """

    target: str
    executions: int = 0
    seconds: float = 0.0
    behaviours: set[str] = field(default_factory=set)
    slowest: float = 0.0
    peak_mb: int = 0
    findings: list[Finding] = field(default_factory=list)


def fuzz(
    target: Target, seconds: float, seed: object, most: int | None = None, enough: int = 5
) -> Run:
    """Fuzz for so long, or until ``most`` executions or ``enough`` findings.

    The same seed draws the same inputs.
    """
    draw = random.Random(f"{target.name} {seed}")
    seeds = [data for data in target.seeds() if len(data) <= target.max_bytes]
    corpus = list(seeds)
    run, start = Run(target.name), time.monotonic()
    for data in _inputs(target, corpus, seeds, draw):
        if (most is not None and run.executions >= most) or time.monotonic() - start > seconds:
            break
        before = len(run.behaviours)
        _execute(target, data, run)
        if len(run.behaviours) > before and len(corpus) < _MAX_KEPT:
            corpus.append(data)
        if len(run.findings) >= enough:
            break
    run.seconds = time.monotonic() - start
    run.peak_mb = peak_mb()
    if run.peak_mb > MAX_RESIDENT_MB:
        run.findings.append(Finding(b"", f"{run.peak_mb} MB of memory"))
    return run


def _inputs(
    target: Target, corpus: list[bytes], seeds: list[bytes], draw: random.Random
) -> Iterator[bytes]:
    yield from target.regressions()
    yield from draw.sample(seeds, len(seeds))
    yield b""
    while True:
        if draw.random() < 0.02:
            yield draw.randbytes(draw.choice((1, 8, 64, 1000)))[: target.max_bytes]
        else:
            yield mutated(draw.choice(corpus), corpus, draw, target.max_bytes)


def _execute(target: Target, data: bytes, run: Run) -> None:
    run.executions += 1
    started = time.monotonic()
    try:
        with _time_limit():
            run.behaviours.add(target.run(data)[:400])
    except TooSlow:
        run.findings.append(Finding(data, f"more than {MAX_SECONDS:g} seconds"))
    except Exception:  # noqa: BLE001 - each is a finding
        run.findings.append(Finding(data, traceback.format_exc(limit=-6)))
    run.slowest = max(run.slowest, time.monotonic() - started)


@contextmanager
def _time_limit() -> Iterator[None]:
    if sys.platform == "win32":
        yield
        return
    previous = signal.signal(signal.SIGALRM, _raise_too_slow)
    signal.setitimer(signal.ITIMER_REAL, MAX_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def _raise_too_slow(_: int, __: FrameType | None) -> None:
    raise TooSlow


def peak_mb() -> int:
    """The most memory that this process had; 0 where that is not told."""
    if sys.platform == "win32":
        return 0
    import resource

    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes // (1 << 20 if sys.platform == "darwin" else 1 << 10)


def main(arguments: list[str]) -> None:
    """TARGET SECONDS SEED FINDINGS. JSON comes out."""
    name, seconds, seed, folder = arguments
    add_spec_vectors()
    target = TARGETS[name]
    run = fuzz(target, float(seconds), seed)
    files = [(str(target.keep(found.data, Path(folder))), found.reason) for found in run.findings]
    told = {
        "executions": run.executions,
        "coverage": len(run.behaviours),
        "slowest": run.slowest,
        "peak_mb": run.peak_mb,
        "findings": files,
    }
    sys.stdout.write(json.dumps(told) + "\n")
