"""Makes headers, bootstraps and updates that prove whatever is wanted, with real signatures.

States and block bodies are sparse trees. What is proven where follows the fork at the slot, unless
another fork's row is asked for: then proofs are sound, but at places where nobody should look.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from lightclient.config import FORKS, DataFormat, Fork, Network
from lightclient.containers import (
    BeaconBlockHeader,
    ExecutionPayloadHeader,
    LightClientHeader,
    execution_payload_header_type,
    light_client_header_type,
    zero_branch,
)
from lightclient.ssz import ZERO_NODE, floorlog2
from tests.oracle.specification import Specification
from tests.oracle.trees import SparseTree

EXECUTION_GINDEX = 25


@dataclass(frozen=True)
class Rows:
    """Which fork's row each proof follows; normally the one in force at the slot."""

    finality: Fork
    committees: Fork
    execution: Fork


@dataclass(frozen=True)
class ForgedBlock:
    """A header with all that can be proven under it."""

    beacon: BeaconBlockHeader
    state: SparseTree
    body: SparseTree
    rows: Rows
    execution: ExecutionPayloadHeader | None
    execution_block_hash: bytes


class Forge:
    """Makes blocks and headers for a network."""

    def __init__(self, network: Network, specification: Specification, draw: Random) -> None:
        self.network = network
        self.specification = specification
        self.draw = draw

    def rows_at(self, slot: int, *, confusion: float = 0.0) -> Rows:
        """The rows of a slot; with the probability ``confusion`` each, that of some other fork."""

        def row() -> Fork:
            if self.draw.random() < confusion:
                return self.draw.choice(FORKS[1:])
            return self.network.fork_at_slot(slot)

        return Rows(row(), row(), row())

    def block(
        self,
        slot: int,
        *,
        rows: Rows | None = None,
        finalized_root: bytes = ZERO_NODE,
        current_committee_root: bytes = ZERO_NODE,
        next_committee_root: bytes = ZERO_NODE,
    ) -> ForgedBlock:
        """A block whose state and body prove the given things."""
        rows = rows or self.rows_at(slot)
        draw = self.draw
        state = SparseTree(
            draw.randbytes(8),
            {
                rows.committees.current_sync_committee_gindex: current_committee_root,
                rows.committees.next_sync_committee_gindex: next_committee_root,
                rows.finality.finalized_root_gindex: finalized_root,
            },
        )
        execution, block_hash, leaves = self._execution(rows.execution)
        body = SparseTree(draw.randbytes(8), leaves)
        beacon = BeaconBlockHeader(
            slot, draw.randrange(1 << 20), draw.randbytes(32), state.root, body.root
        )
        return ForgedBlock(beacon, state, body, rows, execution, block_hash)

    def _execution(
        self, row: Fork
    ) -> tuple[ExecutionPayloadHeader | None, bytes, dict[int, bytes]]:
        if row.execution_gindex:
            execution = self.payload_header(with_blob_gas=row.payload_has_blob_gas)
            root = execution.hash_tree_root(with_blob_gas=row.payload_has_blob_gas)
            return execution, execution.block_hash, {row.execution_gindex: root}
        block_hash = self.draw.randbytes(32)
        if row.execution_block_hash_gindex:
            return None, block_hash, {row.execution_block_hash_gindex: block_hash}
        return None, ZERO_NODE, {}

    def payload_header(self, *, with_blob_gas: bool) -> ExecutionPayloadHeader:
        """A random payload header."""
        draw = self.draw
        blob_gas = draw.choice([0, 1, 131_072, 2**64 - 1]) if with_blob_gas else 0
        excess = draw.choice([0, 0, 7]) if with_blob_gas else 0
        numbers = [0, 1, draw.randrange(2**64), 2**64 - 1]
        return ExecutionPayloadHeader(
            parent_hash=draw.randbytes(32),
            fee_recipient=draw.randbytes(20),
            state_root=draw.randbytes(32),
            receipts_root=draw.randbytes(32),
            logs_bloom=draw.randbytes(256),
            prev_randao=draw.randbytes(32),
            block_number=draw.choice(numbers),
            gas_limit=draw.choice(numbers),
            gas_used=draw.choice(numbers),
            timestamp=draw.choice(numbers),
            extra_data=draw.randbytes(draw.choice([0, 1, 20, 31, 32])),
            base_fee_per_gas=draw.choice([0, 7, draw.randrange(2**256), 2**256 - 1]),
            block_hash=draw.randbytes(32),
            transactions_root=draw.randbytes(32),
            withdrawals_root=draw.randbytes(32),
            blob_gas_used=blob_gas,
            excess_blob_gas=excess,
        )

    # Headers in formats -------------------------------------------------------------------------

    def header(self, block: ForgedBlock, data_format: DataFormat) -> LightClientHeader:
        """The block's header in a format, with as much of its execution as that can hold."""
        if data_format.header == "bare":
            return LightClientHeader(data_format, block.beacon)
        if data_format.header == "payload":
            return self._with_payload(block, data_format)
        return self._with_block_hash(block, data_format)

    def _with_payload(self, block: ForgedBlock, data_format: DataFormat) -> LightClientHeader:
        branch = zero_branch(4)
        execution = block.execution
        if execution is not None:
            branch = block.body.branch(EXECUTION_GINDEX)
        elif any(block.execution_block_hash):
            execution = self.payload_header(with_blob_gas=data_format.blob_gas)
            branch = block.body.branch(EXECUTION_GINDEX)
        else:
            execution = execution_payload_header_type(data_format.blob_gas).default()
        if not data_format.blob_gas:
            encoded = execution_payload_header_type(False).encode(execution)
            execution = execution_payload_header_type(False).decode(encoded)
        return LightClientHeader(data_format, block.beacon, execution, branch)

    def _with_block_hash(self, block: ForgedBlock, data_format: DataFormat) -> LightClientHeader:
        if not any(block.execution_block_hash):
            return light_client_header_type(data_format).factory(
                block.beacon, ZERO_NODE, zero_branch(data_format.execution_branch_depth)
            )
        branch = self._block_hash_branch(block)
        missing = data_format.execution_branch_depth - len(branch)
        return LightClientHeader(
            data_format,
            block.beacon,
            execution_branch=zero_branch(missing) + branch,
            execution_block_hash=block.execution_block_hash,
        )

    def _block_hash_branch(self, block: ForgedBlock) -> tuple[bytes, ...]:
        row = block.rows.execution
        if block.execution is None:
            return block.body.branch(row.execution_block_hash_gindex)
        name = "deneb" if row.payload_has_blob_gas else "capella"
        module: Any = self.specification.modules[name]
        encoded = execution_payload_header_type(row.payload_has_blob_gas).encode(block.execution)
        view = module.ExecutionPayloadHeader.decode_bytes(encoded)
        inside = (
            row.execution_block_hash_gindex
            - (row.execution_gindex << self._depth_inside(row))
            + (1 << self._depth_inside(row))
        )
        inner = tuple(bytes(node) for node in module.compute_merkle_proof(view, inside))
        return inner + block.body.branch(row.execution_gindex)

    @staticmethod
    def _depth_inside(row: Fork) -> int:
        return floorlog2(row.execution_block_hash_gindex) - floorlog2(row.execution_gindex)

    # Branches -----------------------------------------------------------------------------------

    @staticmethod
    def branch(tree: SparseTree, gindex: int, depth: int) -> tuple[bytes, ...]:
        """A proof as long as a format wants it: zero nodes in front, or cut there."""
        branch = tree.branch(gindex)
        missing = depth - len(branch)
        return zero_branch(missing) + branch if missing >= 0 else branch[-missing:]
