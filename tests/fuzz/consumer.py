"""Reads choices from a fuzzer's bytes; past the end there are zeros, so that any input is whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Consumer:
    """Takes from the front of ``data``."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def is_empty(self) -> bool:
        return self._position >= len(self._data)

    def take(self, length: int) -> bytes:
        """The next bytes, perhaps fewer."""
        taken = self._data[self._position : self._position + length]
        self._position += length
        return taken

    def rest(self) -> bytes:
        return self.take(len(self._data))

    def byte(self) -> int:
        return int.from_bytes(self.take(1), "little")

    def number(self, length: int = 2) -> int:
        return int.from_bytes(self.take(length), "little")

    def choice(self, options: Sequence[T]) -> T:
        return options[self.byte() % len(options)]

    def pieces(self) -> list[bytes]:
        """What is left, in a few pieces."""
        places = [self.number() for _ in range(self.byte() % 5)]
        data = self.rest()
        cuts = sorted(place % (len(data) + 1) for place in places)
        return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
