"""Simulated chains as scenery: made without coverage, and what was made once is not made again.

A block is a function of its parent and contents, an update one of its blocks, a signature one of
keys and message. Hundreds of tests make the same ones, so each process remembers the newest; only
the tests that are about making them do without.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Hashable, Iterator
from contextlib import contextmanager
from functools import wraps
from threading import Lock
from typing import Any

from lightclient.bls import Backend
from lightclient.containers import LightClientUpdate
from lightclient.simulator import SimulatedBlock, SimulatedChain
from lightclient.simulator.blocks import BlockContents, BlockMaker
from lightclient.simulator.keys import SimulatedCommittee
from tests.measuring import unmeasured

ABOUT_CHAINS = ("simulator/test_chain.py", "test_vectors.py")
"""Tests, by file in ``tests/``, of the making itself."""
_MAKING = (
    "__init__",
    "advance_to",
    "best_update",
    "bootstrap",
    "update_attesting",
    "update_signed_by",
)


class _Running:
    """Whether the test that runs is about chains."""

    about_chains = False


@contextmanager
def scenery_of(test: str) -> Iterator[None]:
    """Make chains as suits the test in a file, relative to ``tests/``, while the block runs."""
    _Running.about_chains = test in ABOUT_CHAINS
    try:
        yield
    finally:
        _Running.about_chains = False


class Memory:
    """The newest results of functions of their arguments, with the arguments that made them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[Hashable, tuple[Any, object]] = {}
        self._lock = Lock()

    def recall(self, key: Hashable, arguments: object, make: Callable[[], Any]) -> Any:
        """What ``make`` gave for ``key``; ``arguments`` live as long, so it may hold their ids."""
        if _Running.about_chains:
            return make()
        with self._lock:
            found = self._kept.pop(key, None)
        if found is None:
            found = (make(), arguments)
        with self._lock:
            self._kept[key] = found  # the newest is the last
            while len(self._kept) > self._most:
                del self._kept[next(iter(self._kept))]
        return found[0]


def _remember_blocks() -> None:
    memory, plain = Memory(2000), BlockMaker.make

    def make(
        self: BlockMaker, parent: SimulatedBlock | None, slot: int, contents: BlockContents
    ) -> SimulatedBlock:
        keys = self.keys
        # Contents are equal by value; the parent is the very same one, as chains compare blocks.
        of_keys = (keys.seed, keys.count, keys.committee_size)
        key = (id(parent), slot, contents, self.network, of_keys)
        made: SimulatedBlock = memory.recall(
            key, parent, lambda: plain(self, parent, slot, contents)
        )
        return made

    BlockMaker.make = make  # type: ignore[method-assign]


def _remember_updates() -> None:
    memory, plain = Memory(500), SimulatedChain._derive_update

    def derive(
        self: SimulatedChain, signer: SimulatedBlock, finalized: SimulatedBlock | None
    ) -> LightClientUpdate:
        made: LightClientUpdate = memory.recall(
            (id(signer), id(finalized), self.network),
            (signer, finalized),
            lambda: plain(self, signer, finalized),
        )
        return made

    SimulatedChain._derive_update = derive  # type: ignore[method-assign]


def _remember_signatures() -> None:
    memory, plain = Memory(4000), SimulatedCommittee._signature

    def sign(
        self: SimulatedCommittee, backend: Backend, message: bytes, seats: Collection[int]
    ) -> bytes:
        key = (backend.name, self.secrets, message, tuple(seats))
        made: bytes = memory.recall(key, None, lambda: plain(self, backend, message, seats))
        return made

    SimulatedCommittee._signature = sign  # type: ignore[method-assign]


def _as_scenery(plain: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(plain)
    def run(*args: Any, **kwargs: Any) -> Any:
        if _Running.about_chains:
            return plain(*args, **kwargs)
        with unmeasured():
            return plain(*args, **kwargs)

    return run


def remember_scenery() -> None:
    """Have chains remember what other chains of this process made already."""
    _remember_blocks()
    _remember_updates()
    _remember_signatures()


def leave_scenery_unmeasured() -> None:
    """Have chains made without coverage, if there is any."""
    if sys.gettrace() is not None:
        for name in _MAKING:
            setattr(SimulatedChain, name, _as_scenery(getattr(SimulatedChain, name)))
