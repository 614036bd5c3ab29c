"""The command ``nimbus-light-client``: its root, its subcommands by name, and its exit codes.

Nothing but click is imported before a command is chosen, so that ``--help`` answers at once. Every
error that a user can cause ends here as one line on stderr.
"""

from __future__ import annotations

import importlib
import io
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

import click
from click.core import ParameterSource

from lightclient_cli.options import ENVIRONMENT_PREFIX, follow_options

EXIT_OK, EXIT_FAILURE, EXIT_USAGE = 0, 1, 2
EXIT_INTERRUPTED = 130

# name: (module:attribute, help line); a command's module is imported when the command is run.
COMMANDS = {
    "checkpoint": (
        "lightclient_cli.checkpoint:checkpoint",
        "Find a trusted block root that several services agree on.",
    ),
    "demo": (
        "lightclient_cli.demo:demo",
        "Follow a simulated chain through every fork, on this machine alone.",
    ),
    "explain": (
        "lightclient_cli.explain:explain",
        "Say what was wrong with a refused object that --dump-dir kept.",
    ),
    "spec-tests": (
        "lightclient_cli.spec_tests.command:spec_tests",
        "Run consensus specification test vectors.",
    ),
    "verify": (
        "lightclient_cli.verify:verify",
        "Verify light client objects from files, offline.",
    ),
}


class RootCommand(click.Group):
    """A group that imports its commands on demand and turns errors into lines and exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*COMMANDS, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        known = super().get_command(ctx, cmd_name)
        if known is not None or cmd_name not in COMMANDS:
            return known
        module_name, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module_name), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # The table's lines: click's own would import every command for its first sentence.
        rows = [(name, COMMANDS[name][1]) for name in self.list_commands(ctx) if name in COMMANDS]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None:
            # The word is not repeated: it may be the end of a header that lacked its quotes.
            near = get_close_matches(name[:40], self.list_commands(ctx), n=1, cutoff=0.7)
            hint = f"did you mean {near[0]}?" if near else "a value with spaces needs quotes"
            known = ", ".join(self.list_commands(ctx))
            raise click.UsageError(f"there is no such command ({known}); {hint}", ctx)
        return super().resolve_command(ctx, args)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run and exit; commands return their exit code (None is 0) or raise."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, False, **extra)
        _print_anything()
        try:
            result = super().main(args, prog_name, complete_var, False, **extra)
            sys.stdout.flush()
        except BrokenPipeError:
            # Whoever read our output has gone; the interpreter must not stumble on it at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(EXIT_FAILURE)
        except (click.Abort, KeyboardInterrupt):
            _fail("interrupted", EXIT_INTERRUPTED)
        except BaseExceptionGroup as group:
            first = first_of(group)
            if not isinstance(first, Exception):
                _fail("interrupted", EXIT_INTERRUPTED)
            _fail(*explain(first))
        except Exception as error:  # noqa: BLE001  # all of them end here, as one line
            _fail(*explain(error))
        sys.exit(result if isinstance(result, int) else EXIT_OK)


def _print_anything() -> None:
    """Have standard streams that take any text, whatever the terminal shows and the caller gave."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started us
            stream = io.TextIOWrapper(io.FileIO(os.devnull, "w"))
            setattr(sys, name, stream)
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first exception in a group that is none itself; an interruption before all others."""
    leaves: list[BaseException] = []
    pending: list[BaseException] = [group]
    while pending:
        error = pending.pop(0)
        if isinstance(error, BaseExceptionGroup):
            pending = [*error.exceptions, *pending]
        else:
            leaves.append(error)
    return next((leaf for leaf in leaves if not isinstance(leaf, Exception)), leaves[0])


def explain(error: Exception) -> tuple[str, int]:
    """A line and an exit code."""
    from lightclient.errors import BlsError, ConfigError, LightClientError

    if isinstance(error, click.ClickException):
        return error.format_message() + _origin(error), error.exit_code
    if isinstance(error, (ConfigError, BlsError)):
        return str(error), EXIT_USAGE
    if isinstance(error, LightClientError):
        return str(error), EXIT_FAILURE
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename is not None else ""
        return f"{where}{error.strerror or error}", EXIT_FAILURE
    return f"{describe_fault(error)}; this is a fault of the program: please report it", 1


def _origin(error: click.ClickException) -> str:
    """Where a bad value came from, if it was not typed."""
    if not isinstance(error, click.BadParameter) or error.param is None or error.ctx is None:
        return ""
    name = error.param.name or ""
    source = error.ctx.get_parameter_source(name)
    if source is ParameterSource.ENVIRONMENT:
        return f" (set by {error.ctx.auto_envvar_prefix}_{name.upper()})"
    return " (set by --config-file)" if source is ParameterSource.DEFAULT_MAP else ""


def describe_fault(error: BaseException) -> str:
    """An exception that nobody expected, and where it was raised; without secrets."""
    from lightclient.transports.redaction import Redactor

    *_, (frame, line) = [(None, 0), *traceback.walk_tb(error.__traceback__)]
    place = ""
    if frame is not None:
        path = Path(frame.f_code.co_filename)
        place = f" at {path.parent.name}/{path.name}:{line}"
    said = Redactor().quote(str(error))
    return f"{type(error).__name__}{f': {said}' if said else ''}{place}"


def _fail(message: str, exit_code: int) -> NoReturn:
    click.echo(f"Error: {one_line(message)}", err=True)
    sys.exit(exit_code)


def one_line(text: str) -> str:
    """``text`` without line breaks and control characters, which names and messages may hold."""
    return "".join(char if char.isprintable() else " " for char in text).strip()


def _follow(options: dict[str, Any]) -> int:
    """Run the follower, which Ctrl-C and SIGTERM stop in silence from its first line on."""
    previous = None
    with suppress(ValueError):  # not in the main thread, where no signal arrives
        previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        from lightclient_cli.follow import run

        return run(options)
    except KeyboardInterrupt:
        return EXIT_OK
    except BaseExceptionGroup as group:
        if isinstance(first_of(group), KeyboardInterrupt):
            return EXIT_OK
        raise
    finally:
        # Once it has been told to stop, being told again is ignored to the end.
        if previous is not None and signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN:
            signal.signal(signal.SIGTERM, previous)


@click.group(
    "nimbus-light-client",
    cls=RootCommand,
    invoke_without_command=True,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
        "auto_envvar_prefix": ENVIRONMENT_PREFIX,
    },
)
@follow_options
@click.pass_context
def main(ctx: click.Context, /, **options: Any) -> int | None:
    """Follow an Ethereum beacon chain from a trusted block root and emit verified headers.

    Every option can also be set in the environment (NIMBUS_LIGHT_CLIENT_<OPTION>) or in the file
    that --config-file names; the command line goes first, then the environment, then the file.
    """
    if ctx.invoked_subcommand is None:
        return _follow(options)
    # Followed by a command, these would be ignored without a word.
    for name in options:
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            option = "--" + name.replace("_", "-")
            raise click.UsageError(f"{option} stands before {ctx.invoked_subcommand}: put it after")
    return None
