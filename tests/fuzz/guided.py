"""One target under atheris, which sees the branches that an input takes: a process of its own.

``python -m tests.fuzz.guided TARGET SECONDS SEED CORPUS FINDINGS``. libFuzzer ends the process when
the time is over or something is found, and says how far it came on its standard error.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.fuzz.limits import MAX_RESIDENT_MB, MAX_SECONDS


def main(arguments: list[str]) -> None:
    """Does not return."""
    name, seconds, seed, corpus, findings = arguments
    import atheris

    with atheris.instrument_imports(include=["lightclient", "lightclient_cli"]):
        from tests.fuzz.targets import TARGETS, add_spec_vectors

        add_spec_vectors()
        target = TARGETS[name]
    folder = Path(corpus)
    folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate([*target.regressions(), *target.seeds()]):
        if len(data) <= target.max_bytes:
            (folder / f"seed-{number:04}").write_bytes(data)

    def run(data: bytes) -> None:
        target.run(data)

    atheris.Setup(
        [
            sys.argv[0],
            corpus,
            f"-max_total_time={seconds}",
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


if __name__ == "__main__":
    main(sys.argv[1:])
