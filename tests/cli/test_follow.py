"""The follower as a process: what it logs, how it stops, which exit code it leaves."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lightclient.simulator import simulated_network
from lightclient.simulator.habits import Answer, Received
from lightclient.storage import DataDirectory
from lightclient_cli import follow
from tests.cli.conftest import Command
from tests.cli.followers import following, read_until, run, stop
from tests.served import SLOT_MS, Served, past_chain, served, write_network

SECRET = "s3cr3t-v4lue"
ROOT = "0x" + "11" * 32
pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX signals")


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(past_chain(), tmp_path_factory.mktemp("served")) as found:
        yield found


@pytest.fixture
def habits(chain: Served) -> Iterator[Served]:
    """The chain, for a test that changes the server's habits."""
    yield chain
    chain.habits.light_client_status = None
    chain.habits.intercept = None


# --- the main job ---------------------------------------------------------------------------------


def test_it_syncs_and_tells_as_nimbus_does_and_keeps_secrets(chain: Served, tmp_path: Path) -> None:
    url = chain.url.replace("http://", f"http://user:{SECRET}@") + f"?apikey={SECRET}"
    options = [option for option in chain.options if not option.startswith("--rest-url")]
    done = run(
        *options,
        f"--rest-url={url}",
        f"--rest-header=X-Key: {SECRET}",
        "--stop-at-synced-epoch=0",
        "--log-format=json",
        "--log-level=trace",
        f"--log-file={tmp_path / 'log'}",
        f"--data-dir={tmp_path / 'data'}",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "log").read_text() == done.stdout
    assert (tmp_path / "data").is_dir()
    assert SECRET not in done.stdout
    assert chain.habits.received[-1].headers["x-key"] == SECRET

    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[0]["msg"] == "Starting light client"
    assert lines[0]["network"] == "served"
    assert lines[0]["trusted_block_root"] == chain.trusted_block_root
    assert lines[-1] | {"msg": "Stopping", "reason": "--stop-at-synced-epoch"} == lines[-1]

    finalized = [line for line in lines if line["msg"] == "New LC finalized header"]
    optimistic = [line for line in lines if line["msg"] == "New LC optimistic header"]
    assert finalized[0]["root"] == chain.trusted_block_root
    for headers in (finalized, optimistic):
        slots = [line["slot"] for line in headers]
        assert slots == sorted(set(slots))
        assert all(re.fullmatch("0x[0-9a-f]{64}", line["root"]) for line in headers)
    blocks = {"0x" + root.hex() for root in chain.chain.blocks_by_root}
    assert {line["root"] for line in finalized + optimistic} <= blocks

    slots = [line for line in lines if line["msg"] == "Slot start"]
    names = {"slot", "epoch", "sync", "peers", "head", "finalized", "delay"}
    assert all(names <= set(line) for line in slots)
    assert all(0 <= int(line["delay"].removesuffix("ms")) <= SLOT_MS for line in slots)
    numbers = [line["slot"] for line in slots]
    assert numbers == sorted(set(numbers))
    assert all(line["epoch"] == line["slot"] // 8 for line in slots)
    last = slots[-1]
    assert last["sync"] == "synced"
    assert last["peers"] == 1
    assert last["head"] == f"{optimistic[-1]['root'][2:10]}:{optimistic[-1]['slot']}"
    assert last["finalized"] == f"{finalized[-1]['root'][2:10]}:{finalized[-1]['slot']}"
    states = [line["sync"].partition(" ")[0] for line in slots]
    assert states == sorted(states, key=["bootstrapping", "syncing", "synced"].index)


def test_what_a_pipe_gets_is_plain_text_a_line_each(chain: Served) -> None:
    with following(*chain.options) as process:
        seen = read_until(process, "sync=synced")
        rest = stop(process, signal.SIGINT)
    assert "Stopping" in rest
    assert "signal=SIGINT" in rest
    pattern = r"(INF|WRN) \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\S+ (\S.*?) {2,}\S+=.*"
    for line in (seen + rest).splitlines():
        assert re.fullmatch(pattern, line), line


# --- stopping -------------------------------------------------------------------------------------


@contextmanager
def silent_server() -> Iterator[str]:
    """Takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_sigterm_ends_it_at_once_while_a_request_hangs(chain: Served) -> None:
    with silent_server() as url, following(*chain.options[:2], f"--rest-url={url}") as process:
        read_until(process, "sync=bootstrapping")
        stop(process, signal.SIGTERM)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_being_told_to_stop_again_and_again_changes_nothing(
    chain: Served, number: signal.Signals
) -> None:
    with following(*chain.options) as process:
        read_until(process, "sync=synced")
        while process.poll() is None:
            process.send_signal(number)
            time.sleep(0.01)
        assert process.stderr is not None
        assert (process.returncode, process.stderr.read()) == (0, "")


def _with_hangup(disposition: str) -> tuple[str, ...]:
    """The program with SIGHUP as its surroundings leave it: whoever runs this may have nohup."""
    program = (
        "import signal, sys\n"
        "from lightclient_cli.main import main\n"
        f"signal.signal(signal.SIGHUP, signal.{disposition})\n"
        "main(sys.argv[1:])\n"
    )
    return ("-c", program)


def test_a_terminal_that_is_closed_stops_it_in_good_order(chain: Served) -> None:
    with following(*chain.options, program=_with_hangup("SIG_DFL")) as process:
        read_until(process, "sync=synced")
        assert "signal=SIGHUP" in stop(process, signal.SIGHUP)


def test_under_nohup_it_outlives_the_terminal(chain: Served) -> None:
    with following(*chain.options, program=_with_hangup("SIG_IGN")) as process:
        read_until(process, "sync=synced")
        process.send_signal(signal.SIGHUP)
        for _ in range(3):
            read_until(process, "Slot start")
        assert "signal=SIGTERM" in stop(process, signal.SIGTERM)


def test_a_misspelt_variable_is_told_of_without_its_value(
    chain: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIMBUS_LIGHT_CLIENT_REST_HEADERS", "Authorization: s3cret")
    done = run(*chain.options, "--debug-stop-at-epoch=0")
    (line,) = [line for line in done.stdout.splitlines() if "sets no option" in line]
    assert line.startswith("WRN ")
    assert "did_you_mean=NIMBUS_LIGHT_CLIENT_REST_HEADER" in line
    assert "s3cret" not in done.stdout


def test_a_root_that_is_none_is_named_as_the_option_is(chain: Served) -> None:
    done = run(chain.options[0], "--trusted-block-root=0x12", f"--rest-url={chain.url}")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Error: --trusted-block-root: '0x12' is not 32 bytes in hex\n"


def test_sigterm_ends_it_at_once_while_catching_up(habits: Served) -> None:
    def intercept(received: Received, answer: Answer) -> Answer:
        return Answer(503, {}, b"") if received.path.endswith("/updates") else answer

    habits.habits.intercept = intercept
    with following(*habits.options) as process:
        seen = read_until(process, 'sync="syncing (0.00%)"')
        assert "New LC finalized header" in seen
        stop(process, signal.SIGTERM)


def test_a_name_resolution_that_hangs_does_not_hold_it(chain: Served) -> None:
    program = (
        "import socket, sys, time\n"
        "from lightclient_cli.main import main\n"
        "socket.getaddrinfo = lambda *a, **k: time.sleep(600)\n"
        "main(sys.argv[1:])\n"
    )
    options = [*chain.options[:2], "--rest-url=http://beacon.example"]
    with following(*options, program=("-c", program)) as process:
        read_until(process, "sync=bootstrapping")
        stop(process, signal.SIGTERM)


def test_sigterm_before_anything_has_begun_is_a_stop_like_any_other(
    monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    def interrupted(_options: object) -> int:
        signal.raise_signal(signal.SIGTERM)
        raise AssertionError("not stopped")

    monkeypatch.setattr(follow, "run", interrupted)
    before = signal.getsignal(signal.SIGTERM)
    result = command()
    assert (result.exit_code, result.output) == (0, "")
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_reader_that_goes_away_ends_it_without_a_word(chain: Served) -> None:
    with following(*chain.options) as process:
        read_until(process, "Starting light client")
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(60) == 1
        assert process.stderr.read() == ""


def test_it_stops_at_the_epoch_even_if_no_provider_answers(chain: Served) -> None:
    options = [*chain.options[:2], "--rest-url=http://127.0.0.1:1"]
    done = run(*options, "--debug-stop-at-epoch=0")
    assert (done.returncode, done.stderr) == (0, "")
    assert "reason=--debug-stop-at-epoch" in done.stdout


def test_a_network_that_no_longer_runs_is_said_to_be_one() -> None:
    options = [f"--trusted-block-root={ROOT}", "--rest-url=http://127.0.0.1:1"]
    done = run("--network=holesky", *options, "--debug-stop-at-epoch=0")
    assert (done.returncode, done.stderr) == (0, "")
    assert "This network no longer runs" in done.stdout


def run_before_genesis(directory: Path, seconds: int) -> subprocess.CompletedProcess[str]:
    genesis_time = int(time.time()) + seconds
    # The program may be late by most of a slot, but not for the slot.
    network = simulated_network("minimal", genesis_time=genesis_time, slot_duration_ms=60_000)
    return run(
        f"--network={write_network(network, directory)}",
        f"--trusted-block-root={ROOT}",
        "--rest-url=http://127.0.0.1:1",
        "--debug-stop-at-epoch=0",
        "--log-format=json",
    )


def test_before_genesis_it_says_what_it_waits_for_and_nothing_else(tmp_path: Path) -> None:
    done = run_before_genesis(tmp_path, seconds=3)
    if "Waiting for genesis" not in done.stdout:
        # The machine is so busy that genesis was over before the program was up.
        done = run_before_genesis(tmp_path, seconds=30)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    expected = ["Starting light client", "Waiting for genesis", "Slot start"]
    assert [line["msg"] for line in lines][:3] == expected
    assert lines[2]["slot"] == 0
    assert 0 <= int(lines[2]["delay"].removesuffix("ms")) < 60_000


# --- failing --------------------------------------------------------------------------------------


def test_it_gives_up_with_1_when_every_provider_rules_the_root_out(chain: Served) -> None:
    options = [option for option in chain.options if not option.startswith("--trusted")]
    done = run(*options, f"--trusted-block-root={ROOT}")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: http://127.0.0.1:")
    assert f"no bootstrap for block {ROOT}" in line
    assert "it knows no such block" in line


def test_a_refused_object_is_kept_and_explained_elsewhere(
    habits: Served, command: Command, tmp_path: Path
) -> None:
    def intercept(received: Received, answer: Answer) -> Answer:
        if not received.path.endswith("/bootstrap/" + habits.trusted_block_root):
            return answer
        return Answer(200, {"Content-Type": "application/octet-stream"}, b"no bootstrap")

    habits.habits.intercept = intercept
    with following(*habits.options, f"--dump-dir={tmp_path}") as process:
        read_until(process, "Refused object written")
        stop(process, signal.SIGTERM)
    [file] = tmp_path.iterdir()
    told = command("explain", file)
    assert told.exit_code == 0
    assert "bootstrap, 12 bytes that are no such object" in told.output
    assert habits.url in told.output


def test_a_second_process_on_a_data_directory_is_refused(chain: Served, tmp_path: Path) -> None:
    with DataDirectory(tmp_path):
        done = run(*chain.options, f"--data-dir={tmp_path}")
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert f"in use by another process (process {os.getpid()})" in line


def test_a_certificate_file_that_is_none_is_wrong_usage(chain: Served, tmp_path: Path) -> None:
    done = run(*chain.options, f"--rest-ca-file={tmp_path / 'none.pem'}")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_a_fault_of_the_program_is_a_line_and_while_debugging_a_traceback(chain: Served) -> None:
    program = (
        "import sys\n"
        "from lightclient.client import LightClient\n"
        "from lightclient_cli.main import main\n"
        "async def fail(self):\n"
        f"    raise RuntimeError('https://user:{SECRET}@host/{SECRET}')\n"
        "LightClient.run = fail\n"
        "main(sys.argv[1:])\n"
    )
    done = run(*chain.options, "--log-level=debug", program=("-c", program))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: RuntimeError: ")
    assert "please report it" in line
    assert SECRET not in done.stdout + done.stderr
    assert "Traceback" in done.stdout
    (fatal,) = [line for line in done.stdout.splitlines() if line.startswith("FAT")]
    assert "RuntimeError" in fatal


# --- what it keeps --------------------------------------------------------------------------------


def test_killed_and_started_again_it_goes_on_where_it_was(habits: Served, tmp_path: Path) -> None:
    options = [*habits.options, f"--data-dir={tmp_path}"]
    with following(*options) as process:
        read_until(process, "sync=synced")
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    asked: list[str] = []

    def note(received: Received, answer: Answer) -> Answer:
        asked.append(received.path)
        return answer

    habits.habits.intercept = note
    done = run(*options, "--stop-at-synced-epoch=0")
    assert done.returncode == 0
    assert "Going on from the stored state" in done.stdout
    assert not [path for path in asked if "bootstrap" in path]


def test_an_old_root_is_refused_with_its_age_unless_it_is_wished(chain: Served) -> None:
    options = [*chain.options, "--weak-subjectivity-epochs=2", "--stop-at-synced-epoch=0"]
    done = run(*options)
    assert done.returncode == 1
    assert re.search(
        r"Error: the trusted block \(slot \d+\) is \d+\.\d (minutes|hours) old", done.stderr
    )
    assert "--allow-stale-trusted-root" in done.stderr
    assert "New LC" not in done.stdout
    done = run(*options, "--allow-stale-trusted-root")
    assert done.returncode == 0
    assert "older than the weak subjectivity period, as you wish" in done.stdout


def test_the_state_of_another_network_is_refused_in_a_sentence(
    chain: Served, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    assert run(*chain.options, f"--data-dir={data}", "--stop-at-synced-epoch=0").returncode == 0
    directory = write_network(simulated_network("minimal"), tmp_path / "other")
    options = [option for option in chain.options if not option.startswith("--network")]
    done = run(*options, f"--network={directory}", f"--data-dir={data}")
    assert done.returncode == 1
    assert "holds the state of network served" in done.stderr
    assert "choose another directory with --data-dir" in done.stderr
