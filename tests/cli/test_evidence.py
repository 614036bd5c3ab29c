"""Agreement and its opposite on the command line: confirmed heads, and evidence judged again."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from click.testing import CliRunner

from lightclient.client.evidence import FILE_NAMES
from lightclient.client.fetching import Fetcher
from lightclient.client.following import Follower
from lightclient.client.reporting import ConflictReporter
from lightclient.simulator.live_scenes import conflicting
from lightclient_cli.main import main
from tests.client.world import SLOTS_PER_PERIOD, World, ignore
from tests.served import past_chain, served


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a client leaves that met two heads of one slot."""
    directory = tmp_path_factory.mktemp("evidence")

    async def run() -> None:
        world = World(SLOTS_PER_PERIOD + 30)
        found = Fetcher.over(world.processor(), [world.provider()], world.clock, ignore)
        loop = Follower(found, world.clock, lambda low, _: low)
        for _ in range(6):
            await loop.step()
            world.now_ms += 1
        found.on_conflict = ConflictReporter(found.processor, "continue", directory).report
        update = world.chain.optimistic_update()
        assert update is not None
        await found.judge(found.providers[0], conflicting(world.chain, update))

    anyio.run(run)
    (made,) = directory.iterdir()
    return made


def test_a_conflict_is_confirmed_and_what_it_relies_on_is_named(folder: Path) -> None:
    result = CliRunner().invoke(main, ["verify", "--evidence", str(folder)])
    assert result.exit_code == 0, result.output
    assert "Conflict on" in result.output
    assert "compare them" in result.output
    as_json = CliRunner().invoke(main, ["verify", "--evidence", str(folder), "--json"])
    document = json.loads(as_json.output)
    assert document["conflict"] in result.output
    assert [item["verdict"] for item in document["objects"]] == ["accepted", "accepted"]


def test_two_objects_that_agree_are_no_conflict(folder: Path, tmp_path: Path) -> None:
    for name in FILE_NAMES:
        (tmp_path / name).write_bytes((folder / FILE_NAMES[0]).read_bytes())
    result = CliRunner().invoke(main, ["verify", "--evidence", str(tmp_path)])
    assert result.exit_code == 1
    assert "No conflict" in result.output


def test_what_is_no_evidence_is_said_to_be_none(folder: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["verify", "--evidence", str(tmp_path)])
    assert result.exit_code == 2
    assert "cannot be read" in result.output
    for name in FILE_NAMES:
        (tmp_path / name).write_bytes(b"{}")
    result = CliRunner().invoke(main, ["verify", "--evidence", str(tmp_path)])
    assert result.exit_code == 2
    assert "no evidence" in result.output
    arguments = ["verify", "--evidence", str(folder), "--at-slot", "5"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2


@pytest.mark.skipif(os.name != "posix", reason="needs localhost to be 127.0.0.1")
def test_a_follower_with_two_providers_of_two_names_shows_what_both_confirm(
    tmp_path: Path,
) -> None:
    with served(past_chain(slot_ms=400), tmp_path / "network") as chain:
        other = chain.url.replace("127.0.0.1", "localhost")
        arguments = [*chain.options, f"--rest-url={other}", "--min-providers=2"]
        done = subprocess.run(
            [sys.executable, "-m", "lightclient_cli", *arguments, "--stop-at-synced-epoch=0"],
            env=os.environ | {"NO_PROXY": "127.0.0.1,localhost"},
            capture_output=True,
            text=True,
            timeout=240,
            check=True,
        )
    assert "confirmed=" in done.stdout
    # Headers are told of when both have served them; being synced takes that, too.
    told = re.findall(r"New LC optimistic header +slot=(\d+)", done.stdout)
    assert len(told) > 1
    assert int(told[0]) < int(told[-1])


def test_more_agreement_than_there_are_providers_is_refused_at_once() -> None:
    arguments = ["--trusted-block-root", "0x" + "11" * 32, "--rest-url", "http://127.0.0.1:1"]
    result = CliRunner().invoke(main, [*arguments, "--min-providers", "2"])
    assert result.exit_code == 2
    assert "of different names" in result.output
