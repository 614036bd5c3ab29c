"""What the REST transport makes of each fault, with sockets and without: an answer or an error."""

from __future__ import annotations

import random
from contextlib import aclosing
from functools import cache

import anyio
import pytest

from lightclient.errors import TransportError
from lightclient.simulator import SimulatedChain, simulated_network
from lightclient.simulator.faults import FAULTS, Fault, FaultSet, make_fault
from lightclient.simulator.habits import ServerHabits
from lightclient.simulator.in_process_http import InProcessHttp
from lightclient.simulator.server import serve
from lightclient.transports.rest import RestTransport

pytestmark = pytest.mark.anyio

FORKS = {"altair": 0, "capella": 8, "deneb": 16}


@pytest.fixture
def anyio_backend() -> str:
    """One is enough: what touches the loop is tested on both elsewhere."""
    return "asyncio"


@cache
def chain() -> SimulatedChain:
    made = SimulatedChain(simulated_network("minimal", FORKS), dense_from_slot=120)
    made.advance_to(140)
    return made


def fault(name: str) -> Fault:
    return make_fault(name, random.Random(4))


async def _outcomes(transport: RestTransport) -> list[str]:
    outcomes = []
    root = chain().trusted_block_root(16)
    for request in (
        lambda: transport.get_light_client_bootstrap(root),
        lambda: transport.get_light_client_updates_by_range(1, 2),
        transport.get_light_client_finality_update,
        transport.get_light_client_optimistic_update,
    ):
        try:
            await request()
            outcomes.append("answered")
        except TransportError as error:
            outcomes.append(error.provider)
    return outcomes


READABLE = {
    *(name for name in FAULTS if name.startswith(("forged_", "lying_"))),
    *(name for name, kind in FAULTS.items() if kind.__module__.endswith((".events", ".ranges"))),
    *("lagging", "frozen", "stale_latest", "stale_finality", "wrong_date", "unknown_fork"),
    "equivocating",
}
# Sometimes an answer, sometimes none; or one to some requests.
MIXED = {"flapping", "slow_first_byte", "bootstrap_missing", "wrong_network", "wrong_content_type"}


# What is forged or spoilt in ranges is as readable as the truth: one of each stands for all.
LIKE_OTHERS = {name for name in FAULTS if name.startswith("forged_") or name.endswith("_range")}
ON_THE_WIRE = sorted(set(FAULTS) - LIKE_OTHERS | {"forged_bad_signature", "gapped_range"})


async def _all_outcomes(transport: RestTransport) -> list[str]:
    await transport.open(chain().network)
    try:
        # An endless range may take four times its time.
        with anyio.fail_after(60):
            return await _outcomes(transport)
    finally:
        await transport.aclose()


def _patience(name: str, least: float) -> float:
    """What is readable may take its time on a busy machine; what stalls is not waited for."""
    return 10.0 if name in READABLE else least


def _check(name: str, provider: str, outcomes: list[str]) -> None:
    if name in READABLE:
        assert outcomes == ["answered"] * 4
    elif name not in MIXED:
        assert provider in outcomes
        assert "answered" not in (outcomes[0], *outcomes[2:])


@pytest.mark.parametrize("name", ON_THE_WIRE)
async def test_every_fault_is_an_answer_or_an_error_of_the_transport(name: str) -> None:
    habits = ServerHabits(faults=FaultSet([fault(name)]))
    async with serve(chain(), habits) as url:
        transport = RestTransport(url, timeout=_patience(name, 0.25))
        _check(name, transport.name, await _all_outcomes(transport))


@pytest.mark.parametrize("name", FAULTS)
async def test_every_fault_is_the_same_without_sockets(name: str) -> None:
    http = InProcessHttp(chain(), ServerHabits(faults=FaultSet([fault(name)])))
    transport = RestTransport(
        "http://simulated", timeout=_patience(name, 0.05), http_transport=http
    )
    _check(name, transport.name, await _all_outcomes(transport))
    assert chain().listeners == []


async def test_without_sockets_the_network_and_the_time_are_told_as_well() -> None:
    habits, now = ServerHabits(), 1_700_000_000
    http = InProcessHttp(chain(), habits, clock=lambda: now * 1000)
    transport = RestTransport("http://simulated", timeout=1, http_transport=http)
    shown: list[int] = []
    transport.on_server_time = lambda time: shown.append(time.middle_ms)
    await transport.open(chain().network)
    assert (await transport.get_spec())["PRESET_BASE"] == "minimal"
    root = chain().network.genesis_validators_root
    assert (await transport.get_genesis()).genesis_validators_root == root
    habits.faults.faults = (fault("wrong_network"),)
    assert (await transport.get_genesis()).genesis_validators_root != root
    assert all(abs(each - now * 1000) < 2000 for each in shown)
    assert shown
    await transport.aclose()


async def test_without_sockets_events_are_pushed_as_well() -> None:
    growing = SimulatedChain(chain().network, dense_from_slot=120, keys=chain().keys)
    growing.advance_to(140)
    http = InProcessHttp(growing)
    transport = RestTransport("http://simulated", timeout=5, http_transport=http)
    await transport.open(growing.network)
    slots: list[int] = []

    async def listen() -> None:
        async with aclosing(transport.stream_updates()) as updates:
            async for update in updates:
                slots.append(update.main_header.beacon.slot)  # noqa: PERF401 - cancelled

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen)
        await anyio.wait_all_tasks_blocked()
        for slot in range(141, 144):
            growing.advance_to(slot)
            await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert slots == [140, 141, 142]
    await transport.aclose()
    assert growing.listeners == []
