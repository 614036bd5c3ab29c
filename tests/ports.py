"""Ports for tests that listen, stop, and listen there again, or that name a port to a program."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from itertools import count

_numbers = count()


def free_port() -> int:
    """A TCP port of loopback that nobody listens at now; each time another.

    Below those that systems give to connections, of which other tests open many meanwhile.
    """
    for number in _numbers:
        if number > 5_000:
            break
        port = 20_000 + (os.getpid() * 101 + number) % 10_000
        with socket.socket() as found, suppress(OSError):
            found.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")
