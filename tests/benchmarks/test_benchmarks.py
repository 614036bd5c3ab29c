"""The benchmarks run and report what they should; no test asserts a time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import costs, floor, hot_path, profiles, startup
from benchmarks.figures import figure, table
from benchmarks.inputs import recorded_or_simulated, simulated
from lightclient.bls import available_backends


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
    inputs = simulated(updates=2, preset="minimal")

    def ratios() -> list[float]:
        """What a sample was scaled by, compared with what all were, for each backend."""
        found = []
        figures, bare = hot_path.measure(inputs, rounds=1)
        by_name = {item.name: item for item in figures}
        for backend, check in bare.items():
            item = by_name[f"update, bytes to applied ({backend})"]
            assert item.scaled is not None
            scale = check["reference_ms"] / check["measured_ms"]
            found.append(item.scaled / (item.median * scale))
        assert by_name["finality update without the signature"].median > 0
        return found

    # Each sample is scaled by the checks around it, and those differ little, unless the machine
    # did something else in one of them.
    assert any(all(0.2 < ratio < 5 for ratio in ratios()) for _ in range(5))


def test_without_recorded_objects_simulated_ones_are_measured_and_named(tmp_path: Path) -> None:
    inputs = recorded_or_simulated(tmp_path / "absent")
    assert inputs.source == "21 simulated mainnet Capella updates"
    assert len(inputs.updates) == 21


def test_importing_the_library_loads_no_http_no_terminal_and_no_simulator() -> None:
    assert startup.unwanted_imports("import lightclient") == []
    assert "httpx" in startup.unwanted_imports("import httpx")


def test_who_asks_rest_providers_installs_nothing_for_the_network_of_peers() -> None:
    plain = startup.plain_install()
    assert {"httpx", "anyio", "click"} < set(plain)
    assert not {"libp2p", "trio", "cryptography", "coincurve", "pycryptodome"} & set(plain)
    assert all(plain.values())


def test_a_missed_target_is_said_to_be_missed() -> None:
    slow = figure("slow", "ms", [3.0, 4.0, 5.0], target=2.0)
    scaled = figure("scaled", "ms", [3.0, 4.0, 5.0], scaled=1.9, target=2.0)
    assert (slow.is_met, scaled.is_met) == (False, True)
    assert "MISSED" in table([slow])
    assert "MISSED" not in table([scaled])


def test_a_lower_bound_is_met_from_above() -> None:
    fast = figure("ratio", "x", [8.0], target=7.0, at_least=True)
    slow = figure("ratio", "x", [6.0], target=7.0, at_least=True)
    assert (fast.is_met, slow.is_met) == (True, False)
    assert ">= 7 x" in table([fast])


def test_a_spread_never_leaves_what_was_measured() -> None:
    item = figure("two samples", "ms", [1.0, 9.0])
    assert (item.low, item.high) == pytest.approx((1.8, 8.2))


def test_every_format_kind_and_backend_is_told_in_its_parts() -> None:
    measured = costs.measure_parts(rounds=1, updates=2, preset="minimal")
    formats = {item.data_format for item in measured}
    assert formats == {"altair", "capella", "deneb", "electra", "gloas"}
    assert len(measured) == len(formats) * 4 * len(available_backends())
    for item in measured:
        assert item.parts["signature"] > 0
        assert ("store" in item.parts) == (item.kind != "bootstrap")
        assert ("committee root" in item.parts) == (item.kind in ("bootstrap", "update"))
    assert len(costs.cost_table(measured).splitlines()) == len(measured) + 1


def test_batches_encodings_and_slots_are_measured_for_every_backend() -> None:
    names = [backend.name for backend in available_backends()]
    figures, points = costs.measure_batches(1, updates=4, preset="minimal", sizes=(2, 4))
    assert list(points) == names
    assert all([x for x, _ in line] == [1, 2, 4] for line in points.values())
    assert len(figures) == 3 * len(names)
    assert len(costs.measure_encodings(1, preset="minimal")) == 8
    assert len(costs.measure_following(1, preset="minimal")) == len(names)


def test_the_floor_is_the_sum_of_its_parts() -> None:
    figures = {item.name: item.median for item in floor.measure_floor(repeats=2)}
    parts = ("signature decompressed", "hash to the curve", "two pairings")
    for backend in available_backends():
        if f"floor: two pairings ({backend.name})" not in figures:
            continue
        total = sum(figures[f"floor: {part} ({backend.name})"] for part in parts)
        total += figures["floor: 2050 compressions of SHA-256"]
        assert figures[f"floor of an update ({backend.name})"] == pytest.approx(total)


@pytest.mark.slow
def test_a_call_that_keeps_the_interpreter_is_noticed_and_one_that_does_not_is_not() -> None:
    figures, notes = floor.measure_held(repeats=1)
    held = {item.name: item.median for item in figures}
    longest = held["interpreter held: aggregate of 512 compared (milagro)"]
    assert longest > held["interpreter held: signature with 0 absent (milagro)"]
    assert any("with milagro: aggregate of 512 compared" in note for note in notes)


def test_a_profile_names_functions_with_their_share() -> None:
    text = profiles.profile(8)
    assert "8 updates one by one" in text
    assert "lightclient/ssz/hashing.py" in text
