"""The simulated beacon node over real HTTP, on asyncio and on trio."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import anyio
import httpx
import pytest

from lightclient.config import network_from_config_mapping
from lightclient.containers import (
    LightClientUpdate,
    ObjectKind,
    decode_json,
    decode_ssz,
    encode_ssz,
    read_document,
    split_update_stream,
)
from lightclient.simulator import SimulatedChain, ValidatorKeys, simulated_network
from lightclient.simulator.habits import Answer, Received, ServerHabits
from lightclient.simulator.server import serve

pytestmark = pytest.mark.anyio

LIGHT_CLIENT = "/eth/v1/beacon/light_client"
SSZ = {"Accept": "application/octet-stream"}
FORKS = {"altair": 0, "capella": 8, "deneb": 16}


HEAD_SLOT = 140


def new_chain(keys: ValidatorKeys | None = None) -> SimulatedChain:
    chain = SimulatedChain(simulated_network("minimal", FORKS), dense_from_slot=128, keys=keys)
    chain.advance_to(HEAD_SLOT)
    return chain


@cache
def resting_chain() -> SimulatedChain:
    """For tests that do not let it grow."""
    return new_chain()


def growing_chain() -> SimulatedChain:
    return new_chain(resting_chain().keys)


@asynccontextmanager
async def serving(
    habits: ServerHabits | None = None, chain: SimulatedChain | None = None
) -> AsyncIterator[tuple[httpx.AsyncClient, SimulatedChain]]:
    chain = resting_chain() if chain is None else chain
    async with (
        serve(chain, habits) as base_url,
        httpx.AsyncClient(base_url=base_url, trust_env=False) as client,
    ):
        yield client, chain


async def test_objects_come_as_json_with_their_version() -> None:
    async with serving() as (client, chain):
        root = chain.trusted_block_root(1)
        paths = {
            f"bootstrap/0x{root.hex()}": (ObjectKind.BOOTSTRAP, chain.bootstrap(root)),
            "finality_update": (ObjectKind.FINALITY_UPDATE, chain.finality_update()),
            "optimistic_update": (ObjectKind.OPTIMISTIC_UPDATE, chain.optimistic_update()),
        }
        for path, (kind, expected) in paths.items():
            answer = await client.get(f"{LIGHT_CLIENT}/{path}")
            assert answer.status_code == 200
            assert answer.headers["content-type"] == "application/json"
            body = answer.json()
            assert body["version"] == answer.headers["eth-consensus-version"]
            assert decode_json(kind, body, chain.network) == expected


async def test_objects_come_as_ssz_to_who_prefers_it() -> None:
    async with serving() as (client, chain):
        accept = {"Accept": "application/octet-stream;q=1.0,application/json;q=0.9"}
        answer = await client.get(f"{LIGHT_CLIENT}/finality_update", headers=accept)
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["eth-consensus-version"] == "deneb"
        update = chain.finality_update()
        assert update is not None
        assert answer.content == encode_ssz(update)


async def test_update_ranges_are_an_array_in_json_and_a_stream_in_ssz() -> None:
    async with serving() as (client, chain):
        query = {"start_period": 0, "count": 200}
        expected = chain.updates(0, 3)
        answer = await client.get(f"{LIGHT_CLIENT}/updates", params=query)
        assert [item["version"] for item in answer.json()] == ["altair", "capella", "deneb"]
        answer = await client.get(f"{LIGHT_CLIENT}/updates", params=query, headers=SSZ)
        assert "eth-consensus-version" not in answer.headers
        entries = read_document(ObjectKind.UPDATE, answer.content, chain.network)
        assert [entry.decode() for entry in entries] == expected
        digests = [digest for digest, _ in split_update_stream(answer.content, 2**17)]
        assert digests == [chain.network.compute_fork_digest(epoch) for epoch in (0, 8, 16)]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("updates", 400),
        ("updates?start_period=1", 400),
        ("updates?start_period=-1&count=1", 400),
        ("updates?start_period=x&count=1", 400),
        ("updates?start_period=99999999999999999999&count=1", 400),
        ("bootstrap/0x12", 400),
        ("bootstrap/" + "ab" * 32, 400),
        ("bootstrap/0x" + "ab" * 32, 404),
        ("nothing", 404),
    ],
)
async def test_bad_requests_are_refused_with_a_reason(path: str, status: int) -> None:
    async with serving() as (client, _):
        answer = await client.get(f"{LIGHT_CLIENT}/{path}")
        assert answer.status_code == status
        assert answer.json()["code"] == status
        assert answer.json()["message"]


async def test_an_unservable_accept_is_a_406() -> None:
    async with serving() as (client, _):
        path = f"{LIGHT_CLIENT}/finality_update"
        assert (await client.get(path, headers={"Accept": "text/html"})).status_code == 406
    async with serving(ServerHabits(ssz=False)) as (client, _):
        assert (await client.get(path, headers=SSZ)).status_code == 406


async def test_a_range_past_the_newest_period_is_cut_or_refused_by_habit() -> None:
    habits = ServerHabits()
    async with serving(habits) as (client, chain):
        path = f"{LIGHT_CLIENT}/updates?start_period=2&count=5"
        assert len((await client.get(path)).json()) == len(chain.updates(2, 5)) == 1
        future = f"{LIGHT_CLIENT}/updates?start_period=500&count=1"
        assert (await client.get(future)).json() == []
        habits.past_newest = "error"
        assert (await client.get(path)).status_code == 500
        habits.extra_updates = 1
        path = f"{LIGHT_CLIENT}/updates?start_period=0&count=1"
        assert len((await client.get(path)).json()) == 2


async def test_the_v0_names_and_flat_headers_are_served_by_habit() -> None:
    habits = ServerHabits(api="v0", flat_altair_headers=True, quoted_numbers=False)
    async with serving(habits) as (client, chain):
        path = "light_client/updates?start_period=0&count=1"
        assert (await client.get(f"/eth/v1/beacon/{path}")).status_code == 404
        answer = await client.get(f"/eth/v0/beacon/{path}")
        (item,) = answer.json()
        assert item["data"]["attested_header"]["slot"] == 17
        assert decode_json(ObjectKind.UPDATE, item, chain.network) == chain.best_update(0)


async def test_envelope_and_labels_are_left_out_by_habit() -> None:
    habits = ServerHabits(envelope=False, version_header=False, updates_version_header=True)
    async with serving(habits) as (client, _):
        answer = await client.get(f"{LIGHT_CLIENT}/optimistic_update")
        assert "eth-consensus-version" not in answer.headers
        assert set(answer.json()) == {"attested_header", "sync_aggregate", "signature_slot"}
        answer = await client.get(f"{LIGHT_CLIENT}/updates?start_period=0&count=3")
        assert answer.headers["eth-consensus-version"] == "altair,capella,deneb"
        habits.envelope, habits.body_version = True, False
        assert set((await client.get(f"{LIGHT_CLIENT}/optimistic_update")).json()) == {"data"}


async def test_a_wrong_digest_is_sent_by_habit() -> None:
    habits = ServerHabits(digest="zero_root")
    async with serving(habits) as (client, chain):
        path = f"{LIGHT_CLIENT}/updates?start_period=0&count=1"
        body = (await client.get(path, headers=SSZ)).content
        ((digest, payload),) = split_update_stream(body, 2**17)
        assert digest not in chain.network.forks_by_digest
        assert decode_ssz(ObjectKind.UPDATE, payload, chain.network) == chain.best_update(0)


async def test_bootstraps_can_be_pruned_while_headers_are_not() -> None:
    async with serving(ServerHabits(oldest_bootstrap_slot=50)) as (client, chain):
        old, kept = chain.trusted_block_root(0).hex(), chain.trusted_block_root(50).hex()
        assert (await client.get(f"{LIGHT_CLIENT}/bootstrap/0x{old}")).status_code == 404
        assert (await client.get(f"{LIGHT_CLIENT}/bootstrap/0x{kept}")).status_code == 200
        header = (await client.get(f"/eth/v1/beacon/headers/0x{old}")).json()
        assert header["finalized"] is True


async def test_serving_light_clients_can_be_off() -> None:
    async with serving(ServerHabits(light_client_status=501)) as (client, chain):
        root = chain.trusted_block_root(1).hex()
        assert (await client.get(f"{LIGHT_CLIENT}/bootstrap/0x{root}")).status_code == 501
        assert (await client.get(f"/eth/v1/beacon/headers/0x{root}")).status_code == 200


async def test_rate_limits_name_a_pause_and_intercepted_answers_are_replaced() -> None:
    def truncate(received: Received, answer: Answer) -> Answer:
        if received.path.endswith("genesis"):
            answer.body = answer.body[:10]
        return answer

    habits = ServerHabits(rate_limit_every=2, retry_after=7, intercept=truncate)
    async with serving(habits) as (client, _):
        assert len((await client.get("/eth/v1/beacon/genesis")).content) == 10
        answer = await client.get("/eth/v1/node/version")
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
        assert [received.path for received in habits.received] == [
            "/eth/v1/beacon/genesis",
            "/eth/v1/node/version",
        ]


async def test_headers_tell_what_a_root_is() -> None:
    async with serving() as (client, chain):
        for block_id, finalized in (("head", False), ("finalized", True), ("128", False)):
            body = (await client.get(f"/eth/v1/beacon/headers/{block_id}")).json()
            assert body["finalized"] is finalized
            root = bytes.fromhex(body["data"]["root"][2:])
            slot = body["data"]["header"]["message"]["slot"]
            assert chain.blocks_by_root[root].slot == int(slot)
        unknown = await client.get("/eth/v1/beacon/headers/0x" + "11" * 32)
        assert unknown.status_code == 404
        assert (await client.get("/eth/v1/beacon/headers/127")).status_code == 404
        assert (await client.get("/eth/v1/beacon/headers/what")).status_code == 400
        root_answer = (await client.get("/eth/v1/beacon/blocks/head/root")).json()
        assert root_answer["data"]["root"] == "0x" + chain.head.root.hex()
        path = "/eth/v1/beacon/states/head/finality_checkpoints"
        checkpoints = (await client.get(path)).json()["data"]
        assert checkpoints["finalized"]["root"] == "0x" + chain.head.finalized.root.hex()


async def test_genesis_and_spec_describe_the_network() -> None:
    async with serving() as (client, chain):
        genesis = (await client.get("/eth/v1/beacon/genesis")).json()["data"]
        spec = (await client.get("/eth/v1/config/spec")).json()["data"]
        network = network_from_config_mapping(
            spec,
            genesis_time=int(genesis["genesis_time"]),
            genesis_validators_root=genesis["genesis_validators_root"],
        )
        assert network == chain.network
        schedule = (await client.get("/eth/v1/config/fork_schedule")).json()["data"]
        assert [item["epoch"] for item in schedule[:5]] == ["0", "0", "8", "8", "16"]
        assert (await client.get("/eth/v1/node/version")).json()["data"]["version"]
        assert (await client.get("/eth/v1/node/syncing")).json()["data"]["head_slot"] == "140"
        assert (await client.get("/eth/v1/node/health")).status_code == 200


async def events_of(
    client: httpx.AsyncClient, topics: str, chain: SimulatedChain, slot: int, count: int
) -> list[tuple[str, Any]]:
    """The first ``count`` events after the chain grew to ``slot``."""
    # A plain socket: a stream left in the middle makes an HTTP client's generators complain.
    async with await anyio.connect_tcp(client.base_url.host, client.base_url.port or 0) as stream:
        request = f"GET /eth/v1/events?topics={topics} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        await stream.send(request.encode())
        received = await stream.receive()
        assert received.startswith(b"HTTP/1.1 200")
        assert b"text/event-stream" in received
        with anyio.fail_after(60):
            while b":\n\n" not in received:
                received += await stream.receive()
            chain.advance_to(slot)
            while received.count(b"\ndata: ") < count or not received.endswith(b"\n\n\r\n"):
                received += await stream.receive()
    lines = [line for line in received.decode().splitlines() if line]
    names = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    values = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data:")]
    return list(zip(names, values, strict=True))


async def test_events_push_what_new_blocks_bring() -> None:
    topics = "light_client_finality_update,light_client_optimistic_update&topics=head"
    async with serving(chain=growing_chain()) as (client, chain):
        events = await events_of(client, topics, chain, 146, 13)
        names = [name for name, _ in events]
        assert names.count("head") == 6
        assert names.count("light_client_optimistic_update") == 6
        # Slot 144 starts an epoch, whose first state finalizes anew; 145 signs that.
        assert names.count("light_client_finality_update") == 1
        finality = dict(events)["light_client_finality_update"]
        assert finality["version"] == "deneb"
        update = decode_json(ObjectKind.FINALITY_UPDATE, finality, chain.network)
        assert update == chain.finality_update()


async def test_events_have_v0_names_and_bare_shape_by_habit() -> None:
    habits = ServerHabits(api="v0", envelope=False)
    async with serving(habits, growing_chain()) as (client, chain):
        topic = "light_client_optimistic_update_v0"
        ((name, data),) = await events_of(client, topic, chain, 141, 1)
        assert name == topic
        assert "attested_header" in data
        unknown = await client.get("/eth/v1/events?topics=light_client_optimistic_update")
        assert unknown.status_code == 400
        assert (await client.get("/eth/v1/events")).status_code == 400
        habits.events = False
        assert (await client.get(f"/eth/v1/events?topics={topic}")).status_code == 404


async def test_stopping_is_quick_with_an_open_stream() -> None:
    chain = growing_chain()
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        async with serve(chain) as base_url:
            request = client.build_request("GET", f"{base_url}/eth/v1/events?topics=head")
            response = await client.send(request, stream=True)
            started = time.monotonic()
        assert time.monotonic() - started < 30
        with pytest.raises(httpx.ConnectError):
            await client.get(f"{base_url}/eth/v1/node/version")
        await response.aclose()
    assert chain.listeners == []


async def test_an_error_of_the_user_of_the_server_comes_out_as_it_is() -> None:
    with pytest.raises(LookupError, match="mine"):
        async with serve(resting_chain()):
            raise LookupError("mine")


async def test_a_live_chain_grows_with_the_clock() -> None:
    slot_ms = 100
    genesis_time = int(time.time()) - 2
    network = simulated_network(
        "minimal", FORKS, genesis_time=genesis_time, slot_duration_ms=slot_ms
    )
    chain = SimulatedChain(network)
    chain.advance_to_time_ms(int(time.time() * 1000))
    before = chain.head.slot
    assert before >= 20
    async with serve(chain, live=True) as base_url, httpx.AsyncClient(trust_env=False) as client:
        with anyio.fail_after(60):
            grown = anyio.Event()
            chain.listeners.append(lambda block: grown.set() if block.slot >= before + 5 else None)
            await grown.wait()
        answer = await client.get(f"{base_url}{LIGHT_CLIENT}/optimistic_update")
        update = decode_json(ObjectKind.OPTIMISTIC_UPDATE, answer.json(), network)
        assert not isinstance(update, LightClientUpdate)
        assert update.main_header.beacon.slot >= before + 4
    assert chain.head.slot <= network.slot_at_time_ms(int(time.time() * 1000))
