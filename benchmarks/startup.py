"""How long it takes to import the library and to answer ``--help``, in fresh processes.

Times are those of the whole process, with the interpreter's own start in them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from time import perf_counter

from benchmarks.figures import Figure, figure

_IMPORT_TARGET_MS = 150.0
_HELP_TARGET_MS = 400.0
UNWANTED = ("httpx", "rich", "click", "libp2p", "lightclient.simulator", "remerkleable")
"""What ``import lightclient`` must not load."""

_CODE = {
    "interpreter alone": ["-c", "pass"],
    "import lightclient": ["-c", "import lightclient"],
    "from lightclient import LightClient": ["-c", "from lightclient import LightClient"],
    "nimbus-light-client --help": ["-m", "lightclient_cli", "--help"],
}
_TARGETS = {
    "import lightclient": _IMPORT_TARGET_MS,
    "nimbus-light-client --help": _HELP_TARGET_MS,
}


def measure(rounds: int) -> list[Figure]:
    """The wall time of each process; they take turns."""
    samples: dict[str, list[float]] = {name: [] for name in _CODE}
    for number in range(rounds + 1):
        for name, arguments in _CODE.items():
            start = perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
            elapsed = perf_counter() - start
            if number:  # the first round writes byte code and fills the file cache
                samples[name].append(elapsed * 1000)
    return [
        figure(name, "ms", values, target=_TARGETS.get(name)) for name, values in samples.items()
    ]


def unwanted_imports(statement: str = "import lightclient") -> list[str]:
    """Which of :data:`UNWANTED` a fresh process has loaded after ``statement``."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    answer = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    loaded = json.loads(answer.stdout)
    return [name for name in UNWANTED if name in loaded]
