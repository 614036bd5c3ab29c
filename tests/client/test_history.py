"""A history from many providers: pages shared out, judged in order, asked for again elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence

import anyio
import pytest

from lightclient.containers import LightClientUpdate
from lightclient.errors import MalformedAnswer, ProviderUnavailable
from lightclient.sync import FetchUpdates, Outcome
from lightclient.transports.base import UpdateRange
from tests.client.fetchers import forged, period_of
from tests.client.pages import (
    PAGE,
    PATIENCE,
    PERIODS,
    SLOT,
    Change,
    Paged,
    bootstrapped,
    timed,
)
from tests.client.virtual import anyio_backend, threads_inline  # noqa: F401 - fixtures
from tests.client.world import SLOTS_PER_PERIOD, ChainTransport, World

pytestmark = pytest.mark.anyio
_WORLDS: list[World] = []


@pytest.fixture
def world() -> World:
    if not _WORLDS:
        _WORLDS.append(World(PERIODS * SLOTS_PER_PERIOD + 30))
    return _WORLDS[0]


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightclient.client.history.PERIODS_PER_PAGE", PAGE)


def pages_of(transport: ChainTransport) -> list[int]:
    return [int(item.partition("+")[0]) for item in transport.requests]


async def test_two_providers_share_the_pages_and_each_is_asked_for_and_judged_once(
    world: World,
) -> None:
    one, two, spare = Paged(world, "one"), Paged(world, "two"), Paged(world, "spare")
    found = await bootstrapped(world, one, two, spare)
    seconds = await timed(found)
    assert period_of(found) == PERIODS - 1
    asked = sorted(pages_of(one) + pages_of(two) + pages_of(spare))
    assert asked == list(range(0, PERIODS, PAGE))
    assert seconds == pytest.approx(PERIODS / PAGE / 2, abs=1.1)
    assert Paged.most_under_way == 2
    judged = sum(sum(item.verdicts.values()) for item in found.providers)
    assert judged == PERIODS


async def test_at_most_three_pages_are_held_however_slow_judging_is(world: World) -> None:
    quick = [Paged(world, name, 0.001) for name in ("one", "two", "three")]
    found = await bootstrapped(world, *quick)
    most = 0

    async def deliver(_: Outcome) -> None:
        nonlocal most
        await anyio.sleep(1)
        asked = sum(len(item.requests) for item in quick)
        most = max(most, asked - period_of(found) // PAGE)

    found.deliver = deliver
    await timed(found)
    assert most == 3


async def test_a_provider_that_stalls_delays_a_history_by_little(world: World) -> None:
    stalling, good = Paged(world, "stalling", math.inf), Paged(world, "good", 0.1)
    found = await bootstrapped(world, stalling, good)
    assert await timed(found) < PATIENCE + 0.1 * PERIODS / PAGE + 0.5
    assert period_of(found) == PERIODS - 1
    # It was overtaken and got no other page.
    assert len(stalling.requests) == stalling.cancelled == 1
    assert found.providers[0].name == "good"
    assert Paged.under_way == 0


async def test_four_that_stall_of_five_do_not_stop_it(world: World) -> None:
    stalling = [Paged(world, f"stalling {number}", math.inf) for number in range(4)]
    found = await bootstrapped(world, *stalling, Paged(world, "good", 0.1))
    assert await timed(found) < 12 * SLOT
    assert period_of(found) == PERIODS - 1


async def test_on_a_slow_line_a_page_is_not_asked_of_everybody_at_once(world: World) -> None:
    slow = [Paged(world, f"slow {number}", 4 * PATIENCE) for number in range(5)]
    found = await bootstrapped(world, *slow)
    await timed(found)
    assert period_of(found) == PERIODS - 1
    assert Paged.most_under_way <= 5
    asked = sum(len(item.requests) for item in slow)
    assert asked <= PERIODS / PAGE + 4


async def test_a_single_slow_provider_is_waited_for(world: World) -> None:
    found = await bootstrapped(world, Paged(world, "slow", 10 * PATIENCE))
    await timed(found)
    assert period_of(found) == PERIODS - 1
    assert found.providers[0].transport.cancelled == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "change",
    [
        lambda found: UpdateRange(()),
        lambda found: UpdateRange((), ProviderUnavailable("down")),
        lambda found: UpdateRange(tuple(found[:1]), MalformedAnswer("cut short")),
        lambda found: UpdateRange(tuple(found[1:])),
        lambda found: UpdateRange(tuple(found[:1])),
        lambda found: UpdateRange(tuple(reversed(found)) * 2),
        lambda found: UpdateRange(tuple(map(forged, found))),
        lambda found: UpdateRange((found[0], *map(forged, found[1:]))),
    ],
)
async def test_one_honest_provider_makes_up_for_whatever_four_others_do(
    world: World, change: Change
) -> None:
    bad = [Paged(world, f"bad {number}", 0.1, change) for number in range(4)]
    found = await bootstrapped(world, *bad, Paged(world, "good", 0.2))
    await found.perform(FetchUpdates(0, PERIODS))
    assert period_of(found) == PERIODS - 1


async def test_who_lied_is_asked_for_nothing_more_of_that_history(world: World) -> None:
    liar = Paged(world, "liar", 0.1, lambda found: UpdateRange(tuple(map(forged, found))))
    found = await bootstrapped(world, liar, Paged(world, "good", 0.2))
    await timed(found)
    # A second page may have been under way when the lie was found.
    assert len(liar.requests) <= 2
    assert found.providers[-1].score.honesty < 300


async def test_a_server_that_caps_its_answers_is_asked_on_and_on(world: World) -> None:
    capped = Paged(world, "capped", 0.1, lambda found: UpdateRange(tuple(found[:1])))
    found = await bootstrapped(world, capped)
    await timed(found)
    assert period_of(found) == PERIODS - 1
    assert found.providers[0].score.value > 300


@pytest.mark.parametrize("liars", [1, 4])
async def test_who_sends_a_history_drop_by_drop_does_not_set_the_pace(
    world: World, liars: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightclient.client.history.PERIODS_PER_PAGE", PERIODS)
    first = [
        Paged(world, f"drips {number}", 0.9 * PATIENCE, lambda found: UpdateRange(tuple(found[:1])))
        for number in range(liars)
    ]
    found = await bootstrapped(world, *first, Paged(world, "good", 0.2))
    assert await timed(found) < (liars + 1) * PATIENCE
    assert period_of(found) == PERIODS - 1
    assert found.providers[0].name == "good"


async def test_a_provider_that_lacks_some_periods_helps_with_the_others(world: World) -> None:
    def lacking(found: Sequence[LightClientUpdate]) -> UpdateRange:
        periods = {item.attested_header.beacon.slot // SLOTS_PER_PERIOD: item for item in found}
        return UpdateRange(tuple(item for key, item in periods.items() if key not in (4, 5)))

    pruned, good = Paged(world, "pruned", 0.1, lacking), Paged(world, "good", 0.1)
    found = await bootstrapped(world, pruned, good)
    await timed(found)
    assert period_of(found) == PERIODS - 1
    assert 4 in pages_of(good)
    assert len(pages_of(pruned)) >= 2


async def test_what_cannot_be_judged_yet_costs_nobody_anything(world: World) -> None:
    # The period after a gap is asked for and thrown away unjudged; nobody lied.
    gapped = Paged(world, "gapped", 0.1, lambda found: UpdateRange(tuple(found[1:])))
    found = await bootstrapped(world, gapped, Paged(world, "good", 0.1))
    await timed(found)
    by_name = {item.name: item for item in found.providers}
    assert by_name["gapped"].score.honesty >= 300
