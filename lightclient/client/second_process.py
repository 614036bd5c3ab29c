"""Another interpreter that checks signatures while this one goes on: a second core for a history.

The native libraries keep Python's lock while they work, so threads would not help. The process is
ours alone: it gets keys, messages and signatures over a pipe and answers with a byte. Where it
cannot be had, or is lost, whoever asked checks for itself: nothing depends on it but time.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from lightclient.bls import ANSWER_READY, Backend, CommitteeSignature, question

_logger = logging.getLogger("lightclient")

_MAX_ANSWERS: Final = 64
_MAX_ABSENT: Final = 64
"""Summing more keys than this is not worth telling another process about."""
_PATIENCE_SECONDS: Final = 30.0
"""So long may an answer take (it takes some 30 ms); then the process is given up."""

# The search path is the parent's, neither the current directory's nor the environment's.
_PROGRAM: Final = (
    "import signal, sys; sys.path[:] = sys.argv[2:]; "
    # Ctrl-C is meant for the parent, with which the process ends anyhow.
    "signal.signal(signal.SIGINT, signal.SIG_IGN); "
    "from lightclient.bls.questions import serve; "
    "serve(sys.argv[1], sys.stdin.buffer, sys.stdout.buffer)"
)


def usable_cores() -> int:
    """How many cores this process may use."""
    affinity: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)
    return os.cpu_count() or 1 if affinity is None else len(affinity(0))


class SecondProcess:
    """May be started again after :meth:`close`.

    One thread at a time asks; answers come in the order of the questions.

    Args:
        backend: the process loads the one of the same name.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend_name = backend.name
        self._running: _Running | None = None
        # It would not be an interpreter that is started again.
        self._is_impossible = bool(getattr(sys, "frozen", False)) or not sys.executable

    @property
    def process_id(self) -> int | None:
        """The system's number for it; None while there is none."""
        return None if self._running is None else self._running.process.pid

    @property
    def is_ready(self) -> bool:
        """Whether it waits for questions."""
        return self._running is not None and self._running.is_ready

    def start(self) -> None:
        """Start it, unless it runs or that failed before; takes a moment until it is ready."""
        if self._running is not None or self._is_impossible:
            return
        command = [sys.executable, "-I", "-c", _PROGRAM, self._backend_name, *sys.path]
        try:
            self._running = _Running(command, self._note_end)
        except OSError as error:
            self._give_up(error)

    def ask(self, signatures: Sequence[CommitteeSignature]) -> bool:
        """Hand over signatures to be checked together; False if they are to be checked here.

        After True an answer comes, see :meth:`answers`.
        """
        running = self._running
        if running is None or not running.is_ready:
            return False
        parts = [item.parts() for item in signatures]
        if any(part is None or len(part.absent) > _MAX_ABSENT for part in parts):
            return False
        try:
            running.write(question([part for part in parts if part is not None]))
        except OSError as error:
            self._give_up(error)
            return False
        return True

    def answers(self, *, wait: bool = False) -> bytes | None:
        """Answers that have come, oldest first, a byte each: ``ANSWER_HOLDS`` or another one.

        None once it is clear that no more will come.

        Args:
            wait: for at least one, if nothing has come.
        """
        running = self._running
        if running is None:
            return None
        try:
            came = running.read() if wait else running.read_at_once()
        except BlockingIOError:
            return b""
        except OSError as error:
            self._give_up(error)
            return None
        if not came:
            self._give_up("it ended")
        return came or None

    def close(self) -> None:
        """End the process; does not wait for it."""
        running, self._running = self._running, None
        if running is not None:
            running.end()

    def _note_end(self, running: _Running) -> None:
        if self._running is running:
            self._give_up("it ended while starting")

    def _give_up(self, reason: object) -> None:
        self._is_impossible = True
        _logger.debug("No second process for signatures", extra={"lc": {"reason": reason}})
        self.close()


class _Running:
    """One process and the thread that looks after it.

    Reading and writing cannot be interrupted, but they end when the process does: so the thread
    ends one that takes too long.

    Args:
        note_end: called from the thread if the process ends without having become ready.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, command: list[str], note_end: Callable[[_Running], None]) -> None:
        import subprocess  # only for those who want it

        self.process = subprocess.Popen(  # noqa: S603 - this interpreter, on our own module
            command,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._questions = self.process.stdin
        self._answers = self.process.stdout.fileno()
        self.is_ready = False
        self._note_end = note_end
        self._ended = threading.Event()
        self._waits_since: float | None = None
        threading.Thread(target=self._look_after, daemon=True).start()

    def _look_after(self) -> None:
        with self.process:  # at its end, closes the pipes and waits
            self.is_ready = os.read(self._answers, 1) == ANSWER_READY
            if not self.is_ready and not self._ended.is_set():
                self._note_end(self)
            while not self._ended.wait(_PATIENCE_SECONDS / 10):
                since = self._waits_since
                if since is not None and time.monotonic() - since > _PATIENCE_SECONDS:
                    self.process.kill()

    def end(self) -> None:
        """Kill it; the thread sees to the rest."""
        self.is_ready = False
        self._ended.set()
        self.process.kill()

    def write(self, frame: bytes) -> None:
        """All of ``frame``."""
        with self._waiting():
            self._questions.write(frame)

    def read(self) -> bytes:
        """At least one byte; nothing at the end."""
        with self._waiting():
            return os.read(self._answers, _MAX_ANSWERS)

    def read_at_once(self) -> bytes:
        """What there is, nothing at the end; raises BlockingIOError if that is yet to come."""
        try:
            os.set_blocking(self._answers, False)
        except (AttributeError, OSError):  # pipes of Windows before Python 3.12
            raise BlockingIOError from None
        try:
            return os.read(self._answers, _MAX_ANSWERS)
        finally:
            os.set_blocking(self._answers, True)

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        self._waits_since = time.monotonic()
        try:
            yield
        finally:
            self._waits_since = None
