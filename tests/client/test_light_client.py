"""The client as its users see it, on asyncio and trio: results, and arguments of no use."""

from __future__ import annotations

import logging
import random
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from lightclient.client import LightClient, SyncState
from lightclient.errors import ConfigError, ProviderUnavailable
from lightclient.sync import VerifiedHeader
from lightclient.testing import MockTransport
from lightclient.transports.libp2p.pool import Libp2pPool
from tests.client.failing import HEAD, still_world
from tests.client.world import SLOTS_PER_EPOCH, SLOTS_PER_PERIOD, TickingWorld, World, until

pytestmark = pytest.mark.anyio


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


class Halved:
    """Somebody's transport, begun."""

    name = "halved"

    def stream_updates(self) -> None:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"transports": []}, "no transports"),
        ({"transports": "https://node.example"}, "list"),
        ({"trusted_block_root": "0x12"}, "trusted_block_root"),
        ({"trusted_block_root": b"short"}, "trusted_block_root"),
        ({"forced_update": "always"}, "forced update"),
        ({"network": "atlantis"}, "atlantis"),
        ({"transports": [5]}, "a URL or a Transport, not of type int"),
        ({"transports": [MockTransport]}, "the class MockTransport itself"),
        ({"transports": [Libp2pPool()]}, "a pool is given in pools"),
        (
            {"transports": [Halved()]},
            "of type Halved, which lacks open, aclose, get_light_client_boo",
        ),
        ({"pools": Libp2pPool()}, "a list of pools"),
        ({"pools": ["peers"]}, "not of type str"),
        ({"pools": [Libp2pPool]}, "the class Libp2pPool itself"),
        ({"on_finalized_header": 3}, "on_finalized_header is called"),
        ({"min_providers": "2"}, "min_providers is a whole number, not of type str"),
        ({"weak_subjectivity_epochs": 1.5}, "weak_subjectivity_epochs is a whole number"),
        ({"data_dir": ""}, "data_dir is empty"),
        ({"dump_dir": ""}, "dump_dir is empty"),
        ({"evidence_dir": ""}, "evidence_dir is empty"),
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
