"""The long runs of a soak besides the seeds, each a function that reports in a few lines."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.soak.following import follow_a_month, follow_a_year

_CHECKOUT = Path(__file__).resolve().parents[2]
_KILLS = 1000
_STORAGE_SECONDS = 400


@dataclass(frozen=True)
class Report:
    """What came of a stage."""

    name: str
    passed: bool
    text: str


def storage() -> tuple[bool, str]:
    """The tests of what is on disk, with as many kills as a soak is worth."""
    command = [
        sys.executable, "-m", "pytest", "tests/storage", "-q", "-p", "no:cacheprovider",
        "-o", f"timeout={_STORAGE_SECONDS}",
    ]  # fmt: skip
    environment = os.environ | {"LIGHTCLIENT_KILLS": str(_KILLS)}
    try:
        done = subprocess.run(
            command,
            cwd=_CHECKOUT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_STORAGE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False, f"the tests of the storage took more than {_STORAGE_SECONDS} s"
    said = done.stdout.strip().splitlines()
    text = said[-1] if done.returncode == 0 and said else done.stdout[-4000:] + done.stderr[-2000:]
    return done.returncode == 0, f"{_KILLS} kills -9 while saving; {text}"


def year() -> tuple[bool, str]:
    """A year of chain time."""
    result = follow_a_year(seed=1)
    return not result.violations, result.told()


def month() -> tuple[bool, str]:
    """A month of following without a pause, with an eye on memory."""
    result = follow_a_month(seed=1)
    return not result.violations, result.told()


STAGES: dict[str, Callable[[], tuple[bool, str]]] = {"storage": storage, "year": year}
"""Those of every soak."""


def run_stage(name: str) -> Report:
    """Run one; whatever happens in it is told in its report."""
    started, started_working = time.monotonic(), time.process_time()
    try:
        passed, text = {**STAGES, "month": month}[name]()
    except Exception as error:  # noqa: BLE001 - a stage that breaks down has failed
        passed, text = False, f"broke down: {error!r}"
    seconds = time.monotonic() - started
    word = "passed" if passed else "FAILED"
    working = time.process_time() - started_working
    took = f"{seconds:,.0f} s of real time, {working:,.0f} s of work"
    return Report(name, passed, f"{name} {word} in {took}: {text}")
