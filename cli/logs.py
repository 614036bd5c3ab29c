"""Log lines as Nimbus writes them: level, time, message, then ``name=value`` pairs.

The library logs through the standard library with its values under ``extra={"lc": {...}}``; here
they become text, coloured text or JSON, one line each.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import click

NOTICE = 25
_LEVELS = {
    "trace": 5,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "notice": NOTICE,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
    "none": logging.CRITICAL + 10,
}
_ABBREVIATIONS = (
    (logging.CRITICAL, "FAT", "31;1"),
    (logging.ERROR, "ERR", "31"),
    (logging.WARNING, "WRN", "33"),
    (NOTICE, "NTC", "36;1"),
    (logging.INFO, "INF", "32"),
    (logging.DEBUG, "DBG", "34"),
    (0, "TRC", "37"),
)
_MESSAGE_WIDTH = 40


def _abbreviation(level: int) -> tuple[str, str]:
    return next((name, color) for least, name, color in _ABBREVIATIONS if level >= least)


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC).astimezone()
    return moment.isoformat(sep=" ", timespec="milliseconds")


def _values(record: logging.LogRecord) -> Mapping[str, object]:
    values = getattr(record, "lc", {})
    return values if isinstance(values, Mapping) else {}


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


class TextFormatter(logging.Formatter):
    """One line of text."""

    def __init__(self, *, colors: bool) -> None:
        super().__init__()
        self._colors = colors

    def format(self, record: logging.LogRecord) -> str:
        name, color = _abbreviation(record.levelno)
        message = _one_line(record.getMessage())
        values = [f"{key}={self._shown(value)}" for key, value in _values(record).items()]
        if record.exc_info and record.exc_info[1] is not None:
            values.append(f"exception={self._shown(repr(record.exc_info[1]))}")
        if self._colors:
            name = f"\x1b[{color}m{name}\x1b[0m"
            values = [f"\x1b[36m{text.replace('=', '=' + chr(27) + '[0m', 1)}" for text in values]
        return " ".join((name, _time(record), message.ljust(_MESSAGE_WIDTH), *values)).rstrip()

    @staticmethod
    def _shown(value: object) -> str:
        text = _one_line(str(_plain(value)))
        return json.dumps(text, ensure_ascii=False) if not text or " " in text else text


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``lvl``, ``ts``, ``msg`` and the values."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "lvl": _abbreviation(record.levelno)[0],
            "ts": _time(record),
            "msg": record.getMessage(),
        }
        line |= {key: _plain(value) for key, value in _values(record).items()}
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = repr(record.exc_info[1])
        return json.dumps(line)


class _StdoutHandler(logging.StreamHandler):  # type: ignore[type-arg]  # generic only for checkers
    """Writes to whatever standard output is at that moment: a status display wraps it."""

    def __init__(self) -> None:
        super().__init__(sys.stdout)

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stdout
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        # A reader that has gone away (a closed pipe) is a request to stop.
        if isinstance(sys.exc_info()[1], BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            signal.raise_signal(signal.SIGTERM)
        else:
            super().handleError(record)


def wants_colors(log_format: str) -> bool:
    """Whether text is to be coloured."""
    return log_format == "colors" or (log_format == "auto" and sys.stdout.isatty())


def set_up_logging(level: str, log_format: str, log_file: str | None) -> None:
    """Send the library's log to standard output and perhaps a file.

    Raises:
        click.UsageError: the file cannot be opened.
    """
    as_json = log_format == "json"
    output: logging.Handler = _StdoutHandler()
    output.setFormatter(
        JsonFormatter() if as_json else TextFormatter(colors=wants_colors(log_format))
    )
    handlers = [output]
    if log_file is not None:
        try:
            file = logging.FileHandler(Path(log_file), encoding="utf-8")
        except OSError as error:
            raise click.UsageError(f"--log-file {log_file}: {error.strerror or error}") from None
        file.setFormatter(JsonFormatter() if as_json else TextFormatter(colors=False))
        handlers.append(file)
    root = logging.getLogger()
    root.handlers[:] = handlers
    root.setLevel(logging.WARNING)
    logging.getLogger("lightclient").setLevel(_LEVELS[level])
    logging.addLevelName(NOTICE, "NOTICE")
