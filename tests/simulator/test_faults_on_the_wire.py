"""Faults over real HTTP: each is on the socket what it is called."""

from __future__ import annotations

import gzip
import json
import random
import socket
from collections.abc import Callable
from email.utils import formatdate, parsedate_to_datetime

import anyio
import httpx
import pytest

from lightclient.containers import split_update_stream
from lightclient.simulator import SimulatedChain
from lightclient.simulator.faults import Fault
from lightclient.simulator.faults.availability import Flapping, SlowFirstByte
from lightclient.simulator.faults.bodies import Dripping
from lightclient.simulator.habits import ServerHabits
from lightclient.simulator.server import serve
from tests.client.world import until
from tests.simulator.faulty_server import (
    BASE,
    OPTIMISTIC,
    SSZ,
    chain,
    fault,
    honest_body,
    keys,
    parts,
    raw,
    serving,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """One is enough for bytes; see ``BOTH`` for what touches the loop."""
    return "asyncio"


BOTH = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])


# The connection -----------------------------------------------------------------------------------


@BOTH
async def test_a_refused_connection_is_refused_by_the_system_and_opens_again() -> None:
    async with serving() as (client, habits):
        port = client.base_url.port or 0
        assert (await client.get(OPTIMISTIC)).status_code == 200
        habits.faults.faults = (fault("refusing"),)
        with anyio.fail_after(60):
            while True:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)):
                        break
                await anyio.sleep(0.01)
        with pytest.raises(httpx.TransportError):
            await client.get(OPTIMISTIC)
        habits.faults.faults = ()
        with anyio.fail_after(60):
            while True:
                try:
                    assert (await client.get(OPTIMISTIC)).status_code == 200
                    break
                except httpx.TransportError:
                    await anyio.sleep(0.01)


@BOTH
async def test_a_flapping_server_goes_down_and_comes_back() -> None:
    # A slot of this preset is 6 s: some 20 to 60 ms each.
    flapping = Flapping(random.Random(1), up_slots=(0.02, 0.03), down_slots=(0.02, 0.03))
    seen: list[int] = []
    async with serving(flapping) as (client, _):
        with anyio.fail_after(60):
            while len(set(seen)) < 2 or seen.count(seen[0]) < 3:
                try:
                    seen.append((await client.get(OPTIMISTIC)).status_code)
                except httpx.TransportError:
                    seen.append(0)
                await anyio.sleep(0.02)
    assert set(seen) == {0, 200}


@BOTH
async def test_a_reset_is_a_reset() -> None:
    for name in ("resetting", "resetting_mid_body"):
        async with serving(name) as (client, _):
            port = client.base_url.port or 0

            def ask(port: int = port) -> bytes:
                with socket.create_connection(("127.0.0.1", port), timeout=60) as plain:
                    plain.sendall(f"GET {OPTIMISTIC} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                    received = b""
                    while True:
                        piece = plain.recv(65536)
                        if not piece:
                            return received
                        received += piece

            with pytest.raises(ConnectionResetError):
                await anyio.to_thread.run_sync(ask)


async def test_silence_keeps_the_connection_open_and_a_slow_answer_comes_at_last() -> None:
    async with serving("silent") as (client, habits):
        assert await raw(client, until_first=0.3) == b""
        habits.faults.faults = (SlowFirstByte(random.Random(1), seconds=0.3),)
        started = anyio.current_time()
        assert (await client.get(OPTIMISTIC)).status_code == 200
        assert anyio.current_time() - started >= 0.3


@BOTH
async def test_who_leaves_during_a_silence_is_noticed() -> None:
    entered, left = anyio.Event(), anyio.Event()

    class Watched(Fault):
        async def before(self, *_: object) -> None:
            entered.set()
            try:
                await anyio.sleep_forever()
            finally:
                left.set()

    async with serving(Watched(random.Random(1))) as (client, _):
        host, port = client.base_url.host, client.base_url.port or 0
        with anyio.fail_after(60):
            async with await anyio.connect_tcp(host, port) as stream:
                await stream.send(f"GET {OPTIMISTIC} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                await entered.wait()
            await left.wait()


# Status -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("server_error", 500),
        ("service_unavailable", 503),
        ("rate_limiting", 429),
        ("rate_limiting_without_retry_after", 429),
        ("light_client_off", 501),
        ("redirect_circle", 302),
        ("redirect_without_end", 307),
        ("error_as_success", 200),
        ("empty_body", 200),
        ("web_page", 200),
    ],
)
async def test_statuses_are_as_named(name: str, status: int) -> None:
    async with serving(name) as (client, habits):
        answer = await client.get(OPTIMISTIC)
        assert answer.status_code == status
        assert ("retry-after" in answer.headers) == (name == "rate_limiting")
        if status >= 400:
            assert answer.json()["code"] == status
        assert habits.faults.injected == {name: 1}


async def test_a_circle_leads_back_and_the_other_redirect_ever_on() -> None:
    async with serving("redirect_circle") as (client, habits):
        first = (await client.get(OPTIMISTIC)).headers["location"]
        assert (await client.get(first)).headers["location"] == first
        habits.faults.faults = (fault("redirect_without_end"),)
        seen = {OPTIMISTIC}
        for _ in range(10):
            target = (await client.get(OPTIMISTIC)).headers["location"]
            assert target not in seen
            seen.add(target)


async def test_a_missing_bootstrap_is_a_404_and_the_rest_is_served() -> None:
    async with serving("bootstrap_missing") as (client, _):
        root = chain().trusted_block_root(16).hex()
        assert (await client.get(f"{BASE}/bootstrap/0x{root}")).status_code == 404
        assert (await client.get(OPTIMISTIC)).status_code == 200


# Bodies -------------------------------------------------------------------------------------------


@BOTH
async def test_a_stalling_body_stops_in_the_middle_with_the_connection_open() -> None:
    async with serving("stalling_mid_body") as (client, _):
        headers, body = parts(await raw(client, seconds=0.4))
        assert 0 < len(body) < int(headers["content-length"])


async def test_a_dripping_body_comes_byte_by_byte() -> None:
    assert Dripping(random.Random(1)).seconds_a_byte == 1.0
    dripping = Dripping(random.Random(1), seconds_a_byte=0.05)
    async with serving(dripping) as (client, _):
        started = anyio.current_time()
        received = await raw(client, enough=lambda received: len(parts(received)[1]) >= 4)
        headers, body = parts(received)
        assert len(body) * 0.05 <= anyio.current_time() - started + 0.1
        assert int(headers["content-length"]) == len(await honest_body())


@BOTH
async def test_an_endless_body_ends_when_the_client_does() -> None:
    async with serving("endless_body") as (client, _):
        total = 0
        host, port = client.base_url.host, client.base_url.port or 0
        async with await anyio.connect_tcp(host, port) as stream:
            await stream.send(f"GET {OPTIMISTIC} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            with anyio.fail_after(60):
                while total < 1_000_000:
                    total += len(await stream.receive())


async def test_lengths_lie_both_ways_and_a_cut_object_is_whole_http() -> None:
    whole = await honest_body()
    async with serving("truncated_body") as (client, habits):
        headers, body = parts(await raw(client))
        assert len(body) < int(headers["content-length"]) == len(whole)
        assert whole.startswith(body)
        habits.faults.faults = (fault("short_length"),)
        headers, body = parts(await raw(client))
        assert int(headers["content-length"]) < len(body) == len(whole)
        habits.faults.faults = (fault("cut_object"),)
        headers, body = parts(await raw(client))
        assert int(headers["content-length"]) == len(body) < len(whole)


async def test_junk_nesting_and_wrong_encodings_are_what_they_are_called() -> None:
    whole = await honest_body()
    async with serving("junk_body") as (client, habits):
        junk = (await client.get(OPTIMISTIC)).content
        assert len(junk) == len(whole)
        assert junk != whole
        habits.faults.faults = (fault("nested_json"),)
        assert (await client.get(OPTIMISTIC)).content.count(b"[") == 200_000
        habits.faults.faults = (fault("wrong_content_encoding"),)
        headers, body = parts(await raw(client))
        assert (headers["content-encoding"], body) == ("gzip", whole)
        habits.faults.faults = (fault("wrong_content_type"),)
        assert (await client.get(OPTIMISTIC)).headers.get("content-type") != "application/json"


async def test_a_bomb_is_a_thousand_times_its_size() -> None:
    async with serving("gzip_bomb") as (client, _):
        headers, body = parts(await raw(client))
        assert headers["content-encoding"] == "gzip"
        assert len(gzip.decompress(body)) > 900 * len(body)


# Labels -------------------------------------------------------------------------------------------


async def test_versions_and_digests_lie_on_request() -> None:
    path = f"{BASE}/updates?start_period=0&count=3"
    async with serving("lying_version_header") as (client, habits):
        answer = await client.get(OPTIMISTIC)
        assert answer.headers["eth-consensus-version"] != answer.json()["version"] == "deneb"
        habits.faults.faults = (fault("lying_version_body"),)
        answer = await client.get(OPTIMISTIC)
        assert answer.json()["version"] != answer.headers["eth-consensus-version"] == "deneb"
        assert [item["version"] for item in (await client.get(path)).json()][2] != "deneb"
        habits.faults.faults = ()
        honest = (await client.get(path, headers=SSZ)).content
        habits.faults.faults = (fault("lying_digest"),)
        lying = (await client.get(path, headers=SSZ)).content
    honest_chunks = list(split_update_stream(honest, 2**17))
    lying_chunks = list(split_update_stream(lying, 2**17))
    assert [payload for _, payload in honest_chunks] == [payload for _, payload in lying_chunks]
    assert all(a[0] != b[0] for a, b in zip(honest_chunks, lying_chunks, strict=True))


async def test_another_preset_shows_in_objects_and_configuration() -> None:
    async with serving("wrong_preset") as (client, _):
        update = (await client.get(OPTIMISTIC)).json()["data"]
        assert len(update["sync_aggregate"]["sync_committee_bits"]) == 2 + 2 * 512 // 8
        root = chain().trusted_block_root(16).hex()
        bootstrap = (await client.get(f"{BASE}/bootstrap/0x{root}")).json()["data"]
        assert len(bootstrap["current_sync_committee"]["pubkeys"]) == 512
        (item,) = (await client.get(f"{BASE}/updates?start_period=1&count=1")).json()
        assert len(item["data"]["next_sync_committee"]["pubkeys"]) == 512
        spec = (await client.get("/eth/v1/config/spec")).json()["data"]
        assert (spec["PRESET_BASE"], spec["SYNC_COMMITTEE_SIZE"]) == ("mainnet", "512")


async def test_another_network_has_another_genesis_and_configuration() -> None:
    async with serving("wrong_network") as (client, _):
        genesis = (await client.get("/eth/v1/beacon/genesis")).json()["data"]
        root = "0x" + chain().network.genesis_validators_root.hex()
        assert genesis["genesis_validators_root"] != root
        assert (await client.get("/eth/v1/config/spec")).json()["data"]["CONFIG_NAME"] == "other"


async def test_dates_are_honest_unless_they_are_wrong() -> None:
    habits, now = ServerHabits(), 1_700_000_000
    async with (
        serve(chain(), habits, clock=lambda: now * 1000) as url,
        httpx.AsyncClient(base_url=url, trust_env=False) as client,
    ):
        assert (await client.get(OPTIMISTIC)).headers["date"] == formatdate(now, usegmt=True)
        habits.faults.faults = (fault("wrong_date"),)
        date = (await client.get(OPTIMISTIC)).headers["date"]
        assert 600 <= abs(parsedate_to_datetime(date).timestamp() - now) <= 2 * 86400


async def test_a_fork_that_nobody_knows_is_announced_ahead() -> None:
    async with serving("unknown_fork") as (client, _):
        spec = (await client.get("/eth/v1/config/spec")).json()["data"]
        schedule = (await client.get("/eth/v1/config/fork_schedule")).json()["data"]
    known = {f"{one.fork.name.upper()}_FORK_EPOCH" for one in chain().network.forks}
    (unknown,) = {key for key in spec if key.endswith("_FORK_EPOCH")} - known
    assert spec[unknown] == schedule[-1]["epoch"]
    assert int(spec[unknown]) > chain().network.compute_epoch_at_slot(140)


# Events -------------------------------------------------------------------------------------------


async def events(name: str, enough: Callable[[bytes], object], slots: int = 4) -> bytes:
    """The body of an event stream while a chain grows by some slots, until it is enough."""
    growing = SimulatedChain(chain().network, dense_from_slot=120, keys=keys())
    growing.advance_to(140)
    path = "/eth/v1/events?topics=light_client_optimistic_update"
    async with serving(name, served=growing) as (client, _), anyio.create_task_group() as tasks:

        async def grow() -> None:
            await until(lambda: growing.listeners)  # the head comes before the first event
            growing.advance_to(140 + slots)

        tasks.start_soon(grow)
        seconds = 1.0 if name == "silent_events" else 60.0
        received = await raw(client, path, seconds, enough=enough)
        tasks.cancel_scope.cancel()
    return received


def data_of(received: bytes) -> list[bytes]:
    """The data of all events in a stream."""
    return [line[6:] for line in received.split(b"\n")[:-1] if line.startswith(b"data: ")]


@pytest.mark.parametrize(
    ("name", "count"),
    [("silent_events", 0), ("flooding_events", 160), ("ending_events", 3), ("bare_events", 4)],
)
async def test_event_streams_say_less_more_or_otherwise(name: str, count: int) -> None:
    # What ends by itself, and what says nothing, is read on.
    reads_on = name in ("silent_events", "ending_events")
    received = await events(name, lambda got: not reads_on and len(data_of(got)) >= count)
    assert received.startswith(b"HTTP/1.1 200")
    found = data_of(received)
    if name == "ending_events":
        assert len(found) <= count
        assert received.endswith(b"0\r\n\r\n")
    else:
        assert len(found) == count
    if name == "bare_events":
        assert all("attested_header" in json.loads(line) for line in found)


async def test_event_streams_hold_junk_lines_without_end_or_are_not_there() -> None:
    data = data_of(await events("junk_events", data_of))
    assert data
    assert all(b"{" not in line for line in data)
    zeros = b"0" * 60_000
    received = await events("oversize_event", lambda got: got.count(zeros) >= 2)
    assert received.count(zeros) >= 2
    assert (await events("no_events", lambda _: False)).startswith(b"HTTP/1.1 404")
