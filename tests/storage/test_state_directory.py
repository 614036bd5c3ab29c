"""A state comes back as it was saved, whatever the disk and the directory are like."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from lightclient.config.networks import network_by_name
from lightclient.containers import LightClientHeader, LightClientUpdate, SyncCommittee
from lightclient.errors import DataDirError
from lightclient.protocol import LightClientStore
from lightclient.storage import StoredState
from lightclient.storage.sealed_file import FullDisk, SealedFile
from lightclient.storage.state import encode_state
from lightclient.sync import StoreProofs
from tests.storage.directories import load, opened, rewrite, set_aside
from tests.storage.states import ROOT, network, newest, same, states, verifier
from tests.sync.chains import update


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


def test_names_of_providers_never_keep_the_state_from_being_saved(tmp_path: Path) -> None:
    # In JSON, each of these characters takes twelve bytes.
    long = {f"{n:03}" + "\U0001f511" * 297: {"availability": n} for n in range(64)}
    odd = {"\ud800 alone": {"availability": 1}, "plain": {"availability": 2}}
    with opened(tmp_path) as directory:
        directory.save(replace(newest(), scores=long | odd))
        directory.save(replace(newest(), scores=odd | long))
    again = load(tmp_path)
    assert again is not None
    assert again.scores == odd


def test_scores_are_bounded_and_odd_ones_left_out(saved: Path) -> None:
    many = {f"{n:03} " + "x" * 290: {"availability": n} for n in range(1000)}
    with opened(saved) as directory:
        directory.save(replace(newest(), scores=many))
        again = directory.load(network(), ROOT, verifier())
    assert again is not None
    assert len(again.scores) == 64
    assert max(map(len, again.scores)) == 294
    parts = encode_state(newest())
    summary = json.loads(parts["summary"])
    summary["scores"] = {"a": {"x": "y", "z": 1}, "b": 7, "c": {"v": True}}
    rewrite(saved, {**parts, "summary": json.dumps(summary).encode()})
    again = load(saved)
    assert again is not None
    assert again.scores == {"a": {"z": 1}, "c": {}}


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
        _fill(disk)
        for state in states()[1:4]:
            with pytest.raises(DataDirError, match=r"full|I/O error"):
                directory.save(state)
        (disk / "hog").unlink()
        directory.save(states()[3])
        assert same(directory.load(network(), ROOT, verifier()), states()[3])
        assert set_aside(disk) == []


def test_a_restart_on_a_full_disk_goes_on_from_what_was_saved(tmp_path: Path) -> None:
    if not _can_mount():
        pytest.skip("needs the right to mount")
    with _tiny_disk(tmp_path, 120) as disk:
        with opened(disk) as directory:
            directory.save(states()[3])
        _fill(disk)
        with opened(disk) as directory:
            assert same(directory.load(network(), ROOT, verifier()), states()[3])
            with pytest.raises(DataDirError, match=r"full|I/O error"):
                directory.save(newest())
            (disk / "hog").unlink()
            directory.save(newest())
        assert same(load(disk), newest())
        assert set_aside(disk) == []


def test_a_state_is_loaded_though_sqlite_finds_no_room_to_write(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: SealedFile) -> None:
        raise FullDisk("no room")

    monkeypatch.setattr(SealedFile, "check_writing", full)
    assert same(load(saved), newest())
    assert set_aside(saved) == []


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


def _fill(disk: Path) -> None:
    """Leave not a byte of room."""
    with (disk / "hog").open("wb", buffering=0) as hog:
        written = 1
        while written:
            try:
                written = hog.write(b"x" * 1024) or 0
            except OSError:
                written = 0


@contextmanager
def _read_only(path: Path) -> Iterator[None]:
    with _mounted(path, "--bind", str(path)):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(path)], check=True)
        yield
