"""Compare with Lodestar's light client: ``python -m benchmarks.peers [--quick] [--json PATH]``.

Installs it from npm next to this file on its first run. Both programs get the same updates and take
turns, round by round. Without node, npm or the registry there is nothing to compare with: that is
said, and the exit code is 0.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import hot_path
from benchmarks.figures import Figure, as_json, figure, table
from benchmarks.inputs import Inputs, recorded_or_simulated
from benchmarks.scale import BareCheck
from lightclient.bls import Backend, choose_backend
from lightclient.config import FAR_FUTURE_EPOCH

FOLDER = Path(__file__).resolve().parent
_RESULT = FOLDER.parent / "results" / "peers.json"
_HASHERS = ("hashtree", "as-sha256")
_INSTALL_SECONDS = 600
_OLDEST_NODE = 20
_SINGLE_TARGET, _BATCH_TARGET = 7.0, 10.0


class Unavailable(Exception):
    """Why there is nothing to compare with."""


def install(folder: Path = FOLDER) -> None:
    """Make sure that the peer is installed. Raises Unavailable."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise Unavailable(f"{'node' if node is None else 'npm'} is not installed")
    told = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    version = told.stdout.strip()
    major = version.lstrip("v").partition(".")[0]
    if not major.isdecimal() or int(major) < _OLDEST_NODE:
        raise Unavailable(f"node is {version or 'broken'}; it takes {_OLDEST_NODE} or newer")
    wanted = (folder / "package.json").read_text()
    stamp = folder / "node_modules" / ".installed"
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    print("Installing @lodestar/light-client and @chainsafe/blst from npm (once) ...", flush=True)
    command = [npm, "install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"npm did not end within {_INSTALL_SECONDS} s") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line.lower()]
        raise Unavailable(f"npm could not install it: {' / '.join(lines[:3]) or 'no reason given'}")
    stamp.write_text(wanted)


def _job(inputs: Inputs) -> dict[str, Any]:
    network = inputs.network
    first = inputs.updates[0][0]
    assert first is not None
    return {
        "forks": [
            {
                "name": item.fork.name.upper(),
                "epoch": None if item.epoch == FAR_FUTURE_EPOCH else item.epoch,
                "version": item.version.hex(),
            }
            for item in network.forks[1:]
        ],
        "genesis_validators_root": network.genesis_validators_root.hex(),
        "bootstrap_format": first.name,
        "bootstrap": inputs.bootstrap.hex(),
        "current_slot": network.slot_at_time_ms(inputs.now_ms),
        "updates": [
            {"format": data_format.name, "data": data.hex()}
            for data_format, data in inputs.updates
            if data_format is not None
        ],
    }


class Peer:
    """A running Lodestar light client. Raises Unavailable if it does not start."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.greeting: dict[str, Any] = self._line()
        if self.greeting["bls"] != "blst-native":
            raise Unavailable(f"it found no native BLS library, only {self.greeting['bls']}")
        if not self.greeting["refuses"]:
            raise Unavailable("it accepts a wrong signature, so its times say nothing")

    def _line(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise Unavailable(f"node ended with exit code {self._process.wait()}, see above")
        return json.loads(line)

    def round(self) -> list[float]:
        """Milliseconds of each update."""
        assert self._process.stdin is not None
        self._process.stdin.write("round\n")
        self._process.stdin.flush()
        times: list[float] = self._line()
        return times


@contextmanager
def _peer(job: Path, hasher: str) -> Iterator[Peer]:
    process = subprocess.Popen(
        ["node", str(FOLDER / "lodestar.mjs"), str(job), hasher],
        cwd=FOLDER,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Peer(process)
    finally:
        process.kill()
        process.communicate()


def fastest_hasher(job: Path, rounds: int) -> tuple[str, dict[str, float]]:
    """Which of its hashers it is fastest with, and the medians of all."""
    medians = {}
    for hasher in _HASHERS:
        with _peer(job, hasher) as peer:
            times = [peer.round() for _ in range(rounds + 1)][1:]
        medians[hasher] = median(value for values in times for value in values)
    return min(medians, key=lambda name: medians[name]), medians


def compare(inputs: Inputs, backend: Backend, rounds: int) -> tuple[list[Figure], dict[str, Any]]:
    """Medians of both and their ratios; the programs take turns."""
    check = BareCheck(backend)
    theirs: list[float] = []
    ours: dict[str, list[float]] = defaultdict(list)
    ratios: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder) / "job.json"
        job.write_text(json.dumps(_job(inputs)))
        hasher, medians = fastest_hasher(job, max(rounds // 4, 1))
        with _peer(job, hasher) as peer, closing(hot_path.started(backend)) as second:
            for number in range(rounds + 2):
                times = peer.round()
                samples: hot_path.Samples = defaultdict(list)
                hot_path.follow(inputs, backend, check, samples, "single")
                hot_path.follow_in_batches(inputs, backend, check, samples)
                hot_path.follow_in_batches(inputs, backend, check, samples, second)
                if number < 2:
                    continue  # both warm up
                theirs += times
                for name, key in (
                    ("single", "update single"),
                    ("batch", f"batch {backend.name}"),
                    ("shared", f"shared batch {backend.name}"),
                ):
                    ours[name] += samples[key]
                    ratios[name].append(median(times) / median(samples[key]))
            report = {"peer": peer.greeting, "hashers_ms": medians}
    us = f"this light client ({backend.name})"
    figures = [
        figure(f"Lodestar's light client ({hasher}, blst)", "ms", theirs),
        figure(f"{us}, one by one", "ms", ours["single"]),
        figure(f"{us}, in batches", "ms", ours["batch"]),
        figure(f"{us}, in batches, second process", "ms", ours["shared"]),
    ]
    for name, title, target in (
        ("single", "one by one", _SINGLE_TARGET),
        ("batch", "in batches", _BATCH_TARGET),
        ("shared", "in batches, second process", _BATCH_TARGET),
    ):
        name_of_ratio = f"times faster, {title} (by round)"
        figures.append(figure(name_of_ratio, "x", ratios[name], target=target, at_least=True))
    return figures, report


def main() -> None:
    """Install, compare, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds: says little, ends soon")
    parser.add_argument("--json", type=Path, metavar="PATH", default=_RESULT)
    arguments = parser.parse_args()
    try:
        install()
        inputs, backend = recorded_or_simulated(), choose_backend()
        print(f"Objects: {inputs.source}")
        figures, report = compare(inputs, backend, rounds=2 if arguments.quick else 20)
    except Unavailable as error:
        print(f"Comparison with @lodestar/light-client skipped: {error}")
        sys.exit(0)
    print(f"Lodestar: {report['peer']}; medians by hasher, ms: {report['hashers_ms']}")
    print(table(figures))
    report |= {"objects": inputs.source, "figures": [as_json(item) for item in figures]}
    path: Path = arguments.json
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
