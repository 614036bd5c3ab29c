"""Decodes and encodes sequences of numbers and of byte vectors by the chunk.

remerkleable makes a view of every element, which takes seconds for a mainnet state and minutes for
megabytes of transactions; going by chunks of 32 bytes gives the same tree. Elements of other kinds
keep remerkleable's own way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO, TypeAlias

from remerkleable.basic import uint, uint256
from remerkleable.byte_arrays import ByteVector
from remerkleable.complex import List
from remerkleable.core import pack_bytes_to_chunks
from remerkleable.progressive import ProgressiveList, subtree_fill_progressive
from remerkleable.readonly_iters import NodeIter
from remerkleable.tree import PairNode, subtree_fill_to_contents

_CHUNK_SIZE = 32
_Sequence: TypeAlias = Any
_Element: TypeAlias = Any
_Node: TypeAlias = Any


def add_flat_coding(sequence_type: _Sequence) -> None:
    """Make a Vector, List or ProgressiveList type faster, if its elements allow it."""
    element = sequence_type.element_cls()
    if issubclass(element, uint | ByteVector):
        sequence_type.deserialize = classmethod(_deserialize)
        if _is_chunk_by_chunk(element):
            sequence_type.serialize = _serialize


def _is_chunk_by_chunk(element: _Element) -> bool:
    """Whether the leaves of a sequence's tree, put together, are its encoding."""
    return issubclass(element, uint) or bool(element.type_byte_length() == _CHUNK_SIZE)


def _deserialize(cls: _Sequence, stream: BinaryIO, scope: int) -> _Sequence:
    element = cls.element_cls()
    size = element.type_byte_length()
    count, rest = divmod(scope, size)
    if rest or not cls.is_valid_count(count):
        raise ValueError(f"{scope} bytes are not a {cls.type_repr()}")
    encoded = stream.read(scope)
    if len(encoded) != scope:
        raise ValueError(f"{len(encoded)} bytes of {scope} for a {cls.type_repr()}")
    if _is_chunk_by_chunk(element):
        nodes = pack_bytes_to_chunks(encoded)
    else:
        starts = range(0, scope, size)
        nodes = [element(encoded[start : start + size]).get_backing() for start in starts]
    if issubclass(cls, ProgressiveList):
        contents = subtree_fill_progressive(nodes)
    elif issubclass(cls, List):
        contents = subtree_fill_to_contents(nodes, cls.contents_depth())
    else:
        return cls(backing=subtree_fill_to_contents(nodes, cls.tree_depth()))
    return cls(backing=PairNode(contents, uint256(count).get_backing()))


def _serialize(self: _Sequence, stream: BinaryIO) -> int:
    length: int = self.length() * self.element_cls().type_byte_length()
    chunk_count = -(-length // _CHUNK_SIZE)
    chunks = b"".join(node.root for node in _content_nodes(self, chunk_count))
    stream.write(chunks[:length])
    return length


def _content_nodes(sequence: _Sequence, count: int) -> Iterator[_Node]:
    """The first ``count`` chunks below a sequence's contents, left to right."""
    node = sequence.get_backing()
    if isinstance(sequence, ProgressiveList):
        node, depth = node.get_left(), 0
        while count > 0:
            in_subtree = min(count, 1 << depth)
            yield from NodeIter(node.get_left(), depth, in_subtree)
            node, depth, count = node.get_right(), depth + 2, count - in_subtree
    elif isinstance(sequence, List):
        yield from NodeIter(node.get_left(), sequence.contents_depth(), count)
    else:
        yield from NodeIter(node, sequence.tree_depth(), count)
