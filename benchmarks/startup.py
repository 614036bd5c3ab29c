"""How long it takes to import the library, to answer ``--help`` and to verify a first head, in
fresh processes.

Times are those of the whole process, with the interpreter's own start in them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from time import perf_counter

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmarks.figures import Figure, figure
from benchmarks.first_head import store_state
from benchmarks.stored import StoredHistory, stored_history
from lightclient.bls import available_backends

_IMPORT_TARGET_MS = 150.0
_HELP_TARGET_MS = 400.0
_FIRST_HEAD_TARGET_MS = 1000.0
UNWANTED = ("httpx", "rich", "click", "libp2p", "lightclient.simulator", "remerkleable")
"""What ``import lightclient`` must not load."""

_REST_CLIENT = """
import sys
sys.modules.update(dict.fromkeys(("trio", "libp2p"), None))  # as without extras
from lightclient import LightClient, RestTransport
RestTransport("http://127.0.0.1:9")
"""

_CODE = {
    "interpreter alone": ["-c", "pass"],
    "import lightclient": ["-c", "import lightclient"],
    "from lightclient import LightClient": ["-c", "from lightclient import LightClient"],
    "a REST client is ready, nothing installed for peers": ["-c", _REST_CLIENT],
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


def measure_first_head(rounds: int, preset: str = "mainnet") -> tuple[list[Figure], list[str]]:
    """From process start to a verified head, by backend, with a state stored earlier."""
    history = stored_history(64, preset)
    with tempfile.TemporaryDirectory() as folder:
        return _measure_first_head(history, rounds, Path(folder))


def _measure_first_head(
    history: StoredHistory, rounds: int, folder: Path
) -> tuple[list[Figure], list[str]]:
    samples: dict[str, list[float]] = {}
    notes = {}
    for number in range(rounds + 1):
        for backend in available_backends():
            data_dir = folder / f"{backend.name}-{number}"
            root = store_state(history, backend.name, data_dir).hex()
            command = [sys.executable, "-m", "benchmarks.first_head"]
            start = perf_counter()
            process = subprocess.Popen(
                [*command, str(history.folder), backend.name, str(data_dir), root],
                stdout=subprocess.PIPE,
                text=True,
            )
            with process:
                assert process.stdout is not None
                slot, _, parts = process.stdout.readline().partition(" ")
                elapsed = perf_counter() - start
            if slot != str(history.head_slot - 1):
                raise RuntimeError(f"the first head was not verified: {slot!r}")
            if number:
                samples.setdefault(backend.name, []).append(elapsed * 1000)
            notes[backend.name] = f"first head ({backend.name}), ms: {parts.strip()}"
    figures = [
        figure(
            f"process start to first head from a stored state ({name})",
            "ms",
            values,
            target=_FIRST_HEAD_TARGET_MS,
        )
        for name, values in samples.items()
    ]
    return figures, list(notes.values())


def plain_install() -> dict[str, int]:
    """What ``pip install lightclient`` brings without extras: bytes on disk by distribution."""
    found: dict[str, int] = {}
    waiting = ["lightclient"]
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        distribution = metadata.distribution(name)
        files = (Path(str(file.locate())) for file in distribution.files or ())
        found[name] = sum(path.stat().st_size for path in files if path.is_file())
        for text in distribution.requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    del found["lightclient"]  # its files are this checkout's
    return found


def told_of_plain_install() -> str:
    """:func:`plain_install` on a line."""
    found = plain_install()
    size = sum(found.values()) / 1e6
    return f"without extras, {len(found)} packages of {size:.0f} MB: {', '.join(sorted(found))}"


def unwanted_imports(statement: str = "import lightclient") -> list[str]:
    """Which of :data:`UNWANTED` a fresh process has loaded after ``statement``."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    answer = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    loaded = json.loads(answer.stdout)
    return [name for name in UNWANTED if name in loaded]
