"""Some seeds of the soak, as `make test` has time for; `make soak` plays a thousand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.soak.following import follow_a_year
from tests.soak.scenario import draw_scenario
from tests.soak.world import play

# httpx leaves its generators to the garbage collector when a stream is closed before its end.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")
CHECKOUT = Path(__file__).resolve().parents[2]
SEEDS = range(6)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_violated_in_the_first_seeds(seed: int) -> None:
    result = play(draw_scenario(seed))
    assert not result.violations
    assert result.figures.runs["seeds"] == 1


def test_a_seed_plays_the_same_in_another_process() -> None:
    seed = 7
    code = (
        "from tests.soak.world import play; from tests.soak.scenario import draw_scenario;"
        f"print(play(draw_scenario({seed})).digest)"
    )
    # Hashes of text differ from process to process, and so does the order in sets.
    environment = os.environ | {"PYTHONHASHSEED": "12345"}
    elsewhere = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        env=environment,
        check=True,
    )
    assert elsewhere.stdout.strip() == play(draw_scenario(seed)).digest != ""


def test_ten_days_of_a_laptop_is_followed() -> None:
    result = follow_a_year(1, days=10)
    assert not result.violations
    assert result.periods >= 7
