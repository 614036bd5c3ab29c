"""Event streams with faults, played in process."""

from __future__ import annotations

import random

import anyio
import pytest

from lightclient.containers import LightClientObject, ObjectKind
from lightclient.errors import LightClientError
from lightclient.simulator import SimulatedChain
from lightclient.simulator.exchange import ConnectionLost
from lightclient.simulator.faults import FaultSet, make_fault
from lightclient.simulator.in_process import FaultyTransport
from tests.simulator.faulty_chain import chain, following, now_ms

pytestmark = pytest.mark.anyio


async def pushed(*names: str, slots: int = 6) -> tuple[list[LightClientObject], str]:
    """What arrives while a chain grows by some slots, and how the stream ended."""
    growing = SimulatedChain(chain().network, dense_from_slot=244, keys=chain().keys)
    growing.advance_to(299)
    faults = [make_fault(name, random.Random(2)) for name in names]
    transport = FaultyTransport(growing, faults)
    values: list[LightClientObject] = []
    ending = ""

    async def grow() -> None:
        for slot in range(300, 300 + slots):
            growing.advance_to(slot)
            await anyio.wait_all_tasks_blocked()

    async def listen() -> None:
        nonlocal ending
        stream = transport.stream_updates()
        try:
            async for value in stream:
                values.append(value)  # noqa: PERF401 - the stream raises in the middle
        except LightClientError as error:
            ending = str(error)
        finally:
            await stream.aclose()

    listeners = len(growing.listeners)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen)
        await anyio.wait_all_tasks_blocked()
        await grow()
        tasks.cancel_scope.cancel()
    assert len(growing.listeners) == listeners
    return values, ending


async def test_an_honest_provider_pushes_each_new_update() -> None:
    values, ending = await pushed()
    assert [value.kind for value in values].count(ObjectKind.OPTIMISTIC_UPDATE) == 6
    assert ending == ""


@pytest.mark.parametrize(
    ("name", "count", "words"),
    [
        ("silent_events", 0, ""),
        ("no_events", 0, "404"),
        ("junk_events", 0, "unreadable"),
        ("oversize_event", 0, "unreadable"),
        ("flooding_events", 240, ""),
        ("ending_events", 1, "closed the connection early"),
        ("refusing", 0, "cannot be reached"),
    ],
)
async def test_a_faulty_stream_is_played_in_process(name: str, count: int, words: str) -> None:
    values, ending = await pushed(name)
    assert len(values) >= count
    assert bool(values) == bool(count)
    assert words in ending
    assert bool(words) == bool(ending)


async def test_lies_are_pushed_as_well() -> None:
    values, _ = await pushed("forged_bad_signature")
    assert values
    assert all(following(chain()).process(v, now_ms()).verdict.is_refusal for v in values)


async def test_a_lost_connection_says_how() -> None:
    assert str(ConnectionLost()) == "reset"
    assert FaultSet().names == ()
