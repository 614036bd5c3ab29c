"""``--log-file``: lines to a file, to a new one once that was moved away (logrotate)."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import TextIO


class FileHandler(WatchedFileHandler):
    """Lines to a file, until that fails.

    Args:
        complain: told once, in a sentence, why it failed.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: Path, complain: Callable[[str], None]) -> None:
        super().__init__(path, encoding="utf-8", errors="backslashreplace")
        self._complain = complain
        self._has_failed = False

    def emit(self, record: logging.LogRecord) -> None:
        if self._has_failed:
            return
        try:
            super().emit(record)
        except OSError:  # of looking whether it was moved away, and of opening it anew
            self.handleError(record)

    def reopenIfNeeded(self) -> None:  # noqa: N802  # logging's name
        if os.name == "posix":  # elsewhere an open file cannot be moved
            super().reopenIfNeeded()

    def handleError(self, _record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            return  # standard output says the same of this line
        self._has_failed = True
        why = error.strerror or error
        self._complain(f"--log-file {self.baseFilename}: {why}; nothing more there")
        stream: TextIO | None = self.stream
        if stream is not None and not stream.closed:
            # Closed by hand: its buffer would be written once more, and fail once more.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
