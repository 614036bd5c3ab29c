"""Keeps refused objects in a directory: bounded, each once, and never to the client's harm.

A thread of its own encodes and writes; the client only hands over. What does not fit into its queue
is left out. When the directory is full, the oldest file goes of that rule which has the most: a
flood of one kind never pushes out the only file of another. Files of other names are left alone.
"""

from __future__ import annotations

import errno
import logging
import os
import queue
import re
import threading
from collections import Counter, OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

from lightclient.client.dumps import RefusedObject, encode_dump
from lightclient.errors import ConfigError

MAX_DUMP_FILES: Final = 200
MAX_DUMP_BYTES_IN_ALL: Final = 32 * 1024 * 1024
_MAX_WAITING: Final = 32
_MAX_KNOWN: Final = 4096
_LONGEST_CLOSE: Final = 5.0
_NAME: Final = re.compile(r"\d{8}T\d{6}Z-[a-z_]+-([a-z_]+)-([0-9a-f]{16})\.json\.gz", re.ASCII)
_TEMPORARY: Final = re.compile(r"\.refused-\d+\.tmp", re.ASCII)
# Not through a link: what it points to would be overwritten.
_OPEN_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)

_logger = logging.getLogger("lightclient")


@dataclass(frozen=True, slots=True)
class _Kept:
    """A file of ours. Names sort by time."""

    name: str
    rule: str
    size: int


class DumpDirectory:
    """Writes refused objects to files.

    Args:
        path: created if missing.
        max_files, max_bytes: what the files may come to, those of earlier runs included.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_files: int = MAX_DUMP_FILES,
        max_bytes: int = MAX_DUMP_BYTES_IN_ALL,
    ) -> None:
        self.path = Path(path)
        self._max_files = max_files
        self._max_bytes = max_bytes
        self._waiting: queue.Queue[RefusedObject | None] = queue.Queue(_MAX_WAITING)
        self._thread: threading.Thread | None = None
        self._known: OrderedDict[str, None] = OrderedDict()
        self._has_failed = False

    def open(self) -> None:
        """Create the directory, and begin.

        Raises:
            ConfigError: it cannot be created or written to.
        """
        try:
            if self.path.exists() and not self.path.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, "is a file, not a directory")
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._clean_up()
            temporary = self._temporary
            os.close(os.open(temporary, _OPEN_FLAGS, 0o600))
            temporary.unlink()
            for kept in self._files():
                self._remember(_digest_in(kept.name))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(
                f"dump directory {ascii(str(self.path))[1:-1]}: {reason}; mend that, or choose"
                " another one with --dump-dir"
            ) from None
        self._thread = threading.Thread(target=self._work, name="lightclient-dumps", daemon=True)
        self._thread.start()

    def take(self, dump: RefusedObject) -> None:
        """Keep this one, unless it is known. Neither waits nor raises."""
        try:
            self._waiting.put_nowait(dump)
        except queue.Full:
            _logger.debug("Refused objects come faster than they can be written; one is left out")

    def close(self) -> None:
        """Write what still waits, within a few seconds, and end."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        try:
            self._waiting.put(None, timeout=_LONGEST_CLOSE)
        except queue.Full:
            return
        thread.join(_LONGEST_CLOSE)

    # In the thread ------------------------------------------------------------------------------

    def _work(self) -> None:
        while (dump := self._waiting.get()) is not None:
            try:
                self._keep(dump)
                self._has_failed = False
            except Exception as error:  # noqa: BLE001 - nothing of this may harm the client
                # Said once: a full disk is not news at every object.
                level = logging.DEBUG if self._has_failed else logging.WARNING
                self._has_failed = True
                reason = getattr(error, "strerror", None) or error
                _logger.log(
                    level,
                    "Refused object cannot be kept",
                    extra={"lc": {"directory": self.path, "reason": reason}},
                )

    def _keep(self, dump: RefusedObject) -> None:
        digest = digest_of(dump)
        if digest in self._known:
            self._known.move_to_end(digest)
            return
        content = encode_dump(dump)
        if len(content) > self._max_bytes:
            raise ValueError(f"{len(content)} bytes are more than the directory may hold")
        self._make_room(len(content))
        name = _name_of(dump, digest)
        self._write(name, content)
        self._remember(digest)
        _logger.info("Refused object written", extra={"lc": {"file": self.path / name}})

    def _remember(self, digest: str) -> None:
        self._known[digest] = None
        if len(self._known) > _MAX_KNOWN:
            self._known.popitem(last=False)

    @property
    def _temporary(self) -> Path:
        return self.path / f".refused-{os.getpid()}.tmp"

    def _write(self, name: str, content: bytes) -> None:
        temporary = self._temporary
        try:
            with os.fdopen(os.open(temporary, _OPEN_FLAGS, 0o600), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path / name)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise

    def _files(self) -> list[_Kept]:
        """Our files, the oldest first."""
        found = []
        with os.scandir(self.path) as entries:
            for entry in entries:
                match = _NAME.fullmatch(entry.name)
                if match is not None and entry.is_file(follow_symlinks=False):
                    found.append(_Kept(entry.name, match[1], entry.stat().st_size))
        return sorted(found, key=lambda kept: kept.name)

    def _make_room(self, size: int) -> None:
        files = self._files()
        total = sum(kept.size for kept in files)
        while files and (len(files) >= self._max_files or total + size > self._max_bytes):
            counts = Counter(kept.rule for kept in files)
            most = max(counts.values())
            victim = next(kept for kept in files if counts[kept.rule] == most)
            (self.path / victim.name).unlink(missing_ok=True)
            # One that comes again is news again.
            self._known.pop(_digest_in(victim.name), None)
            files.remove(victim)
            total -= victim.size

    def _clean_up(self) -> None:
        """Remove what a process left behind that was killed while it wrote."""
        with os.scandir(self.path) as entries:
            names = [entry.name for entry in entries if _TEMPORARY.fullmatch(entry.name)]
        for name in names:
            (self.path / name).unlink(missing_ok=True)


def digest_of(dump: RefusedObject) -> str:
    """What two files of one object, refused by one rule, have in common: 16 hex digits.

    Whoever sent it, and when, makes no difference.
    """
    text = f"{dump.network.name} {dump.kind} {dump.verdict.rule}\0".encode()
    return sha256(text + dump.content).hexdigest()[:16]


def _digest_in(name: str) -> str:
    return name.removesuffix(".json.gz")[-16:]


def _name_of(dump: RefusedObject, digest: str) -> str:
    when = datetime.fromtimestamp(dump.time_ms / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
    return f"{when}-{dump.kind}-{dump.verdict.rule}-{digest}.json.gz"
