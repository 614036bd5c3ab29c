"""The benchmarks run and report what they should; no test asserts a time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import hot_path, startup
from benchmarks.figures import figure, table
from benchmarks.inputs import recorded_or_simulated, simulated


def test_a_quick_run_writes_every_figure_with_its_judgement_as_json(
    tmp_path: Path, checkout: Path
) -> None:
    path = tmp_path / "results" / "quick.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "startup"]
    done = subprocess.run(
        [*command, "--json", str(path)], cwd=checkout, capture_output=True, text=True, check=True
    )
    report = json.loads(path.read_text())
    names = {item["name"] for item in report["figures"]}
    assert {"import lightclient", "nimbus-light-client --help"} <= names
    for item in report["figures"]:
        assert item["low"] <= item["median"] <= item["high"]
        assert item["met"] in ((None,) if item["target"] is None else (True, False))
        assert item["name"] in done.stdout


def test_every_backend_is_timed_on_simulated_objects_and_scaled_by_its_own_check() -> None:
    figures, bare = hot_path.measure(simulated(updates=2, preset="minimal"), rounds=1)
    by_name = {item.name: item for item in figures}
    for backend, check in bare.items():
        item = by_name[f"update, bytes to applied ({backend})"]
        # One round: the median over the rounds is that of the only one.
        assert item.scaled == pytest.approx(
            item.median * check["reference_ms"] / check["measured_ms"]
        )
    assert by_name["finality update without the signature"].median > 0


def test_without_recorded_objects_simulated_ones_are_measured_and_named(tmp_path: Path) -> None:
    inputs = recorded_or_simulated(tmp_path / "absent")
    assert inputs.source == "21 simulated mainnet Capella updates"
    assert len(inputs.updates) == 21


def test_importing_the_library_loads_no_http_no_terminal_and_no_simulator() -> None:
    assert startup.unwanted_imports("import lightclient") == []
    assert "httpx" in startup.unwanted_imports("import httpx")


def test_a_missed_target_is_said_to_be_missed() -> None:
    slow = figure("slow", "ms", [3.0, 4.0, 5.0], target=2.0)
    scaled = figure("scaled", "ms", [3.0, 4.0, 5.0], scaled=1.9, target=2.0)
    assert (slow.is_met, scaled.is_met) == (False, True)
    assert "MISSED" in table([slow])
    assert "MISSED" not in table([scaled])
