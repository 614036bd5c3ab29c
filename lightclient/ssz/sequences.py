"""Vectors of byte strings: a committee's keys in one piece, and Merkle branches."""

from __future__ import annotations

import struct
from typing import Any

from lightclient.errors import DecodeError
from lightclient.ssz.base import Json, SSZType, located, shown
from lightclient.ssz.basic import Bytes
from lightclient.ssz.hashing import hash_pairs, merkleize, pack


class ByteVectors(SSZType[bytes]):
    """A vector of ``length`` byte vectors of ``size`` bytes, kept as one byte string."""

    needs_conversion = False

    def __init__(self, length: int, size: int) -> None:
        self.length = length
        self.size = size
        self.fixed_size: int = length * size
        self._split = struct.Struct(f"{size}s" * length)
        self._padding = bytes(-size % 32)

    def decode(self, data: bytes) -> bytes:
        self._check_size(data)
        return bytes(data)

    def from_fixed(self, raw: Any) -> bytes:
        return bytes(raw)

    def encode(self, value: bytes) -> bytes:
        if len(value) != self.fixed_size:
            raise ValueError(f"{len(value)} bytes where {self.fixed_size} were expected")
        return value

    def split(self, value: bytes) -> tuple[bytes, ...]:
        """The single byte vectors."""
        return self._split.unpack(value)

    def hash_tree_root(self, value: bytes) -> bytes:
        if 32 < self.size <= 64:  # one hash an element: the case that matters, 48-byte keys
            padding = self._padding
            roots = hash_pairs(padding.join(self._split.unpack(value)) + padding)
        else:
            roots = [merkleize(pack(item)) for item in self._split.unpack(value)]
        return merkleize(roots)

    def default(self) -> bytes:
        return bytes(self.fixed_size)

    def from_json(self, value: Json) -> bytes:
        if not isinstance(value, list) or len(value) != self.length:
            raise DecodeError(f"{shown(value)} where a list of {self.length} was expected")
        try:  # the whole list at once: a committee has 512 items
            joined = bytes.fromhex("".join([item[2:] for item in value]))
        except (KeyError, TypeError, ValueError):  # KeyError: slices are hashable from 3.12 on
            joined = b""
        if len(joined) == self.fixed_size and all(map(self._is_item, value)):
            return joined
        element = Bytes(self.size)
        for index, item in enumerate(value):
            with located(f"[{index}]"):
                element.from_json(item)
        raise DecodeError("items are not 0x hex")  # unreachable unless the two readings disagree

    def _is_item(self, item: object) -> bool:
        return (
            isinstance(item, str)
            and len(item) == 2 * self.size + 2
            and item[:2] in ("0x", "0X")
            and item.isascii()
            and item.isalnum()
        )

    def to_json(self, value: bytes) -> list[str]:
        return ["0x" + item.hex() for item in self._split.unpack(value)]


class Nodes(SSZType[tuple[bytes, ...]]):
    """A vector of ``length`` 32-byte nodes as a tuple: Merkle branches."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.fixed_size: int = length * 32
        self._split = struct.Struct("32s" * length)

    def decode(self, data: bytes) -> tuple[bytes, ...]:
        self._check_size(data)
        return self._split.unpack(data)

    def encode(self, value: tuple[bytes, ...]) -> bytes:
        data = b"".join(value)
        if len(value) != self.length or len(data) != self.fixed_size:
            raise ValueError(f"{len(value)} nodes where {self.length} were expected")
        return data

    def hash_tree_root(self, value: tuple[bytes, ...]) -> bytes:
        return merkleize(value)

    def default(self) -> tuple[bytes, ...]:
        return (bytes(32),) * self.length

    def from_json(self, value: Json) -> tuple[bytes, ...]:
        if not isinstance(value, list) or len(value) != self.length:
            raise DecodeError(f"{shown(value)} where a list of {self.length} was expected")
        node = Bytes(32)
        nodes = []
        for index, item in enumerate(value):
            with located(f"[{index}]"):
                nodes.append(node.from_json(item))
        return tuple(nodes)

    def to_json(self, value: tuple[bytes, ...]) -> list[str]:
        return ["0x" + node.hex() for node in value]
