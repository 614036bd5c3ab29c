"""Kills a process that saves as fast as it can, again and again, and opens what it left.

``python -m tests.storage.kills --kills 500 DIRECTORY``; prints figures as JSON, and fails with a
sentence if ever the store was not there, not whole, or older than the last save that was confirmed.
A program of its own because it forks, which a process with threads must not.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lightclient.protocol import SignatureVerifier
from lightclient.storage import STATE_FILE, StateDirectory, StoredState
from tests.storage.states import ROOT, network, same, states, verifier

_WORD = 8
_FRESH_EVERY = 6


def numbered(number: int) -> StoredState:
    """The state of the save with this number, different from the one before."""
    kept = states()[:-1]  # the last one has another history
    return replace(kept[number % len(kept)], saved_at_ms=number)


def save_for_ever(path: Path, first: int, confirm: int) -> None:
    """Save and confirm, from number ``first`` on, until killed."""
    with StateDirectory(path, lambda: 0) as directory:
        number = first
        while True:
            directory.save(numbered(number))
            os.write(confirm, number.to_bytes(_WORD, "little"))
            number += 1


@dataclass
class Figures:
    """What happened in a run."""

    kills: int = 0
    saves: int = 0
    undone: int = 0
    unconfirmed: int = 0
    before_the_first_save: int = 0


class Run:
    """Rounds of killing over one directory."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path = path
        self.figures = Figures()
        self._random = random.Random(seed)
        self._signatures: SignatureVerifier = verifier()
        self._stored = 0  # the number of the state on disk; 0 for none

    def round(self) -> None:
        """One process: started, killed, and its file read."""
        if self.figures.kills % _FRESH_EVERY == 0:
            # So that the first save of all is killed as well.
            for file in self.path.glob(f"{STATE_FILE}*"):
                file.unlink()
            self._stored = 0
        confirmed = self._saved_until_killed(self._stored + 1)
        self.figures.kills += 1
        self.figures.saves += len(confirmed)
        self.figures.undone += (self.path / f"{STATE_FILE}-journal").exists()
        at_least = confirmed[-1] if confirmed else self._stored
        found = self._load()
        if found not in (at_least, at_least + 1):
            raise SystemExit(f"number {found} is stored, but {at_least} was confirmed")
        self.figures.unconfirmed += found == at_least + 1
        self.figures.before_the_first_save += found == 0
        self._stored = found

    def _saved_until_killed(self, first: int) -> list[int]:
        confirmations, confirm = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                save_for_ever(self.path, first, confirm)
            finally:
                os._exit(1)
        os.close(confirm)
        # Some are killed while they open the file, the others after a few saves.
        few = self._random.choice((0, 0, 1, 1, 2, 3, 5))
        read = b"".join(os.read(confirmations, _WORD) for _ in range(few))
        time.sleep(self._random.uniform(0, 0.012))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        while more := os.read(confirmations, 1 << 16):
            read += more
        os.close(confirmations)
        return [
            int.from_bytes(read[at : at + _WORD], "little") for at in range(0, len(read), _WORD)
        ]

    def _load(self) -> int:
        with StateDirectory(self.path, lambda: 0) as directory:
            state = directory.load(network(), ROOT, self._signatures)
        if list(self.path.glob(f"{STATE_FILE}.*")):
            raise SystemExit("a file was found damaged")
        if state is None:
            return 0
        if not same(state, numbered(state.saved_at_ms)):
            raise SystemExit(f"what is stored as number {state.saved_at_ms} is something else")
        return state.saved_at_ms


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    run = Run(options.directory, options.seed)
    for _ in range(options.kills):
        run.round()
    sys.stdout.write(json.dumps(vars(run.figures)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
