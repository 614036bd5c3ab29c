"""Where peers are and who they are: multiaddresses and peer ids, as text and as bytes.

Only what a consensus client dials: TCP over IPv4, IPv6 or a name, with the peer id that the other
end must prove to hold. Needs no library, so that a wrong option is told before one is imported.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from lightclient.errors import ConfigError
from lightclient.wire.enr import NodeRecord
from lightclient.wire.varint import encode_varint

_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_MAX_ADDRESS: Final = 512
_MAX_PEER_ID: Final = 64
# Protobuf of a libp2p public key: type secp256k1 (2), then 33 bytes; in an identity multihash.
_SECP256K1_KEY: Final = bytes.fromhex("08021221")
_PEER_ID_OF_KEY: Final = bytes([0x00, len(_SECP256K1_KEY) + 33]) + _SECP256K1_KEY
_SHA256_MULTIHASH: Final = bytes([0x12, 0x20])
_NAME: Final = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?", re.ASCII)
_PORT: Final = re.compile(r"[0-9]{1,5}", re.ASCII)
_FORM: Final = "/ip4/ADDRESS/tcp/PORT/p2p/PEER_ID (or ip6, dns4, dns6, dns)"


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """A peer's address.

    Attributes:
        family: "ip4", "ip6", "dns", "dns4" or "dns6".
        peer_id: as base58 text.
    """

    family: str
    host: str
    port: int
    peer_id: str

    def __str__(self) -> str:
        return f"/{self.family}/{self.host}/tcp/{self.port}/p2p/{self.peer_id}"


def encode_base58(data: bytes) -> str:
    """Base58 as Bitcoin has it."""
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = _ALPHABET[digit] + text
    return _ALPHABET[0] * (len(data) - len(data.lstrip(b"\0"))) + text


def decode_base58(text: str) -> bytes:
    """The bytes of a base58 text; ValueError if it is none."""
    number = 0
    for char in text:
        number = number * 58 + _ALPHABET.index(char)
    zeros = len(text) - len(text.lstrip(_ALPHABET[0]))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def peer_id_of(public_key: bytes) -> str:
    """Peer id of a compressed secp256k1 key (33 bytes)."""
    return encode_base58(_PEER_ID_OF_KEY + public_key)


def parse_peer_id(text: str) -> str:
    """``text`` if it is a peer id in base58.

    Raises:
        ConfigError: it is none.
    """
    try:
        raw = decode_base58(text) if len(text) <= _MAX_PEER_ID else b""
    except ValueError:
        raw = b""
    is_hash = raw[:2] == _SHA256_MULTIHASH and len(raw) == 34
    is_identity = raw[:1] == b"\0" and len(raw) >= 2 and raw[1] == len(raw) - 2
    if not (is_hash or is_identity):
        raise ConfigError(f"{text[:80]!r} is no peer id (such as 16Uiu2HA...)")
    return text


def parse_peer_address(text: str) -> PeerAddress:
    """The address that a multiaddress names.

    Raises:
        ConfigError: it is none that can be dialled, with the reason.
    """
    shown = repr(text[:120])
    parts = text.strip().split("/")
    if len(text) > _MAX_ADDRESS or len(parts) != 7 or parts[0]:
        raise ConfigError(f"{shown} is no peer address: its form is {_FORM}")
    _, family, host, transport, port, marker, peer_id = parts
    if transport != "tcp" or marker not in ("p2p", "ipfs"):
        raise ConfigError(f"{shown} cannot be dialled: its form is {_FORM}")
    if not _PORT.fullmatch(port) or not 0 < int(port) < 65536:
        raise ConfigError(f"{shown}: {port[:20]!r} is no TCP port")
    return PeerAddress(family, _host(family, host, shown), int(port), parse_peer_id(peer_id))


def _host(family: str, host: str, shown: str) -> str:
    try:
        if family == "ip4":
            return str(IPv4Address(host))
        if family == "ip6":
            return str(IPv6Address(host))
    except AddressValueError:
        raise ConfigError(f"{shown}: {host[:80]!r} is no {family} address") from None
    if family not in ("dns", "dns4", "dns6"):
        raise ConfigError(f"{shown}: {family[:20]!r} cannot be dialled: the form is {_FORM}")
    if not _NAME.fullmatch(host):
        raise ConfigError(f"{shown}: {host[:80]!r} is no name of a machine")
    return host


def address_of_record(record: NodeRecord) -> PeerAddress | None:
    """Where a node record says that its node is dialled; None if it does not say."""
    endpoint = record.tcp_endpoint
    if endpoint is None:
        return None
    host, port = endpoint
    return PeerAddress("ip6" if ":" in host else "ip4", host, port, peer_id_of(record.public_key))


@lru_cache(maxsize=2048)
def network_of(host: str) -> str:
    """Whose an address is: itself, or the /64 of IPv6, which one machine has to itself."""
    address = ip_address(host.partition("%")[0])
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ip_network((address, 64), strict=False))
    return str(address)


@lru_cache(maxsize=2048)
def neighbourhood_of(host: str) -> str:
    """What an address is bought or given along with: a /24 of IPv4, a /48 of IPv6."""
    network = ip_network(network_of(host))
    return str(network.supernet(new_prefix=24 if network.version == 4 else 48))


@lru_cache(maxsize=2048)
def is_of_internet(host: str) -> bool:
    """Whether an address is one that anybody on the internet may tell of; False for a name."""
    try:
        return ip_address(host.partition("%")[0]).is_global
    except ValueError:
        return False


def multiaddress_bytes(host: str, port: int) -> bytes:
    """The binary multiaddress of an IP address and a TCP port."""
    address: IPv4Address | IPv6Address
    code, address = (41, IPv6Address(host)) if ":" in host else (4, IPv4Address(host))
    return encode_varint(code) + address.packed + encode_varint(6) + port.to_bytes(2, "big")
