"""Whole histories in processes of their own: from local files and over loopback HTTP, growing
lengths, and the stalls that an event loop suffers meanwhile.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any

from benchmarks.figures import Figure, figure
from benchmarks.scale import BareCheck
from benchmarks.stored import StoredHistory, stored_history
from lightclient.bls import available_backends, backend_by_name

FULL_PERIODS = 1640
GROWTH_PERIODS = (64, 256, 1024, 4096)
_FILES_TARGET_S, _HTTP_TARGET_S = 3.0, 4.5
_FLAT_WITHIN_MB = 10.0
_LINEAR_WITHIN = 1.35
"""Time a period of the longest history over that of the quarter as long one, at most: what is not
linear would be 4."""
_STALL_TARGET_MS = 50.0
_TARGET_BACKENDS = ("blst", "arkworks")


@contextmanager
def served(history: StoredHistory) -> Iterator[str]:
    """The URL under which another process serves ``history``."""
    command = [sys.executable, "-m", "benchmarks.history_server", str(history.folder)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        url = server.stdout.readline().strip()
        if not url:
            raise RuntimeError(f"the history's server ended with {server.wait()}")
        yield url
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()


def run(history: StoredHistory, way: str, backend: str, *url: str) -> dict[str, Any]:
    """What ``history_run`` reports."""
    command = [sys.executable, "-m", "benchmarks.history_run", str(history.folder), way, backend]
    done = subprocess.run([*command, *url], capture_output=True, text=True, check=False)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise RuntimeError(f"{way} over {history.periods} periods with {backend}: {last[0]}")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def measure_history(
    rounds: int, periods: int, backends: Sequence[str]
) -> tuple[list[Figure], list[str]]:
    """A history all verified, by way and backend; the ways take turns."""
    history = stored_history(periods)
    taken: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    scaled: dict[tuple[str, str], list[float]] = defaultdict(list)
    with served(history) as url:
        ways: dict[str, tuple[str, ...]] = {
            "engine alone, one by one": ("single",),
            "engine alone, batches": ("batches",),
            "client, local SSZ": ("client",),
            "client, loopback HTTP": ("client", url),
            "client with a second process, local SSZ": ("client-two",),
            "client with a second process, loopback HTTP": ("client-two", url),
        }
        for _ in range(rounds):
            for backend in backends:
                check = BareCheck(backend_by_name(backend))
                for name, (way, *more) in ways.items():
                    before = check.factor()
                    seen = run(history, way, backend, *more)
                    factor = (before + check.factor()) / 2
                    taken[name, backend].append(seen)
                    scaled[name, backend].append(seen["seconds"] * factor)
    targets = {
        f"{client}, {source}": target
        for client in ("client", "client with a second process")
        for source, target in (("local SSZ", _FILES_TARGET_S), ("loopback HTTP", _HTTP_TARGET_S))
    }
    share = periods / FULL_PERIODS
    figures, notes = [], []
    for (name, backend), reports in taken.items():
        target = targets.get(name) if backend == "blst" else None
        figures.append(
            figure(
                f"{periods} periods, {name} ({backend})",
                "s",
                [item["seconds"] for item in reports],
                scaled=median(scaled[name, backend]),
                target=None if target is None else target * share,
            )
        )
        own = median(item["cpu_seconds"] for item in reports)
        children = median(item["children_cpu_seconds"] for item in reports)
        notes.append(
            f"{periods} periods, {name} ({backend}): {own:.1f} s of CPU in the process, "
            f"{children:.1f} s in its children"
        )
    return figures, notes


def measure_stalls(rounds: int, periods: int) -> tuple[list[Figure], list[str]]:
    """The longest gap of a 1 ms ticker in the event loop of a client that syncs over HTTP."""
    history = stored_history(periods)
    taken: dict[str, list[float]] = defaultdict(list)
    over: dict[str, list[str]] = defaultdict(list)
    with served(history) as url:
        for _ in range(rounds):
            for backend in available_backends():
                seen = run(history, "client", backend.name, url)
                taken[backend.name].append(seen["longest_stall_ms"])
                over[backend.name] += seen["stalls"]
    figures = [
        figure(
            f"longest stall of the event loop in a history sync ({name})",
            "ms",
            values,
            target=_STALL_TARGET_MS if name in _TARGET_BACKENDS else None,
        )
        for name, values in taken.items()
    ]
    notes = [
        f"event loop stalls over 50 ms ({name}): {len(values)} in {rounds} runs of "
        f"{periods} periods{': ' * bool(values)}{', '.join(values[:6])}"
        for name, values in over.items()
    ]
    return figures, notes


def measure_growth(
    rounds: int, lengths: Sequence[int] = GROWTH_PERIODS, backend: str = "blst"
) -> tuple[list[Figure], dict[str, dict[str, list[tuple[float, float]]]]]:
    """Time and peak memory over the length of the history, over HTTP; with points for two plots."""
    names = [item.name for item in available_backends()]
    backend = backend if backend in names else names[0]
    seconds: dict[int, list[float]] = defaultdict(list)
    peaks: dict[int, list[float]] = defaultdict(list)
    children: dict[int, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for periods in lengths:
            history = stored_history(periods)
            with served(history) as url:
                seen = run(history, "client", backend, url)
            seconds[periods].append(seen["seconds"])
            peaks[periods].append(seen["peak_mb"])
            children[periods].append(seen["children_peak_mb"])
    figures = []
    for periods in lengths:
        figures.append(figure(f"growth: {periods} periods ({backend})", "s", seconds[periods]))
        figures.append(
            figure(f"growth: {periods} periods, peak memory ({backend})", "MB", peaks[periods])
        )
    growth = [high - low for high, low in zip(peaks[lengths[-1]], peaks[lengths[0]], strict=True)]
    name = f"growth of peak memory from {lengths[0]} to {lengths[-1]} periods"
    figures.append(figure(name, "MB", growth, target=_FLAT_WITHIN_MB))
    last, before = lengths[-1], lengths[-2]
    ratios = [
        (a / last) / (b / before) for a, b in zip(seconds[last], seconds[before], strict=True)
    ]
    name = f"time a period, {last} over {before} periods"
    figures.append(figure(name, "x", ratios, target=_LINEAR_WITHIN))
    points = {
        "seconds": {backend: [(float(n), median(seconds[n])) for n in lengths]},
        "memory": {
            f"client ({backend})": [(float(n), median(peaks[n])) for n in lengths],
            "largest of its child processes": [(float(n), median(children[n])) for n in lengths],
        },
    }
    return figures, points
