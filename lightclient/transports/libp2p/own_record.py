"""Our own node record: where we are, and on which fork.

Its sequence number begins with the clock's milliseconds, so that a later run's record replaces an
earlier one's; and above that of the record which was kept, if there is one, so that it does so also
where the clock went back.
"""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address
from pathlib import Path
from typing import Final

from lightclient.config import Network
from lightclient.errors import DecodeError
from lightclient.transports.libp2p.kept_file import KeptFile
from lightclient.wire.enr import (
    MAX_SEQUENCE,
    Address,
    NodeRecord,
    endpoint_entries,
    parse_record,
    sign_record,
    updated_record,
)
from lightclient.wire.fork_id import fork_entries
from lightclient.wire.identity import IdentityKey
from lightclient.wire.rlp import Item

RECORD_FILE: Final = "node-record.txt"
_MAX_FILE_BYTES: Final = 1024
_CUSTODY: Final = b"cgc"
"""Custody group count, as our metadata tell it (fulu p2p-interface, ENR structure)."""


class RecordFile:
    """The file with our record in a data directory. Nothing here raises."""

    def __init__(self, directory: Path) -> None:
        path = directory / RECORD_FILE
        self._file = KeptFile(path, "Our kept node record is of no use", _MAX_FILE_BYTES)

    def load(self) -> NodeRecord | None:
        """The record of the last run; None if there is none of use."""
        content = self._file.read()
        if content is None:
            return None
        try:
            return parse_record(content.decode("ascii", "replace"))
        except DecodeError as error:
            self._file.set_aside(str(error))
            return None

    def save(self, record: NodeRecord) -> None:
        """Keep a record in place of the one before."""
        self._file.replace(record.text.encode("ascii") + b"\n")


class OwnRecord:
    """Our record, kept up to date.

    Args:
        external_address: the IP address that we are told to have; None to believe what several
            nodes see.
        listens_at: an address in a network of our own, told until several nodes see another.

    Attributes:
        record: as it is now.
    """

    def __init__(
        self,
        key: IdentityKey,
        network: Network,
        external_address: str | None,
        now_ms: int,
        listens_at: str | None = None,
    ) -> None:
        self._key = key
        self._network = network
        self._told_address = external_address
        self._listens_at = listens_at
        self._seen: Address | None = None
        self._basis: object = None
        self.record: NodeRecord = sign_record(key, max(now_ms, 1), {})

    def replace(self, kept: NodeRecord) -> None:
        """Be newer than a record of an earlier run, unless that was somebody else's."""
        is_ours = kept.node_id == self._key.node_id
        if is_ours and self.record.sequence <= kept.sequence < MAX_SEQUENCE // 2:
            self.record = sign_record(self._key, kept.sequence + 1, self.record.entries)

    def note_seen(self, address: Address) -> None:
        """Several nodes see our datagrams come from this address and port."""
        self._seen = address

    def update(self, epoch: int, tcp_port: int, udp_port: int) -> bool:
        """Take in the time and the ports (0: none); tells whether the record changed."""
        host, udp_port = self._endpoint(udp_port)
        basis = (epoch, host, tcp_port, udp_port)
        if basis == self._basis:
            return False
        self._basis = basis
        changes: dict[bytes, Item | None] = {
            **fork_entries(self._network, epoch),
            _CUSTODY: _big_endian(self._network.custody_requirement),
        }
        if host is not None:
            ip = ip_address(host)
            other = IPv4Address(0) if ip.version == 6 else ip_address("::")
            # An address of the other family, seen before, is no longer ours as far as we know.
            changes |= dict.fromkeys(endpoint_entries(other), None)
            changes |= endpoint_entries(ip, tcp=tcp_port, udp=udp_port)
        before = self.record
        self.record = updated_record(self._key, before, changes)
        return self.record is not before

    def _endpoint(self, udp_port: int) -> tuple[str | None, int]:
        """Where we are reached, and at which port; a router may have changed the latter."""
        if self._told_address is not None:
            return self._told_address, udp_port
        return (self._listens_at, udp_port) if self._seen is None else self._seen


def _big_endian(number: int) -> bytes:
    """A number without zeros before it; 0 is no byte at all."""
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
