"""The file of kept nodes: what is wrong with it costs a log line."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from lightclient.config import network_by_name
from lightclient.transports.libp2p.known_nodes import (
    MAX_BOOTSTRAP_NODES,
    MAX_FILE_BYTES,
    MAX_KEPT,
    NODES_FILE,
    KnownNodes,
    bootstrap_records,
)
from lightclient.wire.enr import MAX_RECORD_SIZE, NodeRecord, sign_record
from tests.wire.keys import key_of


def record(number: int, sequence: int = 1, size: int = 0) -> NodeRecord:
    return sign_record(key_of(number), sequence, {b"z": bytes(size)})


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    kept = KnownNodes(tmp_path / "new")
    assert kept.load() == []
    records = [record(number) for number in range(1, 4)]
    kept.save(records)
    assert kept.load() == records
    kept.save(records[:1])
    assert kept.load() == records[:1]
    assert [path.name for path in kept.path.parent.iterdir()] == [NODES_FILE]


def test_no_nodes_leave_the_file_as_it_is(tmp_path: Path) -> None:
    kept = KnownNodes(tmp_path)
    kept.save([])
    assert not kept.path.exists()
    kept.save([record(1)])
    kept.save([])
    assert kept.load() == [record(1)]


def test_number_and_bytes_are_bounded(tmp_path: Path) -> None:
    kept = KnownNodes(tmp_path)
    biggest = [record(number, size=168) for number in range(1, MAX_KEPT + 50)]
    assert len(biggest[0].raw) > MAX_RECORD_SIZE - 20
    kept.save(biggest)
    assert kept.path.stat().st_size <= MAX_FILE_BYTES
    assert kept.load() == biggest[:MAX_KEPT]


@pytest.mark.parametrize(
    "content",
    [
        b"\0" * 4096,
        b"\xff\xfe enr:-abc",
        b"enr:-abc\n",
        record(1).text[:-3].encode(),
        b"enr:" + b"A" * 5000,
        b"x" * (MAX_FILE_BYTES + 1),
        b"\n".join([b"# a comment", b"enode://12@1.2.3.4:5"]),
    ],
)
def test_a_damaged_file_is_set_aside_with_a_word(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    kept = KnownNodes(tmp_path)
    kept.path.write_bytes(content)
    assert kept.load() == []
    assert len(caplog.records) == 1
    assert not kept.path.exists()
    assert kept.path.with_suffix(".damaged").read_bytes() == content
    kept.save([record(1)])
    assert kept.load() == [record(1)]


def test_of_a_file_damaged_in_part_the_rest_is_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = KnownNodes(tmp_path)
    forged = NodeRecord(9, record(2).entries, record(2).signature)
    lines = [record(1).text, forged.text, "", "# comment", record(3).text, record(4).text[:50]]
    kept.path.write_text("\r\n".join(lines))
    assert kept.load() == [record(1), record(3)]
    assert [entry.lc["lines"] for entry in caplog.records] == [2]  # type: ignore[attr-defined]


def test_a_damaged_file_that_cannot_be_moved_is_not_said_to_be(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = KnownNodes(tmp_path)
    kept.path.write_bytes(b"enr:-abc")
    in_the_way = kept.path.with_suffix(".damaged")
    (in_the_way / "something").mkdir(parents=True)
    assert kept.load() == []
    [entry] = caplog.records
    assert "moved_to" not in entry.lc  # type: ignore[attr-defined]
    assert kept.path.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
def test_what_is_no_file_leaves_no_descriptor_open(tmp_path: Path) -> None:
    kept = KnownNodes(tmp_path)
    kept.path.mkdir()
    kept.load()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(10):
        kept.load()
    assert len(list(Path("/proc/self/fd").iterdir())) < before + 10


def test_an_empty_file_is_no_fault(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = KnownNodes(tmp_path)
    kept.path.touch()
    assert kept.load() == []
    assert not caplog.records


@pytest.mark.skipif(sys.platform == "win32", reason="needs pipes and links in the file system")
@pytest.mark.parametrize("kind", ["directory", "pipe", "link"])
def test_what_is_no_file_is_neither_read_nor_waited_for(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    kept = KnownNodes(tmp_path)
    if kind == "directory":
        kept.path.mkdir()
    elif kind == "pipe":
        os.mkfifo(kept.path)
    else:
        (tmp_path / "elsewhere").write_text(record(1).text)
        kept.path.symlink_to("elsewhere")
    assert kept.load() == []
    assert len(caplog.records) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="needs a device that is full")
def test_what_cannot_be_written_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    kept = KnownNodes(tmp_path / "file")
    kept.save([record(1)])
    kept.save([record(1)])
    assert len([entry for entry in caplog.records if entry.levelname == "WARNING"]) == 1


def test_a_crash_while_writing_leaves_the_file_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = KnownNodes(tmp_path)
    kept.save([record(1)])

    def crash(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", crash)
        kept.save([record(2)])
    assert kept.load() == [record(1)]
    kept.save([record(3)])
    assert kept.load() == [record(3)]


# Boot nodes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "count"),
    [("mainnet", 17), ("sepolia", 9), ("hoodi", 9), ("gnosis", 8), ("chiado", 10), ("holesky", 0)],
)
def test_all_published_boot_nodes_are_verified_records(
    name: str, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    records = bootstrap_records(network_by_name(name).bootstrap_nodes)
    assert len(records) == count
    assert not caplog.records


def test_boot_nodes_that_are_none_are_told_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    texts = [record(1).text, "enr:-nope", record(2).text, record(1, sequence=5).text]
    assert bootstrap_records(texts) == [record(1, sequence=5), record(2)]
    assert len(caplog.records) == 1


def test_boot_nodes_without_number_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightclient.transports.libp2p.known_nodes.MAX_BOOTSTRAP_NODES", 3)
    assert MAX_BOOTSTRAP_NODES == 256
    assert len(bootstrap_records(record(number).text for number in range(1, 9))) == 3
