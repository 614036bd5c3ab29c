"""Another interpreter that checks signatures while this one goes on: a second core for a history.

The native libraries keep Python's lock while they work, so threads would not help. The process is
ours alone: it gets keys, messages and signatures over a pipe and answers with a byte. Where it
cannot be had, or is lost, whoever asked checks for itself: nothing depends on it but time.
"""

from __future__ import annotations

import logging
import marshal
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from lightclient.bls.backend import Backend
from lightclient.bls.batch import CommitteeSignature, SignatureParts, verify_parts_together

if TYPE_CHECKING:
    import subprocess

_logger = logging.getLogger("lightclient")

_READY: Final = b"R"
_HOLDS: Final = b"1"
_LENGTH_BYTES: Final = 4
_MAX_ABSENT: Final = 64
"""Summing more keys than this is not worth telling another process about."""
_PATIENCE_SECONDS: Final = 30.0
"""So long may an answer take (it takes some 30 ms); then the process is given up."""

# The search path is the parent's, neither the current directory's nor the environment's.
_PROGRAM: Final = (
    "import sys; sys.path[:] = sys.argv[2:]; "
    "from lightclient.bls.second_process import serve; serve(sys.argv[1])"
)


def usable_cores() -> int:
    """How many cores this process may use."""
    affinity: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)
    return os.cpu_count() or 1 if affinity is None else len(affinity(0))


class SecondProcess:
    """May be started again after :meth:`close`.

    One thread at a time asks, and takes the answers in the order of its questions.

    Args:
        backend: the process loads the one of the same name.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend_name = backend.name
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ready = False
        # It would not be an interpreter that is started again.
        self._is_impossible = bool(getattr(sys, "frozen", False)) or not sys.executable

    @property
    def process_id(self) -> int | None:
        """The system's number for it; None while there is none."""
        return None if self._process is None else self._process.pid

    @property
    def is_ready(self) -> bool:
        """Whether it waits for questions."""
        return self._process is not None and self._is_ready

    def start(self) -> None:
        """Start it, unless it runs or that failed before; takes a moment until it is ready."""
        if self._process is not None or self._is_impossible:
            return
        import subprocess  # only for those who want it

        command = [sys.executable, "-I", "-c", _PROGRAM, self._backend_name, *sys.path]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter, on our own module
                command,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            self._give_up(error)
            return
        # Its start takes a tenth of a second, which nobody waits for.
        threading.Thread(target=self._await_ready, args=(self._process,), daemon=True).start()

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with suppress(OSError, ValueError):  # closed meanwhile
            if process.stdout.read(1) == _READY:
                self._is_ready = self._process is process
                return
        if self._process is process:
            self._give_up("it ended while starting")

    def ask(self, signatures: Sequence[CommitteeSignature]) -> bool:
        """Hand over signatures to be checked together; False if they are to be checked here.

        After True, :meth:`answer` must be called for it.
        """
        process = self._process
        if process is None or process.stdin is None or not self._is_ready:
            return False
        parts = [item.parts() for item in signatures]
        if any(part is None or len(part.absent) > _MAX_ABSENT for part in parts):
            return False
        frame = marshal.dumps([tuple(part) for part in parts if part is not None])
        try:
            with _deadline(process):
                process.stdin.write(len(frame).to_bytes(_LENGTH_BYTES, "little") + frame)
        except OSError as error:
            self._give_up(error)
            return False
        return True

    def answer(self) -> bool | None:
        """Whether the oldest signatures asked for hold; None if that will never be known."""
        process = self._process
        if process is None or process.stdout is None:
            return None
        with _deadline(process):
            answer = process.stdout.read(1)
        if not answer:
            self._give_up("it ended")
            return None
        return answer == _HOLDS

    def close(self) -> None:
        """End the process; does not wait for it."""
        process, self._process, self._is_ready = self._process, None, False
        if process is not None:
            process.kill()
            threading.Thread(target=_bury, args=(process,), daemon=True).start()

    def _give_up(self, reason: object) -> None:
        self._is_impossible = True
        _logger.debug("No second process for signatures", extra={"lc": {"reason": reason}})
        self.close()


@contextmanager
def _deadline(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Reading and writing cannot be interrupted, but end when the process does."""
    timer = threading.Timer(_PATIENCE_SECONDS, process.kill)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _bury(process: subprocess.Popen[bytes]) -> None:
    with process:  # which closes the pipes and waits
        pass


# In the other process ---------------------------------------------------------------------------


def serve(backend_name: str) -> None:
    """Answer on standard output what standard input asks, until that ends."""
    import signal

    from lightclient.bls.selection import backend_by_name

    # Ctrl-C is meant for the parent, with which this process ends anyhow.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    backend = backend_by_name(backend_name)
    questions, answers = sys.stdin.buffer, sys.stdout.buffer
    with suppress(BrokenPipeError):
        _write(answers, _READY)
        while (frame := _frame(questions)) is not None:
            parts = [SignatureParts(*item) for item in marshal.loads(frame)]  # noqa: S302 - our parent's
            _write(answers, _HOLDS if verify_parts_together(backend, parts) else b"0")


def _write(answers: BinaryIO, answer: bytes) -> None:
    answers.write(answer)
    answers.flush()


def _frame(questions: BinaryIO) -> Any:
    length = questions.read(_LENGTH_BYTES)
    if len(length) < _LENGTH_BYTES:
        return None
    frame = questions.read(int.from_bytes(length, "little"))
    return frame if len(frame) == int.from_bytes(length, "little") else None
