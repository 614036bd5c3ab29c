"""Ethereum Node Records (EIP-778) of the ``v4`` identity scheme: decode, verify, sign, text.

A :class:`NodeRecord` that exists has been verified. What it says beyond its signature is a claim:
an entry that cannot be what it should (an address of five bytes, a port of three) counts as absent.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from ipaddress import IPv4Address, IPv6Address
from itertools import pairwise
from typing import Final, TypeAlias

from lightclient.errors import DecodeError
from lightclient.wire.identity import (
    SIGNATURE_SIZE,
    IdentityKey,
    is_valid_signature,
    keccak256,
    node_id_of,
)
from lightclient.wire.rlp import Item, as_bytes, as_number, decode_list, encode_rlp

MAX_RECORD_SIZE: Final = 300
"""Bytes of a record, EIP-778."""
_PREFIX: Final = "enr:"
_MAX_TEXT: Final = len(_PREFIX) + (MAX_RECORD_SIZE * 4 + 2) // 3
MAX_SEQUENCE: Final = 2**64 - 1

Address: TypeAlias = tuple[str, int]
"""IP address as text (IPv4 or IPv6) and port."""


@dataclass(frozen=True)
class NodeRecord:
    """A verified node record.

    Attributes:
        sequence: grows with every change.
        entries: by key; values are bytes, or tuples where an entry holds a list.
        signature: 64 bytes.
    """

    sequence: int
    entries: Mapping[bytes, Item]
    signature: bytes

    def __hash__(self) -> int:
        return hash(self.signature)

    @cached_property
    def raw(self) -> bytes:
        """The record as it goes over the wire."""
        return encode_rlp([self.signature, *_content(self.sequence, self.entries)])

    @cached_property
    def text(self) -> str:
        """The record as ``enr:...``."""
        encoded = base64.urlsafe_b64encode(self.raw).rstrip(b"=")
        return _PREFIX + encoded.decode("ascii")

    @property
    def public_key(self) -> bytes:
        """Compressed secp256k1 key, 33 bytes."""
        return as_bytes(self.entries[b"secp256k1"], "secp256k1")

    @cached_property
    def node_id(self) -> bytes:
        """Node id, 32 bytes."""
        return node_id_of(self.public_key)

    @cached_property
    def ip(self) -> IPv4Address | None:
        """IPv4 address."""
        raw = self._bytes(b"ip", 4)
        return IPv4Address(raw) if raw else None

    @cached_property
    def ip6(self) -> IPv6Address | None:
        """IPv6 address."""
        raw = self._bytes(b"ip6", 16)
        return IPv6Address(raw) if raw else None

    def port(self, key: bytes) -> int | None:
        """The port under ``tcp``, ``udp``, ``quic``, ``tcp6``, ``udp6`` or ``quic6``."""
        try:
            return as_number(self.entries.get(key, b""), "port", 16) or None
        except DecodeError:
            return None

    def _endpoint(self, protocol: bytes) -> Address | None:
        if self.ip is not None and (port := self.port(protocol)) is not None:
            return str(self.ip), port
        port = self.port(protocol + b"6")
        return None if self.ip6 is None or port is None else (str(self.ip6), port)

    @property
    def udp_endpoint(self) -> Address | None:
        """Where to send discovery datagrams, IPv4 first."""
        return self._endpoint(b"udp")

    @property
    def tcp_endpoint(self) -> Address | None:
        """Where to dial libp2p over TCP, IPv4 first."""
        return self._endpoint(b"tcp")

    @property
    def quic_endpoint(self) -> Address | None:
        """Where to dial libp2p over QUIC, IPv4 first."""
        return self._endpoint(b"quic")

    @property
    def attnets(self) -> bytes | None:
        """Attestation subnets, 64 bits."""
        return self._bytes(b"attnets", 8)

    @property
    def syncnets(self) -> bytes | None:
        """Sync committee subnets, 4 bits."""
        return self._bytes(b"syncnets", 1)

    def _bytes(self, key: bytes, size: int) -> bytes | None:
        value = self.entries.get(key)
        return value if isinstance(value, bytes) and len(value) == size else None


def _content(sequence: int, entries: Mapping[bytes, Item]) -> list[int | Item]:
    content: list[int | Item] = [sequence]
    for key in sorted(entries):
        content += (key, entries[key])
    return content


def _signed_digest(sequence: int, entries: Mapping[bytes, Item]) -> bytes:
    return keccak256(encode_rlp(_content(sequence, entries)))


def decode_record(raw: bytes) -> NodeRecord:
    """The record of ``raw`` bytes, verified.

    Raises:
        DecodeError: too long, not a record, of another identity scheme, or not signed by its key.
    """
    if len(raw) > MAX_RECORD_SIZE:
        raise DecodeError(f"a node record of {len(raw)} bytes, where {MAX_RECORD_SIZE} may be")
    return _verified_record(raw)


def record_of_item(item: Item) -> NodeRecord:
    """The record of RLP that is decoded already, as in a NODES message; verified.

    Raises:
        DecodeError: as :func:`decode_record`.
    """
    return decode_record(encode_rlp(item))


# Discovery is told of the same nodes over and over; a signature is the costly part of a record.
@lru_cache(maxsize=2048)
def _verified_record(raw: bytes) -> NodeRecord:
    item = decode_list(raw)
    if len(item) < 2 or len(item) % 2:
        raise DecodeError("a node record is a list of signature, sequence, keys and values")
    signature = as_bytes(item[0], "signature")
    sequence = as_number(item[1], "sequence")
    keys = [as_bytes(key, "key") for key in item[2::2]]
    if any(first >= second for first, second in pairwise(keys)):
        raise DecodeError("the keys of a node record are not in order, or not unique")
    record = NodeRecord(sequence, dict(zip(keys, item[3::2], strict=True)), signature)
    _verify(record)
    return record


def _verify(record: NodeRecord) -> None:
    if record.entries.get(b"id") != b"v4":
        raise DecodeError("a node record of another identity scheme than v4")
    public_key = record.entries.get(b"secp256k1")
    if not isinstance(public_key, bytes):
        raise DecodeError("a node record without a secp256k1 key")
    digest = _signed_digest(record.sequence, record.entries)
    if not is_valid_signature(public_key, record.signature, digest):
        raise DecodeError("a node record that its key did not sign")


def parse_record(text: str) -> NodeRecord:
    """The record of its text form ``enr:...``, verified.

    Raises:
        DecodeError: it is none, with the reason.
    """
    text = text.strip()
    if not text.startswith(_PREFIX):
        raise DecodeError("a node record as text begins with enr:")
    if len(text) > _MAX_TEXT:
        raise DecodeError(f"a node record of {len(text)} characters, where {_MAX_TEXT} may be")
    encoded = text.removeprefix(_PREFIX)
    try:
        padded = encoded.encode("ascii") + b"=" * (-len(encoded) % 4)
        raw = base64.b64decode(padded, altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise DecodeError("a node record that is not base64 after enr:") from None
    record = decode_record(raw)
    if record.text != text:
        raise DecodeError("a node record whose base64 has loose bits at its end")
    return record


def sign_record(key: IdentityKey, sequence: int, entries: Mapping[bytes, Item]) -> NodeRecord:
    """A record of ``entries``, signed; the identity's own entries are added.

    Raises:
        ValueError: the record would be longer than MAX_RECORD_SIZE.
    """
    if not 0 <= sequence <= MAX_SEQUENCE:
        raise ValueError(f"a sequence number of {sequence}")
    whole = {**entries, b"id": b"v4", b"secp256k1": key.public_key}
    whole = {name: whole[name] for name in sorted(whole)}
    signature = key.sign(_signed_digest(sequence, whole))
    assert len(signature) == SIGNATURE_SIZE
    record = NodeRecord(sequence, whole, signature)
    if len(record.raw) > MAX_RECORD_SIZE:
        raise ValueError(f"a node record of {len(record.raw)} bytes would be too long")
    return record


def updated_record(
    key: IdentityKey, record: NodeRecord, changes: Mapping[bytes, Item | None]
) -> NodeRecord:
    """``record`` with entries changed (None removes one), under the next sequence number.

    The same record if nothing changes.
    """
    entries = {name: value for name, value in record.entries.items() if name not in changes}
    entries |= {name: value for name, value in changes.items() if value is not None}
    if entries == record.entries:
        return record
    return sign_record(key, record.sequence + 1, entries)


def endpoint_entries(
    ip: IPv4Address | IPv6Address | None,
    *,
    tcp: int | None = None,
    udp: int | None = None,
    quic: int | None = None,
) -> dict[bytes, Item | None]:
    """Entries that tell where a node is reached, for :func:`sign_record`; ports of 0 are left out.

    For :func:`updated_record` those that are not told are there as None, of this address family.
    """
    suffix = b"6" if isinstance(ip, IPv6Address) else b""
    ports = {b"tcp": tcp, b"udp": udp, b"quic": quic}
    entries: dict[bytes, Item | None] = {
        name + suffix: port.to_bytes(2, "big").lstrip(b"\0") if port and ip else None
        for name, port in ports.items()
    }
    entries[b"ip" + suffix] = ip.packed if ip else None
    return entries
