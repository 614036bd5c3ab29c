"""Blocks of a chain that is a function of its seed: sparse Merkle trees around what gets proven."""

from __future__ import annotations

from dataclasses import dataclass

from lightclient.config import Network
from lightclient.containers import (
    BeaconBlockHeader,
    ExecutionPayloadHeader,
    execution_payload_header_type,
)
from lightclient.ssz import ZERO_NODE
from tests.sparse_trees import SparseTree, hashed


@dataclass(frozen=True)
class Block:
    """What there is of a block: its header's roots and the trees that prove parts of it."""

    header: BeaconBlockHeader
    state: SparseTree
    body: SparseTree
    execution: ExecutionPayloadHeader | None
    finalized_slot: int | None


def execution_block_hash(seed: int, slot: int) -> bytes:
    """The hash of the execution block that goes with a block of the chain with this seed."""
    return hashed(seed, "execution", slot)


def body_at(
    seed: int, slot: int, network: Network
) -> tuple[SparseTree, ExecutionPayloadHeader | None]:
    """A block's body, and the payload's header in it if it has one.

    Args:
        seed: the chain's.
    """
    fork, rest = network.fork_at_slot(slot), hashed(seed, "body", slot)
    if fork.proves_parent_block_hash:
        leaf = execution_block_hash(seed, slot)
        return SparseTree({fork.execution_block_hash_gindex: leaf}, rest), None
    if not fork.execution_gindex:
        return SparseTree({1: rest}, rest), None
    payload = _payload(seed, slot, network, with_blob_gas=fork.payload_has_blob_gas)
    nodes = _payload_nodes(payload, fork.execution_gindex, fork.payload_has_blob_gas)
    return SparseTree(nodes, rest), payload


def _payload(
    seed: int, slot: int, network: Network, *, with_blob_gas: bool
) -> ExecutionPayloadHeader:
    root = hashed(seed, "payload", slot)
    blob_gas = (131072, slot + 1) if with_blob_gas else (0, 0)
    return ExecutionPayloadHeader(
        parent_hash=root,
        fee_recipient=root[:20],
        state_root=root,
        receipts_root=root,
        logs_bloom=bytes(256),
        prev_randao=root,
        block_number=slot + 1000,
        gas_limit=30_000_000,
        gas_used=21_000,
        timestamp=network.slot_start_ms(slot) // 1000,
        extra_data=b"soak"[: slot % 5],
        base_fee_per_gas=7,
        block_hash=execution_block_hash(seed, slot),
        transactions_root=root,
        withdrawals_root=root,
        blob_gas_used=blob_gas[0],
        excess_blob_gas=blob_gas[1],
    )


def _payload_nodes(
    payload: ExecutionPayloadHeader, gindex: int, with_blob_gas: bool
) -> dict[int, bytes]:
    """The field roots of a payload as nodes of the body that holds it at ``gindex``."""
    layout = execution_payload_header_type(with_blob_gas)
    roots = [kind.hash_tree_root(getattr(payload, name)) for name, kind in layout.fields.items()]
    width = 1 << (len(roots) - 1).bit_length()
    roots += [ZERO_NODE] * (width - len(roots))
    return {gindex * width + index: root for index, root in enumerate(roots)}
