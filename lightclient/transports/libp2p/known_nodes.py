"""Node records that discovery begins with: boot nodes, and nodes kept from earlier runs.

What is read from the file of kept nodes is verified like what comes from the network.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from lightclient.errors import DecodeError
from lightclient.transports.libp2p.kept_file import KeptFile
from lightclient.wire.enr import NodeRecord, parse_record

_logger = logging.getLogger("lightclient.libp2p")

NODES_FILE: Final = "discovery-nodes.txt"
MAX_KEPT: Final = 128
MAX_FILE_BYTES: Final = 1 << 16
MAX_BOOTSTRAP_NODES: Final = 256
_HEAD: Final = "# Nodes that answered lately, to begin with at the next start.\n"


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
        self._file = KeptFile(self.path, "Kept nodes are of no use", MAX_FILE_BYTES)

    def load(self) -> list[NodeRecord]:
        """The nodes kept, at most 128; none if there is no file or it is of no use."""
        content = self._file.read()
        records, refused = _records_in(content or b"")
        if refused and not records:
            self._file.set_aside("holds no node record")
        elif refused:
            about = {"file": str(self.path), "lines": refused}
            _logger.warning("Some kept nodes are no node records", extra={"lc": about})
        return records

    def save(self, records: Iterable[NodeRecord]) -> None:
        """Keep the first 128 of ``records`` in place of those kept before; none keep the file."""
        lines = [record.text + "\n" for record, _ in zip(records, range(MAX_KEPT), strict=False)]
        if lines:
            self._file.replace("".join((_HEAD, *lines)).encode("ascii"))


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
