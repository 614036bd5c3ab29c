"""What the network costs is measured, and reported in the shape that the documents quote."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.libp2p import traffic_figures

pytest.importorskip("libp2p", reason="the extra [libp2p] is not installed")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_a_quick_run_tells_time_memory_and_bytes(tmp_path: Path, checkout: Path) -> None:
    path = tmp_path / "figures.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.libp2p", "--quick", "--json", str(path)],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    report = json.loads(path.read_text())
    by_name = {item["name"]: item for item in report["figures"]}
    for name, item in by_name.items():
        assert name in done.stdout
        # Discovery may be silent for as long as this takes.
        assert item["median"] > 0 or "(discovery)" in name
    start = by_name["process start to the verified head (libp2p)"]
    assert start["unit"] == "s"
    assert by_name["resident memory at the first head"]["unit"] == "MB"
    # A finality update of mainnet's preset, and what it takes on the wire.
    ssz, payload, answer = report["sizes"]["finality_update"]
    assert 2000 < ssz < 2300
    assert payload < ssz
    assert payload < answer < payload + 100
    assert report["counted"]["gossip_accepted"] >= 1
    assert report["counted"]["tcp_received"] > report["sizes"]["optimistic_update"][1]


def test_a_days_bytes_are_those_of_the_time_that_was_measured() -> None:
    counted = {"tcp_received": 864.0, "tcp_sent": 0.0, "udp_received": 0.0, "udp_sent": 86.4}
    figures = traffic_figures(counted | {"seconds": 86.4, "peers": 8}, slots=8)
    by_name = {item.name: item.median for item in figures}
    assert by_name["received a slot (gossip and requests)"] == 108
    assert by_name["received a day (gossip and requests)"] == pytest.approx(0.864)
    assert by_name["sent a day (discovery)"] == pytest.approx(0.0864)
    assert by_name["both ways a day, with those look-ups"] == pytest.approx(0.9504 + 7.2)
