"""The client as its users see it, on asyncio and trio: results, failures, ends."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import cache
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from lightclient.client import LightClient, SyncState
from lightclient.config import Network
from lightclient.containers import LightClientBootstrap, LightClientOptimisticUpdate
from lightclient.errors import (
    ConfigError,
    NotSyncedError,
    ProviderUnavailable,
    UnknownBootstrap,
)
from lightclient.protocol import ACCEPTED
from lightclient.sync import NewFinalizedHeader, NewOptimisticHeader, Outcome, VerifiedHeader
from lightclient.testing import MockTransport
from tests.client.world import (
    SLOTS_PER_EPOCH,
    SLOTS_PER_PERIOD,
    ChainTransport,
    TickingWorld,
    World,
    until,
)

pytestmark = pytest.mark.anyio
HEAD = 3 * SLOTS_PER_PERIOD + 30


@cache
def still_world() -> World:
    """A chain and a clock that nobody moves."""
    return World(HEAD)


class Boom(Exception):
    """Nothing the library knows."""


class Hanging(ChainTransport):
    """Never answers, and says when it was asked and when it was given up."""

    asked = given_up = False

    async def get_light_client_bootstrap(self, block_root: bytes) -> LightClientBootstrap:
        self.asked = True
        try:
            await anyio.sleep_forever()
        finally:
            self.given_up = True
        raise AssertionError


class Faulty(ChainTransport):
    """Breaks the contract: raises what is no TransportError."""

    async def get_light_client_bootstrap(self, block_root: bytes) -> LightClientBootstrap:
        raise Boom("a fault in the transport")


class Watched(ChainTransport):
    """Records its life."""

    def __init__(self, name: str = "watched", *, fails: str = "") -> None:
        super().__init__(still_world(), name)
        self.life: list[str] = []
        self.fails = fails

    async def open(self, network: Network) -> None:
        self.life.append("open")
        if self.fails == "open":
            raise ConfigError("cannot be opened")
        await super().open(network)

    async def aclose(self) -> None:
        await anyio.lowlevel.checkpoint()
        self.life.append("closed")
        if self.fails == "close":
            raise Boom("cannot be closed")


# Results ------------------------------------------------------------------------------------------


async def test_it_syncs_and_tells_callbacks_and_iterators_the_same_headers() -> None:
    world = still_world()
    finalized: list[VerifiedHeader] = []
    optimistic: list[VerifiedHeader] = []

    async def on_optimistic(header: VerifiedHeader) -> None:
        await anyio.lowlevel.checkpoint()
        optimistic.append(header)

    client = world.client(on_finalized_header=finalized.append, on_optimistic_header=on_optimistic)
    iterated: list[VerifiedHeader] = []
    async with client, anyio.create_task_group() as tasks:

        async def iterate() -> None:
            iterated.extend([header async for header in client.finalized_headers()])

        tasks.start_soon(iterate)
        assert (await client.wait_until_synced()).slot >= HEAD - 3 * SLOTS_PER_EPOCH
        await until(lambda: optimistic and optimistic[-1].slot == HEAD - 1)
        client.stop()
    assert [header.slot for header in finalized] == sorted({header.slot for header in finalized})
    assert finalized[-1] == client.finalized_header()
    assert optimistic[-1] == client.optimistic_header()
    assert iterated == finalized[-len(iterated) :]
    assert finalized[0].participation is None
    assert finalized[-1].participation is not None
    assert client.age(finalized[-1]) == pytest.approx((HEAD + 0.5 - finalized[-1].slot) * 6)


async def test_whoever_listens_from_a_callback_on_hears_headers_in_order() -> None:
    client: LightClient
    iterators: list[Any] = []

    async def listen(_: VerifiedHeader) -> None:
        iterators.append(client.finalized_headers())
        await anyio.lowlevel.checkpoint()

    client = still_world().client(on_finalized_header=listen)
    async with client:
        await client.wait_until_synced()
        client.stop()
    assert len(iterators) > 2
    for headers in iterators:
        slots = [header.slot async for header in headers]
        assert slots == sorted(set(slots))


async def test_headers_carry_what_their_fork_proves_of_the_execution() -> None:
    world = still_world()
    seen: list[VerifiedHeader] = []
    client = world.client(on_finalized_header=seen.append)
    async with client:
        await client.wait_until_synced()
    before, after = seen[0], seen[-1]
    assert (before.fork, after.fork) == ("altair", "electra")
    assert before.execution_block_hash is None
    assert before.execution_block_number is None
    assert before.execution_state_root is None
    block = world.chain.block_at(after.slot)
    assert after.execution_block_hash == bytes(block.block.body.execution_payload.block_hash)
    assert after.execution_block_number == block.execution.number
    assert after.execution_state_root == bytes(block.block.body.execution_payload.state_root)
    assert not after.is_parent_execution_block


async def test_waiting_for_a_client_that_is_synced_already_returns_although_no_header_comes() -> (
    None
):
    client = still_world().client()
    async with client:
        await client.wait_until_synced()
        await anyio.sleep(0.05)
        with anyio.fail_after(60):
            assert await client.wait_until_synced() == client.finalized_header()


async def test_waiting_ends_when_only_a_committee_was_missing() -> None:
    # The head is final up to the end of a period whose next committee comes later: no header then.
    world = World(3 * SLOTS_PER_PERIOD + 2)
    provider = world.provider()
    client = world.client(provider)
    async with client:
        await client.wait_until_synced()
        store = client.processor.store
        assert store is not None
        known, store.next_sync_committee = store.next_sync_committee, None
        assert client.status.state is SyncState.SYNCING
        waited: list[VerifiedHeader] = []

        async def wait() -> None:
            waited.append(await client.wait_until_synced())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.sleep(0.02)
            assert waited == []
            store.next_sync_committee = known
            client._notify()
            await until(lambda: waited, seconds=1)


async def test_it_follows_a_chain_that_moves(caplog: pytest.LogCaptureFixture) -> None:
    world = TickingWorld(SLOTS_PER_PERIOD + 30, slot_duration_ms=80)
    client = world.client(world.provider(), rng=random.Random(1))
    slots: list[int] = []
    with anyio.fail_after(60), caplog.at_level(logging.WARNING, "lightclient"):
        async with client:
            await client.wait_until_synced()
            async for header in client.optimistic_headers():
                slots.append(header.slot)
                if header.slot >= SLOTS_PER_PERIOD + 38:
                    break
    assert slots == sorted(set(slots))
    # With slots this short, a busy machine may well be an epoch late for a moment.
    assert [message for message in caplog.messages if not message.startswith("Stale")] == []


async def test_status_tells_where_it_stands() -> None:
    world = World(3 * SLOTS_PER_PERIOD + 30)
    provider, other = world.provider(), world.provider("other")
    provider.error = other.error = ProviderUnavailable("down")
    client = world.client(provider, other)
    before = client.status
    assert (before.state, before.progress) == (SyncState.BOOTSTRAPPING, 0.0)
    assert (before.start_period, before.finalized_period, before.current_period) == (None, None, 3)
    async with client:
        await until(lambda: not client.status.usable_providers)
        assert client.status.state is SyncState.BOOTSTRAPPING
        assert (client.status.providers, client.status.usable_providers) == (2, 0)
    fresh = world.client(world.provider())
    states: list[tuple[SyncState, float]] = []
    async with fresh:
        async for _ in fresh.finalized_headers():
            states.append((fresh.status.state, fresh.status.progress))
            if fresh.status.state is SyncState.SYNCED:
                break
        status = fresh.status
        assert (status.start_period, status.finalized_period, status.current_period) == (0, 3, 3)
        # Four epochs later, without a new head: not synced, though no committee is missing.
        world.now_ms += 4 * 8 * 6_000
        assert (fresh.status.state, fresh.status.progress) == (SyncState.SYNCING, 1.0)
    assert states[-1] == (SyncState.SYNCED, 1.0)
    shares = [share for _, share in states]
    assert shares == sorted(shares)


async def test_status_of_a_store_that_an_embedder_set() -> None:
    world = still_world()
    client = world.client()
    bootstrap = world.chain.bootstrap(world.root(2 * SLOTS_PER_PERIOD))
    assert bootstrap is not None
    client.processor.reset_to_finalized_header(bootstrap.header, bootstrap.current_sync_committee)
    assert client.status.state is SyncState.SYNCING
    assert (client.status.start_period, client.status.progress) == (2, 0.0)


# Arguments ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"transports": []}, "no transports"),
        ({"transports": "https://node.example"}, "list"),
        ({"trusted_block_root": "0x12"}, "trusted_block_root"),
        ({"trusted_block_root": b"short"}, "trusted_block_root"),
        ({"forced_update": "always"}, "forced update"),
        ({"network": "atlantis"}, "atlantis"),
    ],
)
async def test_arguments_that_cannot_be_used_are_named(changes: dict[str, Any], said: str) -> None:
    arguments: dict[str, Any] = {
        "network": still_world().network,
        "trusted_block_root": bytes(32),
        "transports": [MockTransport()],
    }
    with pytest.raises(ConfigError, match=said):
        LightClient(**{**arguments, **changes})


# Failures -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [Boom("mine"), ExceptionGroup("mine", [Boom()]), SystemExit(3)])
async def test_what_the_body_raises_comes_out_as_it_is(error: BaseException) -> None:
    async def body() -> None:
        async with still_world().client():
            await anyio.lowlevel.checkpoint()
            raise error

    with pytest.raises(type(error)) as caught:
        await body()
    assert caught.value is error


async def wait_in_run(client: LightClient) -> None:
    await client.run()


async def wait_in_iterator(client: LightClient) -> None:
    async for _ in client.finalized_headers():
        pass


async def wait_until_synced(client: LightClient) -> None:
    await client.wait_until_synced()


async def wait_elsewhere(client: LightClient) -> None:
    await until(lambda: client._failure)


@pytest.mark.parametrize("wait", [wait_in_run, wait_in_iterator, wait_until_synced, wait_elsewhere])
async def test_a_fault_in_a_task_reaches_the_caller_as_it_is(
    wait: Callable[[LightClient], Any], caplog: pytest.LogCaptureFixture
) -> None:
    world = still_world()
    with anyio.fail_after(60), pytest.raises(Boom, match="a fault in the transport"):
        async with world.client(Faulty(world, "faulty")) as client:
            await wait(client)
    assert "Light client failed" in caplog.text


async def test_what_is_no_exception_but_ends_the_program_is_not_held_back() -> None:
    class Abort(BaseException):
        """Such as KeyboardInterrupt, which may strike in any task."""

    class Aborting(ChainTransport):
        async def get_light_client_bootstrap(self, block_root: bytes) -> LightClientBootstrap:
            raise Abort

    world = still_world()
    with anyio.fail_after(60), pytest.raises(Abort):
        async with world.client(Aborting(world, "aborting")) as client:
            await client.run()


async def test_a_failure_that_was_seen_to_is_not_raised_again_on_leaving() -> None:
    world = still_world()
    async with world.client(Faulty(world, "faulty")) as client:
        with pytest.raises(Boom):
            await client.run()


async def test_an_exception_of_the_body_goes_before_one_of_the_client() -> None:
    world = still_world()

    async def body() -> None:
        async with world.client(Faulty(world, "faulty")):
            await anyio.sleep(0.05)
            raise KeyError("mine")

    with pytest.raises(KeyError):
        await body()


async def test_a_root_that_nobody_will_ever_know_ends_run_with_the_reason() -> None:
    world = TickingWorld(SLOTS_PER_PERIOD, slot_duration_ms=30)
    client = world.client(world.provider(), trusted_block_root=bytes(32))
    with anyio.fail_after(60), pytest.raises(UnknownBootstrap):
        async with client:
            await client.run()
    assert client.status.state is SyncState.BOOTSTRAPPING


async def test_a_callback_that_raises_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def fails(_: VerifiedHeader) -> None:
        raise Boom("in the callback")

    async def fails_later(_: VerifiedHeader) -> None:
        await anyio.lowlevel.checkpoint()
        raise Boom("in the async callback")

    client = still_world().client(on_finalized_header=fails, on_optimistic_header=fails_later)
    async with client:
        await client.wait_until_synced()
    assert "in the callback" in caplog.text
    assert "in the async callback" in caplog.text


async def test_callbacks_are_called_one_at_a_time_and_in_order() -> None:
    world = still_world()
    running = 0
    slots: list[int] = []

    async def slow(header: VerifiedHeader) -> None:
        nonlocal running
        running += 1
        assert running == 1
        await anyio.sleep(0.02)
        slots.append(header.slot)
        running -= 1

    client = world.client(
        Hanging(world, "hanging"), on_finalized_header=slow, on_optimistic_header=slow
    )
    updates = world.chain.updates(0, 3)
    headers = [VerifiedHeader(update.attested_header, world.network) for update in updates]
    async with client, anyio.create_task_group() as tasks:
        for header in headers:  # as when polled and pushed updates come together
            events = (NewFinalizedHeader(header), NewOptimisticHeader(header))
            tasks.start_soon(client._deliver, Outcome(ACCEPTED, events, progress=True))
        await until(lambda: len(slots) == 6)
    assert sorted(slots) == sorted(header.slot for header in headers * 2)
    assert slots[::2] == slots[1::2]  # both calls for one update, then the next


# Ends ---------------------------------------------------------------------------------------------


async def test_stopping_ends_run_and_iterators_and_gives_up_what_is_under_way() -> None:
    world = still_world()
    hanging = Hanging(world, "hanging")
    ended: list[str] = []
    with anyio.fail_after(60):
        async with world.client(hanging) as client, anyio.create_task_group() as tasks:

            async def run() -> None:
                await client.run()
                ended.append("run")

            async def iterate() -> None:
                async for _ in client.optimistic_headers():
                    raise AssertionError
                ended.append("iterator")

            async def wait() -> None:
                with pytest.raises(NotSyncedError):
                    await client.wait_until_synced()
                ended.append("wait")

            for work in (run, iterate, wait):
                tasks.start_soon(work)
            await until(lambda: hanging.asked)
            client.stop()
            client.stop()
            await until(lambda: hanging.given_up)
    assert sorted(ended) == ["iterator", "run", "wait"]


async def test_a_callback_may_stop_the_client() -> None:
    client: LightClient

    def stop(_: VerifiedHeader) -> None:
        client.stop()

    client = still_world().client(on_finalized_header=stop)
    with anyio.fail_after(60):
        async with client:
            await client.run()
    assert client.finalized_header() is not None


async def test_headers_can_be_read_to_the_end_after_stopping() -> None:
    client = still_world().client()
    async with client:
        headers = client.finalized_headers()
        await client.wait_until_synced()
        client.stop()
        slots = [header.slot async for header in headers]
    assert slots[-1] == client.finalized_header().slot  # type: ignore[union-attr]


async def test_cancelling_the_caller_ends_everything_and_closes_the_transports() -> None:
    watched = Watched()
    with anyio.CancelScope() as scope:
        async with still_world().client(watched) as client:
            scope.deadline = anyio.current_time() + 0.1
            await client.run()
    assert scope.cancelled_caught
    assert watched.life == ["open", "closed"]


async def test_cancelling_while_it_hangs_in_a_request_is_no_obstacle() -> None:
    hanging = Hanging(still_world(), "hanging")
    scope = anyio.CancelScope()

    async def cancel() -> None:
        await until(lambda: hanging.asked)
        scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cancel)
        with anyio.fail_after(60), scope:
            async with still_world().client(hanging) as client:
                await client.wait_until_synced()
    assert scope.cancelled_caught
    assert hanging.given_up


async def test_all_transports_are_closed_when_one_cannot_be_opened() -> None:
    first, second, third = Watched("first"), Watched("second", fails="open"), Watched("third")
    with pytest.raises(ConfigError, match="cannot be opened"):
        async with still_world().client(first, second, third):
            raise AssertionError
    assert (first.life, second.life, third.life) == (["open", "closed"], ["open", "closed"], [])


async def test_a_transport_that_cannot_be_closed_keeps_no_other_open(
    caplog: pytest.LogCaptureFixture,
) -> None:
    first, second = Watched("first"), Watched("second", fails="close")
    async with still_world().client(first, second):
        pass
    assert first.life[-1] == second.life[-1] == "closed"
    assert "second could not be closed" in caplog.text


async def test_a_client_serves_once() -> None:
    client = still_world().client()
    async with client:
        with pytest.raises(RuntimeError, match="make another"):
            await client.__aenter__()
    with pytest.raises(RuntimeError, match="make another"):
        async with client:
            raise AssertionError


async def test_a_client_that_was_not_entered_says_so() -> None:
    client = still_world().client()
    with pytest.raises(RuntimeError, match="context manager"):
        await client.run()
    with pytest.raises(RuntimeError, match="context manager"):
        await client.wait_until_synced()


async def test_stopped_before_it_was_entered_it_asks_for_nothing() -> None:
    provider = still_world().provider()
    client = still_world().client(provider)
    client.stop()
    with anyio.fail_after(60):
        async with client:
            await client.run()
    assert provider.requests == []


# Pushed updates -----------------------------------------------------------------------------------


class Pushing(ChainTransport):
    """Pushes what a test hands it, and says when its stream was closed."""

    def __init__(self, world: World) -> None:
        super().__init__(world, "pushing")
        self.send, self.receive = anyio.create_memory_object_stream[Any](32)
        self.is_stream_closed = False
        self.frozen: LightClientOptimisticUpdate | None = None

    async def get_light_client_optimistic_update(self) -> LightClientOptimisticUpdate:
        return self.frozen or await super().get_light_client_optimistic_update()

    async def aclose(self) -> None:
        self.send.close()
        self.receive.close()

    async def stream_updates(self) -> AsyncIterator[Any]:
        try:
            async for update in self.receive:
                yield update
        finally:
            self.is_stream_closed = True


async def test_pushed_updates_are_delivered_though_who_is_asked_has_none() -> None:
    world = World(SLOTS_PER_PERIOD + 30, slot_duration_ms=50)
    pushing = Pushing(world)
    async with world.client(pushing) as client:
        await client.wait_until_synced()
        await until(lambda: client.optimistic_header().slot == world.slot - 1)  # type: ignore[union-attr]
        pushing.frozen = world.chain.optimistic_update()
        world.go_to(world.slot + 1, 0.1)
        update = world.chain.optimistic_update()
        with anyio.fail_after(60):
            headers = client.optimistic_headers()
            await anext(headers)
            await pushing.send.send(update)
            assert (await anext(headers)).slot == world.slot - 1


async def test_the_event_stream_is_closed_on_leaving_and_on_a_lie() -> None:
    world = World(SLOTS_PER_PERIOD + 30, slot_duration_ms=50)
    honest, lying = Pushing(world), Pushing(world)
    update = world.chain.optimistic_update()
    assert update is not None
    async with world.client(lying, honest) as client:
        await client.wait_until_synced()
        await lying.send.send(replace(update, signature_slot=update.attested_header.beacon.slot))
        await until(lambda: lying.is_stream_closed)
        assert not honest.is_stream_closed
    assert honest.is_stream_closed


# Asyncio by itself --------------------------------------------------------------------------------


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_asyncios_own_timeouts_end_it_like_any_code() -> None:
    watched = Watched()

    async def run_for_a_moment() -> None:
        async with asyncio.timeout(None) as limit, still_world().client(watched) as client:
            limit.reschedule(asyncio.get_running_loop().time() + 0.1)
            await client.run()

    with pytest.raises(TimeoutError):
        await run_for_a_moment()
    assert watched.life == ["open", "closed"]

    hanging = Hanging(still_world(), "hanging")

    async def follow() -> None:
        async with still_world().client(hanging) as client:
            await client.wait_until_synced()

    task = asyncio.create_task(follow())
    await until(lambda: hanging.asked)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()
