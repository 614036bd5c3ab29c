"""From process start to a verified head, with what a client has on disk: a bootstrap and a finality
update. ``python -m benchmarks.first_head FOLDER BACKEND`` prints the slot and where the time went.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from time import perf_counter


def main() -> None:
    """Verify and print."""
    marks = [("", perf_counter())]
    from benchmarks.stored import StoredHistory
    from lightclient.bls import choose_backend
    from lightclient.containers import LightClientBootstrap, ObjectKind, decode_ssz
    from lightclient.sync import Processor

    marks.append(("imports", perf_counter()))
    history = StoredHistory(Path(sys.argv[1]))
    network = history.network
    backend = choose_backend(sys.argv[2])
    marks.append(("network and backend", perf_counter()))
    hint = network.fork_at_slot(history.head_slot).data_format
    data = history.bootstrap_bytes(at_head=True)
    bootstrap = decode_ssz(ObjectKind.BOOTSTRAP, data, network, (hint,))
    assert isinstance(bootstrap, LightClientBootstrap)
    root = bootstrap.header.beacon.hash_tree_root()
    processor = Processor(network, root, backend=backend)
    assert processor.process(bootstrap, history.now_ms).progress
    marks.append(("bootstrap", perf_counter()))
    *_, newest = history.head()
    finality = decode_ssz(ObjectKind.FINALITY_UPDATE, newest, network, (hint,))
    assert processor.process(finality, history.now_ms).progress
    marks.append(("finality update", perf_counter()))
    assert processor.optimistic_header is not None
    parts = [f"{b[0]} {(b[1] - a[1]) * 1000:.0f}" for a, b in pairwise(marks)]
    print(processor.optimistic_header.slot, ", ".join(parts), flush=True)


if __name__ == "__main__":
    main()
