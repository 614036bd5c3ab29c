"""What a provider says of itself: read with bounds, and never more than hearsay."""

from __future__ import annotations

import json

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightclient.config import Network
from lightclient.errors import (
    MalformedAnswer,
    NotServed,
    ProviderRefused,
    ProviderUnavailable,
    TransportError,
)
from lightclient.transports.announcements import (
    MAX_SPEC_BYTES,
    MAX_SPEC_KEYS,
    read_server_time,
)
from lightclient.transports.base import Genesis, ServerTime, Spec
from tests.transports.conftest import provider

pytestmark = pytest.mark.anyio

DATE = "Tue, 14 Nov 2023 22:13:20 GMT"
DATE_MS = 1_700_000_000_000
ROOT = "0x" + "07" * 32


async def spec_of(network: Network, answer: httpx.Response) -> Spec:
    paths = []

    def handle(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.path)
        return answer

    transport = provider(handle)
    await transport.open(network)
    try:
        return await transport.get_spec()
    finally:
        await transport.aclose()
        assert paths == ["/eth/v1/config/spec"]


async def genesis_of(network: Network, answer: httpx.Response) -> Genesis:
    transport = provider(lambda _: answer)
    await transport.open(network)
    try:
        return await transport.get_genesis()
    finally:
        await transport.aclose()


# Configuration ----------------------------------------------------------------------------------


async def test_a_configuration_comes_as_it_is_announced(minimal_network: Network) -> None:
    data = {
        "CONFIG_NAME": "sepolia",
        "SLOTS_PER_EPOCH": "32",
        "BLOB_SCHEDULE": [{"EPOCH": "1", "MAX_BLOBS_PER_BLOCK": "9"}],
        "odd key": "left out",
        "A" * 101: "left out",
    }
    spec = await spec_of(minimal_network, httpx.Response(200, json={"data": data}))
    assert dict(spec) == {key: data[key] for key in list(data)[:3]}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(404, text="404 page not found"), NotServed),
        (httpx.Response(403), ProviderRefused),
        (httpx.Response(500), ProviderUnavailable),
        (httpx.Response(200, text="{"), MalformedAnswer),
        (httpx.Response(200, json=["data"]), MalformedAnswer),
        (httpx.Response(200, json={"data": ["A"]}), MalformedAnswer),
        (httpx.Response(200, text='{"data":{"A":' + "[" * 50_000), MalformedAnswer),
        (httpx.Response(200, text="x" * (MAX_SPEC_BYTES + 1)), MalformedAnswer),
        (
            httpx.Response(200, json={"data": {f"K{n}": "" for n in range(MAX_SPEC_KEYS + 1)}}),
            MalformedAnswer,
        ),
    ],
)
async def test_what_is_no_configuration_is_refused(
    answer: httpx.Response, error: type[TransportError], minimal_network: Network
) -> None:
    with pytest.raises(error, match=r"node\.example"):
        await spec_of(minimal_network, answer)


# Genesis ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", ["1700000000", 1700000000])
async def test_a_genesis_has_its_time_and_root(seconds: object, minimal_network: Network) -> None:
    data = {"genesis_time": seconds, "genesis_validators_root": ROOT}
    found = await genesis_of(minimal_network, httpx.Response(200, json={"data": data}))
    assert found == Genesis(1_700_000_000, bytes([7]) * 32)


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"genesis_time": "1", "genesis_validators_root": ROOT[:-1]},
        {"genesis_time": "1", "genesis_validators_root": ROOT + "\n"},
        {"genesis_time": "1", "genesis_validators_root": 7},
        {"genesis_time": "-1", "genesis_validators_root": ROOT},
        {"genesis_time": "1" * 13, "genesis_validators_root": ROOT},
        {"genesis_time": True, "genesis_validators_root": ROOT},
        {"genesis_time": "١", "genesis_validators_root": ROOT},
    ],
)
async def test_what_is_no_genesis_is_refused(data: object, minimal_network: Network) -> None:
    answer = httpx.Response(200, content=json.dumps({"data": data}).encode())
    with pytest.raises(MalformedAnswer, match="genesis"):
        await genesis_of(minimal_network, answer)


# Time -------------------------------------------------------------------------------------------


def test_a_date_is_a_second_wide_and_the_round_trip_makes_it_wider() -> None:
    assert read_server_time({"date": DATE}, 0) == ServerTime(DATE_MS, DATE_MS + 1000)
    time = read_server_time({"date": DATE}, 0.6)
    assert time == ServerTime(DATE_MS, DATE_MS + 1600)
    assert time.middle_ms == DATE_MS + 800
    assert time.precision_ms == 800


def test_a_cached_answer_is_older_by_its_age_and_less_precise() -> None:
    time = read_server_time({"date": DATE, "age": " 30 "}, 0)
    assert time == ServerTime(DATE_MS + 30_000, DATE_MS + 32_000)
    assert read_server_time({"date": DATE, "age": "0"}, 0) == ServerTime(DATE_MS, DATE_MS + 1000)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"date": ""},
        {"date": "yesterday"},
        {"date": "Tue, 99 Nov 2023 22:13:20 GMT"},
        {"date": DATE + " " * 100},
        {"date": "Thu, 01 Jan 1969 00:00:00 GMT"},
        {"date": DATE, "age": "-5"},
        {"date": DATE, "age": "1.5"},
        {"date": DATE, "age": "9" * 12},
        {"date": DATE, "age": "9" * 5000},
        {"date": DATE, "age": "soon"},
    ],
)
def test_headers_that_tell_no_time_tell_none(headers: dict[str, str]) -> None:
    assert read_server_time(headers, 0.1) is None


@pytest.mark.parametrize("zone", ["GMT", "", "-0000", "+0000", "UTC"])
def test_every_way_to_say_greenwich_is_understood(zone: str) -> None:
    time = read_server_time({"date": f"Tue, 14 Nov 2023 22:13:20 {zone}".strip()}, 0)
    assert time == ServerTime(DATE_MS, DATE_MS + 1000)


@given(st.text(max_size=80), st.text(max_size=20), st.floats(0, 100))
def test_no_header_makes_it_fail(date: str, age: str, seconds: float) -> None:
    time = read_server_time({"date": date, "age": age}, seconds)
    assert time is None or time.earliest_ms < time.latest_ms


async def test_the_time_of_every_answer_is_told_even_of_a_refusal(minimal_network: Network) -> None:
    answers = [
        httpx.Response(404, headers={"date": DATE}),
        httpx.Response(200, json={"data": {}}, headers={"date": "no date"}),
        httpx.Response(200, json={"data": {}}, headers={"date": DATE, "age": "7"}),
    ]
    transport = provider(lambda _: answers.pop(0))
    times: list[ServerTime] = []
    transport.on_server_time = times.append
    await transport.open(minimal_network)
    with pytest.raises(NotServed):
        await transport.get_spec()
    await transport.get_spec()
    await transport.get_spec()
    await transport.aclose()
    assert [time.earliest_ms for time in times] == [DATE_MS, DATE_MS + 7000]
    assert all(time.precision_ms < 60_000 for time in times)
