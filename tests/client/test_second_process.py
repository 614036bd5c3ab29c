"""Another process checks signatures; whatever becomes of it, only time is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from lightclient.bls import (
    ANSWER_HOLDS,
    Backend,
    CommitteeSignature,
    SharedCheck,
    available_backends,
    backend_by_name,
)
from lightclient.client import second_process as module
from lightclient.client.second_process import SecondProcess
from tests.bls.committees import INFINITY_SIGNATURE, keys_of, signed


def wait_until(what: str, is_true: object, seconds: float = 60.0) -> None:
    assert callable(is_true)
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


def is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(params=[backend.name for backend in available_backends()])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each usable backend in turn."""
    return backend_by_name(request.param)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the process starts: the length of its first wait is fixed then."""
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.2)


@pytest.fixture
def second(backend: Backend) -> Iterator[SecondProcess]:
    made = SecondProcess(backend)
    made.start()
    wait_until("the process never became ready", lambda: made.is_ready)
    yield made
    made.close()


def taken(second: SecondProcess, count: int) -> list[bool]:
    answers = b""
    while len(answers) < count:
        more = second.answers(wait=True)
        assert more, "it ended"
        answers += more
    assert second.answers() == b""
    return [answer == ANSWER_HOLDS[0] for answer in answers]


def well_attended(backend: Backend, count: int) -> list[CommitteeSignature]:
    """Good signatures, of which no key has to be summed."""
    return [_signed_by_most(backend.name, index) for index in range(count)]


@cache
def _signed_by_most(backend_name: str, index: int) -> CommitteeSignature:
    backend = backend_by_name(backend_name)
    return signed(backend, index, 0xFF ^ (1 << index % 9) & 0xFF, bytes([index]) * 32)


def forged(backend: Backend) -> CommitteeSignature:
    return CommitteeSignature(keys_of(backend, 7), b"\xff", b"m" * 32, INFINITY_SIGNATURE)


def test_it_answers_in_the_order_of_the_questions(backend: Backend, second: SecondProcess) -> None:
    good = well_attended(backend, 4)
    for batch in (good, [*good, forged(backend)], good[:1]):
        assert second.ask(batch)
    assert taken(second, 3) == [True, False, True]


def test_absent_members_are_subtracted_there_too(backend: Backend, second: SecondProcess) -> None:
    partial = [
        signed(backend, index, 0xFF ^ (1 << index), bytes([index]) * 32) for index in range(4)
    ]
    assert second.ask(partial)
    assert taken(second, 1) == [True]
    lying = [
        CommitteeSignature(item.keys, b"\xff", item.signing_root, item.signature)
        for item in partial
    ]
    assert second.ask(lying)
    assert taken(second, 1) == [False]


def test_what_must_be_summed_is_left_to_this_process(
    backend: Backend, second: SecondProcess
) -> None:
    assert not second.ask([signed(backend, 1, 0x07, b"few" * 10 + b"..")])


def test_nobody_is_handed_anything_before_it_is_ready(backend: Backend) -> None:
    assert not SecondProcess(backend).ask(well_attended(backend, 2))


def test_a_killed_process_is_replaced_by_checking_here(
    backend: Backend, second: SecondProcess
) -> None:
    good = well_attended(backend, 32)
    with SharedCheck(backend, second) as check:
        for index, item in enumerate(good):
            check.add(item)
            if index == 6:
                assert second.process_id is not None
                os.kill(second.process_id, signal.SIGKILL)
        assert check.all_hold()
    assert not second.is_ready
    second.start()  # it is not tried again
    assert second.process_id is None


def test_a_process_that_hangs_is_given_up(
    backend: Backend, impatient: None, second: SecondProcess
) -> None:
    assert second.process_id is not None
    os.kill(second.process_id, signal.SIGSTOP)
    good = well_attended(backend, 16)
    with SharedCheck(backend, second) as check:
        for item in good:
            check.add(item)
        assert check.all_hold()
    assert not second.is_ready


@pytest.mark.parametrize("culprit", range(16))
def test_a_forgery_fails_the_check_wherever_it_is_looked_at(
    backend: Backend, second: SecondProcess, culprit: int
) -> None:
    batch = well_attended(backend, 16)
    batch[culprit] = forged(backend)
    with SharedCheck(backend, second) as check:
        for item in batch:
            check.add(item)
        assert not check.all_hold()
    # Nothing is left over that the next one could take for its own answer.
    with SharedCheck(backend, second) as check:
        for item in well_attended(backend, 16):
            check.add(item)
        assert check.all_hold()


def test_answers_that_nobody_took_are_never_mistaken(
    backend: Backend, second: SecondProcess
) -> None:
    bad = [forged(backend)] * 8
    with SharedCheck(backend, second) as broken_off:
        for item in bad:
            broken_off.add(item)
    with SharedCheck(backend, second) as check:
        for item in well_attended(backend, 16):
            check.add(item)
        assert check.all_hold()


def test_without_a_second_process_all_is_checked_here(backend: Backend) -> None:
    for batch, holds in ((well_attended(backend, 9), True), ([forged(backend)], False), ([], True)):
        check = SharedCheck(backend, None)
        for item in batch:
            check.add(item)
        assert check.all_hold() is holds


def test_closing_ends_it_and_leaves_nothing_behind(backend: Backend) -> None:
    before = set(Path("/proc/self/fd").iterdir()) if sys.platform == "linux" else set()
    second = SecondProcess(backend)
    for _ in range(3):
        second.start()
        process_id = second.process_id
        assert process_id is not None
        second.close()
        second.close()
        wait_until("it lives on", lambda number=process_id: not is_running(number))
    if sys.platform == "linux":
        wait_until("pipes stay open", lambda: set(Path("/proc/self/fd").iterdir()) <= before)


def test_an_interpreter_that_cannot_be_started_is_done_without(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    second = SecondProcess(backend)
    second.start()
    assert not second.ask(well_attended(backend, 2))
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    frozen = SecondProcess(backend)
    frozen.start()
    assert frozen.process_id is None


def test_one_that_ends_while_starting_is_done_without(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PROGRAM", "raise SystemExit(3)")
    second = SecondProcess(backend)
    second.start()
    wait_until("it was not noticed", lambda: second.process_id is None)
    assert not second.is_ready


_PARENT = """
import sys, time
from lightclient.bls import choose_backend
from lightclient.client.second_process import SecondProcess
second = SecondProcess(choose_backend("milagro"))
second.start()
print(second.process_id, flush=True)
time.sleep(600)
"""


def test_it_ends_when_its_parent_is_killed() -> None:
    pytest.importorskip("milagro_bls_binding")
    with subprocess.Popen([sys.executable, "-c", _PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        process_id = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
        wait_until("it outlives its parent", lambda: not is_running(process_id))


def test_nothing_is_imported_from_the_current_directory(
    backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("marshal", "lightclient", "signal", "logging"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'taken')!r}, 'w').close()\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(sys, "path", [item for item in sys.path if item])
    second = SecondProcess(backend)
    second.start()
    wait_until("the process never became ready", lambda: second.is_ready)
    second.close()
    assert not (tmp_path / "taken").exists()
