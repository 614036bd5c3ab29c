"""The follower as a process: started, read and stopped by a test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

# On a machine that has other things to do; what it could wait for takes twice as long or hangs.
AT_ONCE_SECONDS = 15


@contextmanager
def following(
    *options: object, program: tuple[str, ...] = ("-m", "lightclient_cli")
) -> Iterator[subprocess.Popen[str]]:
    """The follower as a process, ended in any case."""
    with subprocess.Popen(
        [sys.executable, *program, *map(str, options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HTTP_PROXY": "", "http_proxy": "", "NO_PROXY": "127.0.0.1"},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def run(*options: object, **more: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    with following(*options, **more) as process:
        out, err = process.communicate(timeout=240)
    assert "Traceback" not in err
    return subprocess.CompletedProcess((), process.returncode, out, err)


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """Lines up to the first with ``text``."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return "".join(lines)
    raise AssertionError(f"ended without {text!r}: {''.join(lines)}")


def stop(process: subprocess.Popen[str], number: signal.Signals) -> str:
    """What it still wrote; it must end well, say nothing ill, and wait for nothing."""
    start = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=240)
    assert time.monotonic() - start < AT_ONCE_SECONDS
    assert (process.returncode, err) == (0, "")
    return out
