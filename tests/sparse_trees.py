"""Merkle trees of which only what is to be proven is given; everything else looks random."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from lightclient.ssz import ZERO_NODE, floorlog2


def hashed(*parts: object) -> bytes:
    """32 bytes that look random and are the same in every run."""
    return sha256(repr(parts).encode()).digest()


class SparseTree:
    """A Merkle tree with the given nodes by generalized index; all others look random."""

    def __init__(self, nodes: Mapping[int, bytes], seed: bytes) -> None:
        self._seed = seed
        self._nodes = dict(nodes)
        self._inner = {gindex >> up for gindex in nodes for up in range(1, gindex.bit_length())}

    def node(self, gindex: int) -> bytes:
        """The node at ``gindex``."""
        made = self._nodes.get(gindex)
        if made is None:
            if gindex in self._inner:
                made = sha256(self.node(2 * gindex) + self.node(2 * gindex + 1)).digest()
            else:
                made = sha256(self._seed + gindex.to_bytes(8, "little")).digest()
            self._nodes[gindex] = made
        return made

    def branch(self, gindex: int, depth: int) -> tuple[bytes, ...]:
        """The proof of a node, with zeros in front up to ``depth``."""
        siblings = [self.node(gindex >> up ^ 1) for up in range(floorlog2(gindex))]
        return (ZERO_NODE,) * (depth - len(siblings)) + tuple(siblings)
