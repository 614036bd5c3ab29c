"""Numbers, byte strings and bits."""

from __future__ import annotations

import re
from typing import Any

from lightclient.errors import DecodeError
from lightclient.ssz.base import Json, SSZType, bytes_from_json, shown
from lightclient.ssz.hashing import full_tree_root, hash_pairs, merkleize, mix_in_length, pack

_DECIMAL = re.compile(r"[0-9]{1,78}", re.ASCII)


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
            raise DecodeError(f"{shown(value)} is not a whole number")
        if not 0 <= number < self.limit:
            raise DecodeError(f"{shown(number)} does not fit in {self.fixed_size * 8} bits")
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
        data = bytes_from_json(value, self.fixed_size)
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
        return self.decode(bytes_from_json(value, self.limit))

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
        return self.decode(bytes_from_json(value, self.fixed_size))

    def to_json(self, value: bytes) -> str:
        return "0x" + value.hex()
