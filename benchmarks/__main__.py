"""Run the benchmarks: ``python -m benchmarks [--quick] [--profile] [--only PART]``.

Prints every figure beside its target and writes the same as JSON and SVG plots. A target that is
missed is printed as missed; the exit code does not depend on it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks import costs, floor, histories, hot_path, memory, startup
from benchmarks.figures import Figure, as_json, table
from benchmarks.inputs import recorded_or_simulated
from benchmarks.plots import line_plot, stacked_bars
from lightclient.bls import available_backends

RESULTS = Path(__file__).resolve().parent / "results"
_PACKAGES = ("milagro-bls-binding", "py-arkworks-bls12381", "pyblst", "httpx", "anyio")


class Run:
    """What was measured so far, and how thoroughly to measure.

    Args:
        folder: for plots.
    """

    def __init__(self, folder: Path, *, quick: bool) -> None:
        self.quick = quick
        self.folder = folder
        self.figures: list[Figure] = []
        self.notes: list[str] = []
        self.report: dict[str, object] = {
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "python": platform.python_version(),
            "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()}",
            "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
            "versions": {name: _version(name) for name in _PACKAGES},
            "quick": quick,
        }

    def add(self, figures: list[Figure], notes: list[str] | None = None) -> None:
        """Print and keep."""
        print(table(figures), flush=True)
        print("".join(f"  {note}\n" for note in notes or []), flush=True)
        self.figures += figures
        self.notes += notes or []

    # Parts --------------------------------------------------------------------------------------

    def hot_path(self) -> None:
        """Real updates against their targets."""
        inputs = recorded_or_simulated()
        size = inputs.network.preset.sync_committee_size
        print(f"Objects: {inputs.source}, committees of {size}")
        measured, bare = hot_path.measure(inputs, rounds=1 if self.quick else 12)
        print("One bare signature check, by which times are scaled to the reference machine:")
        for name, check in bare.items():
            here, there = check["measured_ms"], check["reference_ms"]
            print(f"  {name}: {here:.2f} ms here, {there:.2f} ms there")
        self.report |= {"objects": inputs.source, "bare_signature_check": bare}
        self.add(measured)

    def costs(self) -> None:
        """Synthetic objects of every format and kind with every backend, in parts."""
        rounds, updates = (1, 2) if self.quick else (5, 12)
        measured = costs.measure_parts(rounds, updates)
        print(costs.cost_table(measured), "\n", flush=True)
        self.report["costs"] = [
            {
                "format": item.data_format,
                "kind": item.kind,
                "backend": item.backend,
                **item.parts,
                "total": item.total,
            }
            for item in measured
        ]
        bars = {
            f"{item.data_format} {item.backend}": [item.parts[part] for part in costs.PARTS]
            for item in measured
            if item.kind == "update"
        }
        stacked_bars(
            self.folder / "costs.svg",
            "One LightClientUpdate by format and backend",
            "milliseconds",
            costs.PARTS,
            bars,
        )

    def batches(self) -> None:
        """Synthetic updates one by one and in batches of growing size."""
        rounds, updates, sizes = (1, 32, (16, 32)) if self.quick else (5, 128, costs.BATCH_SIZES)
        figures, points = costs.measure_batches(rounds, updates, sizes=sizes)
        line_plot(
            self.folder / "batches.svg",
            "An update's time by batch size (8 of 512 absent on average)",
            ("updates in a batch", "milliseconds an update"),
            points,
            logarithmic=True,
        )
        self.add(figures)

    def encodings(self) -> None:
        """JSON against SSZ."""
        self.add(costs.measure_encodings(3 if self.quick else 200))

    def following(self) -> None:
        """A slot at the head."""
        self.add(costs.measure_following(1 if self.quick else 12))

    def startup(self) -> None:
        """Fresh processes: imports, ``--help``, the first head."""
        self.add(startup.measure(rounds=2 if self.quick else 11))
        notes = []
        for statement in ("import lightclient", "from lightclient import LightClient"):
            loaded = startup.unwanted_imports(statement)
            notes.append(f"{statement!r} loads {', '.join(loaded) or 'nothing'} of what it may not")
            self.report[f"unwanted after {statement!r}"] = loaded
        notes.append(startup.told_of_plain_install())
        figures, times = startup.measure_first_head(2 if self.quick else 7)
        self.add(figures, notes + times)

    def history(self) -> None:
        """A whole history, by way of getting it."""
        names = [backend.name for backend in available_backends()]
        periods = 64 if self.quick else histories.FULL_PERIODS
        self.add(*histories.measure_history(1 if self.quick else 3, periods, names[:1]))
        if not self.quick:
            self.add(*histories.measure_history(1, periods, names[1:]))

    def growth(self) -> None:
        """Time and memory over a history's length."""
        lengths = (16, 64) if self.quick else histories.GROWTH_PERIODS
        figures, points = histories.measure_growth(1 if self.quick else 3, lengths)
        line_plot(
            self.folder / "growth-time.svg",
            "History sync over loopback HTTP",
            ("sync committee periods", "seconds"),
            points["seconds"],
        )
        line_plot(
            self.folder / "growth-memory.svg",
            "Peak memory of a history sync over loopback HTTP",
            ("sync committee periods", "MB"),
            points["memory"],
            logarithmic=True,
        )
        self.report["growth"] = points
        self.add(figures)

    def stall(self) -> None:
        """What an embedding event loop suffers."""
        rounds, periods = (1, 64) if self.quick else (3, 256)
        self.add(*histories.measure_stalls(rounds, periods))
        self.add(*floor.measure_held(1 if self.quick else 5))

    def floor(self) -> None:
        """What cannot be avoided."""
        self.add(floor.measure_floor(5 if self.quick else 100))

    def memory(self) -> None:
        """A client that follows the head."""
        names = [backend.name for backend in available_backends()]
        self.add(
            *memory.measure(
                seconds=2 if self.quick else 16, backends=names[-1:] if self.quick else names
            )
        )


PARTS: dict[str, Callable[[Run], None]] = {
    "hot-path": Run.hot_path,
    "costs": Run.costs,
    "batches": Run.batches,
    "encodings": Run.encodings,
    "following": Run.following,
    "startup": Run.startup,
    "history": Run.history,
    "growth": Run.growth,
    "stall": Run.stall,
    "floor": Run.floor,
    "memory": Run.memory,
}


def main() -> None:
    """Measure the wanted parts, print, write."""
    arguments = _arguments()
    if arguments.profile:
        from benchmarks.profiles import profile

        print(profile(64 if arguments.quick else 512))
        return
    path: Path = arguments.json or RESULTS / "latest.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    run = Run(path.parent, quick=arguments.quick)
    for name in arguments.only or PARTS:
        print(f"== {name}", flush=True)
        PARTS[name](run)
    targets = [item for item in run.figures if item.target is not None]
    if targets:
        print("== targets")
        print(table(targets))
    report = {
        **run.report,
        "load_after": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "figures": [as_json(item) for item in run.figures],
        "notes": run.notes,
    }
    path.write_text(json.dumps(report, indent=2) + "\n")
    missed = [item.name for item in targets if not item.is_met]
    print(f"Missed: {', '.join(missed) or 'nothing'}. Written to {path}")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few repeats: says little, ends soon")
    parser.add_argument("--json", type=Path, metavar="PATH", help="instead of benchmarks/results/")
    parser.add_argument("--only", action="append", choices=PARTS, help="this part; may repeat")
    parser.add_argument("--profile", action="store_true", help="name the top costs and end")
    return parser.parse_args()


if __name__ == "__main__":
    main()
