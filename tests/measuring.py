"""What coverage measures: the tests of a room, not the scenery around them.

Branch coverage is a trace function before Python 3.14, and while there is one the interpreter runs
all code three times as slowly, whether or not it is measured. So chains that are only scenery are
made without it, and so are tests that play the whole client from seeds: each room's own tests have
to reach the share of its code that ``fail_under`` asks for.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

UNMEASURED = (
    "beacon/test_spec_vectors.py",
    "benchmarks",
    "client/test_many_providers.py",
    "field_notes",
    "fuzz",
    "protocol/test_bit_flips.py",
    "soak",
)
"""Tests, by folder or file in ``tests/``, that coverage does not look at."""


@contextmanager
def unmeasured() -> Iterator[None]:
    """Leave out what this thread does while the block runs."""
    # Entering and leaving each miss as many returns and calls, so that coverage's count is right.
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracer)


@contextmanager
def measuring(test: str) -> Iterator[None]:
    """Measure, or not, the test in a file, relative to ``tests/``, while the block runs."""
    if sys.gettrace() is None:
        yield
    elif any(test == name or test.startswith(f"{name}/") for name in UNMEASURED):
        tracer_of_threads = threading.gettrace()
        threading.settrace(None)
        try:
            with unmeasured():
                yield
        finally:
            threading.settrace(tracer_of_threads)
    else:
        yield
