"""What a light client header proves of its execution payload.

Written once for all formats: an older format is judged as the specification's upgrade functions
would present it, a newer one than the slot's fork by the newer format's rules for older slots.
"""

from __future__ import annotations

from lightclient.config.forks import Fork
from lightclient.config.network import GENESIS_SLOT, Network
from lightclient.containers import LightClientHeader, execution_payload_header_type
from lightclient.ssz import (
    ZERO_NODE,
    compute_merkle_root,
    floorlog2,
    get_subtree_index,
    is_valid_normalized_merkle_branch,
)


def get_lc_execution_root(header: LightClientHeader, network: Network) -> bytes:
    """``get_lc_execution_root``, 32 bytes, the same in whatever format the header came.

    Zeros before Capella; then the root of the execution payload header; from Gloas on the execution
    block hash. A block hash header of an older slot leads to the payload's root by its branch; at
    genesis that is the root of an empty payload header instead, as the empty header has it in the
    older formats.
    """
    fork = network.fork_at_slot(header.beacon.slot)
    if fork.data_format.header == "bare" or header.data_format.header == "bare":
        return ZERO_NODE
    if header.execution is not None:
        return header.execution.hash_tree_root(with_blob_gas=fork.payload_has_blob_gas)
    assert header.execution_block_hash is not None
    if not fork.execution_gindex:
        return header.execution_block_hash
    if header.beacon.slot == GENESIS_SLOT:
        empty = execution_payload_header_type(fork.payload_has_blob_gas)
        return empty.hash_tree_root(empty.default_value)
    below_payload = floorlog2(fork.execution_block_hash_gindex) - floorlog2(fork.execution_gindex)
    extra = len(header.execution_branch) - floorlog2(fork.execution_block_hash_gindex)
    return compute_merkle_root(
        header.execution_block_hash,
        header.execution_branch[extra : extra + below_payload],
        get_subtree_index(fork.execution_block_hash_gindex) % (1 << below_payload),
    )


def is_valid_light_client_header(header: LightClientHeader, network: Network) -> bool:
    """``is_valid_light_client_header`` of the header's format, at its slot's fork."""
    fork = network.fork_at_slot(header.beacon.slot)
    if header.data_format.header == "bare":
        # Decoding a bare header leaves these empty; one put together by hand may not.
        return fork.data_format.header == "bare" and header.has_default_execution
    execution = header.execution
    if execution is not None and execution.has_blob_gas and not fork.payload_has_blob_gas:
        return False
    if fork.data_format.header == "bare":
        return header.has_default_execution
    return _is_execution_proven(header, fork)


def _is_execution_proven(header: LightClientHeader, fork: Fork) -> bool:
    if header.execution_block_hash is not None:
        leaf, gindex = header.execution_block_hash, fork.execution_block_hash_gindex
    elif header.execution is not None and fork.execution_gindex:
        leaf = header.execution.hash_tree_root(with_blob_gas=fork.payload_has_blob_gas)
        gindex = fork.execution_gindex
    else:
        return False  # the fork's blocks hold no payload that this format could prove
    body_root = header.beacon.body_root
    return is_valid_normalized_merkle_branch(leaf, header.execution_branch, gindex, body_root)
