"""Log lines: one line each, valid JSON, levels, colours, and outputs that fail."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightclient_cli.logs import (
    JsonFormatter,
    TextFormatter,
    set_up_logging,
    wants_colors,
)

HOSTILE = 'a\nb\r\x1b[31m\u2028\u202e "quoted" \ud800 \u00e9='


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """The library's logger; the root's handlers and levels are put back afterwards."""
    root, ours = logging.getLogger(), logging.getLogger("lightclient")
    before = root.handlers[:], root.level, ours.level
    yield ours
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])


def record(message: str, level: int = logging.INFO, **values: object) -> logging.LogRecord:
    made = logging.LogRecord("lightclient", level, __file__, 1, message, None, None)
    made.__dict__["lc"] = values
    return made


def test_a_text_line_is_level_time_message_and_values() -> None:
    line = TextFormatter(colors=False).format(record("Slot start", slot=5, head="ab:4"))
    level, _date, _time, rest = line.split(" ", 3)
    assert level == "INF"
    assert rest.split() == ["Slot", "start", "slot=5", "head=ab:4"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b"\x01\x02", "k=0x0102"),
        (None, "k=None"),
        (True, "k=True"),
        (1.5, "k=1.5"),
        ("two words", 'k="two words"'),
        ("", 'k=""'),
        ('a"b', 'k="a\\"b"'),
        (Path("x"), "k=x"),
    ],
)
def test_values_are_readable(value: object, shown: str) -> None:
    assert TextFormatter(colors=False).format(record("m", k=value)).endswith(f" {shown}")


@pytest.mark.parametrize("colors", [True, False])
def test_a_hostile_value_or_message_stays_on_its_line(colors: bool) -> None:
    line = TextFormatter(colors=colors).format(record(HOSTILE, k=HOSTILE))
    assert len(line.splitlines()) == 1
    assert "\x1b[31m" not in line
    assert "\u202e" not in line


def test_colours_change_nothing_but_colour() -> None:
    import re

    entry = record("Slot start", logging.WARNING, slot=5, sync="two words")
    colored = TextFormatter(colors=True).format(entry)
    assert "\x1b[" in colored
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == TextFormatter(colors=False).format(entry)


@pytest.mark.parametrize(
    "value", [HOSTILE, b"\xff", None, True, 2**70, float("nan"), float("-inf"), {1, 2}, "\ud800"]
)
def test_a_json_line_is_json_whatever_it_holds(value: object) -> None:
    line = JsonFormatter().format(record(HOSTILE, k=value))
    assert len(line.splitlines()) == 1

    def no_such_number(text: str) -> None:
        raise AssertionError(text)

    parsed = json.loads(line, parse_constant=no_such_number)
    assert parsed["lvl"] == "INF"
    assert parsed["msg"] == HOSTILE
    assert "k" in parsed


def test_a_value_cannot_pose_as_level_or_message() -> None:
    line = json.loads(JsonFormatter().format(record("true", lvl="FAT", msg="false", ts="never")))
    assert (line["lvl"], line["msg"]) == ("INF", "true")
    assert line["ts"] != "never"


def _failed_record() -> logging.LogRecord:
    try:
        raise KeyError("https://user:s3cr3t@host/x\nline")
    except KeyError:
        return logging.LogRecord("lightclient", 40, __file__, 1, "Failed", None, sys.exc_info())


@pytest.mark.parametrize("formatter", [TextFormatter(colors=False), JsonFormatter()])
def test_an_exception_is_a_value_without_secrets(formatter: logging.Formatter) -> None:
    line = formatter.format(_failed_record())
    assert len(line.splitlines()) == 1
    assert "KeyError" in line
    assert "s3cr3t" not in line


@pytest.mark.parametrize("log_format", ["nocolors", "json"])
@pytest.mark.parametrize(("level", "shown"), [("debug", True), ("info", False)])
def test_a_traceback_appears_only_while_debugging(
    logger: logging.Logger,
    capsys: pytest.CaptureFixture[str],
    log_format: str,
    level: str,
    shown: bool,
) -> None:
    set_up_logging(level, log_format, None)
    logger.handle(_failed_record())
    out = capsys.readouterr().out
    assert ("in _failed_record" in out) is shown
    assert "s3cr3t" not in out


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("trace", "trace debug info notice warn error fatal"),
        ("debug", "debug info notice warn error fatal"),
        ("info", "info notice warn error fatal"),
        ("notice", "notice warn error fatal"),
        ("warn", "warn error fatal"),
        ("error", "error fatal"),
        ("fatal", "fatal"),
        ("none", ""),
    ],
)
def test_levels_let_through_what_is_as_grave_or_graver(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str], level: str, shown: str
) -> None:
    set_up_logging(level, "json", None)
    names = ["trace", "debug", "info", "notice", "warn", "error", "fatal"]
    for name, number in zip(names, [5, 10, 20, 25, 30, 40, 50], strict=True):
        logger.log(number, name)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["msg"] for line in lines] == shown.split()
    abbreviations = dict(zip(names, ["TRC", "DBG", "INF", "NTC", "WRN", "ERR", "FAT"], strict=True))
    assert all(line["lvl"] == abbreviations[line["msg"]] for line in lines)


def test_other_libraries_never_log_below_warnings(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_logging("trace", "json", None)
    for name in ("httpx", "httpcore.http11", "asyncio"):
        logging.getLogger(name).info("GET https://user:s3cr3t@host")
        logging.getLogger(name).debug("GET https://user:s3cr3t@host")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("log_format", "terminal", "environment", "colored"),
    [
        ("auto", True, {}, True),
        ("auto", False, {}, False),
        ("auto", True, {"NO_COLOR": "1"}, False),
        ("auto", True, {"NO_COLOR": ""}, True),
        ("auto", True, {"TERM": "dumb"}, False),
        ("colors", False, {"NO_COLOR": "1"}, True),
        ("nocolors", True, {}, False),
        ("json", True, {}, False),
    ],
)
def test_colours_are_for_terminals_unless_asked_for(
    monkeypatch: pytest.MonkeyPatch,
    log_format: str,
    terminal: bool,
    environment: dict[str, str],
    colored: bool,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    assert wants_colors(log_format) is colored


def test_a_file_gets_the_same_lines_without_colours_and_keeps_what_it_had(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "log"
    path.write_text("before\n")
    set_up_logging("info", "colors", str(path))
    logger.info("Hello \ud800")
    assert "\x1b[" in capsys.readouterr().out
    before, line = path.read_text().splitlines()
    assert before == "before"
    assert line.startswith("INF ")
    assert "\x1b[" not in line


LOG_THREE = (
    "import logging, sys\n"
    "from lightclient_cli.logs import set_up_logging\n"
    "output = set_up_logging('info', 'nocolors', *sys.argv[1:] or [None])\n"
    "output.on_lost = lambda: print('lost', file=sys.stderr)\n"
    "for number in range(3):\n"
    "    logging.getLogger('lightclient').info('line %d', number)\n"
)


def _log_three(stdout: int | object, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LOG_THREE, *arguments],
        stdout=stdout,  # type: ignore[arg-type]  # a file or a constant
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=240,
    )


full_disk = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


@full_disk
def test_a_log_file_on_a_full_disk_is_said_once_and_the_rest_goes_on() -> None:
    done = _log_three(subprocess.PIPE, "/dev/full")
    assert done.returncode == 0
    assert done.stdout.count("line") == 3
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: --log-file /dev/full: No space left on device")


@pytest.mark.skipif(os.name != "posix", reason="elsewhere an open file cannot be moved")
def test_a_log_file_that_was_moved_away_is_begun_anew(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """As logrotate does without ``copytruncate``."""
    path, moved = tmp_path / "log", tmp_path / "log.1"
    set_up_logging("info", "nocolors", str(path))
    logger.info("first")
    path.rename(moved)
    logger.info("second")
    assert "first" in moved.read_text()
    assert "second" not in moved.read_text()
    assert "second" in path.read_text()
    # Where no new one can be made, that is said once, and the rest goes on.
    path.unlink()
    path.mkdir()
    logger.info("third")
    logger.info("fourth")
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 4
    (line,) = captured.err.splitlines()
    assert line == f"Error: --log-file {path}: Is a directory; nothing more there"


@full_disk
def test_standard_output_on_a_full_disk_is_said_once() -> None:
    with Path("/dev/full").open("w") as full:
        done = _log_three(full)
    assert done.returncode == 0
    assert done.stderr.splitlines() == ["Error: standard output: No space left on device", "lost"]


def test_a_line_that_cannot_be_made_is_no_traceback(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    set_up_logging("info", "nocolors", str(tmp_path / "log"))
    logger.info("%d", "not a number")
    logger.info("next")
    captured = capsys.readouterr()
    assert captured.err == "Error: a log line could not be written: TypeError\n"
    assert "next" in captured.out
    assert "next" in (tmp_path / "log").read_text()
