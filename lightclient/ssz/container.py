"""Containers: named fields in order.

The fixed part is compiled to one ``struct`` call, which is the fast path: all fields at fixed
offsets in one go.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from operator import attrgetter
from typing import Any, Final

from lightclient.errors import DecodeError
from lightclient.ssz.base import Json, SSZType, T, located, shown
from lightclient.ssz.basic import Bytes
from lightclient.ssz.hashing import ZERO_NODE, full_tree_root, merkleize, next_power_of_two

_FEW_LEAVES: Final = 3
"""So many missing fields cost less as zero leaves than as zero subtrees."""
_ZERO_LEAVES: Final = (ZERO_NODE,) * _FEW_LEAVES


class Container(SSZType[T]):
    """Named fields in order. ``factory`` takes their values by position.

    Encoding and Merkleising read the attributes by name.

    Args:
        refused: JSON keys that must not be there, so that an object of a richer layout is never
            read as a poorer one. Other unknown keys are passed over.
        flat: the only field, if JSON may also give that field's keys without it around them.
    """

    def __init__(
        self,
        factory: Callable[..., T],
        fields: Mapping[str, SSZType[Any]],
        name: str = "",
        *,
        refused: Sequence[str] = (),
        flat: str = "",
    ) -> None:
        self.factory = factory
        self.fields = dict(fields)
        self.name = name
        self.refused = refused
        self.flat = flat
        self._types: Sequence[SSZType[Any]] = tuple(self.fields.values())
        self._names = tuple(self.fields)
        self._fixed = struct.Struct("<" + "".join(kind.struct_code for kind in self._types))
        self._variable = tuple(
            index for index, kind in enumerate(self._types) if kind.fixed_size is None
        )
        self.fixed_size: int | None = None if self._variable else self._fixed.size
        self._conversions = tuple(
            (index, kind.from_fixed)
            for index, kind in enumerate(self._types)
            if kind.fixed_size is not None and kind.needs_conversion
        )
        # A 32-byte field is its own root.
        self._roots = tuple(
            (index, kind.hash_tree_root)
            for index, kind in enumerate(self._types)
            if not (isinstance(kind, Bytes) and kind.fixed_size == 32)
        )
        self._missing_leaves = next_power_of_two(len(self._types)) - len(self._types)
        # Each variable field with the one whose offset ends it; the last one ends with the bytes.
        self._ends: tuple[tuple[int, int | None], ...] = tuple(
            zip(self._variable, [*self._variable[1:], None], strict=False)
        )
        # attrgetter of one name returns the bare value, of several a tuple.
        getter = attrgetter(*self._names)
        self._values: Callable[[T], Sequence[Any]] = (
            getter if len(self._names) > 1 else lambda value: (getter(value),)
        )

    def decode(self, data: bytes) -> T:
        fixed = self._fixed
        if len(data) < fixed.size or (not self._variable and len(data) != fixed.size):
            least = "at least " if self._variable else ""
            raise DecodeError(
                f"{self.name or 'container'} of {len(data)} bytes where {least}{fixed.size}"
                " were expected"
            )
        values = list(fixed.unpack_from(data))
        for index, convert in self._conversions:
            try:
                values[index] = convert(values[index])
            except DecodeError as error:
                raise self._located(index, error) from None
        if self._variable:
            self._decode_variable(data, values)
        return self.factory(*values)

    def _decode_variable(self, data: bytes, values: list[Any]) -> None:
        start = values[self._variable[0]]
        if start != self._fixed.size:
            raise DecodeError(f"first offset is {start} where {self._fixed.size} was expected")
        for index, following in self._ends:
            end = len(data) if following is None else values[following]
            if not start <= end <= len(data):
                offsets = [self._fixed.unpack_from(data)[index] for index in self._variable]
                raise DecodeError(f"offsets are not in order: {offsets} in {len(data)} bytes")
            try:
                values[index] = self._types[index].decode(data[start:end])
            except DecodeError as error:
                raise self._located(index, error) from None
            start = end

    def _located(self, index: int, error: DecodeError) -> DecodeError:
        try:
            with located(self._names[index]):
                raise error
        except DecodeError as outer:
            return outer

    def encode(self, value: T) -> bytes:
        fixed: list[Any] = []
        parts: list[bytes] = []
        offset = self._fixed.size
        for kind, item in zip(self._types, self._values(value), strict=True):
            if kind.fixed_size is not None:
                fixed.append(kind.to_fixed(item))
            else:
                part = kind.encode(item)
                fixed.append(offset)
                parts.append(part)
                offset += len(part)
        return self._fixed.pack(*fixed) + b"".join(parts)

    def hash_tree_root(self, value: T) -> bytes:
        nodes = list(self._values(value))
        for index, hash_tree_root in self._roots:
            nodes[index] = hash_tree_root(nodes[index])
        if self._missing_leaves > _FEW_LEAVES:
            return merkleize(nodes)
        nodes += _ZERO_LEAVES[: self._missing_leaves]
        return full_tree_root(nodes)

    def default(self) -> T:
        return self.factory(*(kind.default() for kind in self._types))

    @cached_property
    def default_value(self) -> T:
        """One shared default instance, for comparisons."""
        return self.default()

    def from_json(self, value: Json) -> T:
        if not isinstance(value, dict):
            raise DecodeError(f"{shown(value)} where an object was expected")
        for name in self.refused:
            if name in value:
                raise DecodeError(f"{name}: not a field of this format")
        if self.flat and self.flat not in value:
            value = {self.flat: value}
        items = []
        for name, kind in self.fields.items():
            if name not in value:
                raise DecodeError(f"{name}: missing field")
            with located(name):
                items.append(kind.from_json(value[name]))
        return self.factory(*items)

    def to_json(self, value: T) -> dict[str, Json]:
        return {
            name: kind.to_json(item)
            for (name, kind), item in zip(self.fields.items(), self._values(value), strict=True)
        }
