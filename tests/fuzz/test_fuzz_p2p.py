"""``make fuzz-p2p`` in short: each attack once on a live node; and that faults would be found."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

pytest.importorskip("libp2p", reason="the extra [libp2p] is not installed")

import trio

from tests.fuzz.p2p.__main__ import summary
from tests.fuzz.p2p.attacker import LAYERS, layer_of
from tests.fuzz.p2p.honest import Service
from tests.fuzz.p2p.run import MAX_GROWTH_MB, Layer, Report, Run, judged
from tests.fuzz.p2p.scene import draw_for

SEED = "make test"


def _one_of_each() -> list[int]:
    """The first case of each kind of attack."""
    found: dict[str, int] = {}
    for number in count():
        found.setdefault(layer_of(draw_for(SEED, number)), number)
        if len(found) == len(LAYERS):
            return sorted(found.values())
    raise AssertionError


@pytest.mark.slow
def test_a_live_node_outlives_each_attack_and_serves_honest_peers(tmp_path: Path) -> None:
    run = Run(SEED, 14, tmp_path / "victim.txt", _one_of_each(), is_short=True)
    report = trio.run(run.play)
    told = "\n".join(summary(report))
    assert report.findings == [], told
    assert report.is_enough, told


def _well() -> Report:
    told = {"rss_mb": 120.0, "fds": 30, "tasks": 200, "restarts": 0, "discovery_restarts": 0}
    service = Service(answered=200, seconds=[0.01] * 200)
    return Report(
        layers={"tcp": Layer(3, 30, 3)},
        told=[{**told, "head": 350}],
        services={"came by itself": service},
        published=20,
        heard=19,
        first_rss_mb=100.0,
    )


def test_a_run_in_which_all_is_well_has_no_findings() -> None:
    assert judged(_well(), log="INFO all is well", slot=350) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rss_mb", 101.0 + MAX_GROWTH_MB),
        ("fds", 1000),
        ("tasks", 10_000),
        ("restarts", 1),
        ("discovery_restarts", 1),
    ],
)
def test_a_figure_beyond_its_bound_is_a_finding(key: str, value: float) -> None:
    report = _well()
    report.told[0][key] = value
    [finding] = judged(report, log="", slot=350)
    assert finding.startswith(key)


def test_what_honest_peers_miss_is_a_finding() -> None:
    report = _well()
    report.services["came by itself"].missed = ["no answer"] * 20
    assert "missed 20 of 220" in judged(report, log="", slot=350)[0]
    report = _well()
    report.heard = 3
    assert "3 of 20" in judged(report, log="", slot=350)[0]
    assert "head" in judged(_well(), log="", slot=380)[0]
    assert "exception" in judged(_well(), log="Traceback (most recent call last)", slot=350)[0]


def test_a_case_is_the_same_in_each_run() -> None:
    first, again = draw_for("seed", 7), draw_for("seed", 7)
    assert layer_of(first) == layer_of(again)
    assert first.randbytes(20) == again.randbytes(20)
    assert draw_for("other", 7).randbytes(20) != draw_for("seed", 8).randbytes(20)
