"""A simulated server with faults over real HTTP, and what a plain socket gets from it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import cache

import anyio
import httpx

from lightclient.simulator import SimulatedChain, ValidatorKeys, simulated_network
from lightclient.simulator.faults import Fault, FaultSet, make_fault
from lightclient.simulator.habits import ServerHabits
from lightclient.simulator.server import serve

BASE = "/eth/v1/beacon/light_client"
OPTIMISTIC = f"{BASE}/optimistic_update"
SSZ = {"Accept": "application/octet-stream"}
FORKS = {"altair": 0, "capella": 8, "deneb": 16}


@cache
def keys() -> ValidatorKeys:
    return chain().keys


@cache
def chain() -> SimulatedChain:
    made = SimulatedChain(simulated_network("minimal", FORKS), dense_from_slot=120)
    made.advance_to(140)
    return made


def fault(name: str) -> Fault:
    return make_fault(name, random.Random(4))


@asynccontextmanager
async def serving(
    *faults: str | Fault, served: SimulatedChain | None = None
) -> AsyncIterator[tuple[httpx.AsyncClient, ServerHabits]]:
    made = [fault(one) if isinstance(one, str) else one for one in faults]
    habits = ServerHabits(faults=FaultSet(made))
    async with (
        serve(served or chain(), habits) as url,
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client,
    ):
        yield client, habits


async def raw(
    client: httpx.AsyncClient,
    path: str = OPTIMISTIC,
    seconds: float = 60.0,
    *,
    until_first: float = 60.0,
    enough: Callable[[bytes], object] = lambda _: False,
) -> bytes:
    """What a plain socket gets: up to the end, to ``enough``, or ``seconds`` from the first piece.

    Of what comes after ``enough``, a moment's worth is taken along.
    """
    received = b""
    async with await anyio.connect_tcp(client.base_url.host, client.base_url.port or 0) as stream:
        await stream.send(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        with suppress(anyio.EndOfStream):
            with anyio.move_on_after(until_first):
                received = await stream.receive()
            with anyio.move_on_after(seconds):
                while received and not enough(received):
                    received += await stream.receive()
            with anyio.move_on_after(0.2 if enough(received) else 0):
                while True:
                    received += await stream.receive()
    return received


def parts(received: bytes) -> tuple[dict[str, str], bytes]:
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")[1:]
    return {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}, body


async def honest_body() -> bytes:
    async with serving() as (client, _):
        return (await client.get(OPTIMISTIC)).content
