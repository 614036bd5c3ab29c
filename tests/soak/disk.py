"""The disk of a simulated machine: SQLite on it fails on request, or stops amid a write.

A kill is simulated by what it leaves: the files as they are at one instruction of SQLite's machine.
What was not written then, the page cache of SQLite included, is lost as with a real one.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightclient.storage import STATE_FILE

_TICK_INSTRUCTIONS = 5
_MEMORY = Path("/dev/shm")


class Disk:
    """A directory for one client, with troubles.

    Attributes:
        path: changes with each kill, as the killed client's clean-up must find nothing.
        failure: while set, one in two writes fails: "full" or "broken".
        is_killed: whether the armed kill has come.
    """

    def __init__(self, draw: random.Random) -> None:
        self._root = Path(tempfile.mkdtemp(dir=_MEMORY if _MEMORY.is_dir() else None))
        self._draw = draw
        self._number = 0
        self._ticks_left: int | None = None
        self._remains: dict[str, bytes] = {}
        self.path = self._root / "0"
        self.failure: str | None = None
        self.failures = 0
        self.is_killed = False

    def remove(self) -> None:
        """Delete all of it."""
        shutil.rmtree(self._root, ignore_errors=True)

    # Kills -------------------------------------------------------------------------------------

    def arm(self) -> None:
        """Kill at some instruction of the next writes."""
        self._ticks_left = self._draw.randrange(1, 100)

    def kill_now(self) -> None:
        """What is on disk at this moment is all that remains; nothing if it was killed already."""
        if self.is_killed:
            return
        self._ticks_left, self.is_killed = None, True
        self._remains = {
            file.name: file.read_bytes()
            for file in self.path.glob(f"{STATE_FILE}*")
            if file.is_file()
        }

    def revive(self) -> None:
        """Go on with what remained."""
        self._number += 1
        self.path = self._root / str(self._number)
        self.path.mkdir(mode=0o700)
        for name, content in self._remains.items():
            (self.path / name).write_bytes(content)
        self._remains, self.is_killed = {}, False

    # Damage ------------------------------------------------------------------------------------

    def damage(self) -> str | None:
        """Do something to the file, at rest; says what. None if there is no file."""
        file = self.path / STATE_FILE
        if not file.is_file() or not file.stat().st_size:
            return None
        content = bytearray(file.read_bytes())
        what = self._draw.choice(("truncated", "bits flipped", "zeros", "not SQLite", "torn"))
        if what == "truncated":
            del content[self._draw.randrange(len(content)) :]
        elif what == "bits flipped":
            for _ in range(20):
                content[self._draw.randrange(len(content))] ^= 1 << self._draw.randrange(8)
        elif what == "torn":  # a page of an older write among newer ones
            start = self._draw.randrange(0, len(content), 4096)
            content[start : start + 4096] = content[:4096]
        else:
            content = bytearray(len(content) if what == "zeros" else b"what is this? " * 99)
        file.write_bytes(content)
        return what

    # SQLite ------------------------------------------------------------------------------------

    def tick(self) -> int:
        """Called every few instructions of SQLite; never interrupts."""
        if self._ticks_left is not None:
            self._ticks_left -= 1
            if self._ticks_left <= 0:
                self.kill_now()
        return 0

    def before(self, statement: str) -> None:
        """Called before each statement; raises as SQLite does."""
        if self.failure is None or not statement.startswith(("BEGIN IMM", "INSERT", "COMMIT")):
            return
        if self._draw.random() < 0.5:
            self.failures += 1
            is_full = self.failure == "full"
            error = sqlite3.OperationalError(
                "database or disk is full" if is_full else "disk I/O error"
            )
            error.sqlite_errorcode = sqlite3.SQLITE_FULL if is_full else sqlite3.SQLITE_IOERR
            raise error

    @contextmanager
    def mounted(self) -> Iterator[None]:
        """Have every SQLite connection made meanwhile be one to this disk."""
        disk, connect = self, sqlite3.connect

        class Connection(sqlite3.Connection):
            def execute(self, statement: str, *arguments: Any) -> sqlite3.Cursor:
                disk.before(statement)
                return super().execute(statement, *arguments)

        def mounted_connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
            made: sqlite3.Connection = connect(*arguments, factory=Connection, **options)
            made.set_progress_handler(disk.tick, _TICK_INSTRUCTIONS)
            return made

        replaceable: Any = sqlite3
        replaceable.connect = mounted_connect
        try:
            yield
        finally:
            replaceable.connect = connect


def watch_saves(storage: Any, saved: Callable[[Any], None]) -> None:
    """Have ``saved`` called with each state that ``storage`` has confirmed."""
    save = storage.save

    def watched(state: Any) -> None:
        save(state)
        saved(state)

    storage.save = watched
