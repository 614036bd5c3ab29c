"""A chain with two periods to catch up on, served with faults, and who judges what is served."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache

from lightclient.containers import LightClientObject
from lightclient.errors import TransportError
from lightclient.protocol import VerdictKind
from lightclient.simulator import SimulatedChain, simulated_network
from lightclient.simulator.faults import make_fault
from lightclient.simulator.in_process import FaultyTransport
from lightclient.sync import Processor

FORKS = {"altair": 0, "capella": 8, "deneb": 16, "electra": 24, "gloas": 32}
HEAD_SLOT = 340
TRUSTED_SLOT = 256  # period 4 of 64 slots: the head is in period 5


@cache
def chain() -> SimulatedChain:
    made = SimulatedChain(simulated_network("minimal", FORKS), dense_from_slot=244)
    made.advance_to(HEAD_SLOT)
    return made


def faulty(*names: str, seed: int = 1, timeout: float = 0.05) -> FaultyTransport:
    rng = random.Random(seed)
    return FaultyTransport(chain(), [make_fault(name, rng) for name in names], timeout=timeout)


async def everything(transport: FaultyTransport) -> list[LightClientObject]:
    """What comes of one request of each kind."""
    values: list[LightClientObject] = []
    trusted = chain().trusted_block_root(TRUSTED_SLOT)
    requests: list[Callable[[], object]] = [
        lambda: transport.get_light_client_bootstrap(trusted),
        transport.get_light_client_finality_update,
        transport.get_light_client_optimistic_update,
    ]
    for request in requests:
        try:
            values.append(await request())  # type: ignore[misc]
        except TransportError:
            continue
    try:
        answer = await transport.get_light_client_updates_by_range(4, 2)
        values += answer.updates
    except TransportError:
        pass
    return values


def now_ms() -> int:
    return chain().network.slot_start_ms(HEAD_SLOT + 1)


def following(of: SimulatedChain, *, knows_next: bool = True) -> Processor:
    """A processor that can judge objects of the head."""
    root = of.trusted_block_root(TRUSTED_SLOT)
    processor = Processor(of.network, root, backend=of.backend)
    bootstrap = of.bootstrap(root)
    assert bootstrap is not None
    steps: list[LightClientObject | None] = [bootstrap, of.best_update(4)]
    for value in steps if knows_next else steps[:1]:
        assert value is not None
        assert processor.process(value, now_ms()).verdict.kind is VerdictKind.ACCEPTED
    return processor
