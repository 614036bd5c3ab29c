"""What the simulated month's figure of memory counts, and what it leaves out."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import trio

from tests.soak.figures import Result
from tests.soak.following import LongResult
from tests.soak.weighing import reachable_bytes

_MEGABYTE = 1 << 20


@dataclass
class Thing:
    kept: dict[str, object] = field(default_factory=dict)


def test_what_an_object_keeps_counts_wherever_it_hides() -> None:
    thing, empty = Thing(), reachable_bytes(Thing())
    hidden = bytes(_MEGABYTE)
    thing.kept["closure"] = lambda: hidden
    assert empty + _MEGABYTE < reachable_bytes(thing) < empty + _MEGABYTE + 2000
    thing.kept["again"] = [hidden, {"it": (hidden,)}]
    assert reachable_bytes(thing) < empty + _MEGABYTE + 4000


def test_surroundings_and_the_event_loop_do_not_count() -> None:
    world = Thing({"large": bytes(_MEGABYTE)})
    sending, _receiving = trio.open_memory_channel[bytes](1)
    sending.send_nowait(bytes(_MEGABYTE))
    thing = Thing({"world": world, "loop": sending, "code": logging, "kind": Thing})
    assert reachable_bytes(thing, (world,)) < 2000


def test_a_client_that_grows_is_found_out() -> None:
    steady = [(float(day), 50 * _MEGABYTE, _MEGABYTE) for day in range(9)]
    growing = [(day, process, own + int(day) * _MEGABYTE // 2) for day, process, own in steady]
    result = Result(seed=1)
    assert LongResult(result, 0, 0, steady).violations == []
    assert LongResult(result, 0, 0, growing).violations == ["the client grew by 1.00 MB"]
