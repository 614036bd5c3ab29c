"""Headers: the beacon block's, the execution payload's, and the light client's around both.

Values are immutable; roots are computed once. Every class here is the same in all forks: what a
fork changes is the SSZ layout next to it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

from lightclient.config.forks import DataFormat
from lightclient.ssz import ByteList, Bytes, Container, Nodes, SSZType, Uint

UINT64 = Uint(64)
UINT256 = Uint(256)
BYTES32 = Bytes(32)


@dataclass(frozen=True, slots=True)
class BeaconBlockHeader:
    """Phase0 ``BeaconBlockHeader``; roots are 32 bytes."""

    slot: int
    proposer_index: int
    parent_root: bytes
    state_root: bytes
    body_root: bytes
    _root: bytes | None = field(default=None, init=False, repr=False, compare=False)

    def hash_tree_root(self) -> bytes:
        """The beacon block root (a block and its header share it)."""
        if self._root is None:
            object.__setattr__(self, "_root", BEACON_BLOCK_HEADER.hash_tree_root(self))
        assert self._root is not None
        return self._root


BEACON_BLOCK_HEADER = Container(
    BeaconBlockHeader,
    {
        "slot": UINT64,
        "proposer_index": UINT64,
        "parent_root": BYTES32,
        "state_root": BYTES32,
        "body_root": BYTES32,
    },
    "BeaconBlockHeader",
)


@dataclass(frozen=True, slots=True)
class ExecutionPayloadHeader:
    """Capella's ``ExecutionPayloadHeader`` with Deneb's two blob gas fields (0 before)."""

    parent_hash: bytes
    fee_recipient: bytes
    state_root: bytes
    receipts_root: bytes
    logs_bloom: bytes
    prev_randao: bytes
    block_number: int
    gas_limit: int
    gas_used: int
    timestamp: int
    extra_data: bytes
    base_fee_per_gas: int
    block_hash: bytes
    transactions_root: bytes
    withdrawals_root: bytes
    blob_gas_used: int = 0
    excess_blob_gas: int = 0

    @property
    def has_blob_gas(self) -> bool:
        """Whether a blob gas field is set, which no payload before Deneb may have."""
        return self.blob_gas_used != 0 or self.excess_blob_gas != 0

    @property
    def is_default(self) -> bool:
        """Whether every field is zero or empty."""
        return self == _DEFAULT_EXECUTION

    def hash_tree_root(self, *, with_blob_gas: bool) -> bytes:
        """Root in Deneb's shape, or in Capella's without the blob gas fields."""
        return execution_payload_header_type(with_blob_gas).hash_tree_root(self)


_CAPELLA_FIELDS: dict[str, SSZType[Any]] = {
    "parent_hash": BYTES32,
    "fee_recipient": Bytes(20),
    "state_root": BYTES32,
    "receipts_root": BYTES32,
    "logs_bloom": Bytes(256),
    "prev_randao": BYTES32,
    "block_number": UINT64,
    "gas_limit": UINT64,
    "gas_used": UINT64,
    "timestamp": UINT64,
    "extra_data": ByteList(32),
    "base_fee_per_gas": UINT256,
    "block_hash": BYTES32,
    "transactions_root": BYTES32,
    "withdrawals_root": BYTES32,
}
_BLOB_GAS_FIELDS: dict[str, SSZType[Any]] = {"blob_gas_used": UINT64, "excess_blob_gas": UINT64}


@lru_cache(maxsize=2)
def execution_payload_header_type(with_blob_gas: bool) -> Container[ExecutionPayloadHeader]:
    """SSZ type of the payload header, with or without blob gas."""
    fields = {**_CAPELLA_FIELDS, **(_BLOB_GAS_FIELDS if with_blob_gas else {})}
    refused = () if with_blob_gas else tuple(_BLOB_GAS_FIELDS)
    return Container(ExecutionPayloadHeader, fields, "ExecutionPayloadHeader", refused=refused)


_DEFAULT_EXECUTION = execution_payload_header_type(False).default()


@dataclass(frozen=True, slots=True)
class LightClientHeader:
    """A beacon block header with what its format adds of the execution payload.

    Attributes:
        execution: payload header (formats capella to electra), None in the others.
        execution_block_hash: 32 bytes (format gloas), None in the others.
        execution_branch: proof of either under ``beacon.body_root``; empty in format altair.
    """

    data_format: DataFormat
    beacon: BeaconBlockHeader
    execution: ExecutionPayloadHeader | None = None
    execution_branch: tuple[bytes, ...] = ()
    execution_block_hash: bytes | None = None

    @property
    def is_default(self) -> bool:
        """Whether this is the all-zero header of its format."""
        return self == light_client_header_type(self.data_format).default_value

    @property
    def has_default_execution(self) -> bool:
        """Whether everything about execution is zero."""
        default = light_client_header_type(self.data_format).default_value
        return (
            self.execution == default.execution
            and self.execution_block_hash == default.execution_block_hash
            and self.execution_branch == default.execution_branch
        )

    def hash_tree_root(self) -> bytes:
        """Root of the container in its own format (not the block root: that is ``beacon``'s)."""
        return light_client_header_type(self.data_format).hash_tree_root(self)


def _block_hash_header(
    data_format: DataFormat,
    beacon: BeaconBlockHeader,
    execution_block_hash: bytes,
    execution_branch: tuple[bytes, ...],
) -> LightClientHeader:
    return LightClientHeader(data_format, beacon, None, execution_branch, execution_block_hash)


@lru_cache(maxsize=16)
def light_client_header_type(data_format: DataFormat) -> Container[LightClientHeader]:
    """SSZ type of ``LightClientHeader`` in a format."""
    name = "LightClientHeader"
    branch = Nodes(data_format.execution_branch_depth)
    if data_format.header == "bare":
        bare = {"beacon": BEACON_BLOCK_HEADER}
        refused = ("execution", "execution_branch", "execution_block_hash")
        return Container(
            partial(LightClientHeader, data_format), bare, name, refused=refused, flat="beacon"
        )
    if data_format.header == "payload":
        return Container(
            partial(LightClientHeader, data_format),
            {
                "beacon": BEACON_BLOCK_HEADER,
                "execution": execution_payload_header_type(data_format.blob_gas),
                "execution_branch": branch,
            },
            name,
        )
    return Container(
        partial(_block_hash_header, data_format),
        {
            "beacon": BEACON_BLOCK_HEADER,
            "execution_block_hash": BYTES32,
            "execution_branch": branch,
        },
        name,
    )
