"""Where the follower's options may come from, which goes first, and what is said of bad ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

import lightclient
from lightclient_cli.main import main
from lightclient_cli.options import misspelt_variables
from tests.cli.conftest import Command

ROOT = "0x" + "11" * 32
SECRET = "s3cr3t-v4lue"
REQUIRED = ["--trusted-block-root", ROOT, "--rest-url", "http://127.0.0.1:1"]


@pytest.fixture
def options_of(monkeypatch: pytest.MonkeyPatch, command: Command) -> Any:
    """The options that the follower would be run with."""
    import lightclient_cli.follow

    def parse(*arguments: object, **environment: str) -> dict[str, Any]:
        seen: list[dict[str, Any]] = []
        monkeypatch.setattr(lightclient_cli.follow, "run", lambda options: seen.append(options))
        env = {f"NIMBUS_LIGHT_CLIENT_{key}": value for key, value in environment.items()}
        result = command(*arguments, env=env)
        assert result.exit_code == 0, result.output
        return seen[0]

    return parse


@pytest.fixture
def config_file(tmp_path: Path) -> Any:
    def write(text: str | bytes) -> str:
        path = tmp_path / "config.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return f"--config-file={path}"

    return write


def refusal(command: Command, *arguments: object, **environment: str) -> str:
    """The one line that wrong usage ends in."""
    result = command(*arguments, env=environment)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert SECRET not in result.output
    return result.stderr


# --- which goes first -----------------------------------------------------------------------------


def test_the_command_line_goes_over_the_environment_over_the_file(
    options_of: Any, config_file: Any
) -> None:
    file = config_file('network = "hoodi"\nlog-level = "warn"\nlog-format = "json"\n')
    options = options_of(
        file, "--network=sepolia", NETWORK="holesky", LOG_LEVEL="debug", DATA_DIR="env"
    )
    assert options["network"] == "sepolia"
    assert options["log_level"] == "debug"
    assert options["log_format"] == "json"
    assert options["data_dir"] == "env"
    assert options["forced_update"] == "never"


def test_the_defaults_are_those_of_help(options_of: Any) -> None:
    options = options_of()
    assert options["network"] == "mainnet"
    assert options["log_level"] == "info"
    assert options["log_format"] == "auto"
    assert options["data_dir"] is None
    assert options["rest_url"] == ()
    assert options["audit_committees"] is False


def test_every_option_can_be_set_in_the_environment_and_in_the_file(
    options_of: Any, config_file: Any
) -> None:
    values: dict[str, Any] = {
        "network": "hoodi",
        "genesis_time": 5,
        "genesis_validators_root": ROOT,
        "trusted_block_root": ROOT,
        "weak_subjectivity_epochs": 9,
        "min_providers": 2,
        "conflict_policy": "continue",
        "allow_stale_trusted_root": True,
        "rest_url": ["http://a", "http://b"],
        "rest_header": ["A: b"],
        "rest_ca_file": "ca.pem",
        "direct_peer": ["/ip4/a", "/ip4/b"],
        "bootstrap_node": ["enr:-a", "enr:-b"],
        "bootstrap_file": "nodes.txt",
        "discv5": False,
        "tcp_port": 1,
        "udp_port": 2,
        "listen_address": "::",
        "nat": "extip:1.2.3.4",
        "max_peers": 3,
        "hard_max_peers": 4,
        "agent_string": "me",
        "ephemeral_identity": True,
        "data_dir": "data",
        "dump_dir": "dumps",
        "bls_backend": "milagro",
        "forced_update": "nimbus",
        "audit_committees": True,
        "second_process": False,
        "metrics": True,
        "metrics_address": "::1",
        "metrics_port": 9,
        "log_level": "error",
        "log_format": "nocolors",
        "log_file": "log",
        "debug_stop_at_epoch": 7,
        "stop_at_synced_epoch": 8,
    }
    expected = values | {
        "rest_url": ("http://a", "http://b"),
        "rest_header": [("A", "b")],
        "direct_peer": ("/ip4/a", "/ip4/b"),
        "bootstrap_node": ("enr:-a", "enr:-b"),
    }
    names = {param.name for param in main.params if isinstance(param, click.Option)}
    assert set(values) == names - {"config_file", "version"}

    lines = []
    for name, value in values.items():
        shown = str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"')
        lines.append(f"{name.replace('_', '-')} = {shown}")
    file = config_file("\n".join(lines))
    from_file = options_of(file)
    from_environment = options_of(
        **{
            name.upper(): " ".join(value) if isinstance(value, list) else str(value)
            for name, value in values.items()
        }
    )
    for options in (from_file, from_environment):
        assert {name: options[name] for name in expected} == expected


def test_the_file_itself_can_be_named_in_the_environment(options_of: Any, config_file: Any) -> None:
    path = config_file('network = "hoodi"').partition("=")[2]
    assert options_of(CONFIG_FILE=path)["network"] == "hoodi"


def test_underscores_and_a_single_value_for_a_list_are_accepted_in_the_file(
    options_of: Any, config_file: Any
) -> None:
    options = options_of(config_file('rest_url = "http://a"'))
    assert options["rest_url"] == ("http://a",)


def test_urls_in_the_environment_are_separated_by_spaces_or_lines(options_of: Any) -> None:
    assert options_of(REST_URL=" http://a\n http://b  ")["rest_url"] == ("http://a", "http://b")


def test_headers_in_the_environment_are_lines_and_keep_their_spaces(options_of: Any) -> None:
    options = options_of(REST_HEADER="Authorization: Bearer abc def\n\nX-Key:1\n")
    assert options["rest_header"] == [("Authorization", "Bearer abc def"), ("X-Key", "1")]


@pytest.mark.parametrize(("text", "value"), [("1", True), ("true", True), ("0", False)])
def test_a_flag_in_the_environment_is_a_truth_value(
    options_of: Any, text: str, value: bool
) -> None:
    assert options_of(AUDIT_COMMITTEES=text)["audit_committees"] is value


def test_an_empty_variable_is_no_variable(options_of: Any) -> None:
    options = options_of(NETWORK="", REST_URL="", REST_HEADER="\n", STOP_AT_SYNCED_EPOCH="")
    assert options["network"] == "mainnet"
    assert options["rest_url"] == ()
    assert options["rest_header"] == []
    assert options["stop_at_synced_epoch"] is None


def test_a_variable_that_names_a_version_is_not_the_option(options_of: Any) -> None:
    assert options_of(VERSION="1.2.3", HELP="no")["network"] == "mainnet"


def test_a_variable_that_is_nearly_an_option_is_told_and_other_peoples_are_not() -> None:
    options = [str(param.name) for param in main.params]
    meant = {
        "NIMBUS_LIGHT_CLIENT_NETWROK": "NIMBUS_LIGHT_CLIENT_NETWORK",
        "NIMBUS_LIGHT_CLIENT_REST_URLS": "NIMBUS_LIGHT_CLIENT_REST_URL",
        "NIMBUS_LIGHT_CLIENT_TRUSTED_ROOT": "NIMBUS_LIGHT_CLIENT_TRUSTED_BLOCK_ROOT",
    }
    others = [f"NIMBUS_LIGHT_CLIENT_{name.upper()}" for name in options]
    others += ["NIMBUS_LIGHT_CLIENT_VERSION", "NETWROK", "PATH", "NIMBUS_LIGHT_CLIENT_"]
    # As Kubernetes names a service's places.
    for name in ("SERVICE_HOST", "SERVICE_PORT", "PORT", "PORT_8008_TCP", "PORT_8008_TCP_ADDR"):
        others.append(f"NIMBUS_LIGHT_CLIENT_{name}")
    assert dict(misspelt_variables([*meant, *others], options)) == meant


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f'no-such-option = "{SECRET}"', "'no-such-option' is not an option"),
        ('config-file = "other.toml"', "'config-file' is not an option"),
        ("version = true", "'version' is not an option"),
        (f'[rest]\nurl = "{SECRET}"', "'rest' is not an option"),
        (f"[rest-url]\n{SECRET} = 1", "rest-url: a dict where text is expected"),
        (f"rest-url = [['{SECRET}']]", "rest-url: a list where text is expected"),
        (f"rest-header = [{{ Authorization = '{SECRET}' }}]", "rest-header: a dict where text"),
        (f'rest-header = "{SECRET}"', "--rest-header must be NAME:VALUE"),
        (f'rest-header = "A:\\n{SECRET}"', "rest-header: holds a control character"),
        (f'rest-url = "{SECRET}', "not TOML"),
        (f"rest-url = {SECRET}", "not TOML"),
        ('network = "hoodi"\nnetwork = "hoodi"', "not TOML"),
        ('data-dir = "a"\ndata_dir = "b"', "data_dir is set twice"),
        ('data-dir = ""', "data-dir: is empty"),
        ('data-dir = "a\\u0000b"', "data-dir: holds a control character"),
        ("network = true", "network: a truth value where text is expected"),
        (f"trusted-block-root = {ROOT}", "trusted-block-root: a number where text is expected"),
        ("data-dir = 1979-05-27", "data-dir: a date where text is expected"),
        ("log-level = 1.5", "log-level: a number where text is expected"),
        ('audit-committees = "yes"', "audit-committees: must be true or false"),
        ("audit-committees = 1", "audit-committees: must be true or false"),
        ("stop-at-synced-epoch = -1", "must be a whole number from 0"),
        ("stop-at-synced-epoch = true", "must be a whole number from 0"),
        ("metrics-port = 1.5", "metrics-port: must be a whole number from 0"),
        ("stop-at-synced-epoch = 0x1" + "0" * 5000, "must be a whole number from 0"),
        ("stop-at-synced-epoch = 1" + "0" * 5000, "not TOML"),
        ('stop-at-synced-epoch = "1.5"', "'1.5' is not a whole number"),
        ('log-level = "loud"', "'loud' is not one of"),
        ("a = " + "[" * 20000, "nested too deeply"),
        ("#" * 70000, "larger than 65536 bytes"),
        (b'network = "\xff"', "not TOML"),
        (b"\x00" * 100, "not TOML"),
    ],
)
def test_an_unusable_file_is_one_line(
    command: Command, config_file: Any, text: str | bytes, said: str
) -> None:
    assert said in refusal(command, config_file(text), *REQUIRED)


@pytest.mark.parametrize("path", ["no-such-file.toml", ".", ""])
def test_a_file_that_cannot_be_read_is_one_line(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "--config-file" in refusal(command, f"--config-file={path}", *REQUIRED)


def test_a_file_with_a_byte_order_mark_is_read(options_of: Any, config_file: Any) -> None:
    assert options_of(config_file('\ufeffnetwork = "hoodi"'))["network"] == "hoodi"


def test_a_bad_value_says_where_it_was_set(command: Command, config_file: Any) -> None:
    variable = "NIMBUS_LIGHT_CLIENT_LOG_LEVEL"
    assert f"(set by {variable})" in refusal(command, **{variable: "loud"})
    assert "(set by --config-file)" in refusal(command, config_file('log-level = "loud"'))
    assert "set by" not in refusal(command, "--log-level=loud")


@pytest.mark.parametrize("option", ["--data-dir", "--log-file", "--rest-ca-file"])
@pytest.mark.parametrize("value", ["", " "])
def test_an_empty_path_is_refused(command: Command, option: str, value: str) -> None:
    assert f"'{option}': is empty" in refusal(command, f"{option}={value}", *REQUIRED)


@pytest.mark.parametrize("header", [SECRET, f":{SECRET}", f" : {SECRET}", "Authorization:", ""])
def test_a_header_without_name_or_value_is_refused_without_repeating_it(
    command: Command, header: str
) -> None:
    assert "--rest-header must be NAME:VALUE" in refusal(
        command, f"--rest-header={header}", *REQUIRED
    )
    if header:
        variables = {"NIMBUS_LIGHT_CLIENT_REST_HEADER": header}
        assert "NAME:VALUE" in refusal(command, *REQUIRED, **variables)


@pytest.mark.parametrize("header", [f"A B:{SECRET}", f"Accept:{SECRET}", f"A:{SECRET}\u00e9"])
def test_a_header_that_cannot_be_sent_is_refused_without_its_value(
    command: Command, header: str
) -> None:
    refusal(command, f"--rest-header={header}", *REQUIRED)


@pytest.mark.parametrize("words", [[SECRET], ["Bearer", SECRET], [f"key={SECRET}"]])
def test_what_follows_a_header_without_quotes_is_not_repeated(
    command: Command, words: list[str]
) -> None:
    said = refusal(command, *REQUIRED, "--rest-header", "Authorization:x", *words)
    assert "a value with spaces needs quotes" in said


def test_a_mistyped_command_is_told_the_nearest_one(command: Command) -> None:
    assert "did you mean verify?" in refusal(command, "verifi")


def test_an_unusable_url_is_named_by_its_number(command: Command) -> None:
    said = refusal(command, *REQUIRED, f"--rest-url=ftp://user:{SECRET}@host")
    assert "--rest-url number 2: " in said


def test_without_a_trusted_root_it_says_how_to_get_one(command: Command) -> None:
    said = refusal(command, "--rest-url=http://127.0.0.1:1")
    assert "--trusted-block-root" in said
    assert "/eth/v1/beacon/headers/finalized" in said


def test_without_a_url_and_without_peers_it_says_so(command: Command) -> None:
    said = refusal(command, "--trusted-block-root", ROOT, "--no-discv5")
    assert "--rest-url" in said


@pytest.mark.parametrize(
    "bad",
    [
        "--trusted-block-root=0x12",
        "--trusted-block-root=latest",
        "--trusted-block-root=",
        "--network=mainet",
        "--network=",
        "--network=/no/such/directory",
        "--genesis-time=1",
        "--bls-backend=best",
        "--forced-update=always",
        "--stop-at-synced-epoch=-1",
        "--debug-stop-at-epoch=soon",
        "--log-level=loud",
        "--log-format=xml",
        "--log-file=/no/such/directory/log",
        "--log-file=.",
        "--audit-committees=maybe",
        "--rest-url=",
        "--rest-url=127.0.0.1:5052",
        "--rest-url",
        "--no-such-option=1",
        "--trusted-block-root=\udcff\n",
    ],
)
def test_a_bad_value_is_one_line_and_exit_code_2(command: Command, bad: str) -> None:
    refusal(command, *REQUIRED, bad)


@pytest.mark.parametrize("option", ["--network=hoodi", "--log-level=debug", "--audit-committees"])
def test_an_option_before_a_command_is_refused(command: Command, option: str) -> None:
    said = refusal(command, option, "verify", "--help")
    assert f"{option.partition('=')[0]} stands before verify: put it after" in said


def test_variables_of_the_follower_do_not_disturb_the_commands(command: Command) -> None:
    variables = {"NIMBUS_LIGHT_CLIENT_NETWORK": "hoodi", "NIMBUS_LIGHT_CLIENT_REST_URL": "http://a"}
    assert command("verify", "--help", env=variables).exit_code == 0


def test_the_version_is_that_of_the_library(command: Command) -> None:
    assert command("--version").stdout.split() == [
        "nimbus-light-client,",
        "version",
        lightclient.__version__,
    ]


def test_help_and_version_work_without_standard_streams() -> None:
    for option in ("--help", "--version"):
        line = f'exec "{sys.executable}" -m lightclient_cli {option} >&- 2>&-'
        assert subprocess.run(["sh", "-c", line], check=False, timeout=240).returncode == 0
