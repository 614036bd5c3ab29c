"""One object from many providers, in virtual time: who is asked when, who wins, who is given up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from lightclient.client.fetching import Fetcher
from lightclient.client.providers import Request
from lightclient.client.racing import OBJECT_PATIENCE_SLOTS
from lightclient.containers import LightClientFinalityUpdate, LightClientOptimisticUpdate
from lightclient.errors import ProviderUnavailable
from lightclient.sync import FetchBootstrap, FetchFinalityUpdate, FetchOptimisticUpdate
from tests.client.virtual import anyio_backend, threads_inline  # noqa: F401 - fixtures
from tests.client.world import ChainTransport, World, ignore

pytestmark = pytest.mark.anyio
SLOT = 6.0
PATIENCE = OBJECT_PATIENCE_SLOTS * SLOT
_WORLDS: list[World] = []


@pytest.fixture
def world() -> World:
    if not _WORLDS:
        _WORLDS.append(World(30))
    return _WORLDS[0]


class Slow(ChainTransport):
    """Takes its time, for each request the next of ``delays``; counts what was cancelled."""

    def __init__(self, world: World, name: str, *delays: float, lag: int = 0) -> None:
        super().__init__(world, name, lag)
        self.delays = list(delays)
        self.open_requests = self.cancelled = 0
        self.asked_at: list[float] = []

    async def _note(self, request: str) -> None:
        self.asked_at.append(anyio.current_time())
        self.open_requests += 1
        try:
            await anyio.sleep(self.delays[0] if len(self.delays) == 1 else self.delays.pop(0))
        except anyio.get_cancelled_exc_class():
            self.cancelled += 1
            raise
        finally:
            self.open_requests -= 1
        await super()._note(request)


async def bootstrapped(world: World, *transports: ChainTransport) -> Fetcher:
    found = Fetcher.over(world.processor(), transports, world.clock, ignore)
    good = Fetcher.over(found.processor, [world.provider()], world.clock, ignore)
    assert await good.perform(FetchBootstrap())
    return found


async def timed(found: Fetcher, task: Any, *arguments: Any, **options: Any) -> tuple[bool, float]:
    start = anyio.current_time()
    return await found.perform(task, *arguments, **options), anyio.current_time() - start


async def test_a_silent_provider_costs_an_eighth_of_a_slot_and_is_cancelled(world: World) -> None:
    silent, good = Slow(world, "silent", 1000), Slow(world, "good", 0.1)
    found = await bootstrapped(world, silent, good)
    progress, seconds = await timed(found, FetchOptimisticUpdate())
    assert progress
    assert seconds == pytest.approx(PATIENCE + 0.1)
    assert (silent.cancelled, silent.open_requests) == (1, 0)
    assert [item.name for item in found.providers] == ["good", "silent"]
    assert found.providers[1].score.availability < found.providers[0].score.availability


async def test_a_quick_provider_is_asked_alone(world: World) -> None:
    quick, other = Slow(world, "quick", 0.5 * PATIENCE), Slow(world, "other", 0)
    found = await bootstrapped(world, quick, other)
    assert await found.perform(FetchOptimisticUpdate())
    assert other.asked_at == []


async def test_who_was_asked_first_may_still_win(world: World) -> None:
    first, second = Slow(world, "first", 1.2 * PATIENCE), Slow(world, "second", 5)
    found = await bootstrapped(world, first, second)
    progress, seconds = await timed(found, FetchOptimisticUpdate())
    assert progress
    assert seconds == pytest.approx(1.2 * PATIENCE)
    assert second.cancelled == 1
    assert found.providers[1].score.availability == 300  # it was not slower than the winner


async def test_four_silent_ones_of_five_delay_the_fifth_by_half_a_slot(world: World) -> None:
    silent = [Slow(world, f"silent {number}", 1000) for number in range(4)]
    good = Slow(world, "good", 0.1)
    found = await bootstrapped(world, *silent, good)
    progress, seconds = await timed(found, FetchOptimisticUpdate())
    assert progress
    assert seconds <= 4 * PATIENCE + 0.2
    assert [item.open_requests for item in silent] == [0] * 4
    # From now on the good one comes first.
    progress, seconds = await timed(found, FetchFinalityUpdate())
    assert seconds == pytest.approx(0.1)


async def test_one_that_fails_makes_room_at_once(world: World) -> None:
    bad, good = Slow(world, "bad", 0.01), Slow(world, "good", 0.01)
    bad.error = ProviderUnavailable("down", provider="bad")
    found = await bootstrapped(world, bad, good)
    progress, seconds = await timed(found, FetchOptimisticUpdate())
    assert progress
    assert seconds == pytest.approx(0.02)


async def test_nobody_is_asked_twice_and_the_race_ends_when_nobody_helps(world: World) -> None:
    transports = [Slow(world, str(number), 0.01) for number in range(3)]
    for item in transports:
        item.error = ProviderUnavailable("down", provider=item.name)
    found = await bootstrapped(world, *transports)
    assert not await found.perform(FetchOptimisticUpdate())
    assert [len(item.asked_at) for item in transports] == [1, 1, 1]


async def test_once_somebody_answered_a_silent_one_is_waited_for_a_slot_but_not_always(
    world: World,
) -> None:
    old, silent = Slow(world, "old", 0.01), Slow(world, "silent", 30)
    found = await bootstrapped(world, old, silent)
    never: Callable[[], bool] = lambda: False  # noqa: E731
    waits = [(await timed(found, FetchOptimisticUpdate(), never))[1] for _ in range(6)]
    assert waits[0] <= waits[1] <= SLOT + 2 * PATIENCE
    assert waits[2] > 29  # given up twice, it is heard to the end
    assert waits[3] <= SLOT + 2 * PATIENCE
    assert found.providers[1].last_error is None


async def test_for_a_bootstrap_everybody_is_waited_for(world: World) -> None:
    bad, slow = Slow(world, "bad", 0.01), Slow(world, "slow", 29)
    bad.error = ProviderUnavailable("down", provider="bad")
    found = Fetcher.over(world.processor(), [bad, slow], world.clock, ignore)
    assert await found.perform(FetchBootstrap())


async def test_several_are_asked_at_once_on_request(world: World) -> None:
    transports = [Slow(world, str(number), 0.1) for number in range(3)]
    found = await bootstrapped(world, *transports)
    answers: list[Request] = []
    found.on_request.append(answers.append)
    _, seconds = await timed(found, FetchOptimisticUpdate(), lambda: len(answers) >= 2, at_once=2)
    assert seconds == pytest.approx(0.1)
    assert [len(item.asked_at) for item in transports] == [1, 1, 0]


async def test_requests_are_told_with_their_end(world: World) -> None:
    silent, good = Slow(world, "silent", 1000), Slow(world, "good", 0.25)
    found = await bootstrapped(world, silent, good)
    seen: list[Request] = []
    found.on_request.append(seen.append)
    await found.perform(FetchOptimisticUpdate())
    by_name = {item.provider.name: item for item in seen}
    assert by_name["good"].seconds == pytest.approx(0.25)
    assert not by_name["good"].is_cancelled
    assert by_name["silent"].is_cancelled
    assert {item.kind for item in seen} == {"optimistic_update"}
    assert list(found.providers[0].durations) == [pytest.approx(0.25)]


async def test_a_transport_without_deadline_gets_one(world: World) -> None:
    found = await bootstrapped(world, Slow(world, "silent", 10**9))
    progress, seconds = await timed(found, FetchOptimisticUpdate())
    assert not progress
    assert seconds == pytest.approx(300)
    assert "no answer" in str(found.providers[0].last_error)


async def test_a_fault_of_a_transport_ends_the_race_and_cancels_the_others(world: World) -> None:
    class Faulty(ChainTransport):
        async def get_light_client_optimistic_update(self) -> LightClientOptimisticUpdate:
            raise ZeroDivisionError

    silent = Slow(world, "silent", 1000)
    found = await bootstrapped(world, silent, Faulty(world, "faulty"))
    with pytest.raises(ZeroDivisionError):
        await found.perform(FetchOptimisticUpdate())
    assert silent.open_requests == 0


async def test_a_dropped_provider_is_asked_when_nobody_else_answers(world: World) -> None:
    class Junk(ChainTransport):
        async def get_light_client_finality_update(self) -> LightClientFinalityUpdate:
            raise ValueError  # never asked for

    dropped, other = Junk(world, "dropped"), world.provider("other")
    found = await bootstrapped(world, dropped, other)
    found.providers[0].score.note_malformed(world.clock(), 6000, lambda low, _: low)
    assert [item.name for item in found.asking_order()] == ["other"]
    other.error = ProviderUnavailable("down", provider="other")
    assert await found.perform(FetchOptimisticUpdate())


async def test_after_its_time_a_dropped_provider_is_asked_in_turn_again() -> None:
    world = World(30)
    found = await bootstrapped(world, world.provider("one"), world.provider("two"))
    found.providers[1].score.note_malformed(world.clock(), 6000, lambda low, _: low)
    assert len(found.asking_order()) == 1
    world.now_ms += 5 * 6000
    assert len(found.asking_order()) == 2
    assert found.providers[1].score.value > 0


async def test_equals_are_drawn_but_who_helped_last_comes_first(world: World) -> None:
    names = list("abcdef")
    found = await bootstrapped(world, *(world.provider(name) for name in names))
    draws = iter(range(100, 0, -1))
    found.uniform = lambda low, high: next(draws)
    assert [item.name for item in found.asking_order()] == list("afedcb")
    found.providers[3].score.note_accepted()
    found.providers[3].score.note_answer()
    assert [item.name for item in found.asking_order()][:2] == ["a", "d"]
