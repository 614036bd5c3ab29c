"""Named byte strings in one SQLite file: written all or none, and never read damaged.

Theory of operation. A write is one transaction. The journal is the classic one (``DELETE``), so
that at rest there is a single file, which a copy takes whole; ``synchronous=EXTRA`` has the disk
confirm the journal before the first page changes, the pages before the journal goes, and the
directory afterwards. Killed at any instruction, or cut off from power, a file is found either as
before the write or as after it. WAL would save one of those waits, needs two more files, and does
not work on every file system; a write every few minutes has no use for it.

SQLite finds a page that was never written, not a bit that flipped inside a value. So each part
carries its SHA-256, and a seal over all of them: parts of two writes never pass as one. The schema
version is in SQLite's header twice over, since nothing else protects it there.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lightclient.errors import DataDirError

if TYPE_CHECKING:
    import sqlite3

APPLICATION_ID: Final = 0x4C436C74  # "LClt", for file(1) and for us
MAX_PART_BYTES: Final = 64 * 1024
MAX_PARTS: Final = 32
PAGE_BYTES: Final = 4096
MAX_FILE_BYTES: Final = 1 << 20
"""Enforced by SQLite: a write beyond it fails, and pages that became free are used again."""

_BUSY_SECONDS: Final = 2.0
_MAX_VERSION: Final = 0x7FFF
_SCHEMA: Final = (
    "CREATE TABLE part (name TEXT PRIMARY KEY, content BLOB NOT NULL, digest BLOB NOT NULL)",
    "CREATE TABLE seal (id INTEGER PRIMARY KEY CHECK (id = 0), digest BLOB NOT NULL)",
)
# What SQLite says of its surroundings rather than of the file (result codes without extensions):
# PERM, BUSY, LOCKED, NOMEM, INTERRUPT, IOERR, CANTOPEN, PROTOCOL, NOLFS, AUTH.
_OUTSIDE: Final = frozenset({3, 5, 6, 7, 9, 10, 14, 15, 22, 23})
_FULL: Final = 13
_READ_ONLY: Final = 8
_NOT_SAID: Final = 1


class DamagedFile(Exception):
    """The file is not what was written; the message says in what way."""


class NewerSchema(Exception):
    """The file was written by a newer version of the program."""

    def __init__(self, version: int) -> None:
        super().__init__(f"schema {version}")
        self.version = version


class FullDisk(DataDirError):
    """There is no room now; what was written before is whole, and can be read."""


class SealedFile:
    """One file of named parts.

    Not for use by two threads at once; it may be handed from one to another.

    Args:
        path: the file; it is made by the first write, for its owner only.
        version: of what the parts mean, 1 to 32767. A file with a higher one is refused.
    """

    def __init__(self, path: Path, version: int) -> None:
        assert 0 < version <= _MAX_VERSION
        self.path = path
        self._version = version
        self._connection: sqlite3.Connection | None = None
        self._digests: dict[str, bytes] = {}

    @property
    def journal_path(self) -> Path:
        """Where SQLite keeps what undoes an unfinished write."""
        return self.path.with_name(self.path.name + "-journal")

    def file_bytes(self) -> int:
        """The file's size; 0 if there is none."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def close(self) -> None:
        """Give up the connection; the next use opens another one."""
        connection, self._connection = self._connection, None
        self._digests = {}
        if connection is not None:
            connection.close()

    def read(self) -> dict[str, bytes] | None:
        """All parts as they were last written; None if there is no file, or an empty one.

        Undoes what a killed process left unfinished.

        Raises:
            DamagedFile: it is not what was written.
            NewerSchema: it is another version's.
            DataDirError: the surroundings do not let us read or write.
        """
        if not self._exists():
            return None
        with self._explained():
            connection = self._open()
            return self._read(connection)

    def check_writing(self) -> None:
        """Learn now, and not at the first write, that the disk does not let us write.

        Raises:
            DamagedFile, DataDirError: as :meth:`write`, which is what this does: nothing, durably.
            FullDisk: there is no room for that now.
        """
        with self._explained():
            connection = self._connection or self._open()
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("UPDATE seal SET id = id")
            connection.execute("COMMIT")

    def write(self, parts: Mapping[str, bytes]) -> None:
        """Replace all parts in one transaction; only what differs is written.

        Raises:
            DamagedFile, NewerSchema: somebody else changed the file; it stays as it is.
            DataDirError: the surroundings do not let us write; the file is as before.
        """
        assert len(parts) <= MAX_PARTS
        assert all(len(content) <= MAX_PART_BYTES for content in parts.values())
        with self._explained():
            if not self._exists():
                self.close()  # somebody removed what we have open: writes to that would be lost
            connection = self._connection
            if connection is None:
                # Unknown, or left in an unknown state by a failure: read before it is changed.
                self.path.touch(0o600)
                connection = self._open()
                self._read(connection)
            digests = {name: sha256(content).digest() for name, content in parts.items()}
            connection.execute("BEGIN IMMEDIATE")
            if _is_empty(connection):
                self._create_tables(connection)
            for name in self._digests.keys() - digests.keys():
                connection.execute("DELETE FROM part WHERE name = ?", (name,))
            for name, digest in digests.items():
                if self._digests.get(name) != digest:
                    row = (name, parts[name], digest)
                    connection.execute("INSERT OR REPLACE INTO part VALUES (?, ?, ?)", row)
            seal = (_seal(self._version, digests),)
            connection.execute("INSERT OR REPLACE INTO seal VALUES (0, ?)", seal)
            connection.execute("COMMIT")
            self._digests = digests

    # Opening ------------------------------------------------------------------------------------

    def _exists(self) -> bool:
        """Whether there is a file with anything in it, which is then a plain file of our size."""
        try:
            found = os.lstat(self.path)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise DataDirError(f"{self.path}: {error.strerror}") from None
        if not stat.S_ISREG(found.st_mode):
            raise DataDirError(f"{self.path}: not a regular file; move it out of the way")
        if found.st_size > MAX_FILE_BYTES:
            raise DamagedFile(f"{found.st_size} bytes, where {MAX_FILE_BYTES} are the most")
        return found.st_size > 0

    def _create_tables(self, connection: sqlite3.Connection) -> None:
        for statement in _SCHEMA:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {_said_twice(self._version)}")

    def _open(self) -> sqlite3.Connection:
        import sqlite3  # only for those who keep state

        self.close()
        connection = sqlite3.connect(
            self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        self._connection = connection
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_FILE_BYTES)
        for setting in (
            "trusted_schema = OFF",
            "cell_size_check = ON",
            f"page_size = {PAGE_BYTES}",
            f"max_page_count = {MAX_FILE_BYTES // PAGE_BYTES}",
            "journal_mode = DELETE",
            "synchronous = EXTRA",
            # Where fsync does not reach the medium (macOS); elsewhere without effect.
            "fullfsync = ON",
        ):
            connection.execute(f"PRAGMA {setting}").fetchall()
        return connection

    # Reading ------------------------------------------------------------------------------------

    def _read(self, connection: sqlite3.Connection) -> dict[str, bytes] | None:
        connection.execute("BEGIN")
        try:
            if _is_empty(connection):
                if self.file_bytes():
                    raise DamagedFile("it was cut off at its start")
                return None  # the first write of all was undone
            self._check_header(connection)
            return dict(self._verified_parts(connection))
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def _check_header(self, connection: sqlite3.Connection) -> None:
        said = _number(connection, "PRAGMA user_version")
        version = said & 0xFFFF
        if _number(connection, "PRAGMA application_id") != APPLICATION_ID:
            raise DamagedFile("not a file of this program")
        if said != _said_twice(version) or not 0 < version <= _MAX_VERSION:
            raise DamagedFile("its header names no version")
        if version > self._version:
            raise NewerSchema(version)
        if version < self._version:
            raise DamagedFile(f"written as schema {version}, which was never in use")
        with closing(connection.execute("SELECT sql FROM sqlite_schema LIMIT 9")) as rows:
            found = {row[0] for row in rows}
        # Besides our statements there is the index that a text key brings, without a statement.
        if found != {*_SCHEMA, None}:
            raise DamagedFile("its tables are not ours")
        answer = connection.execute("PRAGMA integrity_check(1)").fetchone()
        if answer != ("ok",):
            raise DamagedFile(f"SQLite finds it damaged: {_first_line(answer)}")

    def _verified_parts(self, connection: sqlite3.Connection) -> Iterator[tuple[str, bytes]]:
        digests: dict[str, bytes] = {}
        query = f"SELECT name, content, digest FROM part LIMIT {MAX_PARTS + 1}"  # noqa: S608 - a number of ours
        for name, content, digest in connection.execute(query):
            if not (isinstance(name, str) and isinstance(content, bytes)):
                raise DamagedFile("a part is of another type")
            if len(digests) == MAX_PARTS or len(content) > MAX_PART_BYTES:
                raise DamagedFile("more content than was ever written")
            if sha256(content).digest() != digest:
                raise DamagedFile(f"{name[:40]!a} does not match its digest")
            digests[name] = digest
            yield name, content
        seal = connection.execute("SELECT digest FROM seal").fetchone()
        if seal != (_seal(self._version, digests),):
            raise DamagedFile("its parts do not match their seal")
        self._digests = digests

    # Failing ------------------------------------------------------------------------------------

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Close after whatever goes wrong, and tell a damaged file from a disk that refuses."""
        import sqlite3

        try:
            yield
        except sqlite3.Error as error:
            self.close()
            raise self._reason(error) from None
        except OSError as error:
            self.close()
            raise DataDirError(f"{self.path}: {error.strerror or error}") from None
        except UnicodeDecodeError:
            self.close()
            raise DamagedFile("a name in it is no text") from None
        except BaseException:
            self.close()
            raise

    def _reason(self, error: sqlite3.Error) -> DataDirError | DamagedFile:
        # Not there if the binding itself objects, as to a value that is no text.
        code = getattr(error, "sqlite_errorcode", _NOT_SAID) & 0xFF
        # A damaged header can also look read-only; then the file itself can still be written.
        is_outside = code in _OUTSIDE or (code == _READ_ONLY and not self._can_be_opened())
        if code == _FULL:
            return FullDisk(f"{self.path}: {error}; make room")
        if is_outside:
            return DataDirError(f"{self.path}: {error}")
        return DamagedFile(f"SQLite finds it damaged: {error}")

    def _can_be_opened(self) -> bool:
        try:
            with self.path.open("r+b"):
                return os.access(self.path.parent, os.W_OK)
        except OSError:
            return False


def _is_empty(connection: sqlite3.Connection) -> bool:
    return not (
        _number(connection, "PRAGMA user_version")
        or _number(connection, "PRAGMA application_id")
        or _number(connection, "SELECT count(*) FROM sqlite_schema")
    )


def _said_twice(version: int) -> int:
    return version << 16 | version


def _seal(version: int, digests: Mapping[str, bytes]) -> bytes:
    seal = sha256(f"lightclient store {version}\n".encode())
    for name, digest in sorted(digests.items()):
        seal.update(len(name.encode()).to_bytes(2, "little") + name.encode() + digest)
    return seal.digest()


def _number(connection: sqlite3.Connection, statement: str) -> int:
    (value,) = connection.execute(statement).fetchone()
    return int(value)


def _first_line(row: object) -> str:
    text = str(row[0]) if isinstance(row, tuple) and row else ""
    return text.splitlines()[0][:100] if text else "no answer"
