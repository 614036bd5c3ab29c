"""Run the benchmarks: ``python -m benchmarks [--quick] [--json PATH] [--only PART]``.

Prints every figure beside its target and writes the same as JSON. A target that is missed is
printed as missed; the exit code does not depend on it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import hot_path, memory, startup
from benchmarks.figures import Figure, as_json, table
from benchmarks.inputs import recorded_or_simulated
from lightclient.bls import available_backends

RESULTS = Path(__file__).resolve().parent / "results"
PARTS = ("hot-path", "startup", "memory")


def main() -> None:
    """Measure the wanted parts, print, write."""
    arguments = _arguments()
    parts = arguments.only or PARTS
    figures: list[Figure] = []
    notes: list[str] = []
    report: dict[str, object] = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
    }
    if "hot-path" in parts:
        inputs = recorded_or_simulated()
        print(
            f"Objects: {inputs.source}, committees of {inputs.network.preset.sync_committee_size}"
        )
        measured, bare = hot_path.measure(inputs, rounds=1 if arguments.quick else 12)
        print("One bare signature check, by which times are scaled to the reference machine:")
        for name, check in bare.items():
            here, there = check["measured_ms"], check["reference_ms"]
            print(f"  {name}: {here:.2f} ms here, {there:.2f} ms there")
        figures += measured
        report |= {"objects": inputs.source, "bare_signature_check": bare}
    if "startup" in parts:
        figures += startup.measure(rounds=2 if arguments.quick else 11)
        for statement in ("import lightclient", "from lightclient import LightClient"):
            loaded = startup.unwanted_imports(statement)
            notes.append(f"{statement!r} loads {', '.join(loaded) or 'nothing'} of what it may not")
            report[f"unwanted after {statement!r}"] = loaded
    if "memory" in parts:
        names = [backend.name for backend in available_backends()]
        more, unmeasured = memory.measure(
            seconds=2 if arguments.quick else 16, backends=names[-1:] if arguments.quick else names
        )
        figures += more
        notes += unmeasured
    print(table(figures))
    print("\n".join(notes))
    report |= {"figures": [as_json(item) for item in figures], "notes": notes}
    path: Path = arguments.json or RESULTS / "latest.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n")
    missed = [item.name for item in figures if item.is_met is False]
    print(f"Missed: {', '.join(missed) or 'nothing'}. Written to {path}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few repeats: says little, ends soon")
    parser.add_argument("--json", type=Path, metavar="PATH", help="instead of benchmarks/results/")
    parser.add_argument("--only", action="append", choices=PARTS, help="this part; may repeat")
    return parser.parse_args()


if __name__ == "__main__":
    main()
