"""The demo as a process, whatever surrounds it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

posix_only = pytest.mark.skipif(os.name != "posix", reason="POSIX signals")

# None of these may matter on loopback.
SURROUNDINGS = {
    "HTTP_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
    "ALL_PROXY": "http://127.0.0.1:9",
    "NO_PROXY": "",
    "no_proxy": "",
    "SSL_CERT_FILE": "/no/such/file",
    "CI": "true",
    "TERM": "dumb",
}
# Of a machine that has other things to do; what was not interrupted shows in the exit code.
AT_ONCE_SECONDS = 15


@contextmanager
def showing(*options: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "lightclient_cli", "demo", *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | SURROUNDINGS,
    ) as process:
        try:
            yield process
        finally:
            process.kill()
