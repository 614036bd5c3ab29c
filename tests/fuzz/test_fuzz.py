"""Fuzzing in short, from one seed: each decoder and the processor; and that faults are found."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightclient.containers import LightClientUpdate, default_sync_committee
from lightclient.protocol import is_finality_update, validation
from lightclient.wire.snappy_frames import FrameReader
from tests.fuzz import plain
from tests.fuzz.__main__ import _reason, _seconds_for, main
from tests.fuzz.consumer import Consumer
from tests.fuzz.histories import CHECKOUT, histories
from tests.fuzz.plain import fuzz
from tests.fuzz.processes import Processes
from tests.fuzz.processing import truth_of
from tests.fuzz.targets import TARGETS, Target
from tests.fuzz.truth import Forged

# Whose inputs are sequences of steps, or are judged again and again.
_SLOW = ("processor", "dump", "evidence", "engine", "discovery")
every_target = pytest.mark.parametrize("name", TARGETS)
# All but the processor, whose inputs are sequences of choices: any bytes are as good as any.
every_decoder = pytest.mark.parametrize("name", [name for name in TARGETS if name != "processor"])


@every_target
def test_mutated_objects_of_the_vectors_do_no_harm(name: str) -> None:
    run = fuzz(TARGETS[name], 30, "make test", most=40 if name in _SLOW else 300)
    assert [finding.reason for finding in run.findings] == []
    assert run.executions > 10
    assert len(run.behaviours) > 2


@every_target
def test_what_was_a_finding_once_is_none_any_more(name: str) -> None:
    for data in TARGETS[name].regressions():
        TARGETS[name].run(data)


@cache
def _seeds(name: str) -> list[bytes]:
    return [data for data in TARGETS[name].seeds() if len(data) <= TARGETS[name].max_bytes]


@settings(max_examples=25)
@every_decoder
@given(data=st.data())
def test_any_bytes_lead_to_an_object_or_to_its_own_error(name: str, data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from(_seeds(name)) | st.binary(max_size=300)))
    for _ in range(data.draw(st.integers(0, 3))):
        start = data.draw(st.integers(0, len(content)))
        content[start : start + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=40))
    TARGETS[name].run(bytes(content))


@every_target
def test_seeds_are_taken_in_and_lead_to_the_same_each_time(name: str) -> None:
    assert _seeds(name)
    words = [TARGETS[name].run(data) for data in _seeds(name)[:8]]
    assert [TARGETS[name].run(data) for data in _seeds(name)[:8]] == words
    assert any("Error" not in word for word in words)


# What finds must be able to find ------------------------------------------------------------------


def _target(run: object, **options: object) -> Target:
    return Target("planted", run, lambda: [b"seed", b"another"], **options)  # type: ignore[arg-type]


def test_a_planted_fault_is_found_and_its_input_kept(tmp_path: Path) -> None:
    def run(data: bytes) -> str:
        if b"\xff" in data:
            raise IndexError("planted")
        return str(len(data))

    target = _target(run)
    found = fuzz(target, 20, 1)
    assert len(found.findings) == 5
    assert b"\xff" in found.findings[0].data
    assert "IndexError: planted" in found.findings[0].reason
    assert target.keep(found.findings[0].data, tmp_path).read_bytes() == found.findings[0].data


@pytest.mark.skipif(sys.platform == "win32", reason="needs an alarm")
def test_an_input_that_takes_too_long_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "MAX_SECONDS", 0.05)

    def run(data: bytes) -> str:
        while data == b"seed":
            time.sleep(0.001)
        return ""

    # Any other input may be too slow for a busy machine.
    found = fuzz(_target(run), 60, 1, most=3).findings
    assert b"seed" in [finding.data for finding in found]


def test_the_same_seed_draws_the_same_inputs() -> None:
    def inputs(seed: object) -> list[bytes]:
        seen: list[bytes] = []

        def run(data: bytes) -> str:
            seen.append(data)
            return ""

        fuzz(_target(run, max_bytes=50), 20, seed, most=200)
        assert all(len(data) <= 50 for data in seen)
        return seen

    assert inputs(1) == inputs(1) != inputs(2)


def test_the_word_of_a_finding_is_the_exception() -> None:
    assert _reason(" === Uncaught Python exception: ===\nForged: x\n").startswith("see")
    assert _reason("x\n === \n=== Uncaught Python exception: ===\nForged: x\n") == "Forged: x"
    assert _reason("==1== ERROR: libFuzzer: timeout after 10 seconds\n") == (
        "timeout after 10 seconds"
    )


# The truth that the processor is held to ----------------------------------------------------------


@pytest.mark.parametrize("index", range(len(histories())), ids=lambda i: histories()[i].name)
def test_every_genuine_object_says_what_is_true(index: int) -> None:
    for value in histories()[index].objects:
        truth_of(index).check_valid(value)


def _update(*, with_finality: bool = False) -> tuple[int, LightClientUpdate]:
    for index, history in enumerate(histories()):
        for value in history.objects:
            if isinstance(value, LightClientUpdate) and (
                not with_finality or is_finality_update(value)
            ):
                return index, value
    raise AssertionError("no such update in the vectors")


def test_an_update_that_says_less_or_the_same_otherwise_is_no_forgery() -> None:
    index, update = _update()
    truth = truth_of(index)
    size = histories()[index].network.preset.sync_committee_size
    branch = tuple(bytes(32) for _ in update.next_sync_committee_branch)
    silent = default_sync_committee(size)
    truth.check_valid(
        replace(update, next_sync_committee=silent, next_sync_committee_branch=branch)
    )
    truth.check_valid(replace(update, signature_slot=update.signature_slot + 1))


def test_a_forged_signature_finality_committee_or_header_would_be_noticed() -> None:
    index, update = _update(with_finality=True)
    aggregate = update.sync_aggregate
    bits = bytes(~byte & 0xFF for byte in aggregate.sync_committee_bits)
    attested = update.attested_header
    keys = update.next_sync_committee.pubkeys
    for forged in (
        replace(update, sync_aggregate=replace(aggregate, sync_committee_signature=bytes(96))),
        replace(update, sync_aggregate=replace(aggregate, sync_committee_bits=bits)),
        replace(update, attested_header=replace(attested, beacon=replace(attested.beacon, slot=1))),
        replace(update, finalized_header=attested),
        replace(
            update,
            next_sync_committee=replace(update.next_sync_committee, pubkeys=keys[48:] + keys[:48]),
        ),
        replace(histories()[index].bootstrap, header=attested),
    ):
        with pytest.raises(Forged):
            truth_of(index).check_valid(forged)


@pytest.mark.parametrize("rule", ["_check_signature", "_check_next_sync_committee", "_check_slots"])
def test_a_processor_that_forgets_a_rule_is_caught(
    rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation, rule, lambda *_: None)
    found = fuzz(TARGETS["processor"], 60, "forgetful", most=400, enough=1).findings
    assert "Forged: " in found[0].reason


@pytest.mark.skipif("discovery" not in TARGETS, reason="needs the extra lightclient[libp2p]")
def test_discovery_that_believes_any_address_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightclient.wire.discv5.engine.may_tell", lambda *_: True)
    found = fuzz(TARGETS["discovery"], 60, "credulous", most=400, enough=1).findings
    assert "in _check_address" in found[0].reason


def test_answers_that_depend_on_how_they_are_cut_are_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def hasty(reader: FrameReader, buffer: bytearray) -> bool:
        reader._content += buffer
        buffer.clear()
        return True

    monkeypatch.setattr(FrameReader, "take", hasty)
    assert fuzz(TARGETS["answers"], 60, "hasty", most=400, enough=1).findings


# The tools ----------------------------------------------------------------------------------------


def test_a_consumer_past_its_end_gives_zeros() -> None:
    chosen = Consumer(b"\x01\x02\x03")
    assert (chosen.byte(), chosen.number(), chosen.is_empty) == (1, 0x302, True)
    assert (chosen.byte(), chosen.number(), chosen.take(5), chosen.rest()) == (0, 0, b"", b"")
    assert Consumer(b"\x02\x01\x00\x00\x00abc").pieces() == [b"", b"a", b"bc"]


def _command(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    exit_code = main(list(arguments))
    return exit_code, capfd.readouterr().out


@pytest.mark.slow
def test_the_command_runs_targets_in_processes_of_their_own() -> None:
    # In a program of its own, since what its processes have loaded is decided once in a program;
    # with atheris where that is installed.
    command = [sys.executable, "-m", "tests.fuzz", "--seed", "1"]
    targets = ["--seconds", "4", "--target", "address", "--target", "snappy"]
    done = subprocess.run(
        [*command, *targets], cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {row[0]: row for row in map(str.split, done.stdout.splitlines()) if row}
    for name, coverage in (("address", 5), ("snappy", 3)):
        assert int(rows[name][1]) > 10
        assert int(rows[name][2]) >= coverage
    assert "no findings" in done.stdout


def test_a_budget_is_shared_out_and_what_one_target_leaves_goes_to_the_others() -> None:
    assert TARGETS["processor"].share == 4
    assert _seconds_for(["json", "processor"], 50) == 10
    assert _seconds_for(["processor"], 41.5) == 41.5
    assert 0 < _seconds_for(["processor"], -3) <= 1


@pytest.mark.slow
def test_a_process_that_fails_or_hangs_is_told_from_one_that_ends(tmp_path: Path) -> None:
    processes, log = Processes("tests.fuzz.plain"), tmp_path / "log"
    assert processes.run(["address", "0", "1", str(tmp_path)], 60, log) == 0
    assert '"findings": []' in log.read_text()
    assert processes.run(["no such target", "0", "1", str(tmp_path)], 60, log) == 1
    assert "KeyError: 'no such target'" in log.read_text()
    assert processes.run(["address", "60", "1", str(tmp_path)], 0.5, log) is None


def test_an_input_can_be_run_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "input").write_bytes(b"\x05\x10hello")
    options = ("--target", "snappy", "--repeat", str(tmp_path / "input"))
    assert _command(capfd, *options) == (0, "plain\n")


def test_an_input_that_is_still_a_finding_is_shown(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(data: bytes) -> str:
        raise IndexError("planted")

    monkeypatch.setitem(TARGETS, "snappy", replace(TARGETS["snappy"], run=run))
    (tmp_path / "input").write_bytes(b"")
    options = ("--target", "snappy", "--repeat", str(tmp_path / "input"))
    assert _command(capfd, *options) == (1, "")
