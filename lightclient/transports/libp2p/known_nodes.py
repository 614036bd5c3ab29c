"""Node records that discovery begins with: boot nodes, and nodes kept from earlier runs.

The file of kept nodes is a convenience: whatever is wrong with it costs a log line and a slower
start, nothing else. What is read from it is verified like what comes from the network.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from lightclient.errors import DecodeError
from lightclient.wire.enr import NodeRecord, parse_record

_logger = logging.getLogger("lightclient.libp2p")

NODES_FILE: Final = "discovery-nodes.txt"
MAX_KEPT: Final = 128
MAX_FILE_BYTES: Final = 1 << 16
MAX_BOOTSTRAP_NODES: Final = 256
_HEAD: Final = "# Nodes that answered lately, to begin with at the next start.\n"
_READ_FLAGS: Final = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NONBLOCK", 0)  # so that a pipe in its place does not block
)
_WRITE_FLAGS: Final = (
    os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
)


def bootstrap_records(texts: Iterable[str]) -> list[NodeRecord]:
    """The node records of boot nodes, each node once; those that are none are told and left out.

    At most 256 are taken.
    """
    records: dict[bytes, NodeRecord] = {}
    for text in texts:
        if len(records) >= MAX_BOOTSTRAP_NODES:
            _logger.warning("Too many boot nodes", extra={"lc": {"taken": MAX_BOOTSTRAP_NODES}})
            break
        try:
            record = parse_record(text)
        except DecodeError as error:
            about = {"node": ascii(text[:60]), "reason": str(error)}
            _logger.warning("Boot node is left out", extra={"lc": about})
            continue
        known = records.get(record.node_id)
        if known is None or known.sequence < record.sequence:
            records[record.node_id] = record
    return list(records.values())


class KnownNodes:
    """The file of kept nodes in a data directory. Nothing here raises."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / NODES_FILE
        self._has_complained = False

    def load(self) -> list[NodeRecord]:
        """The nodes kept, at most 128; none if there is no file or it is of no use."""
        try:
            content = self._read()
        except FileNotFoundError:
            return []
        except OSError as error:
            self._complain("cannot be read", error)
            return []
        if len(content) > MAX_FILE_BYTES:
            self._set_aside(f"is larger than {MAX_FILE_BYTES} bytes")
            return []
        records, refused = _records_in(content)
        if refused and not records:
            self._set_aside("holds no node record")
        elif refused:
            about = {"file": str(self.path), "lines": refused}
            _logger.warning("Some kept nodes are no node records", extra={"lc": about})
        return records

    def save(self, records: Iterable[NodeRecord]) -> None:
        """Keep the first 128 of ``records`` in place of those kept before; none keep the file."""
        lines = [record.text + "\n" for record, _ in zip(records, range(MAX_KEPT), strict=False)]
        if not lines:
            return
        try:
            self._write("".join((_HEAD, *lines)).encode("ascii"))
        except OSError as error:
            self._complain("cannot be written", error)

    def _read(self) -> bytes:
        descriptor = os.open(self.path, _READ_FLAGS)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError("is no regular file")
            return file.read(MAX_FILE_BYTES + 1)

    def _write(self, content: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Written beside and renamed, so that a crash leaves the old file or the new one.
        beside = self.path.with_suffix(".new")
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, _WRITE_FLAGS, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        beside.replace(self.path)

    def _set_aside(self, reason: str) -> None:
        aside = self.path.with_suffix(".damaged")
        with suppress(OSError):
            self.path.replace(aside)
        about = {"file": str(self.path), "reason": reason, "moved_to": str(aside)}
        _logger.warning("Kept nodes are of no use", extra={"lc": about})

    def _complain(self, what: str, error: OSError) -> None:
        # Once: a full disk would be told of at every attempt.
        level = logging.DEBUG if self._has_complained else logging.WARNING
        self._has_complained = True
        about = {"file": str(self.path), "reason": f"{what}: {error.strerror or error}"}
        _logger.log(level, "Kept nodes are of no use", extra={"lc": about})


def _records_in(content: bytes) -> tuple[list[NodeRecord], int]:
    """The records of a file's lines, and how many lines are none."""
    records: dict[bytes, NodeRecord] = {}
    refused = 0
    for line in content.decode("ascii", "replace").splitlines():
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            record = parse_record(text)
        except DecodeError:
            refused += 1
        else:
            records[record.node_id] = record
        if len(records) >= MAX_KEPT:
            break
    return list(records.values()), refused
