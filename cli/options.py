"""Options of the follower, with the file and the environment that may set them.

The command line goes over the environment (``NIMBUS_LIGHT_CLIENT_<OPTION>``), which goes over the
TOML file named by ``--config-file``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from lightclient_cli.parameters import UINT64_MAX, decimal_up_to, network_options

ENVIRONMENT_PREFIX = "NIMBUS_LIGHT_CLIENT"
LOG_LEVELS = ("trace", "debug", "info", "notice", "warn", "error", "fatal", "none")
LOG_FORMATS = ("auto", "colors", "nocolors", "json")
_MAX_CONFIG_BYTES = 1 << 20

_Command = TypeVar("_Command", bound=Callable[..., Any])


def read_config_file(ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """Make the file's values the defaults of the options they name."""
    if value is None or ctx.resilient_parsing:
        return value
    try:
        with Path(value).open("rb") as file:
            text = file.read(_MAX_CONFIG_BYTES + 1)
        if len(text) > _MAX_CONFIG_BYTES:
            raise click.UsageError(f"--config-file {value}: larger than {_MAX_CONFIG_BYTES} bytes")
        settings = tomllib.loads(text.decode("utf-8"))
    except OSError as error:
        raise click.UsageError(f"--config-file {value}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise click.UsageError(f"--config-file {value}: not TOML: {error}") from None
    options = {param.name: param for param in ctx.command.params if isinstance(param, click.Option)}
    defaults = dict(ctx.default_map or {})
    for key, setting in settings.items():
        option = options.get(key.replace("-", "_"))
        if option is None or option.name in {None, "config_file", "version"}:
            raise click.UsageError(f"--config-file {value}: {key!r} is not an option")
        assert option.name is not None
        defaults[option.name] = _setting(f"--config-file {value}: {key}", setting, option)
    ctx.default_map = defaults
    return value


def _setting(where: str, setting: object, option: click.Option) -> str | list[str]:
    if option.multiple:
        items = setting if isinstance(setting, list) else [setting]
        return [_text(where, item) for item in items]
    return _text(where, setting)


def _text(where: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    raise click.UsageError(f"{where}: a {type(value).__name__} is no value for this option")


def _epoch(name: str, text: str) -> Callable[[_Command], _Command]:
    return click.option(name, callback=decimal_up_to(UINT64_MAX), metavar="EPOCH", help=text)


def follow_options(command: _Command) -> _Command:
    """All options of the follower."""
    choice = click.Choice
    for option in reversed(
        (
            network_options,
            click.option(
                "--trusted-block-root", metavar="ROOT", help="Finalized block to start from, hex."
            ),
            click.option(
                "--rest-url",
                multiple=True,
                metavar="URL",
                help="Beacon node with light client data; repeat for more, asked in turn.",
            ),
            click.option(
                "--rest-header",
                multiple=True,
                metavar="NAME:VALUE",
                help="Header for every request to the --rest-url hosts; repeat for more.",
            ),
            click.option(
                "--rest-ca-file",
                metavar="FILE",
                help="Certificates (PEM) to trust instead of the system's.",
            ),
            click.option(
                "--data-dir", metavar="DIR", help="Created if missing; one process at a time."
            ),
            click.option(
                "--bls-backend",
                type=choice(["milagro", "arkworks", "blst"]),
                help="Signature library.  [default: the fastest usable]",
            ),
            click.option(
                "--forced-update",
                type=choice(["never", "spec-timeout", "nimbus"]),
                default="never",
                show_default=True,
                help="When to go on without finality.",
            ),
            click.option(
                "--audit-committees",
                is_flag=True,
                help="Compare every committee's aggregate key with its members' keys.",
            ),
            click.option(
                "--log-level",
                type=choice(LOG_LEVELS, case_sensitive=False),
                default="info",
                show_default=True,
            ),
            click.option(
                "--log-format",
                type=choice(LOG_FORMATS, case_sensitive=False),
                default="auto",
                show_default=True,
            ),
            click.option("--log-file", metavar="FILE", help="Append the log there as well."),
            click.option(
                "--config-file",
                metavar="FILE",
                is_eager=True,
                callback=read_config_file,
                help="TOML file with options by their names.",
            ),
            _epoch("--debug-stop-at-epoch", "Exit once the clock reaches this epoch."),
            _epoch("--stop-at-synced-epoch", "Exit once synced at this epoch or later."),
        )
    ):
        command = option(command)
    return command
