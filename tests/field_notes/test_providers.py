"""Servers that are down, slow or capped; event streams; transports of one's own."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Callable, Sequence

import anyio
import httpx
import pytest

from lightclient import (
    LightClient,
    LightClientFinalityUpdate,
    LightClientOptimisticUpdate,
    LightClientUpdate,
    Network,
    NotSyncedError,
    ProviderUnavailable,
    RateLimited,
)
from lightclient.protocol import Rule, verdict_of
from lightclient.simulator.faults import make_fault
from lightclient.simulator.habits import Answer, Received, ServerHabits
from lightclient.simulator.in_process import FaultyTransport
from lightclient.transports.base import UpdateRange
from lightclient.transports.rest import RestTransport
from lightclient.transports.scores import penalty_of
from tests.client.world import SLOTS_PER_PERIOD, ChainTransport, TickingWorld, World, until
from tests.field_notes.playing import (
    PERIODS,
    SLOT,
    client_of,
    head_from,
    head_over_http,
    make_world,
    served,
    synced,
)

pytestmark = pytest.mark.anyio


async def test_a_dead_provider_is_passed_over_and_named() -> None:
    world = make_world()
    dead = RestTransport("http://127.0.0.1:1")
    async with client_of(world, dead, world.provider()) as client:
        await synced(client)
        (failed,) = [item for item in client.providers if item.name == dead.name]
        assert "cannot be reached" in str(failed.last_error)
        assert client.status.usable_providers == 1


async def test_when_the_one_in_use_goes_down_another_takes_over_and_back() -> None:
    world = TickingWorld(SLOT, slot_duration_ms=100)
    first, second = world.provider("first"), world.provider("second")
    second.error = ProviderUnavailable("second: HTTP 503", provider="second")
    async with client_of(world, first, second) as client:
        await synced(client)
        for up, down in ((second, first), (first, second)):
            up.error = None
            down.error = ProviderUnavailable("HTTP 503", provider=down.name)
            last = client.optimistic_header()
            assert last is not None
            await until(_moves(client, last.slot + 10), seconds=20)


def _moves(client: LightClient, slot: int) -> Callable[[], bool]:
    """Whether the head is beyond ``slot``, to be asked again and again."""

    def has_moved() -> bool:
        header = client.optimistic_header()
        return header is not None and header.slot > slot

    return has_moved


async def test_with_every_provider_down_the_client_waits_and_makes_nothing_up() -> None:
    world = make_world()
    provider = world.provider()
    provider.error = ProviderUnavailable("down")
    async with client_of(world, provider) as client:
        await until(lambda: client.providers[0].last_error)
        assert client.finalized_header() is None
        assert client.status.state.value == "bootstrapping"
        with pytest.raises(NotSyncedError):
            client.finalized_header(max_age=10_000)


class Ranged(ChainTransport):
    """Does something to the ranges that it serves."""

    def __init__(
        self, world: World, change: Callable[[Sequence[LightClientUpdate]], UpdateRange]
    ) -> None:
        super().__init__(world, "odd")
        self.change = change

    async def get_light_client_updates_by_range(self, start_period: int, count: int) -> UpdateRange:
        found = await super().get_light_client_updates_by_range(start_period, count)
        return self.change(found.updates)


ODD_RANGES: dict[str, Callable[[Sequence[LightClientUpdate]], UpdateRange]] = {
    "one at a time": lambda found: UpdateRange(tuple(found[:1])),
    "one too many": lambda found: UpdateRange((*found, *found[-1:])),
    "twice": lambda found: UpdateRange(tuple(u for update in found for u in (update, update))),
    "cut short by an error": lambda found: UpdateRange(
        tuple(found[:1]), ProviderUnavailable("HTTP 500 for period 3")
    ),
}


@pytest.mark.parametrize("habit", ODD_RANGES)
async def test_short_and_overlong_ranges_still_lead_to_the_head(habit: str) -> None:
    world = make_world()
    await head_from(world, Ranged(world, ODD_RANGES[habit]))


@pytest.mark.parametrize(
    "change",
    [
        lambda found: UpdateRange(()),
        lambda found: UpdateRange(tuple(found[1:])),
        lambda found: UpdateRange((), ProviderUnavailable("HTTP 500: No partialUpdate")),
    ],
    ids=["empty", "the first missing", "500"],
)
async def test_a_gap_is_filled_by_another_provider(
    change: Callable[[Sequence[LightClientUpdate]], UpdateRange],
) -> None:
    world = make_world()
    await head_from(world, Ranged(world, change), world.provider())


async def test_an_error_for_the_unborn_period_does_not_hide_the_others() -> None:
    world = make_world()
    habits = ServerHabits(past_newest="error", extra_updates=1)
    await head_over_http(world, habits)


async def test_the_pause_that_a_server_asks_for_is_kept() -> None:
    async def early() -> list[float]:
        """Seconds from a refusal to each request that came in the pause."""
        world = TickingWorld(SLOT, slot_duration_ms=500)
        habits = ServerHabits(rate_limit_every=4, retry_after=1)
        times: list[tuple[float, int]] = []

        def note(_request: Received, answer: Answer) -> Answer:
            times.append((time.monotonic(), answer.status))
            return answer

        habits.intercept = note
        async with served(world, habits) as transports, client_of(world, *transports) as client:
            await synced(client)
        refused = [moment for moment, status in times if status == 429]
        assert refused
        # What was on its way when the answer came does not count.
        return [(m - r) for r in refused for m, _ in times if 0.1 < m - r < 0.9]

    # On a busy machine it may be on its way for long, but hardly three times.
    for last_try in (False, False, True):
        found = await early()
        if not found:
            break
        assert not last_try, found


async def test_a_pause_of_years_is_cut_and_others_are_asked_meanwhile() -> None:
    world = make_world()
    limited = world.provider("limited")
    limited.error = RateLimited("HTTP 429", provider="limited", retry_after=1e9)
    await head_from(world, limited, world.provider("good"))

    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(429, headers={"Retry-After": "99999999999"})

    transport = RestTransport("https://x.example", http_transport=httpx.MockTransport(answer))
    await transport.open(world.network)
    with pytest.raises(RateLimited) as caught:
        await transport.get_light_client_finality_update()
    assert caught.value.retry_after <= 3600
    await transport.aclose()


@pytest.mark.parametrize("fault", ["silent", "slow_first_byte"])
async def test_a_slow_provider_does_not_hold_the_client_up(fault: str) -> None:
    world = make_world(slot_duration_ms=400)
    slow = FaultyTransport(
        world.chain, [make_fault(fault, random.Random(1))], timeout=600, name="slow"
    )
    with anyio.fail_after(60):
        await head_from(world, slow, world.provider())


@pytest.mark.parametrize("envelope", [True, False])
async def test_pushed_updates_are_understood_bare_and_in_an_envelope(envelope: bool) -> None:
    world = TickingWorld(SLOT, slot_duration_ms=200)
    habits = ServerHabits(envelope=envelope, ssz=False, version_header=False)
    async with served(world, habits) as transports, client_of(world, *transports) as client:
        await synced(client)
        habits.light_client_status = None
        await until(lambda: any("/events" in item.path for item in habits.received), seconds=20)
        await anyio.sleep(0.3)
        before = client.optimistic_header()
        assert before is not None

        def refuse(_request: Received, answer: Answer) -> Answer:
            if "/events" not in _request.path:
                answer.status = 503
            return answer

        habits.intercept = refuse  # what comes now was pushed
        world.chain.advance_to(world.slot + 3)
        await until(_moves(client, before.slot), seconds=20)


async def test_without_an_event_stream_the_head_is_polled() -> None:
    world = TickingWorld(SLOT, slot_duration_ms=100)
    habits = ServerHabits(events=False)

    def grow(_request: Received, answer: Answer) -> Answer:
        assert world.slot
        return answer

    habits.intercept = grow
    async with served(world, habits) as transports, client_of(world, *transports) as client:
        first = await synced(client)
        await until(_moves(client, first.slot + 20), seconds=20)
    asked = [item.path for item in habits.received if "_update" in item.path]
    assert len(asked) > 3


class OwnTransport:
    """What an embedder would write: no base class, no REST."""

    def __init__(self, world: World) -> None:
        self._inner = world.provider("own")
        self.name = "own"

    async def open(self, network: Network) -> None:
        await self._inner.open(network)

    async def aclose(self) -> None:
        pass

    async def get_light_client_bootstrap(self, block_root: bytes):  # type: ignore[no-untyped-def]  # noqa: ANN201
        return await self._inner.get_light_client_bootstrap(block_root)

    async def get_light_client_updates_by_range(self, start_period: int, count: int) -> UpdateRange:
        return await self._inner.get_light_client_updates_by_range(start_period, count)

    async def get_light_client_finality_update(self) -> LightClientFinalityUpdate:
        return await self._inner.get_light_client_finality_update()

    async def get_light_client_optimistic_update(self) -> LightClientOptimisticUpdate:
        return await self._inner.get_light_client_optimistic_update()

    async def stream_updates(
        self,
    ) -> AsyncIterator[LightClientFinalityUpdate | LightClientOptimisticUpdate]:
        async for update in self._inner.stream_updates():
            yield update


async def test_any_transport_of_ones_own_will_do() -> None:
    world = make_world()
    await head_from(world, OwnTransport(world))


async def test_after_a_long_sleep_nobody_is_blamed_for_what_we_did_not_know() -> None:
    later = SLOT + 3 * SLOTS_PER_PERIOD
    # Few blocks until then: making them takes longer than sleeping.
    world = TickingWorld(SLOT, slot_duration_ms=200, dense_from_slot=later - 8)
    async with client_of(world, world.provider()) as client:
        await synced(client)
        honesty = client.providers[0].score.honesty
        # The machine slept for three periods; what comes first is far ahead of the store.
        world.go_to(later)
        early = world.chain.optimistic_update()
        assert early is not None
        outcome = client.processor.process(early, world.clock())
        assert outcome.verdict.rule is Rule.PERIOD_NOT_COVERED
        assert penalty_of(outcome.verdict) == 0
        await until(lambda: client.status.finalized_period == PERIODS + 3, seconds=20)
        assert client.providers[0].score.honesty >= honesty
        assert not {"invalid", "unviable_fork"} & set(client.providers[0].verdicts)


async def test_an_object_from_the_future_is_no_lie_by_itself() -> None:
    assert penalty_of(verdict_of(Rule.SIGNATURE_SLOT_IN_FUTURE)) == 0
