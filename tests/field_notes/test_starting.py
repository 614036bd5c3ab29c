"""Roots to start from: old, wrong, of the wrong kind, unknown, and where they come from."""

from __future__ import annotations

import json

import anyio
import pytest

from lightclient import LightClientBootstrap, LightClientError, ProviderRefused, UnknownBootstrap
from lightclient.config import network_by_name
from lightclient.errors import StaleTrustedRoot
from lightclient.simulator.habits import Answer, Received, ServerHabits
from lightclient.transports.base import UpdateRange
from lightclient.transports.checkpoints import CheckpointService, ask_for_checkpoint
from tests.client.world import SLOTS_PER_PERIOD, ChainTransport, TickingWorld, World
from tests.field_notes.playing import (
    PATIENCE_SECONDS,
    SLOT,
    client_of,
    head_from,
    make_world,
    served,
    synced,
)

pytestmark = pytest.mark.anyio


class Capped(ChainTransport):
    """Gives a few updates for each request, however many are asked for."""

    most = 3

    async def get_light_client_updates_by_range(self, start_period: int, count: int) -> UpdateRange:
        return await super().get_light_client_updates_by_range(start_period, min(count, self.most))


# Old / bad checkpoint ---------------------------------------------------------------------------


async def test_an_old_root_is_brought_to_the_head_range_by_range() -> None:
    periods = 130  # more than a request may ask for
    world = make_world(periods * SLOTS_PER_PERIOD + 20)
    transport = Capped(world, "capped")
    async with client_of(world, transport, allow_stale_trusted_root=True) as client:
        head = await synced(client)
        assert client.status.finalized_period == periods
    assert world.slot - head.slot < 16
    ranges = [request for request in transport.drain() if request.startswith("updates")]
    assert len(ranges) >= periods / Capped.most


async def why_it_gives_up(world: World, root: bytes, habits: ServerHabits) -> Exception:
    async with served(world, habits) as transports:
        with pytest.raises(LightClientError) as caught, anyio.fail_after(PATIENCE_SECONDS):
            async with client_of(world, *transports, trusted_block_root=root) as client:
                await client.run()
    return caught.value


async def test_a_root_that_is_too_old_ends_the_client_with_a_reason() -> None:
    world = TickingWorld(SLOT, slot_duration_ms=50)
    habits = ServerHabits(oldest_bootstrap_slot=2 * SLOTS_PER_PERIOD)
    error = await why_it_gives_up(world, world.root(), habits)
    assert isinstance(error, UnknownBootstrap)
    assert error.reason == "not_kept"


async def test_a_root_of_another_network_ends_the_client_with_a_reason() -> None:
    world = TickingWorld(SLOT, slot_duration_ms=50)
    other = World(3 * SLOTS_PER_PERIOD, seed=7)
    error = await why_it_gives_up(world, other.root(), ServerHabits())
    assert isinstance(error, UnknownBootstrap)
    assert error.reason == "unknown_root"
    assert "another network" in str(error)


async def test_a_bootstrap_of_another_block_is_refused_and_the_next_provider_asked() -> None:
    world = make_world()
    wrong = world.chain.bootstrap(world.root(SLOTS_PER_PERIOD))
    assert wrong is not None

    class Other(ChainTransport):
        async def get_light_client_bootstrap(self, block_root: bytes) -> LightClientBootstrap:
            assert wrong is not None
            return wrong

    async with client_of(world, Other(world, "other"), world.provider("good")) as client:
        await synced(client)
        (other,) = [item for item in client.providers if item.name == "other"]
        assert other.verdicts.get("invalid") == 1


# "could not fetch bootstrap" --------------------------------------------------------------------


async def test_each_reason_for_a_missing_bootstrap_is_told_apart() -> None:
    world = make_world()
    chain = world.chain
    latest = chain.optimistic_update()
    assert latest is not None
    assert latest.attested_header.execution is not None
    execution_block = latest.attested_header.execution.block_hash
    within_epoch = next(
        block
        for block in chain.blocks
        if chain.is_finalized(block)
        and block.slot % 8
        and chain.block_at(block.slot + 1) != block
        and chain.block_at(block.slot + 1).slot % 8
    )
    not_finalized = next(
        block for block in chain.blocks if not chain.is_finalized(block) and block.slot % 8 == 0
    )
    reasons = {
        bytes([7]) * 32: "unknown_root",
        execution_block: "execution_block_hash",
        within_epoch.root: "not_epoch_boundary",
        not_finalized.root: "not_finalized",
        world.root(): "not_kept",
    }
    off = ServerHabits(light_client_status=501)
    pruned = ServerHabits(oldest_bootstrap_slot=2 * SLOTS_PER_PERIOD)
    async with served(world, pruned, off) as (transport, without):
        for item in (transport, without):
            await item.open(world.network)
        for root, reason in reasons.items():
            with pytest.raises(UnknownBootstrap) as caught:
                await transport.get_light_client_bootstrap(root)
            assert caught.value.reason == reason, str(caught.value)
            assert root.hex() in str(caught.value)
        with pytest.raises(UnknownBootstrap) as caught:
            await without.get_light_client_bootstrap(world.root())
        assert caught.value.reason == "light_client_off"
        for item in (transport, without):
            await item.aclose()


# Checkpoint sources -----------------------------------------------------------------------------


async def test_a_quorum_is_found_among_dead_odd_and_lagging_sources() -> None:
    world = make_world()
    behind = World(world.slot - 20)

    def unquoted(_request: Received, answer: Answer) -> Answer:
        text = answer.body.decode()
        answer.body = text.replace('"epoch":"', '"epoch": ').replace('","root"', ',"root"').encode()
        json.loads(answer.body)
        return answer

    async with (
        served(world, ServerHabits(), ServerHabits(intercept=unquoted)) as good,
        served(behind, ServerHabits()) as late,
    ):
        urls = [transport.name for transport in (*good, *late)] + ["http://127.0.0.1:1"]
        _, decision = await ask_for_checkpoint(
            [CheckpointService(url) for url in urls],
            world.network,
            2,
            world.network.compute_epoch_at_slot(world.slot),
        )
    assert decision.checkpoint is not None
    assert [str(standing) for standing in decision.standings] == [
        "agrees",
        "agrees",
        "lagging",
        "unreachable",
    ]
    assert decision.checkpoint.root == world.chain.head.finalized.root
    await head_from(world, world.provider(), trusted_block_root=decision.checkpoint.root)


# WS period --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "epochs"),
    [("mainnet", 3532), ("sepolia", 3532), ("gnosis", 460), ("chiado", 460)],
)
async def test_the_weak_subjectivity_period_follows_from_the_configuration(
    name: str, epochs: int
) -> None:
    assert network_by_name(name).weak_subjectivity_epochs_upper_bound == epochs


async def test_a_root_older_than_that_is_refused_unless_one_insists() -> None:
    epochs = 260  # the upper bound of the minimal preset is 257
    world = make_world(epochs * 8 + 20)
    with pytest.raises(StaleTrustedRoot, match="--allow-stale-trusted-root"):
        await head_from(world, world.provider())
    await head_from(world, world.provider(), allow_stale_trusted_root=True)
    await head_from(world, world.provider(), weak_subjectivity_epochs=300)
    with pytest.raises(StaleTrustedRoot):
        await head_from(
            world,
            world.provider(),
            trusted_block_root=world.root(4 * SLOTS_PER_PERIOD),
            weak_subjectivity_epochs=200,
        )


# Provider lacks LC endpoints --------------------------------------------------------------------


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_without_light_client_endpoints_the_next_provider_helps(status: int) -> None:
    world = make_world()
    off = ServerHabits(light_client_status=status)
    async with (
        served(world, off, ServerHabits()) as transports,
        client_of(world, *transports) as client,
    ):
        await synced(client)
        (without,) = [p for p in client.providers if p.name == transports[0].name]
        assert "does not serve light client data" in str(without.last_error)


async def test_with_no_provider_that_has_light_client_endpoints_the_client_says_so() -> None:
    world = TickingWorld(SLOT, slot_duration_ms=50)
    error = await why_it_gives_up(world, world.root(), ServerHabits(light_client_status=501))
    assert isinstance(error, ProviderRefused)
    assert "does not serve light client data" in str(error)
    assert "use another provider" in str(error)
