"""The least that one update can cost, and which native calls keep the interpreter to themselves.

The floor is two pairings, one hash to the curve, one signature decompressed and 2,050 compressions
of SHA-256 (a committee's root). Each part is measured bare, so how far the whole is above it tells
what the rest of the program takes.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from hashlib import sha256
from statistics import median
from time import perf_counter, sleep
from typing import Any

from benchmarks.figures import Figure, figure
from lightclient.bls import Backend, CommitteeKeys, available_backends
from lightclient.bls.milagro import MilagroBackend
from lightclient.bls.points import PointBackend

COMPRESSIONS = 2050
_MESSAGE = b"floor".ljust(32)
_SECRET = 0x5EED
_COMMITTEE = 512
_ABSENT = (0, 8, 64, 128, 255)
_GIL_LIMIT_MS = 50.0


def _timed(call: Callable[[], object], repeats: int) -> list[float]:
    call()
    taken = []
    for _ in range(repeats):
        start = perf_counter()
        call()
        taken.append((perf_counter() - start) * 1000)
    return taken


def _compressions_ms(repeats: int) -> list[float]:
    """So many compressions in one call: what the processor needs, without a call for each."""
    block = bytes(64 * (COMPRESSIONS - 1))  # the padding takes the last one
    return _timed(lambda: sha256(block).digest(), repeats)


def measure_floor(repeats: int) -> list[Figure]:
    """The parts and their sum for each backend that shows its parts; milagro's bare check."""
    hashing = _compressions_ms(repeats)
    figures = [figure(f"floor: {COMPRESSIONS} compressions of SHA-256", "ms", hashing)]
    calls = _timed(lambda: [sha256(pair).digest() for pair in [bytes(64)] * 1025], repeats)
    figures.append(figure("floor: the same as 1025 calls of hashlib", "ms", calls))
    for backend in available_backends():
        parts = _signature_parts(backend)
        total = 0.0
        for name, call in parts.items():
            taken = _timed(call, repeats)
            total += median(taken)
            figures.append(figure(f"floor: {name} ({backend.name})", "ms", taken))
        name = f"floor of an update ({backend.name})"
        figures.append(figure(name, "ms", [total + median(hashing)]))
    return figures


def _signature_parts(backend: Backend) -> dict[str, Callable[[], object]]:
    pubkey, signature = backend.sk_to_pk(_SECRET), backend.sign(_SECRET, _MESSAGE)
    if not isinstance(backend, PointBackend):
        return {"bare check": lambda: backend.verify(pubkey, _MESSAGE, signature)}
    native: Any = backend
    key, point = backend.pubkey_point(pubkey), backend.signature_point(signature)
    hashed = native._hash_to_g2(_MESSAGE)  # noqa: SLF001
    return {
        "signature decompressed": lambda: backend.signature_point(signature),
        "hash to the curve": lambda: native._hash_to_g2(_MESSAGE),  # noqa: SLF001
        "two pairings": lambda: native._pairings_match([key], [hashed], point),  # noqa: SLF001
    }


# Calls that hold the interpreter ------------------------------------------------------------------


class _Watch:
    """A thread that wants to run all the time and notes how long it could not."""

    def __init__(self) -> None:
        self._longest = 0.0
        self._ends = False
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        last = perf_counter()
        while not self._ends:
            sleep(0.0002)
            now = perf_counter()
            self._longest = max(self._longest, now - last)
            last = now

    def longest_ms(self, call: Callable[[], object]) -> float:
        self._thread.start()
        sleep(0.002)
        self._longest = 0.0
        call()
        sleep(0.002)
        self._ends = True
        self._thread.join()
        return self._longest * 1000


def measure_held(repeats: int) -> tuple[list[Figure], list[str]]:
    """How long another thread must wait during the longest calls, by backend and members absent."""
    figures, notes = [], []
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    try:
        for backend in available_backends():
            over = []
            for name, make in _long_calls(backend).items():
                waits = [_Watch().longest_ms(make()) for _ in range(repeats)]
                item = figure(f"interpreter held: {name} ({backend.name})", "ms", waits)
                figures.append(item)
                if item.median > _GIL_LIMIT_MS:
                    over.append(f"{name} ({item.median:.0f} ms)")
            notes.append(
                f"calls that hold the interpreter for over {_GIL_LIMIT_MS:g} ms with "
                f"{backend.name}: {', '.join(over) or 'none'}"
            )
    finally:
        sys.setswitchinterval(before)
    return figures, notes


def _long_calls(backend: Backend) -> dict[str, Callable[[], Callable[[], object]]]:
    """Named makers of calls, each call on a committee whose keys are not parsed yet."""
    secrets = [_SECRET + 7919 * number for number in range(_COMMITTEE)]
    pubkeys = [backend.sk_to_pk(secret) for secret in secrets]
    aggregate = backend.sk_to_pk(sum(secrets))

    def committee() -> CommitteeKeys:
        return CommitteeKeys(backend, b"".join(pubkeys), aggregate)

    calls: dict[str, Callable[[], Callable[[], object]]] = {
        f"aggregate of {_COMMITTEE} compared": lambda: committee().compare_aggregate
    }
    for absent in _ABSENT:
        signature = backend.sign(sum(secrets[absent:]), _MESSAGE)
        bits = ((1 << _COMMITTEE) - (1 << absent)).to_bytes(_COMMITTEE // 8, "little")

        def make(bits: bytes = bits, signature: bytes = signature) -> Callable[[], object]:
            keys = committee()
            return lambda: keys.verify(bits, _MESSAGE, signature)

        calls[f"signature with {absent} absent"] = make
    for size in (16, 32) if isinstance(backend, MilagroBackend) else (32, 128):
        calls[f"batch of {size}"] = _batch(backend, size)
    return calls


def _batch(backend: Backend, size: int) -> Callable[[], Callable[[], object]]:
    messages = [bytes([number]) * 32 for number in range(size)]
    signatures = [backend.sign(_SECRET, message) for message in messages]
    pubkey = backend.sk_to_pk(_SECRET)
    if isinstance(backend, PointBackend):
        keys = [backend.pubkey_point(pubkey)] * size
        return lambda: lambda: backend.verify_points_together(keys, messages, signatures)
    assert isinstance(backend, MilagroBackend)
    encoded = [pubkey] * size
    return lambda: lambda: backend.verify_aggregate(encoded, messages, signatures)
