"""One target under atheris, which sees the branches that an input takes: a process of its own.

libFuzzer ends the process when the time is over or something is found, and says how far it came on
its standard error. Importing this module imports the product with instruments in it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

import atheris

from tests.fuzz.limits import MAX_RESIDENT_MB, MAX_SECONDS

assert "lightclient" not in sys.modules, "imported without instruments: no branch would be seen"
# Atheris names every module that it takes in.
with (
    redirect_stderr(StringIO()),
    atheris.instrument_imports(include=["lightclient", "lightclient_cli"]),
):
    from tests.fuzz.targets import TARGETS, add_spec_vectors

_LEAST_SECONDS = 0.2
"""For inputs, however long it took to make those to begin from."""


def main(arguments: list[str]) -> None:
    """TARGET SECONDS SEED CORPUS FINDINGS. Does not return."""
    started = time.monotonic()
    name, seconds, seed, corpus, findings = arguments
    add_spec_vectors()
    target = TARGETS[name]
    folder = Path(corpus)
    folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate([*target.regressions(), *target.seeds()]):
        if len(data) <= target.max_bytes:
            (folder / f"seed-{number:04}").write_bytes(data)
    ends = max(started + float(seconds), time.monotonic() + _LEAST_SECONDS)

    def run(data: bytes) -> None:
        if time.monotonic() >= ends:
            # libFuzzer's own limit counts whole seconds, and not while it reads the corpus.
            os.kill(os.getpid(), signal.SIGUSR1)
            return
        try:
            target.run(data)
        except Exception:
            # libFuzzer keeps what hangs or eats memory, and this only if a program ends in C.
            target.keep(data, Path(findings))
            raise

    atheris.Setup(
        [
            sys.argv[0],
            corpus,
            f"-seed={seed}",
            f"-max_len={target.max_bytes}",
            f"-timeout={MAX_SECONDS:g}",
            f"-rss_limit_mb={MAX_RESIDENT_MB}",
            f"-artifact_prefix={findings}/{name}-",
            "-print_final_stats=1",
            "-len_control=0",
            "-reload=0",
        ],
        run,
        enable_python_coverage=True,
    )
    atheris.Fuzz()
