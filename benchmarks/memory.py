"""Resident memory of a client that follows the head over HTTP, as the operating system counts it.

The server is a simulated chain in another process: mainnet preset (committees of 512), Electra
format, but slots of half a second, so that a short run sees many updates. Linux only.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figure, figure

_TARGET_MB = 60.0
_PATIENCE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class _Chain:
    url: str
    network_directory: str
    genesis_time: int
    genesis_validators_root: str
    trusted_block_root: str

    @property
    def options(self) -> list[str]:
        return [
            f"--network={self.network_directory}",
            f"--genesis-time={self.genesis_time}",
            f"--genesis-validators-root={self.genesis_validators_root}",
            f"--trusted-block-root={self.trusted_block_root}",
            f"--rest-url={self.url}",
        ]


def measure(seconds: float, backends: list[str]) -> tuple[list[Figure], list[str]]:
    """Memory after ``seconds`` of following, with each backend; and what could not be measured."""
    if not Path("/proc/self/status").exists():
        return [], ["resident memory: needs /proc, which only Linux has"]
    figures, notes = [], []
    with tempfile.TemporaryDirectory() as folder, _served_chain(folder) as chain:
        for backend in backends:
            for program, module in (
                ("library", "benchmarks.following"),
                ("nimbus-light-client", "lightclient_cli"),
            ):
                name = f"resident memory following the head ({program}, {backend})"
                command = [sys.executable, "-m", module, *chain.options, f"--bls-backend={backend}"]
                try:
                    samples = _memory_of(command, seconds, Path(folder) / "client.log")
                except RuntimeError as error:
                    notes.append(f"{name}: {error}")
                    continue
                figures.append(figure(name, "MB", samples, target=_TARGET_MB))
    return figures, notes


@contextmanager
def _served_chain(folder: str) -> Iterator[_Chain]:
    server = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.chain_server", folder],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    try:
        line = server.stdout.readline()
        if not line:
            raise RuntimeError(f"the simulated chain's server ended with {server.wait()}")
        yield _Chain(**json.loads(line))
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()


def _memory_of(command: list[str], seconds: float, log: Path) -> list[float]:
    """VmRSS once a second over the second half of a run that began with a first header; in MB."""
    with log.open("w") as output:
        client = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait_for_headers(client, log, 1)
        time.sleep(seconds / 2)
        seen = _headers_seen(log)
        samples = []
        for _ in range(max(int(seconds / 2), 1)):
            time.sleep(1)
            samples.append(_resident_mb(client.pid))
        _wait_for_headers(client, log, seen + 1)  # it was still following
    finally:
        client.terminate()
        client.wait()
    return samples


def _wait_for_headers(client: subprocess.Popen[bytes], log: Path, wanted: int) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while _headers_seen(log) < wanted:
        if client.poll() is not None or time.monotonic() > deadline:
            lines = log.read_text().strip().splitlines()
            raise RuntimeError(f"followed no head; its last line: {lines[-1] if lines else ''}")
        time.sleep(0.1)


def _headers_seen(log: Path) -> int:
    return log.read_text().count("optimistic header")


def _resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("the client ended while it was measured")
