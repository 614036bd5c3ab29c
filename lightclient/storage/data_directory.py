"""The data directory: created when missing, locked against a second process.

The lock is the operating system's, on a file that stays: it ends with the process however that
ends, so nothing needs to be cleaned up after a crash.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from lightclient.errors import DataDirError

_LOCK_FILE = "lock"


class DataDirectory:
    """A directory of one running client; a context manager.

    Raises:
        DataDirError: on entering, if it cannot be created or written, or another process has it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._lock: IO[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = (self.path / _LOCK_FILE).open("a+b")
        except FileExistsError:
            raise DataDirError(f"data directory {self.path}: not a directory") from None
        except OSError as error:
            raise DataDirError(
                f"data directory {self.path}: {error.strerror or error}; choose another one with"
                " --data-dir or mend its permissions"
            ) from None
        try:
            _lock(self._lock)
        except OSError:
            owner = self._read_owner()
            self._lock.close()
            self._lock = None
            raise DataDirError(
                f"data directory {self.path} is in use by another process{owner}; stop that one"
                " first, or choose another directory with --data-dir"
            ) from None
        self._write_owner()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._lock is not None:
            self._lock.close()  # which gives the lock back
            self._lock = None

    def _read_owner(self) -> str:
        assert self._lock is not None
        try:
            self._lock.seek(1)
            text = self._lock.read(20).decode("ascii", "replace").strip()
        except OSError:
            return ""
        return f" (process {text})" if text.isdecimal() else ""

    def _write_owner(self) -> None:
        # Only for the other process's message; the first byte is what Windows locks.
        assert self._lock is not None
        try:
            self._lock.truncate(0)
            self._lock.write(b" " + str(os.getpid()).encode() + b"\n")
            self._lock.flush()
        except OSError as error:
            self._lock.close()
            self._lock = None
            raise DataDirError(
                f"data directory {self.path} cannot be written: {error.strerror or error}"
            ) from None


if sys.platform == "win32":

    def _lock(file: IO[bytes]) -> None:
        import msvcrt

        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:

    def _lock(file: IO[bytes]) -> None:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
