"""Our own vectors: made anew they are the same bytes, they are small, and they hold every rule."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import snappy
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lightclient.bls import choose_backend
from lightclient.config import DATA_FORMATS, FORKS, FORKS_BY_NAME
from lightclient.protocol import Rule
from lightclient.simulator.vector_files import snappy_block
from lightclient.simulator.vectors import main
from lightclient_cli.spec_tests.discovery import find_cases
from lightclient_cli.spec_tests.runner import Outcome, run_cases

MAX_BYTES = 3_000_000
MAX_FILE_BYTES = 1_000_000


@pytest.fixture(scope="module")
def vectors(checkout: Path) -> Path:
    return checkout / "vectors"


def files_below(root: Path) -> dict[str, bytes]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def test_making_the_vectors_anew_changes_nothing(
    vectors: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stale = tmp_path / "tests" / "stale.yaml"
    stale.parent.mkdir()
    stale.touch()
    assert main([str(tmp_path)]) == 0
    assert "files" in capsys.readouterr().out
    made, committed = files_below(tmp_path / "tests"), files_below(vectors / "tests")
    assert made.keys() == committed.keys()
    assert [name for name in made if made[name] != committed[name]] == []


def test_the_generator_needs_exactly_one_directory(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "OUT_DIR" in capsys.readouterr().err


def test_the_vectors_are_small(vectors: Path) -> None:
    sizes = [len(content) for content in files_below(vectors).values()]
    assert sum(sizes) < MAX_BYTES
    assert max(sizes) < MAX_FILE_BYTES


def test_every_vector_passes(vectors: Path) -> None:
    cases = list(find_cases(vectors))
    results = list(run_cases(cases, [choose_backend()]))
    assert [str(result) for result in results if result.outcome is not Outcome.PASSED] == []
    assert len(results) == len(cases) > 70


def test_there_are_sync_vectors_of_every_fork_and_preset(vectors: Path) -> None:
    cases = list(find_cases(vectors))
    minimal = {case.fork for case in cases if case.preset == "minimal" and case.handler == "sync"}
    assert minimal == {fork.name for fork in FORKS[1:]}
    assert {case.preset for case in cases} == {"minimal", "mainnet", "gnosis"}
    assert {case.handler for case in cases} == {
        "single_merkle_proof",
        "sync",
        "sync_refusals",
        "update_ranking",
    }


def rules_in(case: Path) -> set[str]:
    meta: dict[str, Any] = yaml.safe_load((case / "meta.yaml").read_text())
    found = {meta["bootstrap_expected"]["rule"]} if "bootstrap_expected" in meta else set()
    for step in yaml.safe_load((case / "steps.yaml").read_text()):
        ((_, content),) = step.items()
        found.add(content["expected"]["rule"])
    return found


def test_every_rule_refuses_something_in_every_format(vectors: Path) -> None:
    rules: dict[str, set[str]] = defaultdict(set)
    for case in find_cases(vectors):
        if case.handler == "sync_refusals":
            rules[FORKS_BY_NAME[case.fork].data_format.name] |= rules_in(case.path)
    assert rules.keys() == {data_format.name for data_format in DATA_FORMATS}
    for data_format in DATA_FORMATS:
        # Without an execution part, no finalized header can be wrong but the attested one is too.
        impossible = {Rule.INVALID_FINALIZED_HEADER} if data_format.header == "bare" else set()
        assert rules[data_format.name] - {None} == set(Rule) - impossible


@given(st.lists(st.one_of(st.binary(max_size=300), st.integers(0, 300).map(bytes))).map(b"".join))
def test_our_snappy_blocks_are_snappy(data: bytes) -> None:
    assert snappy.decompress(snappy_block(data)) == data


def test_long_objects_and_long_runs_survive_compression() -> None:
    data = bytes(range(1, 256)) * 1000 + bytes(100_000) + b"end"
    block = snappy_block(data)
    assert snappy.decompress(block) == data
    assert len(block) < len(data) - 90_000
