"""The top costs of a history, by function: ``python -m benchmarks --profile``."""

from __future__ import annotations

import cProfile
import pstats
from collections.abc import Callable
from pathlib import Path

from benchmarks.costs import chain_of
from lightclient.bls import best_batch_size, choose_backend
from lightclient.containers import LightClientUpdate, ObjectKind, decode_ssz
from lightclient.sync import Processor

_TOP = 18
_ROOT = Path(__file__).resolve().parents[1]


def profile(updates: int) -> str:
    """Updates one by one and in batches with the fastest backend, each under the profiler."""
    backend = choose_backend()
    chain = chain_of("electra", updates)
    hint = (chain.data_format,)

    def walk(size: int) -> None:
        processor = Processor(chain.network, chain.trusted_block_root, backend=backend)
        bootstrap = decode_ssz(ObjectKind.BOOTSTRAP, chain.bootstrap, chain.network, hint)
        processor.process(bootstrap, chain.now_ms)
        for first in range(0, updates, size):
            decoded: list[LightClientUpdate] = [
                decode_ssz(ObjectKind.UPDATE, data, chain.network, hint)  # type: ignore[misc]
                for data in chain.updates[first : first + size]
            ]
            if size == 1:
                processor.process(decoded[0], chain.now_ms)
            else:
                processor.process_updates(decoded, chain.now_ms)

    walk(8)  # warm
    size = best_batch_size(backend)
    return "\n".join(
        f"{updates} updates {title} ({backend.name}), top costs by own time:\n{_top(walk, size)}"
        for title, size in (("one by one", 1), (f"in batches of {size}", size))
    )


def _top(walk: Callable[[int], None], size: int) -> str:
    profiler = cProfile.Profile()
    profiler.runcall(walk, size)
    stats = pstats.Stats(profiler)
    total: float = stats.total_tt  # type: ignore[attr-defined]
    rows = sorted(
        stats.stats.items(),  # type: ignore[attr-defined]
        key=lambda row: row[1][2],
        reverse=True,
    )
    lines = [f"  {'ms':>9} {'share':>6} {'calls':>8}  function"]
    for (file, line, name), (_, calls, own, _, _) in rows[:_TOP]:
        where = name
        if line:
            path = Path(file)
            shown = path.relative_to(_ROOT) if path.is_relative_to(_ROOT) else path.name
            where = f"{shown}:{line} {name}"
        lines.append(f"  {own * 1000:9.1f} {own / total:6.1%} {calls:8d}  {where}")
    return "\n".join(lines)
