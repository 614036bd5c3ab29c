"""A state that cannot be used is set aside, for a reason that is told, and replaced."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from lightclient.errors import DataDirError
from lightclient.storage import STATE_FILE, state_directory
from lightclient.storage.state import encode_state
from lightclient.storage.state_directory import MAX_SET_ASIDE
from tests.storage.directories import NOW, STAMP, Clock, load, opened, rewrite, set_aside
from tests.storage.states import ROOT, network, newest, same, states, verifier
from tests.sync.chains import update


def test_a_damaged_file_is_set_aside_explained_and_replaced(
    saved: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = bytearray((saved / STATE_FILE).read_bytes())
    content[len(content) // 2] ^= 1
    (saved / STATE_FILE).write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert load(saved) is None
    (record,) = caplog.records
    assert record.getMessage().startswith("Stored state cannot be used: starting from the trusted")
    assert record.lc["reason"]  # type: ignore[attr-defined]
    (name,) = set_aside(saved)
    assert record.lc["set_aside_as"] == name == f"{STATE_FILE}.damaged-{STAMP}"  # type: ignore[attr-defined]
    assert (saved / name).read_bytes() == content
    with opened(saved) as directory:
        directory.save(newest())
    assert same(load(saved), newest())


def test_only_the_latest_few_are_kept_and_other_files_are_left_alone(saved: Path) -> None:
    (saved / f"{STATE_FILE}.damaged-by-me").write_text("mine")
    (saved / f"{STATE_FILE}.backup").write_text("mine")
    clock = Clock()
    with opened(saved, clock) as directory:
        for number in range(7):
            clock.now_ms = NOW + (number // 2) * 1000
            (saved / STATE_FILE).write_bytes(b"junk %d" % number)
            assert directory.load(network(), ROOT, verifier()) is None
    kept = [name for name in set_aside(saved) if "20260921" in name]
    assert len(kept) == MAX_SET_ASIDE
    assert [(saved / name).read_bytes() for name in kept] == [b"junk 4", b"junk 5", b"junk 6"]
    assert (saved / f"{STATE_FILE}.damaged-by-me").exists()
    assert (saved / f"{STATE_FILE}.backup").exists()


def test_the_latest_is_kept_although_the_clock_was_set_back(saved: Path) -> None:
    clock = Clock()
    with opened(saved, clock) as directory:
        for number in range(6):
            clock.now_ms = NOW - number * 100_000
            (saved / STATE_FILE).write_bytes(b"junk %d" % number)
            directory.load(network(), ROOT, verifier())
    assert b"junk 5" in {(saved / name).read_bytes() for name in set_aside(saved)}
    assert len(set_aside(saved)) == MAX_SET_ASIDE


def test_a_journal_goes_with_its_file(saved: Path) -> None:
    (saved / STATE_FILE).write_bytes(b"junk")
    (saved / f"{STATE_FILE}-journal").write_bytes(b"junk too")
    load(saved)
    assert not (saved / f"{STATE_FILE}-journal").exists()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("finalized_header", b"", "LightClientHeader of 0 bytes"),
        ("current_sync_committee", b"\0" * 100, "100 bytes"),
        ("next_sync_committee", b"\0" * 25_000, "25000 bytes"),
        ("finalized_proof", b"\0" * 300, ""),
        ("next_sync_committee_proof", b"", "0 bytes where"),
        ("summary", b"[]", "not an object"),
        ("summary", b"{", "not JSON"),
        ("summary", b"\xff", "not UTF-8"),
        ("summary", b"[" * 60_000, "too deeply"),
        ("more", b"", "'more': an unknown part"),
    ],
)
def test_parts_that_are_well_sealed_but_wrong_are_not_used(
    saved: Path, name: str, content: bytes, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    rewrite(saved, {**encode_state(newest()), name: content})
    assert load(saved) is None
    assert reason in caplog.records[-1].lc["reason"]  # type: ignore[attr-defined]
    assert len(set_aside(saved)) == 1


@pytest.mark.parametrize("missing", sorted(encode_state(newest())))
def test_a_state_without_one_of_its_parts_is_not_used(saved: Path, missing: str) -> None:
    parts = encode_state(newest())
    del parts[missing]
    rewrite(saved, parts)
    state = load(saved)
    if missing == "best_valid_update":
        assert state is not None
    else:
        assert state is None
        assert len(set_aside(saved)) == 1


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("finalized_slot", 1),
        ("newest_slot", -1),
        ("newest_slot", "12"),
        ("newest_slot", True),
        ("newest_slot", 2**64),
        ("saved_at_ms", None),
        ("trusted_block_root", "11"),
        ("trusted_block_root", 7),
        ("genesis_validators_root", "zz" * 32),
        ("network", "x" * 301),
        ("network", "a\nb"),
        ("formats", {}),
        ("formats", {"store": "frontier"}),
        ("formats", [1]),
        ("scores", None),
        ("current_max_active_participants", 33),
    ],
)
def test_a_summary_with_one_odd_value_is_not_used(saved: Path, key: str, value: object) -> None:
    parts = encode_state(newest())
    summary = json.loads(parts["summary"])
    assert key in summary
    rewrite(saved, {**parts, "summary": json.dumps({**summary, key: value}).encode()})
    assert load(saved) is None
    assert len(set_aside(saved)) == 1


def test_a_state_that_is_not_proven_is_not_used(
    saved: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = newest()
    forged = replace(state.store, current_sync_committee=update(1).next_sync_committee)
    with opened(saved) as directory:
        directory.save(replace(state, store=forged))
    assert load(saved) is None
    assert "signature of the header" in caplog.records[-1].lc["reason"]  # type: ignore[attr-defined]


def test_a_file_that_is_damaged_while_in_use_is_replaced_from_memory(saved: Path) -> None:
    with opened(saved) as directory:
        assert directory.load(network(), ROOT, verifier()) is not None
        (saved / STATE_FILE).write_bytes(b"junk" * 1000)
        directory.save(states()[3])
        assert len(set_aside(saved)) == 1
    assert same(load(saved), states()[3])


def test_a_file_that_is_deleted_while_in_use_is_made_anew(saved: Path) -> None:
    with opened(saved) as directory:
        assert directory.load(network(), ROOT, verifier()) is not None
        (saved / STATE_FILE).unlink()
        for state in states()[2:4]:
            directory.save(state)
    assert same(load(saved), states()[3])


def test_what_cannot_be_set_aside_is_told(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError(13, "Permission denied")

    (saved / STATE_FILE).write_bytes(b"junk")
    monkeypatch.setattr(state_directory.StateDirectory, "_free_name", refuse)
    with pytest.raises(DataDirError, match="nor set aside: Permission denied; move it out"):
        load(saved)
