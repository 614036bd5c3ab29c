"""Against the simulated beacon node over real HTTP: each of its habits is lived with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from lightclient.errors import NotServed, RateLimited, UnknownBootstrap
from lightclient.simulator import SimulatedChain, simulated_network
from lightclient.simulator.habits import ServerHabits
from lightclient.transports.rest import RestTransport

serve = pytest.importorskip("lightclient.simulator.server", reason="needs [demo]").serve

pytestmark = pytest.mark.anyio

FORKS = {"altair": 0, "capella": 8, "deneb": 16, "electra": 24, "gloas": 32}
HEAD_SLOT = 5 * 64 + 20


@pytest.fixture(scope="module")
def chain() -> SimulatedChain:
    """Six periods, a fork in each."""
    chain = SimulatedChain(simulated_network("minimal", FORKS), dense_from_slot=HEAD_SLOT - 20)
    chain.advance_to(HEAD_SLOT)
    return chain


@asynccontextmanager
async def connected(
    chain: SimulatedChain, habits: ServerHabits | None = None
) -> AsyncIterator[RestTransport]:
    async with serve(chain, habits) as url:
        transport = RestTransport(url)
        await transport.open(chain.network)
        try:
            yield transport
        finally:
            await transport.aclose()


HABITS = {
    "as specified": ServerHabits(),
    "JSON only": ServerHabits(ssz=False),
    "no version headers": ServerHabits(version_header=False),
    "a list of versions": ServerHabits(updates_version_header=True),
    "no versions at all": ServerHabits(version_header=False, body_version=False, ssz=False),
    "bare JSON": ServerHabits(version_header=False, envelope=False, ssz=False),
    "digest by signature slot": ServerHabits(version_header=False, digest="signature"),
    "digest of no network": ServerHabits(version_header=False, digest="zero_root"),
    "numbers as numbers": ServerHabits(ssz=False, quoted_numbers=False),
    "flat headers": ServerHabits(ssz=False, flat_altair_headers=True),
    "updates in data": ServerHabits(ssz=False, updates_in_data=True),
    "version 0": ServerHabits(api="v0"),
    "version 0 in JSON": ServerHabits(api="v0", ssz=False, flat_altair_headers=True),
    "both versions": ServerHabits(api="both"),
}


@pytest.mark.parametrize("name", HABITS)
async def test_every_object_is_the_chains_own_whatever_the_habit(
    chain: SimulatedChain, name: str
) -> None:
    async with connected(chain, HABITS[name]) as transport:
        for period in range(5):
            root = chain.trusted_block_root(period)
            assert await transport.get_light_client_bootstrap(root) == chain.bootstrap(root)
        answer = await transport.get_light_client_updates_by_range(0, 6)
        assert list(answer.updates) == chain.updates(0, 6)
        assert len(answer.updates) == 6
        assert answer.error is None
        assert await transport.get_light_client_finality_update() == chain.finality_update()
        assert await transport.get_light_client_optimistic_update() == chain.optimistic_update()


async def test_more_updates_than_asked_for_are_given_on(chain: SimulatedChain) -> None:
    async with connected(chain, ServerHabits(extra_updates=1)) as transport:
        answer = await transport.get_light_client_updates_by_range(1, 1)
    assert list(answer.updates) == chain.updates(1, 2)
    assert answer.error is None


async def test_a_range_past_the_newest_period_gives_what_there_is(chain: SimulatedChain) -> None:
    async with connected(chain, ServerHabits(past_newest="error")) as transport:
        answer = await transport.get_light_client_updates_by_range(3, 128)
    assert list(answer.updates) == chain.updates(3, 3)
    assert "period 6" in str(answer.error)


@pytest.mark.parametrize("status", [404, 500])
async def test_an_unknown_root_is_told(chain: SimulatedChain, status: int) -> None:
    async with connected(chain, ServerHabits(unknown_root_status=status)) as transport:
        with pytest.raises(UnknownBootstrap) as caught:
            await transport.get_light_client_bootstrap(b"\xab" * 32)
    assert caught.value.reason == "unknown_root"


async def test_a_block_within_an_epoch_is_told(chain: SimulatedChain) -> None:
    block = next(block for block in reversed(chain.blocks) if block.slot % 8 == 3)
    async with connected(chain) as transport:
        with pytest.raises(UnknownBootstrap, match=f"slot {block.slot}") as caught:
            await transport.get_light_client_bootstrap(block.root)
    assert caught.value.reason == "not_epoch_boundary"


async def test_a_block_that_is_not_finalized_is_told(chain: SimulatedChain) -> None:
    block = next(block for block in reversed(chain.blocks) if block.slot % 8 == 0)
    async with connected(chain) as transport:
        with pytest.raises(UnknownBootstrap) as caught:
            await transport.get_light_client_bootstrap(block.root)
    assert caught.value.reason == "not_finalized"


async def test_the_hash_of_an_execution_block_is_told(chain: SimulatedChain) -> None:
    header = chain.optimistic_update().attested_header  # type: ignore[union-attr]
    block_hash = header.execution_block_hash
    assert block_hash is not None
    async with connected(chain) as transport:
        with pytest.raises(UnknownBootstrap) as caught:
            await transport.get_light_client_bootstrap(block_hash)
    assert caught.value.reason == "execution_block_hash"


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_a_node_that_does_not_serve_light_clients_is_told(
    chain: SimulatedChain, status: int
) -> None:
    async with connected(chain, ServerHabits(light_client_status=status)) as transport:
        with pytest.raises(UnknownBootstrap) as caught:
            await transport.get_light_client_bootstrap(chain.trusted_block_root(1))
        with pytest.raises(NotServed):
            await anext(transport.stream_updates())
    assert caught.value.reason == "light_client_off"


async def test_a_pause_is_asked_for(chain: SimulatedChain) -> None:
    async with connected(chain, ServerHabits(rate_limit_every=2, retry_after=7)) as transport:
        await transport.get_light_client_finality_update()
        with pytest.raises(RateLimited) as caught:
            await transport.get_light_client_finality_update()
    assert caught.value.retry_after == 7


@pytest.mark.parametrize(
    "habits",
    [ServerHabits(), ServerHabits(api="v0"), ServerHabits(envelope=False, version_header=False)],
    ids=["as specified", "version 0", "bare"],
)
async def test_new_blocks_are_pushed(habits: ServerHabits) -> None:
    chain = SimulatedChain(simulated_network("minimal", FORKS), dense_from_slot=0)
    chain.advance_to(40)
    async with connected(chain, habits) as transport:
        updates = transport.stream_updates()

        async def grow() -> None:
            for slot in range(41, 400):
                chain.advance_to(slot)
                await anyio.sleep(0.05)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(grow)
            kinds: set[str] = set()
            with anyio.fail_after(60):
                while len(kinds) < 2:
                    update = await anext(updates)
                    kinds.add(update.kind.value)
            tasks.cancel_scope.cancel()
        await updates.aclose()
    assert kinds == {"finality_update", "optimistic_update"}


async def test_a_node_without_events_pushes_nothing(chain: SimulatedChain) -> None:
    async with connected(chain, ServerHabits(events=False)) as transport:
        with pytest.raises(NotServed):
            await anext(transport.stream_updates())
