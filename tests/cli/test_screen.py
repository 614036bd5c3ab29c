"""The status display, in a pseudo-terminal: there when somebody looks, and in nobody's way."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from lightclient.client import Health, LightClient, Reason, Status, SyncState
from lightclient.simulator.habits import Answer, Received
from lightclient_cli.screen import can_display, status_line
from tests.served import Served, past_chain, served

pty = pytest.importorskip("pty", reason="needs pseudo-terminals")
fcntl = pytest.importorskip("fcntl")
termios = pytest.importorskip("termios")

_CONTROL = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|[=>])")


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(past_chain(), tmp_path_factory.mktemp("served")) as found:
        yield found


@pytest.fixture
def stuck(chain: Served) -> Iterator[Served]:
    """The chain from a server that never has updates: the client stays on its way."""

    def intercept(received: Received, answer: Answer) -> Answer:
        return Answer(503, {}, b"") if received.path.endswith("/updates") else answer

    chain.habits.intercept = intercept
    yield chain
    chain.habits.intercept = None


def in_a_terminal(
    options: list[str], until: str, columns: int = 100, **environment: str
) -> tuple[str, int]:
    """What a terminal receives up to ``until``, and after SIGINT to the end; the exit code."""
    import struct

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    inherited = {k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "COLUMNS", "LINES"}}
    process = subprocess.Popen(
        [sys.executable, "-m", "lightclient_cli", *options],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**inherited, "TERM": "xterm", "NO_PROXY": "127.0.0.1", **environment},
    )
    os.close(theirs)
    received = b""
    deadline = time.monotonic() + 60
    try:
        while until.encode() not in received and time.monotonic() < deadline:
            received += os.read(ours, 65536)
        process.send_signal(signal.SIGINT)
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # how Linux says that the other end is closed
                break
            if not chunk:
                break
            received += chunk
        return received.decode(), process.wait(60)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_a_terminal_shows_progress_below_whole_log_lines(stuck: Served, tmp_path: Path) -> None:
    log = tmp_path / "log"
    received, code = in_a_terminal([*stuck.options, f"--log-file={log}"], "period 1 of ")
    assert code == 0
    assert "\x1b[?25l" in received
    assert received.rindex("\x1b[?25h") > received.rindex("\x1b[?25l"), "the cursor is shown again"
    assert "\x1b[32mINF" in received
    assert "━" in received
    assert re.search(r"syncing.*0%.*period 1 of \d+.*providers [01]/1", _CONTROL.sub("", received))
    # Longer than the terminal is wide, and yet in one piece.
    shown = re.split(r"[\r\n]+", _CONTROL.sub("", received))
    lines = log.read_text().splitlines()
    assert max(map(len, lines)) > 100
    assert [line for line in lines if line not in shown] == []


def test_json_in_a_terminal_is_lines_and_nothing_else(stuck: Served) -> None:
    received, code = in_a_terminal([*stuck.options, "--log-format=json"], "Slot start")
    assert code == 0
    assert "\x1b" not in received
    assert all(json.loads(line) for line in received.splitlines())


@pytest.mark.parametrize(
    ("terminal", "term", "shown"),
    [
        (True, "xterm", True),
        (True, "dumb", False),
        (True, "unknown", False),
        (False, "xterm", False),
    ],
)
def test_the_display_needs_a_terminal_that_moves_its_cursor(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, term: str, shown: bool
) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    assert can_display() is shown


def test_a_synced_client_in_a_narrow_terminal_without_colours_shows_a_single_line(
    chain: Served,
) -> None:
    received, code = in_a_terminal(chain.options, "s old", columns=60, NO_COLOR="1")
    assert code == 0
    assert re.findall(r"\x1b\[[0-9;]*3[0-9][0-9;]*m", received) == []
    plain = _CONTROL.sub("", received)
    (status, *_) = [line for line in re.split(r"[\r\n]+", plain) if "s old" in line]
    assert re.match(r"synced +head \d+, \d+ s old +finalized \d+", status)
    assert len(status) <= 60


@pytest.mark.parametrize(
    ("health", "reasons", "shown"),
    [
        (Health.STUCK, (Reason("no_usable_provider", "..."),), "stuck: no_usable_provider"),
        (Health.STALE, (), "stale"),
        (Health.SYNCED, (Reason("finality_lags", "..."),), ""),
        (Health.STARTING, (), ""),
    ],
)
def test_a_client_that_is_not_well_says_so_in_its_status_line(
    health: Health, reasons: tuple[Reason, ...], shown: str
) -> None:
    from rich.console import Console

    status = Status(SyncState.BOOTSTRAPPING, 0.0, None, None, 5, 1, 0, health, reasons)
    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(status_line(cast("LightClient", SimpleNamespace(status=status))))
    line = re.split(r" {2,}", console.export_text().strip())
    assert line == ["bootstrapping", *([shown] if shown else []), "providers 0/1"]
