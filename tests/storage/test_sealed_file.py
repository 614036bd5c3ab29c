"""Parts are written all or none, read whole or not at all, and the file stays small."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from lightclient.errors import DataDirError
from lightclient.storage import sealed_file
from lightclient.storage.sealed_file import (
    APPLICATION_ID,
    MAX_FILE_BYTES,
    MAX_PART_BYTES,
    MAX_PARTS,
    DamagedFile,
    NewerSchema,
    SealedFile,
)

PARTS = {"one": b"1" * 25_000, "two": bytes(range(256)), "empty": b""}


def a_file(path: Path) -> SealedFile:
    return SealedFile(path / "parts.sqlite", 1)


def reread(path: Path) -> dict[str, bytes] | None:
    fresh = a_file(path)
    try:
        return fresh.read()
    finally:
        fresh.close()


@pytest.fixture
def written(tmp_path: Path) -> Path:
    file = a_file(tmp_path)
    file.write(PARTS)
    file.close()
    return tmp_path


def execute(path: Path, *statements: str, parameters: tuple[object, ...] = ()) -> None:
    """Change the file behind its owner's back."""
    connection = sqlite3.connect(path / "parts.sqlite", isolation_level=None)
    for statement in statements:
        connection.execute(statement, parameters)
    connection.close()


def test_there_is_nothing_before_the_first_write(tmp_path: Path) -> None:
    assert a_file(tmp_path).read() is None
    assert a_file(tmp_path).file_bytes() == 0
    (tmp_path / "parts.sqlite").touch()
    assert reread(tmp_path) is None


def test_what_was_written_is_read_and_nothing_else_lies_about(written: Path) -> None:
    assert reread(written) == PARTS
    assert [path.name for path in written.iterdir()] == ["parts.sqlite"]


@pytest.mark.skipif(os.name != "posix", reason="permissions")
def test_the_file_is_for_its_owner_only(written: Path) -> None:
    assert stat.S_IMODE((written / "parts.sqlite").stat().st_mode) == 0o600


def test_a_write_replaces_everything(written: Path) -> None:
    file = a_file(written)
    for parts in ({"two": b"2", "three": b"3"}, {}, PARTS):
        file.write(parts)
        assert reread(written) == parts
    file.close()


def test_a_write_that_changes_little_writes_little(written: Path) -> None:
    file = a_file(written)
    assert file.read() == PARTS
    assert file._connection is not None
    seen: list[str] = []
    file._connection.set_trace_callback(seen.append)
    file.write({**PARTS, "two": b"changed"})
    assert sum("INTO part" in statement for statement in seen) == 1
    file.close()


def test_it_does_not_grow_with_the_number_of_writes(tmp_path: Path) -> None:
    file = a_file(tmp_path)
    sizes = set()
    for number in range(60):
        file.write({name: os.urandom(20_000 + number * 50) for name in "abcde"})
        sizes.add(file.file_bytes())
    file.close()
    assert max(sizes) < 300_000


def test_it_cannot_grow_beyond_its_bound(tmp_path: Path) -> None:
    file = a_file(tmp_path)
    file.write(PARTS)
    large = {f"{n}": os.urandom(MAX_PART_BYTES) for n in range(MAX_PARTS)}
    with pytest.raises(DataDirError, match="full"):
        file.write(large)
    assert reread(tmp_path) == PARTS
    assert file.file_bytes() < MAX_FILE_BYTES
    file.write({"after": b"all"})
    file.close()
    assert reread(tmp_path) == {"after": b"all"}


# What is not as it was written --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("UPDATE part SET content = x'00' WHERE name = 'two'", "'two' does not match its digest"),
        ("DELETE FROM part WHERE name = 'two'", "do not match their seal"),
        ("UPDATE part SET name = 'zwei' WHERE name = 'two'", "do not match their seal"),
        ("INSERT INTO part VALUES ('more', x'', zeroblob(32))", "does not match its digest"),
        ("DELETE FROM seal", "do not match their seal"),
        ("UPDATE seal SET digest = zeroblob(32)", "do not match their seal"),
        ("UPDATE part SET content = 'text' WHERE name = 'two'", "of another type"),
        ("UPDATE part SET content = zeroblob(70000)", "more content than"),
        ("CREATE TABLE other (x)", "not ours"),
        ("DROP TABLE seal", "not ours"),
        ("CREATE TRIGGER t AFTER UPDATE ON seal BEGIN DELETE FROM part; END", "not ours"),
        ("PRAGMA application_id = 7", "not a file of this program"),
        ("PRAGMA user_version = 0", "names no version"),
        ("PRAGMA user_version = 1", "names no version"),
        ("PRAGMA user_version = 131073", "names no version"),
    ],
)
def test_a_file_that_was_changed_is_damaged(written: Path, statement: str, reason: str) -> None:
    execute(written, statement)
    with pytest.raises(DamagedFile, match=reason):
        reread(written)
    with pytest.raises(DamagedFile, match=reason):
        a_file(written).write(PARTS)


def test_parts_of_two_writes_never_pass_as_one(tmp_path: Path) -> None:
    file = a_file(tmp_path)
    file.write({"a": b"1", "b": b"1"})
    row = sqlite3.connect(tmp_path / "parts.sqlite").execute("SELECT * FROM part LIMIT 1")
    old = row.fetchone()
    row.connection.close()
    file.write({"a": b"2", "b": b"2"})
    file.close()
    execute(tmp_path, "INSERT OR REPLACE INTO part VALUES (?, ?, ?)", parameters=old)
    with pytest.raises(DamagedFile, match="seal"):
        reread(tmp_path)


def test_too_many_parts_are_damage(written: Path) -> None:
    for number in range(MAX_PARTS):
        execute(written, f"INSERT INTO part SELECT '{number}', content, digest FROM part LIMIT 1")
    with pytest.raises(DamagedFile, match="more content"):
        reread(written)


@pytest.mark.parametrize("content", [b"x", b"\0" * 5000, b"SQLite format 3\0" + b"\0" * 4080])
def test_a_file_that_is_no_database_is_damaged(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "parts.sqlite").write_bytes(content)
    with pytest.raises(DamagedFile):
        reread(tmp_path)


def test_a_file_larger_than_any_of_ours_is_not_even_opened(tmp_path: Path) -> None:
    (tmp_path / "parts.sqlite").write_bytes(b"")
    os.truncate(tmp_path / "parts.sqlite", 1 << 34)
    with pytest.raises(DamagedFile, match="17179869184 bytes"):
        reread(tmp_path)


def test_another_programs_database_is_not_touched(tmp_path: Path) -> None:
    execute(tmp_path, "CREATE TABLE precious (x)", "INSERT INTO precious VALUES (1)")
    before = (tmp_path / "parts.sqlite").read_bytes()
    with pytest.raises(DamagedFile, match="not a file of this program"):
        reread(tmp_path)
    with pytest.raises(DamagedFile, match="not a file of this program"):
        a_file(tmp_path).write(PARTS)
    assert (tmp_path / "parts.sqlite").read_bytes() == before


def test_a_newer_schema_is_told_from_damage(written: Path) -> None:
    newer = SealedFile(written / "new.sqlite", 7)
    newer.write(PARTS)
    newer.close()
    older = SealedFile(written / "new.sqlite", 1)
    for use in (older.read, lambda: older.write(PARTS)):
        with pytest.raises(NewerSchema) as caught:
            use()
        assert caught.value.version == 7
    assert SealedFile(written / "new.sqlite", 7).read() == PARTS


def test_a_file_of_the_program_says_so_in_its_header(written: Path) -> None:
    assert (written / "parts.sqlite").read_bytes()[68:72] == APPLICATION_ID.to_bytes(4, "big")


# Surroundings -------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    (tmp_path / "parts.sqlite").symlink_to(target)
    for use in (a_file(tmp_path).read, lambda: a_file(tmp_path).write(PARTS)):
        with pytest.raises(DataDirError, match="not a regular file"):
            use()
    assert target.read_bytes() == b"precious"


def test_a_directory_that_has_gone_is_named(tmp_path: Path) -> None:
    file = a_file(tmp_path / "gone")
    with pytest.raises(DataDirError, match="No such file"):
        file.write(PARTS)
    (tmp_path / "gone").mkdir()
    file.write(PARTS)
    assert file.read() == PARTS
    file.close()


def test_somebody_who_reads_for_ever_is_not_taken_for_damage(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealed_file, "_BUSY_SECONDS", 0.01)
    reader = sqlite3.connect(written / "parts.sqlite", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM part").fetchone()
    file = a_file(written)
    with pytest.raises(DataDirError, match="locked"):
        file.write({"new": b""})
    reader.close()
    assert reread(written) == PARTS
    file.write({"new": b""})
    file.close()
    assert reread(written) == {"new": b""}


WRITER = """
import resource, signal, sys
from pathlib import Path
from lightclient.errors import DataDirError
from lightclient.storage.sealed_file import SealedFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
file = SealedFile(Path(sys.argv[1]), 1)
file.write({"kept": b"x" * 5000})
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 1 << 30))
for number in range(3):
    try:
        file.write({"large": bytes([number]) * 60000})
        print("written")
    except DataDirError as error:
        print(error)
print({name: len(content) for name, content in file.read().items()})
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))
file.write({"large": b"y" * 60000})
print({name: len(content) for name, content in file.read().items()})
"""


@pytest.mark.skipif(os.name != "posix", reason="limits")
def test_a_write_that_finds_no_room_leaves_what_was_there_and_works_later(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WRITER, str(tmp_path / "parts.sqlite")],
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    *failures, before, after = done.stdout.splitlines()
    assert len(failures) == 3
    assert all("parts.sqlite: disk I/O error" in line or "full" in line for line in failures)
    assert (before, after) == ("{'kept': 5000}", "{'large': 60000}")
