"""The root command: help without imports, one line for every error, exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from lightclient.errors import BlsError, ConfigError, LightClientError, TransportError
from lightclient_cli.main import COMMANDS, RootCommand, main, one_line
from tests.cli.conftest import Command


def test_help_lists_every_command(command: Command) -> None:
    result = command("--help")
    assert result.exit_code == 0
    for name in COMMANDS:
        assert name in result.output


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from lightclient_cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'rich', 'httpx', 'snappy', 'yaml', 'anyio', 'remerkleable', 'lightclient'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_it_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lightclient_cli", "--version"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "nimbus-light-client" in done.stdout


@pytest.mark.parametrize("arguments", [["--no-such-option"], ["no-such-command"], ["verify", "x"]])
def test_wrong_usage_is_one_line_and_exit_code_2(command: Command, arguments: list[str]) -> None:
    result = command(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (ConfigError("no such\nnetwork"), 2),
        (BlsError("no backend"), 2),
        (LightClientError("broken"), 1),
        (TransportError("gone", provider="x"), 1),
        (PermissionError(13, "Permission denied", "file"), 1),
        (KeyboardInterrupt(), 130),
        (ExceptionGroup("tasks", [ExceptionGroup("more", [ConfigError("bad")])]), 2),
        (BaseExceptionGroup("tasks", [ValueError("bad"), KeyboardInterrupt()]), 130),
        (RuntimeError("a fault"), 1),
    ],
)
def test_an_error_becomes_one_line_and_an_exit_code(error: BaseException, exit_code: int) -> None:
    @click.group(cls=RootCommand)
    def root() -> None:
        pass

    @root.command()
    def fail() -> None:
        raise error

    result = CliRunner().invoke(root, ["fail"])
    assert result.exit_code == exit_code
    assert result.stderr.lstrip().startswith("Error: ")
    assert result.stderr.strip().count("\n") == 0


def test_a_fault_says_where_it_is_and_keeps_secrets() -> None:
    @click.group(cls=RootCommand)
    def root() -> None:
        pass

    @root.command()
    def fail() -> None:
        raise RuntimeError("https://user:s3cr3t@host/\nline")

    error = CliRunner().invoke(root, ["fail"]).stderr
    assert error.startswith("Error: RuntimeError: https://host line at cli/test_main.py:")
    assert "s3cr3t" not in error
    assert "report it" in error


def test_a_closed_pipe_ends_quietly(tmp_path: Path) -> None:
    lines = "import click\n@main.command()\ndef flood():\n  while True: click.echo('x' * 1000)\n"
    program = tmp_path / "flood.py"
    program.write_text(f"from lightclient_cli.main import main\n{lines}\nmain(['flood'])\n")
    with subprocess.Popen(
        [sys.executable, str(program)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(20) == 1


def test_names_with_line_breaks_stay_on_one_line() -> None:
    assert one_line("a\nb\x1b[31m\r") == "a b [31m"


def test_the_command_is_named_as_nimbus_names_it() -> None:
    assert main.name == "nimbus-light-client"
