"""Log lines as Nimbus writes them: level, time, message, then ``name=value`` pairs.

The library logs through the standard library with its values under ``extra={"lc": {...}}``; here
they become text, coloured text or JSON, one line each. An output that fails (a closed pipe, a full
disk) is said once and never ends in a traceback.
"""

from __future__ import annotations

import json
import logging
import math
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click

from lightclient.transports.redaction import Redactor

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

Redact = Callable[[str], str]


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
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no such numbers
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


class _Faults:
    """What a line says about an exception: what and where; while debugging all of it."""

    def __init__(self, *, with_traceback: bool, redact: Redact) -> None:
        self._with_traceback = with_traceback
        self._redact = redact

    def values(self, record: logging.LogRecord) -> dict[str, str]:
        """Values for the line of ``record``; none without an exception."""
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            return {}
        # An exception that nobody expected may hold anything.
        found = {"exception": self._redact(f"{type(error).__name__}: {error}")}
        if self._with_traceback:
            found["traceback"] = self._redact("".join(traceback.format_exception(error)))
        return found


class TextFormatter(logging.Formatter):
    """One line of text; a traceback, if asked for, in lines below it."""

    def __init__(self, *, colors: bool, faults: _Faults | None = None) -> None:
        super().__init__()
        self._colors = colors
        self._faults = faults or _Faults(with_traceback=False, redact=Redactor().redact)

    def format(self, record: logging.LogRecord) -> str:
        name, color = _abbreviation(record.levelno)
        fault = self._faults.values(record)
        below = fault.pop("traceback", "")
        pairs = {**_values(record), **fault}
        values = [f"{key}={self._shown(value)}" for key, value in pairs.items()]
        if self._colors:
            name = f"\x1b[{color}m{name}\x1b[0m"
            values = [f"\x1b[36m{text.replace('=', '=' + chr(27) + '[0m', 1)}" for text in values]
        message = _one_line(record.getMessage()).ljust(_MESSAGE_WIDTH)
        line = " ".join((name, _time(record), message, *values)).rstrip()
        return "\n".join([line, *(f"  {_one_line(text)}" for text in below.splitlines())])

    @staticmethod
    def _shown(value: object) -> str:
        text = _one_line(str(_plain(value)))
        return json.dumps(text, ensure_ascii=False) if not text or set(text) & set(' "') else text


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``lvl``, ``ts``, ``msg`` and the values."""

    def __init__(self, faults: _Faults | None = None) -> None:
        super().__init__()
        self._faults = faults or _Faults(with_traceback=False, redact=Redactor().redact)

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "lvl": _abbreviation(record.levelno)[0],
            "ts": _time(record),
            "msg": record.getMessage(),
        }
        for key, value in {**_values(record), **self._faults.values(record)}.items():
            line.setdefault(key, _plain(value))
        return json.dumps(line, allow_nan=False)


class StdoutHandler(logging.Handler):
    """Lines to standard output, or to a status display that has taken its place.

    Attributes:
        is_lost: whether the output cannot be written any more.
        on_lost: called when that happens.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_lost = False
        self.on_lost: Callable[[], None] = lambda: None
        self._write: Callable[[str], None] = _write_stdout

    @contextmanager
    def through(self, write: Callable[[str], None] | None) -> Iterator[None]:
        """Have lines written by ``write``, if there is one, while the context lasts."""
        if write is None:
            yield
            return
        self._write, before = write, self._write
        try:
            yield
        finally:
            self._write = before

    def emit(self, record: logging.LogRecord) -> None:
        if self.is_lost:
            return
        try:
            self._write(self.format(record))
        except OSError as error:
            self.is_lost = True
            # What is still buffered must not fail again when the interpreter ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if not isinstance(error, BrokenPipeError):
                complain(f"standard output: {error.strerror or error}")
            self.on_lost()
        except Exception as error:  # noqa: BLE001  # a line that cannot be made ends nothing
            complain(f"a log line could not be written: {type(error).__name__}")


def _write_stdout(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def complain(message: str) -> None:
    """Say on standard error that an output fails."""
    click.echo(f"Error: {_one_line(message)}", err=True)


def wants_colors(log_format: str) -> bool:
    """Whether text is to be coloured: as asked, by default on a terminal that does colours."""
    if log_format != "auto":
        return log_format == "colors"
    is_plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    return sys.stdout.isatty() and not is_plain


def set_up_logging(
    level: str,
    log_format: str,
    log_file: str | None,
    *,
    redact: Redact | None = None,
) -> StdoutHandler:
    """Send the library's log to standard output and perhaps a file.

    Args:
        redact: masks secrets in the text of exceptions.

    Raises:
        click.UsageError: the file cannot be opened.
    """
    number = _LEVELS[level]
    faults = _Faults(with_traceback=number <= logging.DEBUG, redact=redact or Redactor().redact)
    as_json = log_format == "json"

    def formatter(*, colors: bool) -> logging.Formatter:
        return JsonFormatter(faults) if as_json else TextFormatter(colors=colors, faults=faults)

    output = StdoutHandler()
    output.setFormatter(formatter(colors=wants_colors(log_format)))
    handlers: list[logging.Handler] = [output]
    if log_file is not None:
        # With its rotation it takes milliseconds to import: for whoever wants it.
        from lightclient_cli.log_file import FileHandler

        try:
            file = FileHandler(Path(log_file), complain)
        except OSError as error:
            raise click.UsageError(f"--log-file {log_file}: {error.strerror or error}") from None
        file.setFormatter(formatter(colors=False))
        handlers.append(file)
    root = logging.getLogger()
    root.handlers[:] = handlers
    root.setLevel(max(number, logging.WARNING))
    logging.getLogger("lightclient").setLevel(number)
    logging.addLevelName(NOTICE, "NOTICE")
    return output
