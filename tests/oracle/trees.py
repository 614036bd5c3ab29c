"""Merkle trees that hold just what is to be proven; everything else in them is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from lightclient.ssz import floorlog2


class SparseTree:
    """A tree with given nodes by generalized index; all others are hashes of ``salt``.

    A node below a given one can be asked for, but then its branch does not lead to the root.
    """

    def __init__(self, salt: bytes, nodes: Mapping[int, bytes]) -> None:
        self.salt = salt
        self.nodes = dict(nodes)
        self._above: set[int] = set()
        for index in nodes:
            while index > 1:
                index >>= 1
                self._above.add(index)

    def node(self, index: int) -> bytes:
        """The node at a generalized index, 32 bytes."""
        given = self.nodes.get(index)
        if given is not None:
            return given
        if index in self._above:
            pair = self.node(2 * index) + self.node(2 * index + 1)
            made = sha256(pair).digest()
        else:
            made = sha256(self.salt + index.to_bytes(8, "little")).digest()
        return made

    @property
    def root(self) -> bytes:
        """32 bytes."""
        return self.node(1)

    def branch(self, index: int) -> tuple[bytes, ...]:
        """The siblings from a node up to the root, bottom up."""
        return tuple(self.node((index >> level) ^ 1) for level in range(floorlog2(index)))
