"""The command ``nimbus-light-client``: its root, its subcommands by name, and its exit codes.

Nothing but click is imported before a command is chosen, so that ``--help`` answers at once. Every
error that a user can cause ends here as one line on stderr.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click
from click.core import ParameterSource

from lightclient_cli.options import ENVIRONMENT_PREFIX, follow_options

EXIT_OK, EXIT_FAILURE, EXIT_USAGE = 0, 1, 2
EXIT_INTERRUPTED = 130

# name: (module:attribute, help line); a command's module is imported when the command is run.
COMMANDS = {
    "demo": (
        "lightclient_cli.demo:demo",
        "Follow a simulated chain through every fork, on this machine alone.",
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
        except Exception as error:
            explained = _explain(error)
            if explained is None:
                raise
            _fail(*explained)
        sys.exit(result if isinstance(result, int) else EXIT_OK)


def _print_anything() -> None:
    """Let a file name that the terminal cannot show be escaped instead of ending the program."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _explain(error: Exception) -> tuple[str, int] | None:
    """A line and an exit code for what a user can cause; None for a fault of this program."""
    from lightclient.errors import BlsError, ConfigError, LightClientError

    if isinstance(error, click.ClickException):
        return error.format_message(), error.exit_code
    if isinstance(error, (ConfigError, BlsError)):
        return str(error), EXIT_USAGE
    if isinstance(error, LightClientError):
        return str(error), EXIT_FAILURE
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename is not None else ""
        return f"{where}{error.strerror or error}", EXIT_FAILURE
    return None


def _fail(message: str, exit_code: int) -> NoReturn:
    click.echo(f"Error: {one_line(message)}", err=True)
    sys.exit(exit_code)


def one_line(text: str) -> str:
    """``text`` without line breaks and control characters, which names and messages may hold."""
    return "".join(char if char.isprintable() else " " for char in text).strip()


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
@click.version_option(package_name="lightclient", prog_name="nimbus-light-client")
@click.pass_context
def main(ctx: click.Context, /, **options: Any) -> int | None:
    """Follow an Ethereum beacon chain from a trusted block root and emit verified headers.

    Every option can also be set in the environment (NIMBUS_LIGHT_CLIENT_<OPTION>) or in the file
    that --config-file names; the command line goes first, then the environment, then the file.
    """
    if ctx.invoked_subcommand is None:
        from lightclient_cli.follow import run

        return run(options)
    # Followed by a command, these would be ignored without a word.
    for name in options:
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            option = "--" + name.replace("_", "-")
            raise click.UsageError(f"{option} stands before {ctx.invoked_subcommand}: put it after")
    return None
