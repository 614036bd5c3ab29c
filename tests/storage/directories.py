"""State directories as the tests open, read and spoil them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightclient.config import Network
from lightclient.storage import STATE_FILE, StateDirectory, StoredState
from lightclient.storage.sealed_file import SealedFile
from tests.storage.states import ROOT, network, verifier

NOW = 1_790_000_000_000
STAMP = "20260921T141320Z"
"""The same in a file's name."""


class Clock:
    now_ms = NOW

    def __call__(self) -> int:
        return self.now_ms


@contextmanager
def opened(path: Path, clock: Clock | None = None) -> Iterator[StateDirectory]:
    with StateDirectory(path, clock or Clock()) as directory:
        yield directory


def load(path: Path, root: bytes = ROOT, of: Network | None = None) -> StoredState | None:
    with opened(path) as directory:
        return directory.load(of or network(), root, verifier())


def set_aside(path: Path) -> list[str]:
    return sorted(file.name for file in path.glob(f"{STATE_FILE}.*"))


def rewrite(path: Path, parts: dict[str, bytes]) -> None:
    """Other content, well sealed: as a fault in the program, or somebody with a key, writes it."""
    file = SealedFile(path / STATE_FILE, 1)
    file.write(parts)
    file.close()
