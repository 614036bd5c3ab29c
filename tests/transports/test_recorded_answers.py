"""Every light client answer recorded from a Lodestar node decodes, or is refused, as it should."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest

from lightclient.config import Network
from lightclient.containers import encode_ssz, to_json
from lightclient.errors import NotServed, ProviderUnavailable, UnknownBootstrap
from lightclient.transports.rest import RestTransport
from tests.transports.conftest import Recording, collected, provider

pytestmark = pytest.mark.anyio

UNKNOWN = b"\xab" * 32


@pytest.fixture
def network(recording: Recording) -> Network:
    return recording.network


async def opened(
    network: Network, handler: Callable[[httpx.Request], httpx.Response]
) -> RestTransport:
    transport = provider(handler)
    await transport.open(network)
    return transport


@pytest.mark.parametrize("name", ["bootstrap", "bootstrap_ssz"])
async def test_a_bootstrap_decodes_from_json_and_ssz(
    recording: Recording, network: Network, name: str
) -> None:
    transport = await opened(network, lambda _: recording.response(name))
    bootstrap = await transport.get_light_client_bootstrap(bytes(32))
    assert bootstrap.header.beacon.slot == 184
    assert bootstrap.data_format.name == "electra"
    assert encode_ssz(bootstrap) == recording.body("bootstrap_ssz")
    await transport.aclose()


@pytest.mark.parametrize("suffix", ["", "_ssz"])
async def test_finality_and_optimistic_updates_decode_from_json_and_ssz(
    recording: Recording, network: Network, suffix: str
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return recording.response(request.url.path.rpartition("/")[2] + suffix)

    transport = await opened(network, answer)
    finality = await transport.get_light_client_finality_update()
    optimistic = await transport.get_light_client_optimistic_update()
    assert finality.attested_header.beacon.slot == 185
    assert optimistic.attested_header.beacon.slot == 199
    assert to_json(finality) == json.loads(recording.body("finality_update"))["data"]
    assert encode_ssz(optimistic) == recording.body("optimistic_update_ssz")
    await transport.aclose()


@pytest.mark.parametrize("name", ["updates", "updates_ssz"])
async def test_a_range_with_a_list_of_versions_and_zero_root_digests_decodes_whole(
    recording: Recording, network: Network, name: str
) -> None:
    transport = await opened(network, lambda _: recording.response(name))
    answer = await transport.get_light_client_updates_by_range(0, 4)
    assert answer.error is None
    names = [update.data_format.name for update in answer.updates]
    assert names == ["deneb", "deneb", "electra", "electra"]
    as_json = [item["data"] for item in json.loads(recording.body("updates"))]
    assert [to_json(update) for update in answer.updates] == as_json
    await transport.aclose()


@pytest.mark.parametrize("name", ["updates", "updates_ssz"])
async def test_a_range_decodes_without_its_version_header_too(
    recording: Recording, network: Network, name: str
) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        response = recording.response(name)
        del response.headers["eth-consensus-version"]
        return response

    transport = await opened(network, answer)
    names = [
        update.data_format.name
        for update in (await transport.get_light_client_updates_by_range(0, 4)).updates
    ]
    assert names == ["deneb", "deneb", "electra", "electra"]
    await transport.aclose()


async def test_an_empty_range_is_an_answer(recording: Recording, network: Network) -> None:
    transport = await opened(network, lambda _: recording.response("updates_zero"))
    answer = await transport.get_light_client_updates_by_range(0, 1)
    assert answer.updates == ()
    assert answer.error is None
    await transport.aclose()


async def test_a_range_refused_for_its_last_periods_is_asked_for_again_without_them(
    recording: Recording, network: Network
) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params["count"])
        return recording.response("updates_big" if asked[-1] != "4" else "updates_ssz")

    transport = await opened(network, answer)
    result = await transport.get_light_client_updates_by_range(0, 128)
    assert asked == ["128", "4"]
    assert len(result.updates) == 4
    assert isinstance(result.error, ProviderUnavailable)
    assert "No partialUpdate available for period 4" in str(result.error)
    assert "stack" not in str(result.error)
    await transport.aclose()


async def test_a_range_in_the_future_is_refused_with_the_servers_words(
    recording: Recording, network: Network
) -> None:
    transport = await opened(network, lambda _: recording.response("updates_future"))
    with pytest.raises(ProviderUnavailable, match="period 500") as caught:
        await transport.get_light_client_updates_by_range(500, 2)
    assert "\n" not in str(caught.value)
    assert "LightClientServer" not in str(caught.value)
    await transport.aclose()


async def test_an_unknown_root_answered_by_a_500_is_told_as_unknown(
    recording: Recording, network: Network
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if "/headers/" in request.url.path:
            return httpx.Response(404, json={"code": 404, "message": "Block not found"})
        if "bootstrap" in request.url.path:
            return recording.response("bootstrap_unknown")
        return recording.response(request.url.path.rpartition("/")[2])

    transport = await opened(network, answer)
    with pytest.raises(UnknownBootstrap, match="knows no such block") as caught:
        await transport.get_light_client_bootstrap(UNKNOWN)
    assert caught.value.reason == "unknown_root"
    assert caught.value.provider == "https://node.example"
    await transport.aclose()


async def test_a_500_about_a_malformed_root_names_what_the_server_says(
    recording: Recording, network: Network
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if "bootstrap" in request.url.path:
            return recording.response("bootstrap_bad")
        return httpx.Response(500, json={"code": 500, "message": "Internal error"})

    transport = await opened(network, answer)
    with pytest.raises(ProviderUnavailable, match="Expect root to be 32 bytes, got 1"):
        await transport.get_light_client_bootstrap(UNKNOWN)
    await transport.aclose()


async def test_recorded_events_give_the_updates_in_order(
    recording: Recording, network: Network
) -> None:
    transport = await opened(network, lambda _: recording.response("events"))
    updates, error = await collected(transport)
    assert isinstance(error, ProviderUnavailable)
    assert "ended its event stream" in str(error)
    seen = [(update.kind.value, update.attested_header.beacon.slot) for update in updates]
    assert seen[0] == ("optimistic_update", 201)
    assert [kind for kind, _ in seen].count("finality_update") == 1
    slots = [slot for kind, slot in seen if kind == "optimistic_update"]
    assert slots == sorted(slots)
    assert len(slots) == 14
    await transport.aclose()


async def test_a_provider_that_answers_events_with_an_object_pushes_nothing(
    recording: Recording, network: Network
) -> None:
    transport = await opened(network, lambda _: recording.response("syncing"))
    with pytest.raises(NotServed):
        await anext(transport.stream_updates())
    await transport.aclose()
