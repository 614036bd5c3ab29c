"""README.md: its snippets and commands run, its tables are complete, its links lead somewhere.

The snippets are run as printed, but for the places, roots and network that only a reader can fill
in: there stands a simulated chain.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import click
import pytest
from anyio.from_thread import start_blocking_portal

from lightclient import (
    FetchBootstrap,
    FetchFinalityUpdate,
    FetchUpdates,
    NewFinalizedHeader,
    encode_ssz,
    to_json,
)
from lightclient.containers import LightClientObject
from lightclient.protocol import Rule
from lightclient.simulator.habits import ServerHabits
from lightclient.sync import Event, Task
from lightclient_cli.main import COMMANDS, main
from tests.served import Served, past_chain, served, write_network

CHECKOUT = Path(__file__).resolve().parents[1]
README = (CHECKOUT / "README.md").read_text()
DOCUMENTS = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def snippet(containing: str) -> str:
    (found,) = [block for block in blocks("python") if containing in block]
    return found


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(past_chain(), tmp_path_factory.mktemp("served")) as found:
        yield found


def filled_in(text: str, chain: Served) -> str:
    """``text`` with the simulated chain where a reader puts a real one."""
    places = {
        "https://beacon.example": chain.url,
        "https://another.example": chain.url,
        "0x<root>": chain.trusted_block_root,
        'network="mainnet"': f'network="{chain.network_directory}"',
        "--network=mainnet": f"--network={chain.network_directory}",
        'network = "mainnet"': f'network = "{chain.network_directory}"',
    }
    for placeholder, value in places.items():
        text = text.replace(placeholder, value)
    return text


def first_lines(program: str, count: int) -> list[str]:
    """What a program prints first; it is ended then, and must have been well until there."""
    with subprocess.Popen(
        [sys.executable, "-u", "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"NO_PROXY": "127.0.0.1"},
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            lines = list(islice(process.stdout, count))
            if len(lines) < count:
                raise AssertionError(process.stderr.read())
            return lines
        finally:
            process.kill()


def roots_of(chain: Served) -> set[str]:
    return {root.hex() for root in chain.chain.blocks_by_root}


# --- snippets -------------------------------------------------------------------------------------


def test_every_snippet_is_run_by_a_test_here() -> None:
    names = [
        "finalized_headers():",
        "anyio.run(main)",
        "Libp2pPool",
        "BlockingLightClient",
        "Processor",
        "WithValues",
        "Mock",
    ]
    assert sorted(map(snippet, names)) == sorted(blocks("python"))


def test_a_wallets_first_lines_print_headers(chain: Served) -> None:
    text = snippet("finalized_headers():")
    body = text[: text.index("asyncio.run")].strip().splitlines()
    lines = first_lines(filled_in(text, chain), 3)
    assert len(body) <= 13
    slots = []
    for line in lines:
        slot, number, execution_block_hash = line.split()
        slots.append(int(slot))
        assert int(number) > 0
        assert len(bytes.fromhex(execution_block_hash)) == 32
    assert slots == sorted(set(slots))


def test_callbacks_are_called(chain: Served) -> None:
    lines = first_lines(filled_in(snippet("anyio.run(main)"), chain), 12)
    finalized = [line.split() for line in lines if line.startswith("finalized ")]
    heads = [line.split() for line in lines if line.startswith("head ")]
    assert {words[2] for words in finalized} <= roots_of(chain)
    assert finalized[-1][-2].endswith("%")
    assert len(heads) > 2
    assert sum(line.startswith("Status(state=<SyncState.SYNCED") for line in lines) == 1


@pytest.fixture
def chain_of_peers(tmp_path: Path) -> Iterator[Served]:
    """A chain with two peers that serve it, known to the boot node in its network directory."""
    pytest.importorskip("libp2p", reason="the extra [libp2p] is not installed")
    from lightclient.simulator.libp2p.network import cast_of_peers, peers_of

    grown = past_chain()
    with (
        start_blocking_portal("trio") as portal,
        portal.wrap_async_context_manager(
            peers_of(cast_of_peers(grown, 1, hostile=()), live=True)
        ) as network,
    ):
        directory = write_network(grown.network, tmp_path)
        (directory / "bootstrap_nodes.yaml").write_text(f"- {network.boot_node.text}\n")
        yield Served(grown, ServerHabits(), "", directory)


def test_peers_are_found_and_asked(chain_of_peers: Served) -> None:
    lines = first_lines(filled_in(snippet("Libp2pPool"), chain_of_peers), 5)
    slots = [int(line.split()[0]) for line in lines]
    assert slots == sorted(set(slots))
    assert all(re.fullmatch(r"\d+ [12] peers\n", line) for line in lines)


def test_the_blocking_face_ends_by_itself(chain: Served) -> None:
    done = subprocess.run(
        [sys.executable, "-c", filled_in(snippet("BlockingLightClient"), chain)],
        capture_output=True,
        text=True,
        timeout=240,
        env=os.environ | {"NO_PROXY": "127.0.0.1"},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    state, head = done.stdout.splitlines()
    assert re.fullmatch(r"[0-9a-f]{64} \d+\.\d+ seconds old", state)
    assert int(head) > 0


def test_io_of_ones_own_reaches_the_newest_period(capsys: pytest.CaptureFixture[str]) -> None:
    chain = past_chain()

    def fetch(task: Task) -> Sequence[LightClientObject]:
        match task:
            case FetchBootstrap():
                found: list[LightClientObject | None] = [chain.bootstrap(root)]
            case FetchUpdates(start_period, count):
                found = [*chain.updates(start_period, count)]
            case FetchFinalityUpdate():
                found = [chain.finality_update()]
            case _:
                found = [chain.optimistic_update()]
        return [value for value in found if value is not None]

    root = chain.trusted_block_root(8)
    names: dict[str, Any] = {}
    exec(snippet("Processor"), names)
    period = chain.network.compute_sync_committee_period_at_slot
    newest = chain.finalized
    assert newest is not None
    events: list[Event] = []
    for event in names["follow"](chain.network, root, fetch):
        events.append(event)
        if isinstance(event, NewFinalizedHeader) and period(event.header.slot) == period(
            newest.slot
        ):
            break
    assert events[0].header.root == root
    assert {event.header.root for event in events} <= set(chain.blocks_by_root)
    assert "accepted" in capsys.readouterr().out


def test_the_formatter_shows_what_is_no_part_of_a_message(chain: Served) -> None:
    program = snippet("WithValues") + snippet("BlockingLightClient")
    done = subprocess.run(
        [sys.executable, "-c", filled_in(program, chain)],
        capture_output=True,
        text=True,
        timeout=240,
        env=os.environ | {"NO_PROXY": "127.0.0.1"},
        check=False,
    )
    assert done.returncode == 0
    lines = [line for line in done.stderr.splitlines() if "New LC finalized header" in line]
    roots = [re.search(r" root=([0-9a-f]{64}) ", line) for line in lines]
    assert {found[1] for found in roots if found} <= roots_of(chain)
    assert lines
    assert all(roots)


def test_the_mock_transport_serves_a_wallets_own_tests() -> None:
    names: dict[str, Any] = {}
    exec(snippet("Mock"), names)
    names["test_my_wallet"]()


# --- commands -------------------------------------------------------------------------------------


def command(start: str) -> list[str]:
    (line,) = [
        line.removeprefix("$ ")
        for block in blocks("console")
        for line in block.splitlines()
        if line.startswith(f"$ {start}")
    ]
    return line.split()


def test_the_first_lines_are_the_two_commands() -> None:
    lines = README.splitlines()
    assert lines[3].startswith("$ make demo ")
    assert lines[4].startswith("$ make test ")


def test_following_works_as_printed(chain: Served) -> None:
    words = [filled_in(word, chain) for word in command("nimbus-light-client --network")]
    done = subprocess.run(
        [sys.executable, "-m", "lightclient_cli", *words[1:], "--stop-at-synced-epoch=0"],
        capture_output=True,
        text=True,
        timeout=240,
        env=os.environ | {"NO_PROXY": "127.0.0.1"},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    (printed,) = [block for block in blocks("text") if "Slot start" in block]

    def shapes(text: str) -> set[tuple[str, ...]]:
        """Messages with the names of their values."""
        return {
            (line[34:74].strip(), *re.findall(r" (\w+)=", line[74:])) for line in text.splitlines()
        }

    assert shapes(printed) <= shapes(done.stdout)


def test_the_settings_file_is_accepted(chain: Served, tmp_path: Path) -> None:
    (text,) = blocks("toml")
    path = tmp_path / "config.toml"
    path.write_text(filled_in(text, chain))
    settings = tomllib.loads(path.read_text())
    context = main.make_context("nimbus-light-client", [f"--config-file={path}"])
    assert context.params["network"] == settings["network"]
    assert list(context.params["rest_url"]) == settings["rest-url"]
    assert context.params["rest_header"] == [("Authorization", "Bearer <token>")]
    assert context.params["audit_committees"] is True


def test_verify_prints_what_is_shown(tmp_path: Path) -> None:
    # A chain that stands still: however long this takes, the objects are of three periods.
    simulated = past_chain(3)
    directory = write_network(simulated.network, tmp_path / "devnet")
    chain = Served(simulated, ServerHabits(), "", directory)
    root = simulated.trusted_block_root(8)
    bootstrap, finality = simulated.bootstrap(root), simulated.finality_update()
    assert bootstrap is not None
    assert finality is not None
    (tmp_path / "bootstrap.ssz").write_bytes(encode_ssz(bootstrap))
    updates = [to_json(update) for update in simulated.updates(1, 2)]
    (tmp_path / "updates.json").write_text(json.dumps(updates))
    (tmp_path / "finality.json").write_text(json.dumps(to_json(finality)))
    words = [filled_in(word, chain) for word in command("nimbus-light-client verify")]
    done = subprocess.run(
        [sys.executable, "-m", "lightclient_cli", *words[1:]],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=240,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    (block,) = [block for block in blocks("console") if " verify " in block]

    def without_numbers(lines: Sequence[str]) -> list[str]:
        return [re.sub(r"[0-9.]+", "N", line) for line in lines]

    assert without_numbers(done.stdout.splitlines()) == without_numbers(block.splitlines()[1:])


def test_spec_tests_print_what_is_shown() -> None:
    words = command("nimbus-light-client spec-tests")
    done = subprocess.run(
        [sys.executable, "-m", "lightclient_cli", *words[1:]],
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        timeout=240,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    (block,) = [block for block in blocks("console") if " spec-tests " in block]
    shown = [line for line in block.splitlines()[1:] if line != "..."]
    assert set(shown) <= set(done.stdout.splitlines())


# --- tables and links -----------------------------------------------------------------------------


def test_the_table_of_options_is_that_of_help() -> None:
    rows = re.findall(r"^\| `(--[a-z0-9-]+)[^`]*` \|.*\| *(.*?) *\|$", README, re.MULTILINE)
    options = [param for param in main.params if isinstance(param, click.Option)]
    assert [name for name, _ in rows] == [option.opts[0] for option in options]
    shown = {name: default.strip("`") for name, default in rows}
    for option in options:
        if isinstance(option.default, str):
            assert shown[option.opts[0]] == option.default


def test_choices_of_an_option_are_all_named() -> None:
    for option in main.params:
        if isinstance(option, click.Option) and isinstance(option.type, click.Choice):
            (row,) = [
                line for line in README.splitlines() if line.startswith(f"| `{option.opts[0]} ")
            ]
            assert all(f"`{choice}`" in row for choice in option.type.choices), option.opts[0]


def test_every_command_is_mentioned() -> None:
    for name in COMMANDS:
        assert f"nimbus-light-client {name}" in README


def test_every_make_target_is_mentioned() -> None:
    for name in ("demo", "test", "lint", "bench", "vectors"):
        assert f"make {name}" in README


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files_and_headings(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = document.parent / name if name else document
        assert path.exists(), f"{document.name}: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
            assert anchor in map(_anchor, headings), f"{document.name}: {target}"


def test_troubleshooting_quotes_messages_that_exist_and_every_rule() -> None:
    text = (CHECKOUT / "docs" / "troubleshooting.md").read_text()
    folders = [CHECKOUT / "lightclient", CHECKOUT / "cli"]
    sources = [path.read_text() for folder in folders for path in folder.rglob("*.py")]
    # Literals that are continued on the next line, joined.
    source = re.sub(r'"\s*\n\s*f?"', "", "\n".join(sources))
    tables = text[: text.index("## Rules")]
    quoted = [
        phrase
        for row in re.findall(r"^\| (`.*?) \|", tables, re.MULTILINE)
        for phrase in re.findall(r"`([^`]+)`", row)
    ]
    assert len(quoted) > 20
    assert [phrase for phrase in quoted if phrase not in source] == []
    rules = text[text.index("## Rules") :].partition("They are tested")[0]
    assert re.findall(r"`(\w+)`", rules) == [rule.value for rule in Rule]
    reasons = re.findall(r"^\| `[^`]*` \| `(\w+)` \|", tables, re.MULTILINE)
    known = set(re.findall(r'Explanation\(\s*"(\w+)"', source))
    assert set(reasons) == known | {"not_told"}
