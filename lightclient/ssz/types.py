"""SSZ types: decode, encode, Merkleise, and the Beacon API's JSON form, each strict.

A type is a description; values are plain Python: ``int``, ``bytes``, tuples, and for containers any
object whose attributes bear the field names. Decoding accepts exactly one byte string for a value,
so ``encode(decode(data)) == data`` always holds. Containers compile their fixed part to one
``struct`` call, which is the fast path: all fields at fixed offsets in one go.
"""

from __future__ import annotations

import re
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from operator import attrgetter
from typing import Any, Final, Generic, TypeVar

from lightclient.errors import DecodeError
from lightclient.ssz.hashing import (
    ZERO_NODE,
    full_tree_root,
    hash_pairs,
    merkleize,
    mix_in_length,
    next_power_of_two,
    pack,
)

T = TypeVar("T")
Json = Any
"""What ``json.loads`` returns: checked at run time, field by field."""

_OFFSET_SIZE: Final = 4
_FEW_LEAVES: Final = 3
"""So many missing fields cost less as zero leaves than as zero subtrees."""
_ZERO_LEAVES: Final = (ZERO_NODE,) * _FEW_LEAVES
_DECIMAL = re.compile(r"[0-9]{1,78}", re.ASCII)
_HEX = re.compile(r"0[xX](?:[0-9a-fA-F]{2})*", re.ASCII)


def _shown(value: object) -> str:
    # Lists and objects are only named: their repr recurses as deep as a hostile server likes.
    if isinstance(value, list):
        return f"a list of {len(value)} items"
    if isinstance(value, dict):
        return "an object"
    text = repr(value[:40] if isinstance(value, str) else value)
    return text if len(text) <= 40 else text[:37] + "..."


class SSZType(ABC, Generic[T]):
    """One SSZ type. ``fixed_size`` is its length in bytes, or None where it varies."""

    fixed_size: int | None

    @property
    def struct_code(self) -> str:
        """How the fixed part of a container holds this type."""
        return "I" if self.fixed_size is None else f"{self.fixed_size}s"

    def from_fixed(self, raw: Any) -> T:
        """The value from what ``struct`` unpacked for :attr:`struct_code`."""
        return self.decode(raw)

    def to_fixed(self, value: T) -> Any:
        """The inverse of :meth:`from_fixed`."""
        return self.encode(value)

    needs_conversion = True

    def _check_size(self, data: bytes) -> None:
        if len(data) != self.fixed_size:
            raise DecodeError(f"{len(data)} bytes where {self.fixed_size} were expected")

    @abstractmethod
    def decode(self, data: bytes) -> T:
        """The value of ``data``; raises DecodeError unless it is its one encoding."""

    @abstractmethod
    def encode(self, value: T) -> bytes:
        """SSZ bytes of ``value``."""

    @abstractmethod
    def hash_tree_root(self, value: T) -> bytes:
        """32-byte root of ``value``."""

    @abstractmethod
    def default(self) -> T:
        """The all-zero value."""

    @abstractmethod
    def from_json(self, value: Json) -> T:
        """The value of parsed JSON; raises DecodeError."""

    @abstractmethod
    def to_json(self, value: T) -> Json:
        """JSON as the Beacon API writes it: numbers as strings, bytes as 0x hex."""


def _bytes_from_json(value: Json, limit: int) -> bytes:
    if not isinstance(value, str):
        raise DecodeError(f"{_shown(value)} where 0x hex was expected")
    if len(value) > 2 * limit + 2:
        raise DecodeError(f"hex of {len(value)} characters where at most {2 * limit + 2} may be")
    if not _HEX.fullmatch(value):
        raise DecodeError(f"{_shown(value)} is not 0x hex")
    return bytes.fromhex(value[2:])


class Uint(SSZType[int]):
    """An unsigned integer of ``bits`` bits."""

    def __init__(self, bits: int) -> None:
        self.fixed_size: int = bits // 8
        self.limit = 1 << bits

    @property
    def struct_code(self) -> str:
        return "Q" if self.fixed_size == 8 else f"{self.fixed_size}s"

    def from_fixed(self, raw: Any) -> int:
        return raw if self.fixed_size == 8 else int.from_bytes(raw, "little")

    def to_fixed(self, value: int) -> Any:
        return value if self.fixed_size == 8 else value.to_bytes(self.fixed_size, "little")

    @property
    def needs_conversion(self) -> bool:  # type: ignore[override]  # a constant per instance
        return self.fixed_size != 8

    def decode(self, data: bytes) -> int:
        self._check_size(data)
        return int.from_bytes(data, "little")

    def encode(self, value: int) -> bytes:
        return value.to_bytes(self.fixed_size, "little")

    def hash_tree_root(self, value: int) -> bytes:
        return value.to_bytes(32, "little")

    def default(self) -> int:
        return 0

    def from_json(self, value: Json) -> int:
        if isinstance(value, str) and _DECIMAL.fullmatch(value):
            number = int(value)
        elif isinstance(value, int) and not isinstance(value, bool):
            number = value
        else:
            raise DecodeError(f"{_shown(value)} is not a whole number")
        if not 0 <= number < self.limit:
            raise DecodeError(f"{_shown(number)} does not fit in {self.fixed_size * 8} bits")
        return number

    def to_json(self, value: int) -> str:
        return str(value)


class Bytes(SSZType[bytes]):
    """Exactly ``size`` bytes."""

    needs_conversion = False

    def __init__(self, size: int) -> None:
        self.fixed_size: int = size
        self._is_full_tree = size >= 64 and size & (size - 1) == 0

    def from_fixed(self, raw: Any) -> bytes:
        return bytes(raw)

    def to_fixed(self, value: bytes) -> bytes:
        return self.encode(value)

    def decode(self, data: bytes) -> bytes:
        self._check_size(data)
        return bytes(data)

    def encode(self, value: bytes) -> bytes:
        if len(value) != self.fixed_size:
            raise ValueError(f"{len(value)} bytes where {self.fixed_size} were expected")
        return value

    def hash_tree_root(self, value: bytes) -> bytes:
        if self.fixed_size <= 32:
            return value.ljust(32, b"\0")
        if self._is_full_tree and len(value) == self.fixed_size:
            return full_tree_root(hash_pairs(value))
        return merkleize(pack(value))

    def default(self) -> bytes:
        return bytes(self.fixed_size)

    def from_json(self, value: Json) -> bytes:
        data = _bytes_from_json(value, self.fixed_size)
        self._check_size(data)
        return data

    def to_json(self, value: bytes) -> str:
        return "0x" + value.hex()


class ByteList(SSZType[bytes]):
    """At most ``limit`` bytes."""

    fixed_size = None

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def decode(self, data: bytes) -> bytes:
        if len(data) > self.limit:
            raise DecodeError(f"{len(data)} bytes where at most {self.limit} may be")
        return bytes(data)

    def encode(self, value: bytes) -> bytes:
        if len(value) > self.limit:
            raise ValueError(f"{len(value)} bytes where at most {self.limit} may be")
        return value

    def hash_tree_root(self, value: bytes) -> bytes:
        if self.limit <= 32:  # one chunk, whatever it holds
            return mix_in_length(value.ljust(32, b"\0"), len(value))
        return mix_in_length(merkleize(pack(value), (self.limit + 31) // 32), len(value))

    def default(self) -> bytes:
        return b""

    def from_json(self, value: Json) -> bytes:
        return self.decode(_bytes_from_json(value, self.limit))

    def to_json(self, value: bytes) -> str:
        return "0x" + value.hex()


class Bitvector(SSZType[bytes]):
    """``length`` bits, kept as their SSZ bytes; padding bits must be zero."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.fixed_size: int = (length + 7) // 8
        self._padding = ~((1 << length) - 1) & ((1 << 8 * self.fixed_size) - 1)

    def decode(self, data: bytes) -> bytes:
        self._check_size(data)
        if self._padding and int.from_bytes(data, "little") & self._padding:
            raise DecodeError(f"padding bits are set after bit {self.length}")
        return bytes(data)

    def encode(self, value: bytes) -> bytes:
        if len(value) != self.fixed_size:
            raise ValueError(f"{len(value)} bytes where {self.fixed_size} were expected")
        return value

    def hash_tree_root(self, value: bytes) -> bytes:
        return merkleize(pack(value))

    def default(self) -> bytes:
        return bytes(self.fixed_size)

    def from_json(self, value: Json) -> bytes:
        return self.decode(_bytes_from_json(value, self.fixed_size))

    def to_json(self, value: bytes) -> str:
        return "0x" + value.hex()


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
            raise DecodeError(f"{_shown(value)} where a list of {self.length} was expected")
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
            raise DecodeError(f"{_shown(value)} where a list of {self.length} was expected")
        node = Bytes(32)
        nodes = []
        for index, item in enumerate(value):
            with located(f"[{index}]"):
                nodes.append(node.from_json(item))
        return tuple(nodes)

    def to_json(self, value: tuple[bytes, ...]) -> list[str]:
        return ["0x" + node.hex() for node in value]


class located:  # noqa: N801  # used like a function
    """Context manager that puts a field's name in front of a DecodeError's message."""

    def __init__(self, where: str) -> None:
        self.where = where

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, DecodeError):
            text = str(error)
            first = text.split(":", maxsplit=1)[0]
            glue = "" if text.startswith("[") else ": " if " " in first else "."
            raise DecodeError(f"{self.where}{glue}{text}") from None


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
            raise DecodeError(f"{_shown(value)} where an object was expected")
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
