"""Headers asked for by age."""

from __future__ import annotations

import pytest

from lightclient import BlockingLightClient
from lightclient.errors import NotSyncedError, StaleError
from tests.client.world import SLOTS_PER_EPOCH, SLOTS_PER_PERIOD, World

pytestmark = pytest.mark.anyio
HEAD = SLOTS_PER_PERIOD + 30


async def test_a_header_is_returned_when_it_is_young_enough_and_refused_once_it_is_not() -> None:
    world = World(HEAD)
    async with world.client() as client:
        finalized = await client.wait_until_synced()
        age = client.age(finalized)
        assert client.finalized_header(max_age=age) == finalized
        with pytest.raises(
            StaleError, match=rf"slot {finalized.slot}\) is \d+ seconds old"
        ) as told:
            client.finalized_header(max_age=age - 1)
        assert told.value.age == age
        client.stop()
    world.set_clock(HEAD + 3 * SLOTS_PER_EPOCH)  # asleep for a while: nobody fetched anything
    assert client.finalized_header() == finalized
    with pytest.raises(StaleError, match="finalized"):
        client.finalized_header(max_age=age)
    with pytest.raises(StaleError, match="optimistic"):
        client.optimistic_header(max_age=SLOTS_PER_EPOCH * 6)


async def test_a_confirmed_header_is_asked_for_by_age_as_any_other() -> None:
    world = World(HEAD)
    client = world.client(world.provider("one"), world.provider("two"), min_providers=2)
    for ask in (client.confirmed_finalized_header, client.confirmed_optimistic_header):
        with pytest.raises(NotSyncedError, match=r"no confirmed \w+ header yet"):
            ask(max_age=1e9)
    async with client:
        finalized = await client.wait_until_synced()
        head = client.confirmed_optimistic_header(max_age=client.age(finalized))
        assert head == client.confirmed_optimistic_header()
        assert client.confirmed_finalized_header(max_age=client.age(finalized)) == finalized
        with pytest.raises(StaleError, match="the confirmed finalized header"):
            client.confirmed_finalized_header(max_age=client.age(finalized) - 1)
        client.stop()
    world.set_clock(HEAD + 3 * SLOTS_PER_EPOCH)
    with pytest.raises(StaleError, match="the confirmed optimistic header"):
        client.confirmed_optimistic_header(max_age=SLOTS_PER_EPOCH)


def test_without_a_header_there_is_none_to_be_too_old() -> None:
    client = World(HEAD).client()
    assert client.finalized_header() is None
    assert client.optimistic_header() is None
    with pytest.raises(NotSyncedError, match="no finalized header yet") as told:
        client.finalized_header(max_age=1e9)
    assert not isinstance(told.value, StaleError)
    with pytest.raises(NotSyncedError, match="no optimistic header yet"):
        client.optimistic_header(max_age=1e9)


@pytest.mark.parametrize("age", [-1, float("nan"), -0.001])
async def test_an_age_that_is_none_is_refused_as_the_callers_mistake(age: float) -> None:
    world = World(HEAD)
    async with world.client() as client:
        await client.wait_until_synced()
        with pytest.raises(ValueError, match="max_age is a number of seconds"):
            client.finalized_header(max_age=age)


async def test_nobody_can_tell_the_age_of_a_header_from_after_the_clock() -> None:
    world = World(HEAD)
    async with world.client() as client:
        finalized = await client.wait_until_synced()
        client.stop()
    world.set_clock(finalized.slot - 5)
    for ask in (client.finalized_header, client.optimistic_header):
        with pytest.raises(StaleError, match=r"has not begun by this machine's clock") as told:
            ask(max_age=1e9)
        assert told.value.age < 0
    assert client.finalized_header() == finalized


async def test_a_clock_that_signed_headers_prove_to_be_slow_makes_nothing_look_younger() -> None:
    world = World(HEAD)
    async with world.client() as client:
        finalized = await client.wait_until_synced()
        client.stop()
    slot_seconds = world.network.slot_duration_ms / 1000
    age = client.age(finalized)
    world.set_clock(finalized.slot + 1)  # back, so that the head that is known is ahead
    head = client.optimistic_header()
    assert head is not None
    client.watch.clock.note_header(head, world.now_ms)
    with pytest.raises(StaleError, match=r"the clock is [0-9]+ s slow") as told:
        client.finalized_header(max_age=2 * slot_seconds)
    # The head's slot has begun, and its next one may have.
    assert told.value.age == pytest.approx((head.slot - finalized.slot) * slot_seconds)
    assert told.value.age <= age
    assert client.finalized_header(max_age=age) == finalized


def test_the_blocking_face_refuses_old_headers_alike() -> None:
    world = World(HEAD)
    with BlockingLightClient(
        network=world.network,
        trusted_block_root=world.root(),
        transports=[world.provider()],
        clock=world.clock,
    ) as client:
        finalized = client.wait_until_synced(timeout=10)
        assert client.finalized_header(max_age=finalized.age()) == finalized
        assert client.confirmed_finalized_header(max_age=finalized.age()) == finalized
        asks = (
            client.finalized_header,
            client.optimistic_header,
            client.confirmed_finalized_header,
            client.confirmed_optimistic_header,
        )
        for ask in asks:
            with pytest.raises(StaleError):
                ask(max_age=0)
