"""Messages of discovery v5.1: PING, PONG, FINDNODE, NODES, TALKREQ, TALKRESP.

Records in NODES stay undecoded RLP: verifying a signature is the costly part, and whoever asked
decides how many it is worth.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, TypeAlias

from lightclient.errors import DecodeError
from lightclient.wire.rlp import Encodable, Item, as_bytes, as_number, decode_list, encode_rlp

MAX_REQUEST_ID_SIZE: Final = 8
MAX_DISTANCE: Final = 256
MAX_DISTANCES: Final = MAX_DISTANCE + 1


@dataclass(frozen=True, slots=True)
class Ping:
    """Are you there? ``enr_sequence`` is the sender's."""

    request_id: bytes
    enr_sequence: int


@dataclass(frozen=True, slots=True)
class Pong:
    """Yes; ``ip`` (as text) and ``port`` are what the asker's datagram came from."""

    request_id: bytes
    enr_sequence: int
    ip: str
    port: int


@dataclass(frozen=True, slots=True)
class FindNode:
    """Which nodes are at these logarithmic distances of you? 0 asks for your own record."""

    request_id: bytes
    distances: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Nodes:
    """Part of the answer to FINDNODE, one of ``total``; the records are not verified yet."""

    request_id: bytes
    total: int
    records: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class TalkRequest:
    """A request of another protocol."""

    request_id: bytes
    protocol: bytes
    request: bytes


@dataclass(frozen=True, slots=True)
class TalkResponse:
    """Its answer; empty if the protocol is not spoken."""

    request_id: bytes
    response: bytes


Request: TypeAlias = Ping | FindNode | TalkRequest
Response: TypeAlias = Pong | Nodes | TalkResponse
Message: TypeAlias = Request | Response


def encode_message(message: Message) -> bytes:
    """The plaintext of a message: a byte for its kind, then RLP."""
    match message:
        case Ping(request_id, enr_sequence):
            return _encode(1, request_id, enr_sequence)
        case Pong(request_id, enr_sequence, ip, port):
            return _encode(2, request_id, enr_sequence, ip_address(ip).packed, port)
        case FindNode(request_id, distances):
            return _encode(3, request_id, distances)
        case Nodes(request_id, total, records):
            return _encode(4, request_id, total, records)
        case TalkRequest(request_id, protocol, request):
            return _encode(5, request_id, protocol, request)
        case TalkResponse(request_id, response):
            return _encode(6, request_id, response)


def _encode(kind: int, *fields: Encodable) -> bytes:
    return bytes([kind]) + encode_rlp(fields)


_FIELDS: Final = {1: 2, 2: 4, 3: 2, 4: 3, 5: 3, 6: 2}


def decode_message(plaintext: bytes) -> Message:
    """The message of a plaintext.

    Raises:
        DecodeError: it is none, or of a kind that is not spoken here.
    """
    kind = plaintext[0] if plaintext else 0
    if kind not in _FIELDS:
        raise DecodeError(f"a discovery message of the unknown kind {kind}")
    fields = decode_list(plaintext[1:])
    if len(fields) != _FIELDS[kind]:
        raise DecodeError(f"a discovery message of kind {kind} with {len(fields)} fields")
    request_id = as_bytes(fields[0], "request id")
    if len(request_id) > MAX_REQUEST_ID_SIZE:
        raise DecodeError(f"a request id of {len(request_id)} bytes")
    match kind:
        case 1:
            return Ping(request_id, as_number(fields[1], "sequence"))
        case 2:
            sequence = as_number(fields[1], "sequence")
            return Pong(request_id, sequence, _ip(fields[2]), as_number(fields[3], "port", 16))
        case 3:
            return FindNode(request_id, _distances(fields[1]))
        case 4:
            return Nodes(request_id, as_number(fields[1], "total", 8), _list(fields[2], "records"))
        case 5:
            protocol = as_bytes(fields[1], "protocol")
            return TalkRequest(request_id, protocol, as_bytes(fields[2], "request"))
        case _:
            return TalkResponse(request_id, as_bytes(fields[1], "response"))


def _ip(item: Item) -> str:
    raw = as_bytes(item, "address")
    if len(raw) not in (4, 16):
        raise DecodeError(f"an address of {len(raw)} bytes")
    return str(ip_address(raw))


def _list(item: Item, what: str) -> tuple[Item, ...]:
    if isinstance(item, bytes):
        raise DecodeError(f"{what}: a string where a list was expected")
    return item


def _distances(item: Item) -> tuple[int, ...]:
    listed = _list(item, "distances")
    if len(listed) > MAX_DISTANCES:
        raise DecodeError(f"{len(listed)} distances, where at most {MAX_DISTANCES} may be")
    distances = tuple(as_number(distance, "distance", 16) for distance in listed)
    if any(distance > MAX_DISTANCE for distance in distances):
        raise DecodeError(f"a distance of more than {MAX_DISTANCE}")
    return distances


def log_distance(first: bytes, second: bytes) -> int:
    """Logarithmic distance of two node ids: 0 for the same, up to 256."""
    return (int.from_bytes(first, "big") ^ int.from_bytes(second, "big")).bit_length()
