"""Processes for targets, forked from one that has loaded and instrumented everything already.

Where a platform cannot fork, each process loads for itself; that only takes longer.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import sys
from collections.abc import Sequence
from pathlib import Path

_LOADED = "tests.fuzz.loaded"


class Processes:
    """Runs ``module.main(arguments)``, each time in a process of its own.

    The first of them in a program decides which ``module`` is loaded for all.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        if sys.platform == "win32":
            self._process = multiprocessing.get_context("spawn").Process
        else:
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload([module, _LOADED])
            self._process = context.Process

    def load(self) -> None:
        """Load now what the targets share, which the first of them would wait for otherwise."""
        process = self._process(target=_nothing)
        process.start()
        process.join()

    def run(self, arguments: Sequence[str], timeout: float, log: Path) -> int | None:
        """The exit code (minus a signal's number); None if it was ended after ``timeout`` seconds.

        What it says on its standard output and error is in ``log``.
        """
        process = self._process(target=_enter, args=(self._module, arguments, log))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            return None
        return process.exitcode


def _nothing() -> None:
    pass


def _enter(module: str, arguments: list[str], log: Path) -> None:
    # By number, since libFuzzer does not write to Python's streams.
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    importlib.import_module(module).main(arguments)
