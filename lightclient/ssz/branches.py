"""Merkle branches and generalized indices.

Function names are those of the consensus specification (``ssz/merkle-proofs.md`` and the light
client sync protocol). A branch is a sequence of 32-byte siblings, bottom up.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from lightclient.ssz.hashing import ZERO_NODE


def floorlog2(value: int) -> int:
    """Depth of a generalized index.

    Raises:
        ValueError: ``value`` is below 1.
    """
    if value < 1:
        raise ValueError(f"floorlog2 needs a positive number, not {value}")
    return value.bit_length() - 1


def get_subtree_index(generalized_index: int) -> int:
    """Position of the node within its level."""
    return generalized_index % (1 << floorlog2(generalized_index))


def compute_merkle_root(leaf: bytes, branch: Sequence[bytes], index: int) -> bytes:
    """The root that ``leaf`` and ``branch`` lead to; bit i of ``index`` is the side at level i."""
    node = leaf
    for sibling in branch:
        node = sha256(sibling + node if index & 1 else node + sibling).digest()
        index >>= 1
    return node


def is_valid_merkle_branch(
    leaf: bytes, branch: Sequence[bytes], depth: int, index: int, root: bytes
) -> bool:
    """Whether ``branch`` (exactly ``depth`` nodes) proves ``leaf`` at ``index`` under ``root``."""
    return len(branch) == depth and compute_merkle_root(leaf, branch, index) == root


def normalize_merkle_branch(branch: Sequence[bytes], generalized_index: int) -> tuple[bytes, ...]:
    """``branch`` with zero nodes put in front until it has the depth of ``generalized_index``."""
    missing = max(floorlog2(generalized_index) - len(branch), 0)
    return (ZERO_NODE,) * missing + tuple(branch)


def is_valid_normalized_merkle_branch(
    leaf: bytes, branch: Sequence[bytes], generalized_index: int, root: bytes
) -> bool:
    """Whether ``branch`` proves ``leaf``, where a longer branch starts with zero nodes.

    A branch that is shorter than the index is deep is first normalized, as the specification's
    upgrade functions do with objects of an older format.
    """
    depth = floorlog2(generalized_index)
    extra = len(branch) - depth
    if extra > 0:
        if any(node != ZERO_NODE for node in branch[:extra]):
            return False
        branch = branch[extra:]
    elif extra < 0:
        branch = normalize_merkle_branch(branch, generalized_index)
    index = generalized_index - (1 << depth)  # get_subtree_index
    return compute_merkle_root(leaf, branch, index) == root
