"""Options of the follower, with the file and the environment that may set them.

The command line goes over the environment (``NIMBUS_LIGHT_CLIENT_<OPTION>``), which goes over the
TOML file named by ``--config-file``. No error repeats a value that may be a secret.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import click

from lightclient_cli.network_options import PEER_OPTIONS, WHOLE_NUMBERS
from lightclient_cli.parameters import UINT64_MAX, decimal_up_to, network_options

ENVIRONMENT_PREFIX = "NIMBUS_LIGHT_CLIENT"
LOG_LEVELS = ("trace", "debug", "info", "notice", "warn", "error", "fatal", "none")
LOG_FORMATS = ("auto", "colors", "nocolors", "json")
_MAX_CONFIG_BYTES = 1 << 16
_NOT_IN_FILE = frozenset({"config_file", "version", "help"})
_WHOLE_NUMBERS = frozenset(
    {
        "metrics_port",
        "min_providers",
        "weak_subjectivity_epochs",
        "genesis_time",
        "debug_stop_at_epoch",
        "stop_at_synced_epoch",
        *WHOLE_NUMBERS,
    }
)

_Command = TypeVar("_Command", bound=Callable[..., Any])


class HeaderOption(click.Option):
    """A request header; in the environment one a line, as its value may hold spaces."""

    def value_from_envvar(self, ctx: click.Context) -> list[str] | None:
        """The lines that hold anything."""
        lines = [
            line for line in (self.resolve_envvar_value(ctx) or "").splitlines() if line.strip()
        ]
        return lines or None


def _headers(
    _ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]
) -> list[tuple[str, str]]:
    pairs = []
    for text in values:
        name, colon, value = text.partition(":")
        if not colon or not name.strip() or not value.strip():
            # The text may be a secret: it is not repeated here.
            raise click.UsageError("--rest-header must be NAME:VALUE")
        pairs.append((name.strip(), value.strip()))
    return pairs


def read_config_file(ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """Make the file's values the defaults of the options they name."""
    if value is None or ctx.resilient_parsing:
        return value
    where = f"--config-file {value}"
    options = {param.name: param for param in ctx.command.params if isinstance(param, click.Option)}
    defaults = dict(ctx.default_map or {})
    seen: set[str] = set()
    for key, setting in _load_toml(where, value).items():
        name = key.replace("-", "_")
        option = options.get(name)
        if option is None or name in _NOT_IN_FILE:
            raise click.UsageError(f"{where}: {key[:60]!r} is not an option")
        if name in seen:
            raise click.UsageError(f"{where}: {key} is set twice")
        seen.add(name)
        defaults[name] = _setting(f"{where}: {key}", setting, option)
    ctx.default_map = defaults
    return value


def _load_toml(where: str, path: str) -> Mapping[str, object]:
    try:
        with Path(path).open("rb") as file:
            text = file.read(_MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise click.UsageError(f"{where}: {error.strerror or error}") from None
    if len(text) > _MAX_CONFIG_BYTES:
        raise click.UsageError(f"{where}: larger than {_MAX_CONFIG_BYTES} bytes")
    try:
        return tomllib.loads(text.decode("utf-8-sig"))
    except RecursionError:
        raise click.UsageError(f"{where}: nested too deeply") from None
    # Not TOML, not UTF-8, or a number with thousands of digits. The messages name places, no text.
    except ValueError as error:
        raise click.UsageError(f"{where}: not TOML: {error}") from None


def _setting(where: str, setting: object, option: click.Option) -> bool | str | list[str]:
    if option.is_flag:
        if not isinstance(setting, bool):
            raise click.UsageError(f"{where}: must be true or false")
        return setting
    if option.multiple:
        items = setting if isinstance(setting, list) else [setting]
        return [_text(where, item) for item in items]
    if option.name in _WHOLE_NUMBERS and not isinstance(setting, str):
        return _whole_number(where, setting)
    return _text(where, setting)


def _whole_number(where: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= UINT64_MAX:
        raise click.UsageError(f"{where}: must be a whole number from 0 to {UINT64_MAX}")
    return str(value)


def _text(where: str, value: object) -> str:
    if not isinstance(value, str):
        kind = {"int": "a number", "float": "a number", "bool": "a truth value", "list": "a list"}
        found = kind.get(type(value).__name__, f"a {type(value).__name__}")
        raise click.UsageError(f"{where}: {found} where text is expected; put it in quotes")
    if not value:
        raise click.UsageError(f"{where}: is empty; leave it out instead")
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in value):
        raise click.UsageError(f"{where}: holds a control character")
    return value


def misspelt_variables(
    environment: Iterable[str], options: Iterable[str]
) -> Iterator[tuple[str, str]]:
    """Variables that set nothing, each with the one that was probably meant.

    Only what is close to an option is told of: others give such names to things of their own, as
    Kubernetes does after a service.
    """
    known = [option.upper() for option in options]
    for variable in sorted(environment):
        name = variable.removeprefix(f"{ENVIRONMENT_PREFIX}_")
        if name != variable and name not in known:
            for meant in get_close_matches(name[:40], known, n=1, cutoff=0.8):
                yield variable, f"{ENVIRONMENT_PREFIX}_{meant}"


def _show_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from lightclient import __version__

        click.echo(f"nimbus-light-client, version {__version__}")
        ctx.exit()


def _not_empty(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    # As left by a shell variable that is not set; as a path it would mean the current directory.
    if value is not None and not value.strip():
        raise click.BadParameter("is empty", ctx, param)
    return value


def _path(name: str, metavar: str, text: str) -> Callable[[_Command], _Command]:
    return click.option(name, metavar=metavar, callback=_not_empty, help=text)


def _epoch(name: str, text: str) -> Callable[[_Command], _Command]:
    return click.option(name, callback=decimal_up_to(UINT64_MAX), metavar="EPOCH", help=text)


def _log_choice(name: str, choices: tuple[str, ...], default: str, text: str) -> Any:
    kind = click.Choice(choices, case_sensitive=False)
    return click.option(name, type=kind, default=default, show_default=True, help=text)


_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    network_options,
    click.option(
        "--trusted-block-root",
        metavar="ROOT",
        callback=_not_empty,
        help="Finalized block to start from, hex.",
    ),
    click.option(
        "--weak-subjectivity-epochs",
        callback=decimal_up_to(UINT64_MAX),
        metavar="EPOCHS",
        help="How old that block may be.  [default: the network's upper bound]",
    ),
    click.option(
        "--allow-stale-trusted-root",
        is_flag=True,
        help="Start even if it, or the stored state, is older than that.",
    ),
    click.option(
        "--rest-url",
        multiple=True,
        metavar="URL",
        help="Beacon node with light client data; repeat for more, used as one."
        "  [default: peers of the network]",
    ),
    click.option(
        "--min-providers",
        default="1",
        show_default=True,
        callback=decimal_up_to(1000),
        metavar="K",
        help="How many must have served a header for it to count as confirmed.",
    ),
    click.option(
        "--conflict-policy",
        type=click.Choice(["halt", "continue"]),
        default="halt",
        show_default=True,
        help="When two headers contradict each other although the committee signed both.",
    ),
    click.option(
        "--rest-header",
        cls=HeaderOption,
        callback=_headers,
        multiple=True,
        metavar="NAME:VALUE",
        help="Header for every request to the --rest-url hosts; repeat for more.",
    ),
    _path("--rest-ca-file", "FILE", "Certificates (PEM) to trust instead of the system's."),
    *PEER_OPTIONS,
    _path("--data-dir", "DIR", "Keep the state there; created if missing, one process at a time."),
    _path("--dump-dir", "DIR", "Keep refused objects there, for the command explain."),
    click.option(
        "--bls-backend",
        type=click.Choice(["milagro", "arkworks", "blst"]),
        help="Signature library.  [default: the fastest usable]",
    ),
    click.option(
        "--forced-update",
        type=click.Choice(["never", "spec-timeout", "nimbus"]),
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
        "--second-process/--no-second-process",
        default=True,
        show_default=True,
        help="Use a second core, if there is one, while catching up on many periods.",
    ),
    click.option("--metrics", is_flag=True, help="Serve Prometheus metrics, /health and /ready."),
    click.option(
        "--metrics-address",
        default="127.0.0.1",
        show_default=True,
        callback=_not_empty,
        metavar="ADDRESS",
        help="Address of this machine to serve them at.",
    ),
    click.option(
        "--metrics-port",
        default="8008",
        show_default=True,
        callback=decimal_up_to(65535),
        metavar="PORT",
        help="Port to serve them at; 0 for any.",
    ),
    _log_choice("--log-level", LOG_LEVELS, "info", "What to log: this level and those after it."),
    _log_choice("--log-format", LOG_FORMATS, "auto", "Text, or with json an object a line."),
    _path("--log-file", "FILE", "Append the log there as well."),
    click.option(
        "--config-file",
        metavar="FILE",
        is_eager=True,
        callback=read_config_file,
        help="TOML file with options by their names.",
    ),
    _epoch("--debug-stop-at-epoch", "Exit once the clock reaches this epoch."),
    _epoch("--stop-at-synced-epoch", "Exit once synced at this epoch or later."),
    click.option(
        "--version",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        # An image may well set such a variable to its own version.
        allow_from_autoenv=False,
        callback=_show_version,
        help="Show the version and exit.",
    ),
)


def follow_options(command: _Command) -> _Command:
    """All options of the follower."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
