"""Where there is nothing to compare with, that is said and nothing fails."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.inputs import simulated
from benchmarks.peers import __main__ as peers
from lightclient.bls import choose_backend


def test_without_node_or_npm_the_comparison_is_skipped_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "npm" else f"/bin/{name}")
    monkeypatch.setattr(sys, "argv", ["peers", "--json", str(tmp_path / "peers.json")])
    with pytest.raises(SystemExit) as ended:
        peers.main()
    assert ended.value.code == 0
    assert capsys.readouterr().out == (
        "Comparison with @lodestar/light-client skipped: npm is not installed\n"
    )
    assert not (tmp_path / "peers.json").exists()


@pytest.mark.parametrize(
    ("version", "npm_code", "reason"),
    [
        ("v18.19.1", 0, r"node is v18\.19\.1; it takes 20 or newer"),
        ("v22.0.0", 1, "npm could not install it: npm error network unreachable"),
    ],
)
def test_an_old_node_and_a_registry_out_of_reach_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str, npm_code: int, reason: str
) -> None:
    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        if command[1] == "--version":
            return subprocess.CompletedProcess(command, 0, version + "\n", "")
        return subprocess.CompletedProcess(command, npm_code, "", "npm error network unreachable\n")

    (tmp_path / "package.json").write_text("{}")
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(peers.Unavailable, match=reason):
        peers.install(tmp_path)


def test_what_is_installed_already_is_not_installed_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    installs = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        if command[1] == "install":
            installs.append(command)
            (tmp_path / "node_modules").mkdir(exist_ok=True)
        return subprocess.CompletedProcess(command, 0, "v20.0.0\n", "")

    (tmp_path / "package.json").write_text("{}")
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(subprocess, "run", run)
    peers.install(tmp_path)
    peers.install(tmp_path)
    assert len(installs) == 1
    (tmp_path / "package.json").write_text('{"changed": true}')
    peers.install(tmp_path)
    assert len(installs) == 2


def test_the_peer_gets_the_bytes_and_the_schedule_that_this_client_has() -> None:
    inputs = simulated(updates=2, preset="minimal")
    job = json.loads(json.dumps(peers._job(inputs)))
    assert [bytes.fromhex(item["data"]) for item in job["updates"]] == [
        data for _format, data in inputs.updates
    ]
    epochs = {item["name"]: item["epoch"] for item in job["forks"]}
    assert (epochs["CAPELLA"], epochs["DENEB"]) == (0, None)


@pytest.mark.slow
@pytest.mark.skipif(
    not (peers.FOLDER / "node_modules" / ".installed").is_file(),
    reason="the peer is not installed (make bench-peers installs it)",
)
def test_the_peer_accepts_simulated_updates_too() -> None:
    figures, report = peers.compare(simulated(updates=3), choose_backend(), rounds=1)
    assert report["peer"]["bls"] == "blst-native"
    assert [item.target for item in figures if item.at_least] == [7.0, 10.0, 10.0]
    assert all(item.median > 0 for item in figures)
