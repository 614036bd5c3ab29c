"""What req/resp messages say: status, metadata, goodbye, and the requests for light client objects.

Each payload type carries the bounds of its SSZ encoding, which are judged before a byte of it is
decompressed. Objects that differ between forks stay bytes here; ``containers`` decodes them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, Generic, TypeVar

from lightclient.errors import DecodeError
from lightclient.ssz import Bitvector, ByteList, Bytes, Container, SSZType, Uint

T = TypeVar("T")

MAX_REQUEST_BLOCKS: Final = 1024
MAX_REQUEST_LIGHT_CLIENT_UPDATES: Final = 128
ATTESTATION_SUBNET_COUNT: Final = 64
SYNC_COMMITTEE_SUBNET_COUNT: Final = 4
CUSTODY_REQUIREMENT: Final = 4
"""What version 2 of metadata stands for; what a network asks for is in its configuration."""

_UINT64: Final = Uint(64)
_ROOT: Final = Bytes(32)
_OFFSET_SIZE: Final = 4


class GoodbyeReason(IntEnum):
    """Why a peer leaves; the codes above 128 are what clients have agreed on since."""

    CLIENT_SHUTDOWN = 1
    IRRELEVANT_NETWORK = 2
    FAULT = 3
    UNABLE_TO_VERIFY_NETWORK = 128
    TOO_MANY_PEERS = 129
    BAD_SCORE = 250
    BANNED = 251


@dataclass(frozen=True, slots=True)
class Status:
    """Where a node says it stands.

    Attributes:
        fork_digest: 4 bytes, of its current epoch by the clock.
        earliest_available_slot: of the blocks it has; 0 where version 1 does not tell.
    """

    fork_digest: bytes
    finalized_root: bytes
    finalized_epoch: int
    head_root: bytes
    head_slot: int
    earliest_available_slot: int = 0


@dataclass(frozen=True, slots=True)
class Metadata:
    """A node's subnets as bits in SSZ bytes.

    Version 2 does not tell ``custody_group_count``: then it is the least that there may be.
    """

    seq_number: int
    attnets: bytes = bytes(ATTESTATION_SUBNET_COUNT // 8)
    syncnets: bytes = bytes(1)
    custody_group_count: int = CUSTODY_REQUIREMENT


@dataclass(frozen=True, slots=True)
class UpdatesByRange:
    """Asks for the best updates of ``count`` sync committee periods."""

    start_period: int
    count: int


@dataclass(frozen=True, slots=True)
class BlocksByRange:
    """Asks for the blocks of ``count`` slots; ``step`` is deprecated and 1."""

    start_slot: int
    count: int
    step: int = 1


@dataclass(frozen=True, slots=True)
class PayloadType(Generic[T]):
    """A payload with the bounds of its SSZ encoding, in bytes.

    ``decode`` raises DecodeError, ``encode`` ValueError.
    """

    min_size: int
    max_size: int
    decode: Callable[[bytes], T]
    encode: Callable[[T], bytes]


def size_bounds(kind: SSZType[Any]) -> tuple[int, int]:
    """The least and the most bytes of a value of ``kind``, a type made of containers and bytes."""
    if kind.fixed_size is not None:
        return kind.fixed_size, kind.fixed_size
    if isinstance(kind, ByteList):
        return 0, kind.limit
    assert isinstance(kind, Container), "no other type here varies in length"
    least, most = 0, 0
    for field in kind.fields.values():
        field_least, field_most = size_bounds(field)
        offset = 0 if field.fixed_size is not None else _OFFSET_SIZE
        least, most = least + offset + field_least, most + offset + field_most
    return least, most


def _of(kind: SSZType[T]) -> PayloadType[T]:
    return PayloadType(*size_bounds(kind), kind.decode, kind.encode)


def _decode_roots(data: bytes) -> tuple[bytes, ...]:
    if len(data) % 32 or len(data) > 32 * MAX_REQUEST_BLOCKS:
        raise DecodeError(f"{len(data)} bytes are no list of at most {MAX_REQUEST_BLOCKS} roots")
    return tuple(data[start : start + 32] for start in range(0, len(data), 32))


def _encode_roots(roots: tuple[bytes, ...]) -> bytes:
    if len(roots) > MAX_REQUEST_BLOCKS or any(len(root) != 32 for root in roots):
        raise ValueError(f"not a list of at most {MAX_REQUEST_BLOCKS} roots of 32 bytes")
    return b"".join(roots)


_STATUS_FIELDS: Final[dict[str, SSZType[Any]]] = {
    "fork_digest": Bytes(4),
    "finalized_root": _ROOT,
    "finalized_epoch": _UINT64,
    "head_root": _ROOT,
    "head_slot": _UINT64,
}
_METADATA_FIELDS: Final[dict[str, SSZType[Any]]] = {
    "seq_number": _UINT64,
    "attnets": Bitvector(ATTESTATION_SUBNET_COUNT),
    "syncnets": Bitvector(SYNC_COMMITTEE_SUBNET_COUNT),
}

STATUS_V1: Final = _of(Container(Status, _STATUS_FIELDS, "Status"))
STATUS_V2: Final = _of(
    Container(Status, {**_STATUS_FIELDS, "earliest_available_slot": _UINT64}, "Status v2")
)
METADATA_V2: Final = _of(Container(Metadata, _METADATA_FIELDS, "MetaData v2"))
METADATA_V3: Final = _of(
    Container(Metadata, {**_METADATA_FIELDS, "custody_group_count": _UINT64}, "MetaData v3")
)
NUMBER: Final = _of(_UINT64)
"""Of ping (a metadata sequence number) and goodbye (a reason)."""
ROOT: Final = _of(_ROOT)
ROOTS: Final = PayloadType(0, 32 * MAX_REQUEST_BLOCKS, _decode_roots, _encode_roots)
UPDATES_BY_RANGE: Final = _of(
    Container(UpdatesByRange, {"start_period": _UINT64, "count": _UINT64}, "updates_by_range")
)
BLOCKS_BY_RANGE: Final = _of(
    Container(
        BlocksByRange,
        {"start_slot": _UINT64, "count": _UINT64, "step": _UINT64},
        "beacon_blocks_by_range",
    )
)
