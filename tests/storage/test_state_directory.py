"""A state comes back as it was saved, or is refused or set aside for a reason that is told."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from lightclient.config import BlobParameters, Network
from lightclient.config.networks import network_by_name
from lightclient.containers import LightClientHeader, LightClientUpdate, SyncCommittee
from lightclient.errors import DataDirError
from lightclient.protocol import LightClientStore
from lightclient.storage import STATE_FILE, StateDirectory, StoredState, state_directory
from lightclient.storage.sealed_file import SealedFile
from lightclient.storage.state import encode_state
from lightclient.storage.state_directory import MAX_SET_ASIDE
from lightclient.sync import StoreProofs
from tests.storage.states import (
    OTHER_ROOT,
    ROOT,
    network,
    newest,
    same,
    states,
    verifier,
)
from tests.sync.chains import update

NOW = 1_790_000_000_000
STAMP = "20260921T141320Z"


class Clock:
    now_ms = NOW

    def __call__(self) -> int:
        return self.now_ms


@contextmanager
def opened(path: Path, clock: Clock | None = None) -> Iterator[StateDirectory]:
    with StateDirectory(path, clock or Clock()) as directory:
        yield directory


def load(path: Path, root: bytes = ROOT, of: Network | None = None) -> StoredState | None:
    with opened(path) as directory:
        return directory.load(of or network(), root, verifier())


def set_aside(path: Path) -> list[str]:
    return sorted(file.name for file in path.glob(f"{STATE_FILE}.*"))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    with opened(tmp_path) as directory:
        directory.save(newest())
    return tmp_path


def rewrite(path: Path, parts: dict[str, bytes]) -> None:
    """Other content, well sealed: as a fault in the program, or somebody with a key, writes it."""
    file = SealedFile(path / STATE_FILE, 1)
    file.write(parts)
    file.close()


# The same again -----------------------------------------------------------------------------------


def test_there_is_nothing_at_first(tmp_path: Path) -> None:
    assert load(tmp_path) is None
    assert set_aside(tmp_path) == []


@pytest.mark.parametrize("number", range(len(states())))
def test_every_state_on_the_way_comes_back_as_it_was(tmp_path: Path, number: int) -> None:
    state = states()[number]
    with opened(tmp_path) as directory:
        directory.save(state)
        assert same(directory.load(network(), state.trusted_block_root, verifier()), state)
    assert same(load(tmp_path, state.trusted_block_root), state)


def test_each_save_replaces_the_one_before(tmp_path: Path) -> None:
    with opened(tmp_path) as directory:
        for state in states():
            directory.save(state)
            again = directory.load(network(), state.trusted_block_root, verifier())
            assert same(again, state)


def test_what_comes_back_can_be_saved_and_comes_back_once_more(saved: Path) -> None:
    first = load(saved)
    assert first is not None
    with opened(saved) as directory:
        directory.save(first)
    assert load(saved) == first


def test_a_candidate_with_a_committee_is_kept_with_it(tmp_path: Path) -> None:
    state = newest()
    store = replace(state.store, best_valid_update=update(2))
    assert "best_full_update" in encode_state(replace(state, store=store))
    assert state.store.best_valid_update is not None
    assert "best_full_update" not in encode_state(state)
    # Short or whole, it comes back as it was.
    assert "best_full_update" in encode_state(states()[-1])


def test_the_largest_state_of_a_real_network_stays_far_below_a_megabyte(tmp_path: Path) -> None:
    # Never proven here, so random keys do. Each save replaces all that is large.
    network = network_by_name("mainnet")
    data_format = network.fork_at_epoch(411392).data_format
    size = network.preset.sync_committee_size

    def committee() -> SyncCommittee:
        return SyncCommittee(os.urandom(48 * size), os.urandom(48))

    def header(slot: int) -> LightClientHeader:
        sample = update(3).attested_header
        assert sample.execution is not None
        return replace(
            sample,
            data_format=data_format,
            beacon=replace(sample.beacon, slot=slot),
            execution=replace(sample.execution, extra_data=os.urandom(32)),
        )

    def full(slot: int) -> LightClientUpdate:
        return replace(
            update(3),
            data_format=data_format,
            attested_header=header(slot),
            finalized_header=header(slot - 64),
            next_sync_committee=committee(),
            sync_aggregate=replace(
                update(3).sync_aggregate, sync_committee_bits=os.urandom(size // 8)
            ),
        )

    with opened(tmp_path) as directory:
        for slot in range(14_000_000, 14_000_000 + 30 * 32, 32):
            proof = full(slot)
            store = LightClientStore(
                header(slot),
                committee(),
                committee(),
                full(slot),
                header(slot),
                512,
                512,
                data_format,
            )
            proofs = StoreProofs(proof, proof, proof)
            scores = {f"https://{n}.example": {"availability": n} for n in range(64)}
            directory.save(StoredState.of(network, ROOT, store, proofs, slot, scores))
            assert directory.size_bytes() < 300_000


def test_scores_are_bounded_and_odd_ones_left_out(saved: Path) -> None:
    many = {f"{n} " + "x" * 1000: {"availability": n} for n in range(1000)}
    with opened(saved) as directory:
        directory.save(replace(newest(), scores=many))
        again = directory.load(network(), ROOT, verifier())
    assert again is not None
    assert len(again.scores) == 64
    assert max(map(len, again.scores)) == 300
    parts = encode_state(newest())
    summary = json.loads(parts["summary"])
    summary["scores"] = {"a": {"x": "y", "z": 1}, "b": 7, "c": {"v": True}}
    rewrite(saved, {**parts, "summary": json.dumps(summary).encode()})
    again = load(saved)
    assert again is not None
    assert again.scores == {"a": {"z": 1}, "c": {}}


# Set aside ----------------------------------------------------------------------------------------


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


# Refused ------------------------------------------------------------------------------------------


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


# Another trusted root -----------------------------------------------------------------------------


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


# Surroundings -------------------------------------------------------------------------------------


def test_a_disk_that_becomes_read_only_is_told_and_nothing_is_lost(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The tests may run as root, whom permissions do not stop: the bind mount of a container does.
    if not _can_mount():
        pytest.skip("needs the right to mount")
    with _read_only(saved), pytest.raises(DataDirError, match="Read-only file system"):
        load(saved)
    assert same(load(saved), newest())


def test_a_full_disk_fails_the_save_and_keeps_what_was_saved(tmp_path: Path) -> None:
    if not _can_mount():
        pytest.skip("needs the right to mount")
    with _tiny_disk(tmp_path, 120) as disk, opened(disk) as directory:
        directory.save(newest())
        (disk / "hog").write_bytes(b"")
        with (disk / "hog").open("r+b", buffering=0) as hog:
            written = 1
            while written:
                try:
                    written = hog.write(b"x" * 1024) or 0
                except OSError:
                    written = 0
        for state in states()[1:4]:
            with pytest.raises(DataDirError, match=r"full|I/O error"):
                directory.save(state)
        (disk / "hog").unlink()
        directory.save(states()[3])
        assert same(directory.load(network(), ROOT, verifier()), states()[3])
        assert set_aside(disk) == []


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root")
def test_a_directory_of_another_user_is_used_with_a_warning(
    saved: Path, caplog: pytest.LogCaptureFixture
) -> None:
    os.chown(saved, 12345, 12345)
    assert same(load(saved), newest())
    (record,) = caplog.records
    assert "Others can change what is stored" in record.getMessage()
    assert record.lc["reason"] == "it belongs to another user (uid 12345)"  # type: ignore[attr-defined]


@pytest.mark.skipif(os.name != "posix", reason="permissions")
def test_a_directory_that_others_may_write_to_is_used_with_a_warning(
    saved: Path, caplog: pytest.LogCaptureFixture
) -> None:
    saved.chmod(0o777)
    assert same(load(saved), newest())
    assert "mode 777" in caplog.records[0].lc["reason"]  # type: ignore[attr-defined]


def test_what_cannot_be_set_aside_is_told(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError(13, "Permission denied")

    (saved / STATE_FILE).write_bytes(b"junk")
    monkeypatch.setattr(state_directory.StateDirectory, "_free_name", refuse)
    with pytest.raises(DataDirError, match="nor set aside: Permission denied; move it out"):
        load(saved)


def _can_mount() -> bool:
    return (
        sys.platform == "linux"
        and os.geteuid() == 0
        and shutil.which("unshare") is not None
        and subprocess.run(
            ["unshare", "--mount", "true"], capture_output=True, check=False
        ).returncode
        == 0
    )


@contextmanager
def _mounted(path: Path, *arguments: str) -> Iterator[None]:
    done = subprocess.run(["mount", *arguments, str(path)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("needs the right to mount")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


@contextmanager
def _tiny_disk(path: Path, kibibytes: int) -> Iterator[Path]:
    disk = path / "disk"
    disk.mkdir()
    with _mounted(disk, "-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs"):
        yield disk


@contextmanager
def _read_only(path: Path) -> Iterator[None]:
    with _mounted(path, "--bind", str(path)):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(path)], check=True)
        yield
