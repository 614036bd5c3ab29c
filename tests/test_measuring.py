"""Coverage sees what it is said to see: no tracer in the scenery, and the same one after it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from lightclient.simulator import SimulatedChain, simulated_network
from tests.measuring import UNMEASURED, measuring
from tests.scenery import ABOUT_CHAINS, leave_scenery_unmeasured, scenery_of


class Tracer:
    """Notes which functions were entered."""

    def __init__(self) -> None:
        self.entered: set[str] = set()

    def __call__(self, frame: FrameType, event: str, argument: object) -> Any:
        self.entered.add(frame.f_code.co_name)
        return self


@contextmanager
def tracing() -> Iterator[Tracer]:
    """In place of coverage's own tracer, if there is one; chains are made as under coverage."""
    before, before_of_threads = sys.gettrace(), threading.gettrace()
    made = Tracer()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in vars(SimulatedChain).items():
            if callable(value):
                patch.setattr(SimulatedChain, name, value)  # to be put back at the end
        sys.settrace(made)
        threading.settrace(made)
        leave_scenery_unmeasured()
        try:
            yield made
            assert sys.gettrace() is threading.gettrace() is made
        finally:
            sys.settrace(before)
            threading.settrace(before_of_threads)


def measured_here() -> None:
    """What a test does."""


def play() -> None:
    """What a test does, in another thread, too, and with a chain."""
    measured_here()
    thread = threading.Thread(target=measured_here, name="played")
    thread.start()
    thread.join()
    SimulatedChain(simulated_network("minimal", {"electra": 0})).advance_to(2)


def test_a_rooms_test_is_measured_but_for_its_chains() -> None:
    with tracing() as tracer, measuring("sync/test_planner.py"):
        play()
    assert {"play", "measured_here"} <= tracer.entered
    assert "_add_block" not in tracer.entered


def test_chains_are_measured_where_they_are_tested() -> None:
    test = "simulator/test_chain.py"
    with tracing() as tracer, scenery_of(test), measuring(test):
        play()
    assert {"measured_here", "_add_block"} <= tracer.entered


@pytest.mark.parametrize("name", ["soak/test_seeds.py", "client/test_many_providers.py"])
def test_what_plays_the_whole_client_is_not_measured(name: str) -> None:
    with tracing() as tracer, measuring(name):
        play()
    assert not {"play", "measured_here", "_add_block"} & tracer.entered


def test_a_failure_leaves_the_tracer_as_it_was() -> None:
    with tracing() as tracer:
        with pytest.raises(ZeroDivisionError), measuring("soak/test_seeds.py"):
            raise ZeroDivisionError
        measured_here()
    assert "measured_here" in tracer.entered


def test_all_that_is_left_out_is_there(checkout: Path) -> None:
    named = (*UNMEASURED, *ABOUT_CHAINS)
    assert [name for name in named if not (checkout / "tests" / name).exists()] == []
