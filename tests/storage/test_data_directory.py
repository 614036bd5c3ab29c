"""The data directory: made, locked, given back however a process ends, refused in a sentence."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lightclient.errors import DataDirError
from lightclient.storage import DataDirectory, data_directory
from lightclient.storage.data_directory import LOCK_FILE

HOLDER = (
    "import sys\n"
    "from lightclient.storage import DataDirectory\n"
    "with DataDirectory(sys.argv[1]):\n"
    "    print('locked', flush=True)\n"
    "    sys.stdin.read()\n"
)


@contextmanager
def another_process(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the directory until its input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "locked\n"
            yield process
        finally:
            process.kill()


def test_it_is_made_with_its_parents_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    with DataDirectory(path):
        assert path.is_dir()
    if os.name == "posix":
        assert path.stat().st_mode & 0o077 == 0
        assert (path / LOCK_FILE).stat().st_mode & 0o077 == 0


def test_a_second_process_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    with another_process(tmp_path) as holder:
        with pytest.raises(DataDirError, match=rf"in use .*\(process {holder.pid}\)") as caught:
            DataDirectory(tmp_path).__enter__()
        assert str(tmp_path) in str(caught.value)


def test_a_refused_second_process_leaves_the_first_one_its_lock(tmp_path: Path) -> None:
    with another_process(tmp_path) as holder:
        for _ in range(3):
            with pytest.raises(DataDirError, match=str(holder.pid)):
                DataDirectory(tmp_path).__enter__()


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_killed_process_gives_it_back(tmp_path: Path) -> None:
    with another_process(tmp_path) as holder:
        holder.send_signal(signal.SIGKILL)
        holder.wait(10)
        with DataDirectory(tmp_path):
            pass


def test_it_can_be_taken_again_after_leaving(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    for _ in range(2):
        with directory, pytest.raises(DataDirError, match="in use"):
            DataDirectory(tmp_path).__enter__()


def test_an_exception_inside_gives_it_back(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), DataDirectory(tmp_path):
        raise RuntimeError
    with DataDirectory(tmp_path):
        pass


def test_other_files_in_it_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("somebody's")
    with DataDirectory(tmp_path):
        pass
    assert (tmp_path / "lock").read_text() == "somebody's"


def test_a_file_in_its_place_is_named(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("precious")
    with pytest.raises(DataDirError, match="is a file, not a directory") as caught:
        DataDirectory(path).__enter__()
    assert str(path) in str(caught.value)
    assert path.read_text() == "precious"


@pytest.mark.parametrize("below", ["file/below", "\0"])
def test_a_path_that_cannot_be_is_refused(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataDirError, match="choose another one with --data-dir"):
        DataDirectory(tmp_path / below).__enter__()


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    data = tmp_path / "data"
    data.mkdir()
    (data / LOCK_FILE).symlink_to(target)
    with pytest.raises(DataDirError, match="symbolic link"):
        DataDirectory(data).__enter__()
    assert target.read_text() == "precious"


@pytest.mark.parametrize(("owner", "function"), [(Path, "mkdir"), (os, "open")])
def test_a_directory_that_cannot_be_written_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: object, function: str
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "x"))

    # The tests may run as root, whom permissions do not stop.
    monkeypatch.setattr(owner, function, refuse)
    with pytest.raises(DataDirError, match=r"Permission denied \(.*/x\); mend that"):
        DataDirectory(tmp_path / "new").__enter__()


@pytest.mark.parametrize(
    ("function", "number"), [("_lock", errno.ENOLCK), ("_write_owner", errno.EIO)]
)
def test_a_file_system_without_locks_or_that_fails_is_not_called_a_second_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, number: int
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(data_directory, function, fail)
    with pytest.raises(DataDirError, match=os.strerror(number)) as caught:
        DataDirectory(tmp_path).__enter__()
    assert "in use" not in str(caught.value)
    monkeypatch.undo()
    with DataDirectory(tmp_path):
        pass


def test_a_full_disk_keeps_nobody_from_the_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int, content: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patches:
        patches.setattr(os, "write", fail)
        directory = DataDirectory(tmp_path).__enter__()
    try:
        with pytest.raises(DataDirError, match="by another process; stop"):
            DataDirectory(tmp_path).__enter__()
    finally:
        directory.release()


def test_an_unreadable_owner_is_left_out(tmp_path: Path) -> None:
    with another_process(tmp_path):
        (tmp_path / LOCK_FILE).write_bytes(b" \xff\x00 not a number\n" * 100)
        with pytest.raises(DataDirError, match="by another process; stop"):
            DataDirectory(tmp_path).__enter__()
