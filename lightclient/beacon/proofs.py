"""Merkle proofs from remerkleable views: roots and branches at generalized indices.

Reads the view's backing tree, whose nodes remember their roots: after the first root of an object,
a branch costs a walk from the root to the leaf.
"""

from __future__ import annotations

from typing import Any

from remerkleable.core import Path
from remerkleable.tree import NavigationError

from lightclient.beacon.types import View, ViewType
from lightclient.errors import DeriveError


def get_generalized_index(view_type: ViewType, *path: str | int) -> int:
    """Generalized index of the field or element at ``path``, as in the specification's ssz.

    Raises:
        DeriveError: the type has nothing at that path.
    """
    try:
        return int(Path.from_raw_path(view_type, list(path)).gindex())
    except (KeyError, AttributeError) as error:
        raise DeriveError(f"{view_type.__name__} has no path {path}") from error


def node_root(view: View, gindex: int) -> bytes:
    """Root (32 bytes) of the subtree at ``gindex``; 1 is the view itself.

    Raises:
        DeriveError: the view's tree does not reach that far.
    """
    node, _ = _walk(view, gindex)
    return bytes(node.merkle_root())


def build_proof(view: View, gindex: int) -> list[bytes]:
    """Merkle branch of ``gindex``: its siblings' roots (32 bytes each), bottom up.

    In the order that ``is_valid_merkle_branch`` takes; ``floorlog2(gindex)`` nodes.

    Raises:
        DeriveError: the view's tree does not reach that far.
    """
    _, siblings = _walk(view, gindex)
    return [bytes(sibling.merkle_root()) for sibling in reversed(siblings)]


def _walk(view: View, gindex: int) -> tuple[Any, list[Any]]:
    """The node at ``gindex`` and the siblings passed on the way down."""
    if gindex < 1:
        raise DeriveError(f"not a generalized index: {gindex}")
    node = view.get_backing()
    siblings = []
    try:
        for bit in bin(gindex)[3:]:
            left, right = node.get_left(), node.get_right()
            node, sibling = (right, left) if bit == "1" else (left, right)
            siblings.append(sibling)
    except NavigationError as error:
        raise DeriveError(f"{type(view).__name__} has no node at index {gindex}") from error
    return node, siblings
