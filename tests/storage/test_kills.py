"""A process killed at any moment while it saves leaves a whole store, none older than confirmed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = int(os.environ.get("LIGHTCLIENT_KILLS", "40"))
"""How many; ``make soak`` asks for more."""
CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="signals and forks")
@pytest.mark.timeout(600)
def test_killed_at_any_moment_it_leaves_what_was_confirmed(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.storage.kills", f"--kills={KILLS}", tmp_path / "data"],
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    figures = json.loads(done.stdout)
    assert figures["kills"] == KILLS
    # The kills hit writes in the middle, not only the pauses between them.
    assert figures["undone"] > KILLS / 20
    assert figures["saves"] > KILLS
