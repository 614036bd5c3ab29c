"""The demo over libp2p: hostile peers are parted from, honest ones followed; and how it fails."""

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
from lightclient.wire.messages import GoodbyeReason
from lightclient_cli import peer_demo
from lightclient_cli.demo import demo_forks
from lightclient_cli.peer_demo import PeerDemo
from tests.cli.conftest import Command
from tests.cli.demos import AT_ONCE_SECONDS, posix_only, showing


def test_without_the_extra_it_says_what_to_install(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_demo, "find_spec", lambda name: None)
    result = command("demo", "--transport=libp2p")
    assert result.exit_code == 2
    assert "lightclient[libp2p]" in result.stderr
    assert "--transport" in result.stderr
    assert result.stdout == ""


def test_rest_is_the_default_and_nothing_else_is_known(command: Command) -> None:
    result = command("demo", "--transport=carrier-pigeon")
    assert result.exit_code == 2
    help_text = " ".join(command("demo", "--help").stdout.split())
    assert re.search(r"--transport \[rest\|libp2p\] .*\[default: rest\]", help_text)


class TestOnSockets:
    """A whole run, as a process."""

    pytestmark = posix_only

    @pytest.fixture(autouse=True)
    def _extra(self) -> None:
        pytest.importorskip("libp2p", reason="the extra [libp2p] is not installed")

    @pytest.mark.slow
    def test_every_fork_is_crossed_and_every_offender_is_left(self) -> None:
        with showing("--transport=libp2p", "--live-seconds=0") as process:
            out, err = process.communicate(timeout=240)
        assert (process.returncode, err) == (0, ""), out
        lines = out.splitlines()
        assert lines[-1] == "The client held."
        assert re.search(r"^Headers shown: \d+, false ones: 0$", out, re.MULTILINE)
        assert f"Forks crossed: {', '.join(demo_forks())}" in lines
        forks = [line.split()[5] for line in lines if line.startswith("finalized ")]
        assert list(dict.fromkeys(forks)) == list(demo_forks())
        left = Counter(line.split(": ")[1] for line in lines if line.startswith("left "))
        assert left["bad score"] >= 3
        assert left["irrelevant network"] >= 1
        assert left["fault"] >= 1
        told = dict(re.findall(r"^peer \d \((\w+); libp2p:\w+\)\n  did: (.*)$", out, re.MULTILINE))
        assert told["honest"] == "nothing wrong"
        assert "forged_" in told["forger"]
        assert "cut_gossip" in told["breaker"]
        assert "wrong_network" in told["stranger"]
        assert "silent" in told["mute"]
        assert "junk_gossip" in told["spammer"]
        assert out.count("was told by gossip") == 7
        assert " true, 0 false" in out
        assert not re.search(r"[1-9]\d* false$", out, re.MULTILINE)

    def test_an_interruption_ends_it_at_once_in_good_order(self) -> None:
        with showing("--transport=libp2p") as process:
            assert process.stdout is not None
            assert any(line.startswith("peer 7 ") for line in process.stdout)
            start = time.monotonic()
            process.send_signal(signal.SIGINT)
            try:
                _, err = process.communicate(timeout=240)
            except subprocess.TimeoutExpired:
                pytest.fail("it does not end")
            assert time.monotonic() - start < AT_ONCE_SECONDS
        assert process.returncode == 130
        assert err.strip() == "Error: interrupted"


# What counts as a failure -----------------------------------------------------------------------


def _peer(role: str, *, told_false: int = 0, met: int = 1, **goodbyes: int) -> Any:
    ends = {"honest": (), "forger": ("BAD_SCORE",), "mute": ("FAULT",)}[role]
    return SimpleNamespace(
        name="peer 1",
        role=SimpleNamespace(
            name=role,
            is_honest=role == "honest",
            ends=frozenset(GoodbyeReason[name] for name in ends),
        ),
        tally=SimpleNamespace(met=met, told_false=told_false, goodbyes=Counter(goodbyes)),
    )


@pytest.mark.parametrize(
    ("peer", "fault"),
    [
        (_peer("honest", client_shutdown=1), None),
        (_peer("honest", met=0), "was not found"),
        (_peer("honest", bad_score=1), "for its score"),
        (_peer("honest", told_false=1), "told what is false"),
        (_peer("forger", bad_score=2), None),
        (_peer("forger", client_shutdown=1), "was not left"),
        (_peer("mute", fault=1), None),
        (_peer("mute"), "was not left"),
    ],
)
def test_a_peer_that_was_not_treated_as_it_deserves_is_a_failure(
    peer: Any, fault: str | None
) -> None:
    demo, witness = _demo()
    found = demo.faults(SimpleNamespace(peers=(peer,)), witness)  # type: ignore[arg-type]
    assert [fault in text for text in found] == [True] if fault else not found


def _demo() -> tuple[PeerDemo, Witness]:
    """A demo in which all went well so far."""
    chain = SimulatedChain(simulated_network("minimal"))
    demo = PeerDemo(chain, 0, _said.append, lambda _: nullcontext(), 0.0, 0.0)
    headers: Any = [SimpleNamespace(fork=name) for name in demo_forks()]
    demo.record.finalized += headers
    demo.state, demo.slots_behind = SyncState.SYNCED, 1
    return demo, Witness(chain)


_said: list[str] = []
_NOBODY: Any = SimpleNamespace(peers=())


def test_not_to_be_at_the_true_head_is_a_failure() -> None:
    demo, witness = _demo()
    assert not demo.faults(_NOBODY, witness)
    demo.slots_behind = 5
    assert demo.faults(_NOBODY, witness) == ["the client is not at the true head"]
    demo.state = SyncState.SYNCING
    assert demo.faults(_NOBODY, witness) == ["the client is syncing"]


def test_a_fork_that_was_not_reached_is_a_failure() -> None:
    demo, witness = _demo()
    del demo.record.finalized[-1]
    assert demo.faults(_NOBODY, witness) == [f"fork {demo_forks()[-1]} was not reached"]


def test_a_false_header_is_told_loudly_and_fails() -> None:
    demo, witness = _demo()
    _said.clear()
    header: Any = SimpleNamespace(
        slot=20,
        root=b"\x11" * 32,
        fork="altair",
        participants=None,
        execution_block_hash=None,
    )
    demo.show(witness, "head", header)
    assert _said[-1] == f"FALSE: slot 20 0x{'11' * 32} is not of the chain"
    assert demo.faults(_NOBODY, witness) == ["1 false headers were shown"]
