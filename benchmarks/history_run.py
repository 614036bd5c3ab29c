"""One history verified from its bootstrap on, in a process of its own, which prints JSON.

``python -m benchmarks.history_run FOLDER WAY BACKEND [URL]``, where WAY is ``single`` or
``batches`` (the engine alone, files read in pieces), or ``client`` (a ``LightClient``, over HTTP if
there is a URL, else over local files), or ``client-two`` (the same with a second process for
signatures). While a client works, a ticker in its event loop notes how
long it was kept waiting.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.stored import FileTransport, StoredHistory
from lightclient.bls import backend_by_name, best_batch_size
from lightclient.containers import LightClientUpdate, ObjectKind, decode_ssz
from lightclient.sync import Outcome, Processor, VerifiedHeader

_TICK_SECONDS = 0.001
_STALL_MS = 50.0
_PATIENCE_SECONDS = 600.0


def _engine(history: StoredHistory, backend_name: str, *, together: bool) -> dict[str, Any]:
    """Without a client: read, decode, process; one thread, one process."""
    backend = backend_by_name(backend_name)
    start = time.perf_counter()
    network, now_ms = history.network, history.now_ms
    processor = Processor(network, history.trusted_block_root, backend=backend)
    hint = network.fork_at_slot(0).data_format
    bootstrap = decode_ssz(ObjectKind.BOOTSTRAP, history.bootstrap_bytes(), network, (hint,))
    _progress(processor.process(bootstrap, now_ms))
    size = best_batch_size(backend)
    for first in range(0, history.periods, size):
        updates = list(history.updates(first, min(size, history.periods - first)))
        for outcome in _judged(processor, updates, now_ms, together=together):
            _progress(outcome)
    seconds = time.perf_counter() - start
    assert processor.finalized_header is not None
    return {"seconds": seconds, "finalized_slot": processor.finalized_header.slot}


def _judged(
    processor: Processor, updates: list[LightClientUpdate], now_ms: int, *, together: bool
) -> list[Outcome]:
    if together:
        return processor.process_updates(updates, now_ms)
    return [processor.process(update, now_ms) for update in updates]


def _progress(outcome: Outcome) -> None:
    if not outcome.progress:
        raise AssertionError(f"an object that should bring progress is {outcome.verdict}")


class _Ticker:
    """Asks to be woken every millisecond and notes how late that was at worst."""

    def __init__(self) -> None:
        self.longest_ms = 0.0
        self.late: list[str] = []

    async def run(self) -> None:
        first = last = time.perf_counter()
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            now = time.perf_counter()
            gap = (now - last) * 1000
            self.longest_ms = max(self.longest_ms, gap)
            if gap > _STALL_MS:
                self.late.append(f"{gap:.0f} ms at {last - first:.2f} s")
            last = now


async def _client(
    history: StoredHistory, backend_name: str, url: str | None, *, second_process: bool
) -> dict[str, Any]:
    from lightclient.client import LightClient

    period = history.network.compute_sync_committee_period_at_slot
    done: dict[str, float] = {}
    slots: list[int] = []
    all_told = asyncio.Event()
    ticker = _Ticker()
    start = time.perf_counter()

    def clock() -> int:
        return history.now_ms + int((time.perf_counter() - start) * 1000)

    def on_finalized_header(header: VerifiedHeader) -> None:
        slots.append(header.slot)
        if period(header.slot) == history.periods - 1:
            done["seconds"] = time.perf_counter() - start
            all_told.set()

    client = LightClient(
        network=history.network,
        trusted_block_root=history.trusted_block_root,
        transports=[url or FileTransport(history)],
        on_finalized_header=on_finalized_header,
        bls_backend=backend_name,
        second_process=second_process,
        allow_stale_trusted_root=True,
        clock=clock,
    )
    ticking = asyncio.create_task(ticker.run())
    async with asyncio.timeout(_PATIENCE_SECONDS), client:
        await client.wait_until_synced()
        done["seconds_to_head"] = time.perf_counter() - start
        await all_told.wait()  # callbacks may still be under way
    ticking.cancel()
    return {
        **done,
        "finalized_slot": max(slot for slot in slots if period(slot) < history.periods),
        "headers": len(slots),
        "longest_stall_ms": ticker.longest_ms,
        "stalls": ticker.late,
    }


def _peak_mb() -> float:
    """The most memory that was resident at any time; MB of 10^6 bytes."""
    try:
        # Unlike ru_maxrss this does not include what the parent held when it started the process.
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def main() -> None:
    """Run as the arguments say and print what was seen."""
    folder, way, backend, *url = sys.argv[1:]
    history = StoredHistory(Path(folder))
    if way in {"client", "client-two"}:
        work = _client(
            history, backend, url[0] if url else None, second_process=way == "client-two"
        )
        seen = asyncio.run(work)
    else:
        seen = _engine(history, backend, together=way == "batches")
    expected = history.network.compute_start_slot_at_sync_committee_period(history.periods - 1)
    if seen["finalized_slot"] < expected:
        raise AssertionError(f"only slot {seen['finalized_slot']} of the history was finalized")
    own, children = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    children_cpu = children.ru_utime + children.ru_stime
    seen |= {
        "peak_mb": _peak_mb(),
        "cpu_seconds": own.ru_utime + own.ru_stime,
        "children_cpu_seconds": children_cpu,
        # A library may ask the system something in a process of its own; that is none of ours.
        "children_peak_mb": children.ru_maxrss * 1024 / 1e6 if children_cpu > 0.1 else 0.0,
    }
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
