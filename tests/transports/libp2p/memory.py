"""Bounds on the memory that a part of a test takes."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def memory(most: int) -> Iterator[None]:
    """No more than ``most`` bytes are held by this process at any time within."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= most, f"{peak / 1e6:.1f} MB"


@contextmanager
def resident_memory(most: int) -> Iterator[None]:
    """As :func:`memory` in figures of the system, which cost no time; the growth within."""
    before = _most_resident()
    yield
    grown = _most_resident() - before
    assert grown <= most, f"{grown / 1e6:.1f} MB"


def _most_resident() -> int:
    if sys.platform == "win32":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )
