"""From process start to a verified head, with a state that an earlier process stored.

``python -m benchmarks.first_head FOLDER BACKEND DATA_DIR`` prints the slot and where the time went;
the head's object comes from a local file in place of a provider.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.stored import StoredHistory


def store_state(history: StoredHistory, backend_name: str, data_dir: Path) -> bytes:
    """Leave behind what a client stores that stopped a slot ago; returns its trusted root."""
    from lightclient.bls import backend_by_name
    from lightclient.containers import LightClientBootstrap, ObjectKind, decode_ssz
    from lightclient.storage import StateDirectory, StoredState
    from lightclient.sync import Processor

    network = history.network
    hints = (network.fork_at_slot(history.head_slot).data_format,)
    data = history.bootstrap_bytes(at_head=True)
    bootstrap = decode_ssz(ObjectKind.BOOTSTRAP, data, network, hints)
    assert isinstance(bootstrap, LightClientBootstrap)
    root = bootstrap.header.beacon.hash_tree_root()
    processor = Processor(network, root, backend=backend_by_name(backend_name))
    assert processor.process(bootstrap, history.now_ms).progress
    *earlier, _ = history.head()
    for data in earlier[-1:]:
        finality = decode_ssz(ObjectKind.FINALITY_UPDATE, data, network, hints)
        assert processor.process(finality, history.now_ms).progress
    assert processor.store is not None
    with StateDirectory(data_dir, lambda: history.now_ms) as directory:
        state = StoredState.of(network, root, processor.store, processor.proofs, history.now_ms)
        directory.save(state)
    return root


def main() -> None:
    """Go on from the stored state and print."""
    marks = [("", perf_counter())]
    import anyio

    from benchmarks.stored import FileTransport, StoredHistory
    from lightclient import LightClient

    marks.append(("imports", perf_counter()))
    folder, backend, data_dir, root = sys.argv[1:]
    history = StoredHistory(Path(folder))

    async def follow() -> None:
        client = LightClient(
            network=history.network,
            trusted_block_root=root,
            transports=[FileTransport(history)],
            bls_backend=backend,
            data_dir=data_dir,
            clock=lambda: history.now_ms,
        )
        marks.append(("network and backend", perf_counter()))
        async with client:
            marks.append(("stored state", perf_counter()))
            async for header in client.optimistic_headers():
                if header.slot == history.head_slot - 1:
                    break
            marks.append(("head", perf_counter()))
            # Leaving in good order is not part of it.
            parts = [f"{b[0]} {(b[1] - a[1]) * 1000:.0f}" for a, b in pairwise(marks)]
            print(header.slot, ", ".join(parts), flush=True)

    anyio.run(follow)


if __name__ == "__main__":
    main()
