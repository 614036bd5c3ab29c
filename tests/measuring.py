"""What coverage measures: the tests of a room, not the scenery around them.

Branch coverage is a trace function before Python 3.14, and while there is one the interpreter runs
all code three times as slowly, whether or not it is measured. So chains that are only scenery are
made without it, and so are tests that play the whole client from seeds: each room's own tests have
to reach the share of its code that ``fail_under`` asks for.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

UNMEASURED = (
    "beacon/test_spec_vectors.py",
    "benchmarks",
    "cli/test_spec_vectors.py",
    "client/test_many_providers.py",
    "field_notes",
    "fuzz",
    "protocol/test_bit_flips.py",
    "soak",
    "test_vectors.py",
)
"""Tests, by folder or file in ``tests/``, that coverage does not look at."""
_ABOUT_CHAINS = "simulator/test_chain.py"
_MAKING = (
    "__init__",
    "advance_to",
    "best_update",
    "bootstrap",
    "update_attesting",
    "update_signed_by",
)


class _Scenery:
    measured = False


@contextmanager
def _untraced() -> Iterator[None]:
    # Entering and leaving each miss as many returns and calls, so that coverage's count is right.
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracer)


@contextmanager
def measuring(test: str) -> Iterator[None]:
    """Measure what a test is about while the block runs; ``test``: its file, below ``tests/``."""
    if sys.gettrace() is None:
        yield
    elif any(test == name or test.startswith(f"{name}/") for name in UNMEASURED):
        tracer_of_threads = threading.gettrace()
        threading.settrace(None)
        try:
            with _untraced():
                yield
        finally:
            threading.settrace(tracer_of_threads)
    else:
        _Scenery.measured = test == _ABOUT_CHAINS
        try:
            yield
        finally:
            _Scenery.measured = False


def _as_scenery(made: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(made)
    def run(*args: Any, **kwargs: Any) -> Any:
        if _Scenery.measured:
            return made(*args, **kwargs)
        with _untraced():
            return made(*args, **kwargs)

    return run


def make_scenery_quickly() -> None:
    """Have simulated chains made without coverage wherever they are not what is tested."""
    if sys.gettrace() is not None:
        from lightclient.simulator import SimulatedChain

        for name in _MAKING:
            setattr(SimulatedChain, name, _as_scenery(getattr(SimulatedChain, name)))
