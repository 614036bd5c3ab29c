"""The demo: ends by itself and well, wherever it is run; a whole one runs in test_packaging.py."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections import Counter
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from lightclient.client import SyncState
from lightclient.simulator import SimulatedChain, simulated_network
from lightclient.simulator.chaos import Witness
from lightclient_cli.chaos import Chaos
from lightclient_cli.demo import DemoRecord, demo_forks
from tests.cli.conftest import Command
from tests.cli.demos import AT_ONCE_SECONDS, posix_only, showing

pytestmark = posix_only


def test_it_crosses_every_fork_and_sums_up_whatever_surrounds_it() -> None:
    with showing("--live-seconds=0") as process:
        out, err = process.communicate(timeout=240)
    assert (process.returncode, err) == (0, ""), out
    lines = out.splitlines()
    finalized = [line.split() for line in lines if line.startswith("finalized ")]
    heads = [line.split() for line in lines if line.startswith("head ")]
    assert len(finalized) >= 20
    assert len(heads) >= 10
    assert finalized[0][-1] == "trusted"
    assert list(dict.fromkeys(words[5] for words in finalized)) == list(demo_forks())
    summary = dict(line.split(": ", 1) for line in lines[-6:])
    assert int(summary["Periods verified"]) >= 20
    assert summary["Forks crossed"] == ", ".join(demo_forks())
    counted = re.fullmatch(r"(\d+) finalized, (\d+) of the head", summary["Headers verified"])
    assert counted is not None
    assert [int(number) for number in counted.groups()] == [len(finalized), len(heads)]
    accepted = re.fullmatch(r"(\d+) accepted(, \d+ duplicate)?", summary["Verdicts"])
    updates = re.fullmatch(r"(\d+), \d+\.\d\d ms each \(\w+\)", summary["Full updates"])
    assert accepted is not None
    assert updates is not None
    # A header comes of each object but the bootstrap, which brings both; a period takes an update.
    assert int(accepted[1]) >= max(len(finalized), len(heads))
    assert int(updates[1]) >= int(summary["Periods verified"])
    assert summary["State"].startswith("synced, after ")


def _until_following(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert any(line.startswith("head ") for line in process.stdout)


@pytest.mark.parametrize("number", [signal.SIGINT])
def test_an_interruption_ends_it_at_once_in_good_order(number: signal.Signals) -> None:
    with showing() as process:
        _until_following(process)
        start = time.monotonic()
        process.send_signal(number)
        _, err = process.communicate(timeout=240)
        assert time.monotonic() - start < AT_ONCE_SECONDS
    assert process.returncode == 130
    assert err.strip() == "Error: interrupted"


def test_it_ends_in_silence_when_nobody_reads_it_any_more() -> None:
    with showing() as process:
        _until_following(process)
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(60) == 1
        assert process.stderr.read() == ""


# Chaos --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [2, 7])
def test_with_most_providers_misbehaving_the_client_reaches_the_true_head(seed: int) -> None:
    with showing(f"--chaos={seed}", "--live-seconds=1.5") as process:
        out, err = process.communicate(timeout=240)
    assert (process.returncode, err) == (0, ""), out
    lines = out.splitlines()
    assert re.fullmatch(rf"Chaos with seed {seed}: [1-3] of 5 are honest\.", lines[0])
    liars = [line for line in lines if line.endswith(": not honest")]
    assert 2 <= len(liars) <= 4
    # Each provider is told of twice: what it will do, and what it did.
    assert len([line for line in lines if line.startswith("provider ")]) == 10
    assert any(re.match(r"  faults: \d+ ", line) for line in lines)
    assert re.search(r"^State: synced, [0-4] slots behind the true head$", out, re.MULTILINE)
    shown = re.search(r"^Headers shown: (\d+), false ones: 0$", out, re.MULTILINE)
    assert shown
    assert int(shown[1]) > 10
    assert lines[-1] == "The client held."


def test_a_seed_is_a_number(command: Command) -> None:
    result = command("demo", "--chaos=x")
    assert result.exit_code == 2
    assert "--chaos" in result.stderr


def test_a_false_header_is_told_loudly_and_fails() -> None:
    said: list[str] = []
    chain = SimulatedChain(simulated_network("minimal"))
    chain.advance_to(20)
    chaos = Chaos(1, chain, said.append, lambda _: nullcontext())
    witness = Witness(chain)
    header: Any = SimpleNamespace(slot=20, root=chain.head.root)
    assert witness.see(header)
    assert witness.slots_behind(header) == 0
    chaos.note(SyncState.SYNCED, 1)
    assert chaos.holds(witness)
    chaos.show(witness, SimpleNamespace(slot=20, root=b"\x11" * 32))  # type: ignore[arg-type]
    assert not chaos.holds(witness)
    assert said == [f"FALSE: slot 20 0x{'11' * 32} is not of the chain"]


@pytest.mark.parametrize(
    ("state", "behind", "holds"),
    [
        (SyncState.SYNCED, 4, True),
        (SyncState.SYNCED, 5, False),
        (SyncState.SYNCED, None, False),
        (SyncState.SYNCING, 0, False),
    ],
)
def test_only_the_true_head_is_good_enough(
    state: SyncState, behind: int | None, holds: bool
) -> None:
    chain = SimulatedChain(simulated_network("minimal"))
    chaos = Chaos(1, chain, print, lambda _: nullcontext())
    chaos.note(state, behind)
    assert chaos.holds(Witness(chain)) is holds


def _record(forks: tuple[str, ...], **verdicts: int) -> DemoRecord:
    headers: Any = [SimpleNamespace(fork=name, slot=index) for index, name in enumerate(forks)]
    return DemoRecord(simulated_network("minimal"), Counter(verdicts), finalized=headers)


@pytest.mark.parametrize(
    ("record", "state", "complete"),
    [
        (_record(demo_forks(), accepted=9, duplicate=1), SyncState.SYNCED, True),
        (_record(demo_forks(), accepted=9, invalid=1), SyncState.SYNCED, False),
        (_record(demo_forks(), accepted=9, missing_parent=1), SyncState.SYNCED, False),
        (_record(demo_forks()[:-1], accepted=9), SyncState.SYNCED, False),
        (_record(demo_forks(), accepted=9), SyncState.SYNCING, False),
        (_record(()), SyncState.BOOTSTRAPPING, False),
    ],
)
def test_only_a_demo_that_showed_everything_has_succeeded(
    record: DemoRecord, state: SyncState, complete: bool
) -> None:
    assert record.is_complete(state) is complete
