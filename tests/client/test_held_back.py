"""Who is asked late because we keep to a pace that it likes is not slow, and loses no rank."""

from __future__ import annotations

import anyio
import pytest

from lightclient.client.fetching import Fetcher
from lightclient.client.providers import Provider
from lightclient.sync import FetchBootstrap, FetchOptimisticUpdate
from lightclient.transports.scores import START_SCORE
from tests.client.pages import SLOT, bootstrapped, timed
from tests.client.virtual import anyio_backend, threads_inline  # noqa: F401 - fixtures
from tests.client.world import ChainTransport, World, ignore

pytestmark = pytest.mark.anyio


@pytest.fixture
def world() -> World:
    return World(30)


class Paced(ChainTransport):
    """Waits before it asks, and says so where it is told to."""

    def __init__(self, world: World, name: str, pause: float, *, says_so: bool) -> None:
        super().__init__(world, name)
        self.pause = pause
        self.says_so = says_so
        self.held_back = 0

    async def _note(self, request: str) -> None:
        if self.pause:
            self.held_back += self.says_so
            await anyio.sleep(self.pause)
        await super()._note(request)


def of(found: Fetcher, transport: ChainTransport) -> Provider:
    return next(item for item in found.providers if item.transport is transport)


@pytest.mark.parametrize("says_so", [True, False])
async def test_who_is_held_back_by_us_loses_nothing_to_who_was_asked_later(
    world: World, says_so: bool
) -> None:
    paced = Paced(world, "paced", 3 * SLOT, says_so=says_so)
    quick = ChainTransport(world, "quick")
    found = Fetcher.over(world.processor(), [paced, quick], world.clock, ignore)
    assert await found.perform(FetchBootstrap())
    assert of(found, paced).score.availability == START_SCORE - (0 if says_so else 100)
    assert of(found, quick).score.availability > START_SCORE


@pytest.mark.parametrize("says_so", [True, False])
async def test_to_be_given_up_while_held_back_counts_for_nothing(
    world: World, says_so: bool
) -> None:
    paced = Paced(world, "paced", 0, says_so=says_so)
    quick = ChainTransport(world, "quick")
    found = Fetcher.over(world.processor(), [paced, quick], world.clock, ignore)
    for task in (FetchBootstrap(), FetchOptimisticUpdate()):
        await found.perform(task)
    before = of(found, paced).score.availability
    paced.pause = 10 * SLOT
    found.prefer(of(found, paced))
    assert not await found.perform(FetchOptimisticUpdate()), "there is nothing new"
    assert of(found, paced).cuts == (0 if says_so else 1)
    assert of(found, paced).score.availability == before - (0 if says_so else 100)


@pytest.mark.parametrize("says_so", [True, False])
async def test_who_is_held_back_in_a_history_is_not_slow_in_the_rest_of_it(
    says_so: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightclient.client.history.PERIODS_PER_PAGE", 2)
    far = World(64 * 9 + 5)
    paced = Paced(far, "paced", 0, says_so=says_so)
    found = await bootstrapped(far, paced, far.provider())
    paced.pause = 100 * SLOT
    before = of(found, paced).score.availability
    await timed(found)
    assert of(found, paced).score.availability == before - (0 if says_so else 100)
