"""Headers that several providers must have served: counted, told, waited for."""

from __future__ import annotations

import pytest

from lightclient.client.fetching import Fetcher
from lightclient.client.following import Follower
from lightclient.errors import ConfigError, NotServed, ProviderUnavailable
from lightclient.sync import (
    FetchBootstrap,
    FetchOptimisticUpdate,
    ForcedUpdatePolicy,
    NewOptimisticHeader,
    Outcome,
)
from lightclient.testing import MockTransport
from lightclient.transports.rest import RestTransport
from tests.client.world import SLOTS_PER_EPOCH, SLOTS_PER_PERIOD, TickingWorld, World, until

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Told:
    """What was delivered, by kind."""

    def __init__(self) -> None:
        self.optimistic: list[int] = []
        self.finalized: list[int] = []

    async def __call__(self, outcome: Outcome) -> None:
        for event in outcome.events:
            is_head = isinstance(event, NewOptimisticHeader)
            (self.optimistic if is_head else self.finalized).append(event.header.slot)


def follower(world: World, *transports: MockTransport, needed: int) -> tuple[Follower, Told]:
    told = Told()
    found = Fetcher.over(world.processor(), transports, world.clock, told)
    found.require(needed)
    return Follower(found, world.clock, lambda low, _: low), told


async def settle(world: World, loop: Follower) -> None:
    for _ in range(40):
        await loop.step()
        if loop.delay_ms() > 1:
            return
        world.now_ms += 1
    raise AssertionError("the loop does not come to rest")


async def go_on(world: World, loop: Follower, slots: int) -> None:
    for slot in range(world.slot + 1, world.slot + slots + 1):
        world.go_to(slot)
        await loop.step()


def head(loop: Follower) -> int | None:
    header = loop._fetcher.confirmed_optimistic_header
    return None if header is None else header.slot


def finalized(loop: Follower) -> int | None:
    header = loop._fetcher.confirmed_finalized_header
    return None if header is None else header.slot


async def test_the_trusted_block_is_confirmed_and_a_history_from_one_provider_is_not() -> None:
    world = World(3 * SLOTS_PER_PERIOD + 30)
    one, two = world.provider("one"), world.provider("two")
    two.error = ProviderUnavailable("down", provider="two")
    loop, told = follower(world, one, two, needed=2)
    await settle(world, loop)
    assert loop._processor.finalized_header is not None
    assert loop._processor.finalized_header.slot > 3 * SLOTS_PER_PERIOD
    assert (head(loop), finalized(loop)) == (0, 0)
    assert (told.optimistic, told.finalized) == ([0], [0])


async def test_two_providers_that_agree_confirm_head_and_finality_each_slot() -> None:
    world = World(SLOTS_PER_PERIOD + 30)
    loop, told = follower(world, world.provider("one"), world.provider("two"), needed=2)
    await settle(world, loop)
    assert head(loop) == world.slot - 1
    await go_on(world, loop, 2 * SLOTS_PER_EPOCH)
    assert head(loop) == world.slot - 1
    assert finalized(loop) == loop._processor.finalized_header.slot  # type: ignore[union-attr]
    assert told.optimistic == sorted(set(told.optimistic))
    assert told.finalized == sorted(set(told.finalized))


async def test_with_a_lagging_second_opinion_the_head_is_confirmed_as_late_as_that() -> None:
    world = World(SLOTS_PER_PERIOD + 30)
    loop, told = follower(world, world.provider("one"), world.provider("slow", lag=3), needed=2)
    await settle(world, loop)
    await go_on(world, loop, 12)
    assert head(loop) == world.slot - 4
    optimistic = loop._processor.optimistic_header
    assert optimistic is not None
    assert optimistic.slot == world.slot - 1
    assert told.optimistic[-5:] == list(range(world.slot - 8, world.slot - 3))


async def test_one_provider_of_two_cannot_confirm_by_saying_it_twice() -> None:
    world = World(SLOTS_PER_PERIOD + 30)
    one, two = world.provider("one"), world.provider("two")
    two.error = ProviderUnavailable("down", provider="two")
    loop, _ = follower(world, one, two, needed=2)
    await settle(world, loop)
    for _ in range(3):
        await loop._fetcher.perform(FetchOptimisticUpdate())
    assert head(loop) == 0
    two.error = None
    world.now_ms += 64 * 6000  # until it is asked again
    world.chain.advance_to(world.slot)
    await settle(world, loop)
    assert head(loop) == world.slot - 1


async def test_three_of_five_are_enough_whatever_the_others_do() -> None:
    world = World(SLOTS_PER_PERIOD + 30)
    down, bare = world.provider("down"), world.provider("bare")
    down.error = ProviderUnavailable("down", provider="down")
    bare.error = NotServed("nothing here", provider="bare")
    honest = [world.provider(name) for name in ("one", "two", "three")]
    loop, _ = follower(world, down, bare, *honest, needed=3)
    await settle(world, loop)
    await go_on(world, loop, 3)
    assert head(loop) == world.slot - 1


async def test_a_refused_object_confirms_nothing() -> None:
    world = World(SLOTS_PER_PERIOD + 30)
    loop, _ = follower(world, world.provider("one"), world.provider("two"), needed=2)
    fetcher = loop._fetcher
    assert await fetcher.perform(FetchBootstrap())
    update = world.chain.optimistic_update()
    assert update is not None
    for provider in fetcher.providers:  # of a period that the store does not know yet
        assert (await fetcher.judge(provider, update)).verdict.is_refusal
    assert head(loop) == 0


async def test_a_forced_update_is_not_told_as_confirmed() -> None:
    start = 2 * SLOTS_PER_PERIOD
    first_epoch = start // SLOTS_PER_EPOCH
    world = World(start - 8, non_final_epochs=range(first_epoch, first_epoch + 1000))
    told = Told()
    processor = world.processor(forced_update=ForcedUpdatePolicy.SPEC_TIMEOUT)
    found = Fetcher.over(processor, [world.provider("a"), world.provider("b")], world.clock, told)
    found.require(2)
    loop = Follower(found, world.clock, lambda low, _: low)
    await settle(world, loop)
    await go_on(world, loop, SLOTS_PER_PERIOD + 20)
    assert processor.finalized_header is not None
    assert processor.finalized_header.slot > start
    confirmed = finalized(loop)
    assert confirmed is not None
    assert confirmed < start
    assert told.finalized[-1] == confirmed


def test_more_than_there_are_of_different_names_cannot_be_asked_for() -> None:
    world = World(30)
    same = [world.provider("same"), world.provider("same")]
    for transports, needed in ((same, 2), ([world.provider("one")], 2), (same, 0)):
        with pytest.raises(ConfigError, match="min_providers"):
            world.client(*transports, min_providers=needed)


@pytest.mark.parametrize(
    "url",
    [
        "http://provider.example/other/path",
        "http://provider.example:80/?key=another",
        "http://user:word@Provider.Example./",
    ],
)
def test_two_urls_of_one_server_are_one_provider(url: str) -> None:
    processor = World(30).processor()
    same = [RestTransport("http://provider.example/path"), RestTransport(url)]
    other = RestTransport("http://provider.example:8080")
    with pytest.raises(ConfigError, match="one server counts once"):
        Fetcher.over(processor, same, int, Told()).require(2)
    Fetcher.over(processor, [*same, other], int, Told()).require(2)


async def test_a_header_is_not_confirmed_by_the_same_server_at_another_path() -> None:
    world = World(3 * SLOTS_PER_PERIOD + 30)
    one, two, three = (world.provider(name) for name in ("one", "two", "three"))
    for same in (one, two):
        same.server = "provider.example:443"  # type: ignore[attr-defined]
    three.error = ProviderUnavailable("down", provider="three")
    loop, _ = follower(world, one, two, three, needed=2)
    await settle(world, loop)
    await go_on(world, loop, 3)
    assert loop._processor.optimistic_header is not None
    trusted = world.chain.block_of_root(world.root())
    assert trusted is not None
    assert head(loop) == trusted.slot
    three.error = None
    await go_on(world, loop, 3)
    confirmed = head(loop)
    assert confirmed is not None
    assert confirmed > trusted.slot


async def test_the_client_tells_and_waits_for_confirmed_headers_only() -> None:
    world = TickingWorld(SLOTS_PER_PERIOD + 30, slot_duration_ms=300)
    one, two = world.provider("one"), world.provider("two")
    two.error = ProviderUnavailable("down", provider="two")
    heard: list[int] = []
    client = world.client(
        one, two, min_providers=2, on_optimistic_header=lambda header: heard.append(header.slot)
    )
    async with client:
        await until(lambda: client.optimistic_header() and one.requests.count("optimistic_update"))
        assert heard == [0]  # the trusted block's
        confirmed = client.confirmed_optimistic_header()
        assert confirmed is not None
        assert confirmed.slot == 0
        assert client.status.state.value == "syncing"
        two.error = None
        for provider in client.providers:
            provider.score.dropped_until_ms = 0
        synced = await client.wait_until_synced()
        assert synced == client.confirmed_finalized_header()
        await until(lambda: heard[-1] >= world.slot - 2)
        async for header in client.optimistic_headers():
            assert header == client.confirmed_optimistic_header()
            break
