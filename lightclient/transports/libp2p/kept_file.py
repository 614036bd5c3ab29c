"""Small files in the data directory that are a convenience: read with a bound, replaced whole.

What is wrong with them costs a log line and a slower start, nothing else; nothing here raises.
"""

from __future__ import annotations

import logging
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

_logger = logging.getLogger("lightclient.libp2p")

_READ_FLAGS: Final = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NONBLOCK", 0)  # so that a pipe in its place does not block
)
_WRITE_FLAGS: Final = (
    os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
)


def read_regular_file(path: Path, most: int) -> bytes:
    """The first ``most`` bytes of a file; OSError for what is none, and at once for a pipe."""
    descriptor = os.open(path, _READ_FLAGS)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("is no regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(most)
    finally:
        os.close(descriptor)


class KeptFile:
    """One such file.

    Args:
        message: what to log when it is of no use.
        max_bytes: a larger one is set aside.
    """

    def __init__(self, path: Path, message: str, max_bytes: int) -> None:
        self.path = path
        self._message = message
        self._max_bytes = max_bytes
        self._has_complained = False

    def read(self) -> bytes | None:
        """Its content; None if there is none of use."""
        try:
            content = read_regular_file(self.path, self._max_bytes + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._complain("cannot be read", error)
            return None
        if len(content) > self._max_bytes:
            self.set_aside(f"is larger than {self._max_bytes} bytes")
            return None
        return content

    def replace(self, content: bytes) -> None:
        """Have this content from now on, also after a crash: the old, or the new."""
        try:
            self._write(content)
        except OSError as error:
            self._complain("cannot be written", error)

    def set_aside(self, reason: str) -> None:
        """Keep a damaged file beside, for whoever wants to look at it."""
        aside = self.path.with_suffix(".damaged")
        about = {"file": str(self.path), "reason": reason}
        with suppress(OSError):
            self.path.replace(aside)
            about["moved_to"] = str(aside)
        _logger.warning(self._message, extra={"lc": about})

    def _write(self, content: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        beside = self.path.with_suffix(".new")
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, _WRITE_FLAGS, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        beside.replace(self.path)

    def _complain(self, what: str, error: OSError) -> None:
        # Once: a full disk would be told of at every attempt.
        level = logging.DEBUG if self._has_complained else logging.WARNING
        self._has_complained = True
        about = {"file": str(self.path), "reason": f"{what}: {error.strerror or error}"}
        _logger.log(level, self._message, extra={"lc": about})
