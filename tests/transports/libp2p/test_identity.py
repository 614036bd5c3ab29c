"""The file with our identity: what is wrong with it is told, at once and truly."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("coincurve", reason="the extra [libp2p] is not installed")

from lightclient.errors import DataDirError
from lightclient.transports.libp2p.identity import KEY_FILE, load_identity

IN_FILE_SYSTEM = pytest.mark.skipif(
    sys.platform == "win32", reason="needs pipes and links in the file system"
)


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 32, b"00" * 32, b"ff" * 32, b"11" * 31, b"11" * 33, b"\xff\xfe", b"1" * 9999],
)
def test_a_damaged_key_is_told_and_left_where_it_is(tmp_path: Path, content: bytes) -> None:
    (tmp_path / KEY_FILE).write_bytes(content)
    with pytest.raises(DataDirError, match="damaged: delete it"):
        load_identity(tmp_path)
    assert (tmp_path / KEY_FILE).read_bytes() == content


@IN_FILE_SYSTEM
@pytest.mark.parametrize("kind", ["directory", "pipe", "link"])
def test_what_is_no_file_is_neither_followed_nor_waited_for(tmp_path: Path, kind: str) -> None:
    path = tmp_path / KEY_FILE
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        (tmp_path / "elsewhere").write_text("11" * 32)
        path.symlink_to("elsewhere")
    with pytest.raises(DataDirError, match="identity key"):
        load_identity(tmp_path)


@IN_FILE_SYSTEM
def test_nobody_else_may_read_the_key(tmp_path: Path) -> None:
    key = load_identity(tmp_path / "new")
    assert (tmp_path / "new" / KEY_FILE).stat().st_mode & 0o077 == 0
    assert [path.name for path in (tmp_path / "new").iterdir()] == [KEY_FILE]
    assert load_identity(tmp_path / "new").secret == key.secret


def test_programs_that_start_at_once_in_a_new_directory_are_all_the_same(tmp_path: Path) -> None:
    arrived = threading.Barrier(2)

    def random_bytes(size: int) -> bytes:
        arrived.wait(60)  # neither has found a key
        return os.urandom(size)

    with ThreadPoolExecutor(2) as threads:
        starts = [threads.submit(load_identity, tmp_path, random_bytes) for _ in range(2)]
        first, second = (start.result() for start in starts)
    assert first.secret == second.secret == load_identity(tmp_path).secret
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]


@IN_FILE_SYSTEM
def test_a_file_system_without_hard_links_keeps_a_key_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    assert load_identity(tmp_path).secret == load_identity(tmp_path).secret
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]
