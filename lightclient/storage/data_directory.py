"""The data directory: created when missing, locked against a second process.

The lock is the operating system's, on a file that stays: it ends with the process however that
ends, so nothing needs to be cleaned up after a crash. Files that are not ours are left alone.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from lightclient.errors import DataDirError

LOCK_FILE: Final = "lightclient.lock"
_MAX_OWNER_BYTES: Final = 20
_NO_ROOM: Final = frozenset((errno.ENOSPC, errno.EDQUOT))
# Not through a link: what it points to would be overwritten.
_OPEN_FLAGS: Final = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
_ADVICE: Final = "mend that, or choose another one with --data-dir"


class DataDirectory:
    """A directory of one running client; a context manager.

    Raises:
        DataDirError: on entering, if it cannot be created or written, or another process has it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._lock: int | None = None

    def __enter__(self) -> Self:
        descriptor = self._open()
        try:
            self._take(descriptor)
            _write_owner(descriptor)
        except OSError as error:
            os.close(descriptor)
            raise self._unusable(error) from None
        except DataDirError:
            os.close(descriptor)
            raise
        self._lock = descriptor
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def release(self) -> None:
        """Let others have it; once is enough."""
        if self._lock is not None:
            os.close(self._lock)  # which gives the lock back
            self._lock = None

    def _open(self) -> int:
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            return os.open(self.path / LOCK_FILE, _OPEN_FLAGS, 0o600)
        except FileExistsError:
            raise DataDirError(
                f"data directory {self.path}: is a file, not a directory; {_ADVICE}"
            ) from None
        except ValueError:  # a null character in the path
            raise DataDirError(f"data directory {self.path}: no usable path; {_ADVICE}") from None
        except OSError as error:
            raise self._unusable(error) from None

    def _take(self, descriptor: int) -> None:
        try:
            _lock(descriptor)
        except (BlockingIOError, PermissionError):
            owner = _read_owner(descriptor)
            raise DataDirError(
                f"data directory {self.path} is in use by another process{owner}; stop that one"
                " first, or choose another directory with --data-dir"
            ) from None

    def _unusable(self, error: OSError) -> DataDirError:
        where = f" ({error.filename})" if error.filename is not None else ""
        return DataDirError(
            f"data directory {self.path}: {error.strerror or error}{where}; {_ADVICE}"
        )


def _read_owner(descriptor: int) -> str:
    try:
        # Past the first byte, which is what Windows locks.
        os.lseek(descriptor, 1, os.SEEK_SET)
        text = os.read(descriptor, _MAX_OWNER_BYTES).decode("ascii", "replace").strip()
    except OSError:
        return ""
    return f" (process {text})" if text.isdecimal() else ""


def _write_owner(descriptor: int) -> None:
    """Only for the other process's message: without room there is none. Raises OSError."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.truncate(descriptor, 0)
    try:
        os.write(descriptor, f" {os.getpid()}\n".encode())
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise


if sys.platform == "win32":

    def _lock(descriptor: int) -> None:
        import msvcrt

        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:

    def _lock(descriptor: int) -> None:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
