"""States of other networks, program versions and trusted roots: refused, or kept until replaced."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lightclient.config import BlobParameters
from lightclient.errors import DataDirError
from lightclient.storage import STATE_FILE
from lightclient.storage.sealed_file import SealedFile
from tests.storage.directories import STAMP, load, opened, set_aside
from tests.storage.states import OTHER_ROOT, ROOT, network, newest, same, states, verifier


def test_another_networks_state_is_refused_and_left_alone(saved: Path) -> None:
    before = (saved / STATE_FILE).read_bytes()
    with pytest.raises(DataDirError, match="state of network simulated") as caught:
        load(saved, of=replace(network(), name="other", genesis_validators_root=OTHER_ROOT))
    for expected in ("other", OTHER_ROOT.hex(), "choose another directory with --data-dir"):
        assert expected in str(caught.value)
    assert (saved / STATE_FILE).read_bytes() == before
    assert set_aside(saved) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"slot_duration_ms": 12_000},
        {"genesis_time": 1},
        {"preset": replace(network().preset, sync_committee_size=64)},
    ],
)
def test_a_network_that_counts_otherwise_is_another(
    saved: Path, changes: dict[str, object]
) -> None:
    with pytest.raises(DataDirError, match="another genesis time, preset or fork schedule"):
        load(saved, of=replace(network(), **changes))  # type: ignore[arg-type]


def test_a_schedule_that_differs_in_the_past_is_another_network(saved: Path) -> None:
    forks = tuple(
        replace(item, epoch=16) if item.fork.name == "electra" else item for item in network().forks
    )
    with pytest.raises(DataDirError, match="fork schedule"):
        load(saved, of=replace(network(), forks=forks))


def test_a_fork_scheduled_for_later_changes_nothing(saved: Path) -> None:
    forks = tuple(
        replace(item, epoch=10_000) if item.fork.name == "fulu" else item
        for item in network().forks
    )
    assert same(load(saved, of=replace(network(), forks=forks, name="renamed")), newest())


def test_a_blob_schedule_that_was_corrected_changes_nothing(saved: Path) -> None:
    schedule = (BlobParameters(1, 9), BlobParameters(10_000, 12))
    assert same(load(saved, of=replace(network(), blob_schedule=schedule)), newest())


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    newer = SealedFile(tmp_path / STATE_FILE, 2)
    newer.write({"what": b"ever"})
    newer.close()
    before = (tmp_path / STATE_FILE).read_bytes()
    with pytest.raises(DataDirError, match=r"newer version of this program \(schema 2"):
        load(tmp_path)
    with opened(tmp_path) as directory, pytest.raises(DataDirError, match="newer version"):
        directory.save(newest())
    assert (tmp_path / STATE_FILE).read_bytes() == before
    assert set_aside(tmp_path) == []


def test_another_trusted_root_starts_anew_but_keeps_the_state_until_it_is_replaced(
    saved: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert load(saved, OTHER_ROOT) is None
    (record,) = caplog.records
    assert "descends from another trusted block root" in record.getMessage()
    assert record.lc["stored"] == ROOT  # type: ignore[attr-defined]
    # A root mistyped once costs nothing.
    assert same(load(saved), newest())
    assert set_aside(saved) == []


def test_the_state_of_another_root_is_set_aside_by_the_first_save(saved: Path) -> None:
    with opened(saved) as directory:
        assert directory.load(network(), OTHER_ROOT, verifier()) is None
        directory.save(replace(states()[0], trusted_block_root=OTHER_ROOT))
        directory.save(replace(states()[0], trusted_block_root=OTHER_ROOT))
    (name,) = set_aside(saved)
    assert name == f"{STATE_FILE}.other-root-{STAMP}"
    (saved / name).replace(saved / STATE_FILE)
    assert same(load(saved), newest())
