"""What every SSZ type offers, and how its errors name the field at fault.

A type is a description; values are plain Python: ``int``, ``bytes``, tuples, and for containers any
object whose attributes bear the field names. Decoding accepts exactly one byte string for a value,
so ``encode(decode(data)) == data`` always holds.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

from lightclient.errors import DecodeError

T = TypeVar("T")
Json = Any
"""What ``json.loads`` returns: checked at run time, field by field."""

_HEX = re.compile(r"0[xX](?:[0-9a-fA-F]{2})*", re.ASCII)


def shown(value: object) -> str:
    """``value`` in a message, short."""
    # Lists and objects are only named: their repr recurses as deep as a hostile server likes.
    if isinstance(value, list):
        return f"a list of {len(value)} items"
    if isinstance(value, dict):
        return "an object"
    text = repr(value[:40] if isinstance(value, str) else value)
    return text if len(text) <= 40 else text[:37] + "..."


def bytes_from_json(value: Json, limit: int) -> bytes:
    """At most ``limit`` bytes from ``0x`` hex; raises DecodeError."""
    if not isinstance(value, str):
        raise DecodeError(f"{shown(value)} where 0x hex was expected")
    if len(value) > 2 * limit + 2:
        raise DecodeError(f"hex of {len(value)} characters where at most {2 * limit + 2} may be")
    if not _HEX.fullmatch(value):
        raise DecodeError(f"{shown(value)} is not 0x hex")
    return bytes.fromhex(value[2:])


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
