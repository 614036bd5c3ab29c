"""Casts of misbehaving providers: a seed decides everything, and no false header is ever shown.

Here in process; ``tests/cli/test_demo.py`` has the same over HTTP.
"""

from __future__ import annotations

import random
import time

import anyio
import pytest

from lightclient.client import LightClient, SyncState
from lightclient.errors import LightClientError
from lightclient.simulator import SimulatedChain, simulated_network
from lightclient.simulator.chaos import Part, Witness, cast_from_seed
from lightclient.simulator.faults import FAULTS, FaultSet, fault_names
from lightclient.simulator.in_process import FaultyTransport
from lightclient.simulator.server import grow
from tests.client.virtual import anyio_backend  # noqa: F401 - a fixture

SLOT_MS = 100
HEAD_SLOT = 700
LIES = tuple(name for name in fault_names() if name.startswith("forged_"))
SECONDS = 1.2


def test_the_same_seed_gives_the_same_cast_and_another_one_another() -> None:
    assert cast_from_seed(5) == cast_from_seed(5)
    assert len({cast_from_seed(seed) for seed in range(20)}) == 20


def test_one_to_three_of_five_are_honest_and_every_one_is_at_times() -> None:
    honest = [
        tuple(part.name for part in cast_from_seed(seed) if part.is_honest) for seed in range(60)
    ]
    assert {len(names) for names in honest} == {1, 2, 3}
    assert {name for names in honest for name in names} == {f"provider {n}" for n in range(1, 6)}


def test_liars_change_what_they_do_and_the_honest_are_only_away_for_a_while() -> None:
    for seed in range(30):
        for part in cast_from_seed(seed, seconds=20):
            assert [act.starts for act in part.acts] == sorted(act.starts for act in part.acts)
            if part.is_honest:
                assert not part.acts or part.acts[-1].faults == ()
                assert all(act.starts <= 10 + 3.5 for act in part.acts)
                names = {name for act in part.acts for name, _ in act.faults}
                assert not any("forged" in name or "range" in name for name in names)
            else:
                assert len(part.acts) >= 3
                assert part.acts[0].faults


def test_the_dishonest_committee_is_in_no_cast() -> None:
    used = {
        name
        for seed in range(200)
        for part in cast_from_seed(seed)
        for act in part.acts
        for name, _ in act.faults
    }
    assert used == set(fault_names())
    assert used < set(FAULTS)


@pytest.mark.anyio
async def test_acts_follow_each_other_in_the_faults_of_a_server() -> None:  # in virtual time
    part = cast_from_seed(3, honest=0, seconds=0.4, act_seconds=(0.1, 0.15))[0]
    faults = FaultSet()
    seen: list[tuple[str, ...]] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(part.play, faults)
        with anyio.move_on_after(0.8):
            while True:
                if not seen or seen[-1] != faults.names:
                    seen.append(faults.names)
                await anyio.sleep(0.01)
    wanted = [tuple(name for name, _ in act.faults) for act in part.acts]
    assert [names for names in seen if names] == [names for names in wanted if names]


def living_chain() -> SimulatedChain:
    network = simulated_network(
        "minimal",
        {"deneb": 0, "electra": 40, "gloas": 90},
        genesis_time=int(time.time() - HEAD_SLOT * SLOT_MS / 1000),
        slot_duration_ms=SLOT_MS,
    )
    chain = SimulatedChain(network, dense_from_slot=HEAD_SLOT - 40)
    chain.advance_to_time_ms(int(time.time() * 1000))
    return chain


async def play(cast: tuple[Part, ...], *, deadline: float) -> tuple[Witness, SyncState, int | None]:
    """A client follows a cast's chain: what was shown, and where it stood in the end."""
    chain = living_chain()
    witness = Witness(chain)
    transports = [
        FaultyTransport(chain, rng=random.Random(part.seed), timeout=0.4, name=part.name)
        for part in sorted(cast, key=lambda part: part.is_honest)
    ]
    client = LightClient(
        network=chain.network,
        trusted_block_root=chain.trusted_block_root(8),
        transports=transports,
        on_finalized_header=lambda header: _see(witness, header),
        on_optimistic_header=lambda header: _see(witness, header),
        allow_stale_trusted_root=True,
        rng=random.Random(1),
    )

    def slots_behind() -> int | None:
        return witness.slots_behind(client.optimistic_header())

    def is_there() -> bool:
        behind = slots_behind()
        # By the clock, which may be far ahead of a chain that had no turn to grow.
        return behind is not None and behind <= 4 and client.status.state is SyncState.SYNCED

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(grow, chain)
        for part in cast:
            faults = next(item.faults for item in transports if item.name == part.name)
            tasks.start_soon(part.play, faults)
        try:
            async with client:
                await anyio.sleep(SECONDS)
                with anyio.move_on_after(deadline):
                    while not is_there():  # noqa: ASYNC110
                        await anyio.sleep(0.05)
                behind, state = slots_behind(), client.status.state
        except LightClientError:
            behind, state = slots_behind(), SyncState.BOOTSTRAPPING
        tasks.cancel_scope.cancel()
    for header in (client.finalized_header(), client.optimistic_header()):
        witness.see(header)
    return witness, state, behind


def _see(witness: Witness, header: object) -> None:
    witness.see(header)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [1, 2])
def test_one_honest_provider_of_five_is_enough(seed: int) -> None:
    cast = cast_from_seed(seed, honest=1, seconds=SECONDS, act_seconds=(0.2, 0.5))
    witness, state, behind = anyio.run(lambda: play(cast, deadline=60))
    assert witness.false_headers == []
    assert state is SyncState.SYNCED
    assert behind is not None
    assert behind <= 4
    assert witness.shown > 10


@pytest.mark.parametrize("seed", [3, 4])
def test_without_any_honest_provider_no_false_header_is_shown(seed: int) -> None:
    cast = cast_from_seed(seed, honest=0, seconds=SECONDS, act_seconds=(0.2, 0.5))
    witness, _, _ = anyio.run(lambda: play(cast, deadline=0))
    assert witness.false_headers == []


def test_with_nothing_but_forgers_no_false_header_is_shown() -> None:
    cast = cast_from_seed(5, honest=0, seconds=SECONDS, act_seconds=(0.2, 0.5), names=LIES)
    witness, _, _ = anyio.run(lambda: play(cast, deadline=0))
    assert witness.false_headers == []
