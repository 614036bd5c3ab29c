"""Asking providers in turn: who is asked next, what is judged, what is remembered of them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace

import anyio
import anyio.lowlevel
import pytest

from lightclient.containers import (
    LightClientBootstrap,
    LightClientOptimisticUpdate,
    LightClientUpdate,
)
from lightclient.errors import DecodeError, MalformedAnswer, ProviderUnavailable
from lightclient.protocol import SignatureVerifier
from lightclient.sync import (
    FetchBootstrap,
    FetchOptimisticUpdate,
    FetchUpdates,
    Outcome,
    Task,
)
from lightclient.transports.base import UpdateRange
from tests.client.fetchers import (
    PERIODS,
    WHOLE,
    Ranged,
    bootstrapped,
    fetcher,
    forged,
    period_of,
)
from tests.client.world import SLOTS_PER_PERIOD, ChainTransport, World

pytestmark = pytest.mark.anyio
_WORLDS: list[World] = []


@pytest.fixture
def anyio_backend() -> str:
    """Nothing here waits, so one backend is enough."""
    return "asyncio"


@pytest.fixture
def world() -> World:
    """One chain for all tests; its clock does not move."""
    if not _WORLDS:
        _WORLDS.append(World(PERIODS * SLOTS_PER_PERIOD + 30))
    return _WORLDS[0]


@pytest.mark.parametrize(
    ("answer", "reached"),
    [
        (lambda found: UpdateRange(tuple(found)), PERIODS - 1),
        (lambda found: UpdateRange(tuple(found[:2])), PERIODS - 1),  # short, again and again
        (lambda found: UpdateRange((found[0], *found[2:])), PERIODS - 1),  # gapped
        (lambda found: UpdateRange(tuple(found[1:])), 0),  # without what is needed first
        (lambda found: UpdateRange(tuple(reversed(found))), PERIODS - 1),  # out of order
        (lambda found: UpdateRange((*found, *found)), PERIODS - 1),  # twice
        (
            lambda found: UpdateRange(tuple(found[:3]), MalformedAnswer("cut short")),
            2,
        ),
        (lambda found: UpdateRange((*found[:2], forged(found[2]), *found[3:])), 1),
        (lambda found: UpdateRange(()), 0),
    ],
)
async def test_an_answer_is_used_as_far_as_it_goes(
    world: World, answer: Callable[[list[LightClientUpdate]], UpdateRange], reached: int
) -> None:
    found = await bootstrapped(world, Ranged(world, answer, "odd"))
    assert await found.perform(WHOLE) is (reached > 0)
    assert period_of(found) == reached


async def test_after_a_refusal_the_rest_of_an_answer_is_not_looked_at(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightclient.client.judging.best_batch_size", lambda _: 2)
    liar = Ranged(world, lambda found: UpdateRange((found[0], *map(forged, found[1:]))), "liar")
    found = await bootstrapped(world, liar)
    await found.perform(WHOLE)
    assert found.providers[0].verdicts == {"accepted": 1, "unviable_fork": 1}


@pytest.mark.parametrize("together", [1, 2, 3, 100])
async def test_every_step_of_a_history_is_delivered_however_many_are_judged_together(
    world: World, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightclient.client.judging.best_batch_size", lambda _: together)
    slots: list[int] = []

    async def deliver(outcome: Outcome) -> None:
        slots.extend(event.header.slot for event in outcome.events)

    found = await bootstrapped(world, world.provider())
    found.deliver = deliver
    assert await found.perform(WHOLE)
    expected: list[int] = []
    for update in world.chain.updates(0, PERIODS):
        finalized = update.finalized_header.beacon.slot
        expected += [finalized] * (finalized > 0) + [update.attested_header.beacon.slot]
    assert slots == expected


async def test_a_head_that_comes_while_a_history_is_told_is_told_after_it(world: World) -> None:
    slots: list[int] = []

    async def deliver(outcome: Outcome) -> None:
        is_first = not slots
        slots.extend(event.header.slot for event in outcome.events)
        if is_first:  # the listener is slow: meanwhile somebody pushes the head
            head = world.chain.optimistic_update()
            assert head is not None
            await found.judge(found.providers[1], head)

    found = await bootstrapped(world, world.provider(), world.provider("pushing"))
    found.deliver = deliver
    assert await found.perform(WHOLE)
    assert len(slots) > PERIODS
    assert slots == sorted(slots)


async def test_more_than_was_asked_for_is_left_alone(world: World) -> None:
    greedy = Ranged(world, lambda _: UpdateRange(tuple(world.chain.updates(0, 128))), "greedy")
    found = await bootstrapped(world, greedy)
    assert await found.perform(FetchUpdates(0, 2))
    # Range after range was asked for, and each period judged once although each answer had all.
    assert period_of(found) == PERIODS - 1
    assert sum(found.providers[0].verdicts.values()) == PERIODS


@pytest.mark.parametrize(
    "answer",
    [
        lambda found: UpdateRange(()),
        lambda found: UpdateRange((), MalformedAnswer("junk")),
        lambda found: UpdateRange((forged(found[0]), *found[1:])),
        lambda found: UpdateRange(tuple(found[1:])),
    ],
)
async def test_who_brings_nothing_makes_room_for_the_next(
    world: World, answer: Callable[[list[LightClientUpdate]], UpdateRange]
) -> None:
    bad, good = Ranged(world, answer, "bad"), world.provider("good")
    found = await bootstrapped(world, bad, good)
    assert await found.perform(WHOLE)
    assert period_of(found) == PERIODS - 1
    assert [item.name for item in found.providers] == ["good", "bad"]
    bad.drain()
    await found.perform(FetchOptimisticUpdate())
    assert bad.drain() == []  # the one that helped is asked first from now on


async def test_a_part_that_ends_in_a_lie_is_kept_but_earns_no_preference(world: World) -> None:
    liar = Ranged(
        world, lambda found: UpdateRange((found[0], *map(forged, found[1:]))), "half a liar"
    )
    good = world.provider("good")
    found = await bootstrapped(world, good, liar)
    good.error = ProviderUnavailable("down for a moment")
    assert await found.perform(WHOLE)
    assert [item.name for item in found.providers] == ["good", "half a liar"]


@pytest.mark.parametrize("error", [ProviderUnavailable("down"), DecodeError("junk")])
async def test_a_provider_that_fails_is_remembered_until_it_answers(
    world: World, error: Exception
) -> None:
    bad, good = world.provider("bad"), world.provider("good")
    bad.error = error  # type: ignore[assignment]
    found = fetcher(world, bad, good)
    assert await found.perform(FetchBootstrap())
    good_one, bad_one = found.providers
    assert (good_one.name, bad_one.name) == ("good", "bad")
    assert good_one.last_error is None
    assert str(bad_one.last_error) == str(error)
    bad.error, good.error = None, ProviderUnavailable("down in turn")
    await found.perform(WHOLE)
    assert bad_one.last_error is None


async def test_a_failure_that_lasts_is_said_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    provider = world.provider()
    found = fetcher(world, provider)
    with caplog.at_level(logging.WARNING, "lightclient"):
        for reason in ("down", "down", "down", "still down", "down"):
            provider.error = ProviderUnavailable(reason)
            assert not await found.perform(FetchBootstrap())
    assert len(caplog.records) == 3


async def test_a_bootstrap_of_another_block_is_refused_and_the_next_provider_asked(
    world: World,
) -> None:
    class Other(ChainTransport):
        async def get_light_client_bootstrap(self, block_root: bytes) -> LightClientBootstrap:
            return await super().get_light_client_bootstrap(world.root(SLOTS_PER_PERIOD))

    found = fetcher(world, Other(world, "other"), world.provider())
    assert await found.perform(FetchBootstrap())
    assert found.processor.store is not None
    assert found.processor.store.finalized_header.beacon.hash_tree_root() == world.root()
    assert found.providers[1].verdicts == {"invalid": 1}
    assert found.bootstrap_refusal is None


async def test_asking_goes_on_until_it_is_enough(world: World) -> None:
    names = ["one", "two", "three"]
    found = await bootstrapped(world, *(world.provider(name) for name in names))
    await found.perform(WHOLE)
    asked: list[str] = []

    def is_enough() -> bool:
        asked.append(str(len(asked)))
        return len(asked) == 2

    await found.perform(FetchOptimisticUpdate(), is_enough)
    asks = [provider.transport.drain() for provider in found.providers]  # type: ignore[attr-defined]
    assert [item.count("optimistic_update") for item in asks] == [1, 1, 0]


async def test_only_progress_is_delivered(world: World) -> None:
    delivered: list[Outcome] = []

    async def deliver(outcome: Outcome) -> None:
        delivered.append(outcome)

    found = await bootstrapped(world, world.provider())
    found.deliver = deliver
    tasks: list[Task] = [WHOLE, WHOLE, FetchOptimisticUpdate(), FetchOptimisticUpdate()]
    assert [await found.perform(task) for task in tasks] == [True, False, True, False]
    assert 2 <= len(delivered) <= PERIODS + 1  # what was judged together may come together
    assert all(outcome.progress and outcome.events for outcome in delivered)


async def test_refusals_are_logged_with_provider_rule_and_hint(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    class Future(ChainTransport):
        async def get_light_client_optimistic_update(self) -> LightClientOptimisticUpdate:
            update = await super().get_light_client_optimistic_update()
            return replace(update, signature_slot=10**6)

    found = await bootstrapped(world, Future(world, "future"))
    with caplog.at_level(logging.WARNING, "lightclient"):
        assert not await found.perform(FetchOptimisticUpdate())
    fields = caplog.records[-1].__dict__["lc"]
    assert fields["provider"] == "future"
    assert fields["rule"] == "signature_slot_in_future"
    assert "clock" in fields["hint"]
    # Whoever sends nothing else is not to fill the log: it may be blamed for nothing.
    with caplog.at_level(logging.WARNING, "lightclient"):
        for _ in range(30):
            await found.perform(FetchOptimisticUpdate())
    told = [item for item in caplog.records if item.message == "Light client object refused"]
    assert 2 <= len(told) <= 8


class Counted(ChainTransport):
    """Counts the ranges that it was asked for and has not seen judged yet."""

    def __init__(self, world: World) -> None:
        super().__init__(world, "counted")
        self.asked = 0
        self.judged = 0
        self.most_ahead = 0

    async def get_light_client_updates_by_range(self, start_period: int, count: int) -> UpdateRange:
        self.asked += 1
        self.most_ahead = max(self.most_ahead, self.asked - self.judged)
        return await super().get_light_client_updates_by_range(start_period, count)

    async def note_judged(self, _outcome: Outcome) -> None:
        self.judged += 1
        await anyio.lowlevel.checkpoint()


async def test_the_next_range_comes_while_one_is_judged_and_no_more_than_that(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightclient.client.history.PERIODS_PER_PAGE", 1)
    transport = Counted(world)
    found = await bootstrapped(world, transport)
    found.deliver = transport.note_judged
    assert await found.perform(FetchUpdates(0, 1))
    assert period_of(found) == PERIODS - 1
    assert transport.asked == PERIODS
    # One being judged, one at hand, one waiting to be, and perhaps one asked for in between.
    assert 2 <= transport.most_ahead <= 4


async def test_a_lie_in_a_range_ends_the_download(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightclient.client.history.PERIODS_PER_PAGE", 1)

    def lying(found: list[LightClientUpdate]) -> UpdateRange:
        period = found[0].attested_header.beacon.slot // SLOTS_PER_PERIOD
        return UpdateRange(tuple(map(forged, found)) if period == 2 else tuple(found))

    liar = Ranged(world, lying, "liar")
    found = await bootstrapped(world, liar)
    assert await found.perform(FetchUpdates(0, 1))
    assert period_of(found) == 1
    assert len(liar.drain()) <= 6


async def test_a_fault_in_a_transport_comes_out_as_it_is(world: World) -> None:
    class Faulty(ChainTransport):
        async def get_light_client_updates_by_range(self, *_: object) -> UpdateRange:
            raise ZeroDivisionError

    found = await bootstrapped(world, Faulty(world, "faulty"))
    with pytest.raises(ZeroDivisionError):
        await found.perform(WHOLE)


async def test_pushed_objects_wait_until_a_batch_is_judged(world: World) -> None:
    found = await bootstrapped(world, world.provider())
    provider = found.providers[0]
    pushed = world.chain.optimistic_update()
    assert pushed is not None
    seen: list[str] = []

    async def push() -> None:
        outcome = await found.judge(provider, pushed)
        seen.append(outcome.verdict.kind.value)

    async with found.judging:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(push)
            await anyio.wait_all_tasks_blocked()
            assert seen == []
            found.judging.release()
        await found.judging.acquire()
    assert seen == ["missing_parent"]


async def test_a_committee_is_compared_in_a_thread_and_only_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await bootstrapped(world, world.provider())
    assert await found.perform(WHOLE)
    provider, pushed = found.providers[0], world.chain.optimistic_update()
    assert pushed is not None
    threads: list[str] = []
    audit = found.processor.audit

    def noted() -> None:
        threads.append(threading.current_thread().name)
        audit()

    monkeypatch.setattr(found.processor, "audit", noted)
    # As if the head's committee had only now been learnt.
    found.processor.signatures = SignatureVerifier(found.processor.signatures.backend)
    for _ in range(3):
        await found.judge(provider, pushed)
    assert len(threads) == 1
    assert threads[0] != threading.current_thread().name
    assert not found.processor.must_audit(pushed, world.clock())
