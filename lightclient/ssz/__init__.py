"""Simple Serialize for what a light client needs: codec, Merkleisation, branches.

Knows nothing of Ethereum: types are put together elsewhere.
"""

from lightclient.ssz.base import Json, SSZType, located
from lightclient.ssz.basic import Bitvector, ByteList, Bytes, Uint
from lightclient.ssz.branches import (
    compute_merkle_root,
    floorlog2,
    get_subtree_index,
    is_valid_merkle_branch,
    is_valid_normalized_merkle_branch,
    normalize_merkle_branch,
)
from lightclient.ssz.container import Container
from lightclient.ssz.hashing import ZERO_HASHES, ZERO_NODE, merkleize, mix_in_length
from lightclient.ssz.sequences import ByteVectors, Nodes

__all__ = [
    "ZERO_HASHES",
    "ZERO_NODE",
    "Bitvector",
    "ByteList",
    "ByteVectors",
    "Bytes",
    "Container",
    "Json",
    "Nodes",
    "SSZType",
    "Uint",
    "compute_merkle_root",
    "floorlog2",
    "get_subtree_index",
    "is_valid_merkle_branch",
    "is_valid_normalized_merkle_branch",
    "located",
    "merkleize",
    "mix_in_length",
    "normalize_merkle_branch",
]
