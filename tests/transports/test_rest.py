"""What the transport does about each habit of a provider: encodings, versions, refusals."""

from __future__ import annotations

import subprocess
import sys

import httpx
import pytest

from lightclient.config import Network
from lightclient.containers import ObjectKind, encode_ssz, to_json
from lightclient.errors import (
    ConfigError,
    MalformedAnswer,
    NotServed,
    ProviderRefused,
    ProviderUnavailable,
    RateLimited,
    TransportError,
)
from lightclient.transports import RestTransport, Transport
from tests.transports.conftest import Handler, provider
from tests.transports.objects import chunk, enveloped, make_object, make_update

pytestmark = pytest.mark.anyio

SSZ = "application/octet-stream"
ROUTE_MISSING = httpx.Response(404, text="404 page not found")


class Node:
    """Serves one optimistic update; ``answer`` decides how."""

    def __init__(self, network: Network) -> None:
        self.value = make_object(ObjectKind.OPTIMISTIC_UPDATE, network, 80)
        self.requests: list[httpx.Request] = []

    @property
    def paths(self) -> list[str]:
        return [request.url.path for request in self.requests]

    @property
    def accepts(self) -> list[str]:
        return [request.headers["accept"] for request in self.requests]

    def ssz(self, body: bytes | None = None) -> httpx.Response:
        content = encode_ssz(self.value) if body is None else body
        return httpx.Response(200, headers={"content-type": SSZ}, content=content)

    def json(self) -> httpx.Response:
        return httpx.Response(200, json=enveloped(self.value))


@pytest.fixture
def node(minimal_network: Network) -> Node:
    return Node(minimal_network)


async def opened(node: Node, network: Network, answer: Handler, **options: object) -> RestTransport:
    def recorded(request: httpx.Request) -> httpx.Response:
        node.requests.append(request)
        return answer(request)

    transport = provider(recorded, **options)  # type: ignore[arg-type]
    await transport.open(network)
    return transport


async def test_a_rest_transport_is_a_transport() -> None:
    transport: Transport = RestTransport("https://node.example")
    assert transport.name == "https://node.example"


async def test_ssz_is_asked_for_first_and_json_accepted(
    node: Node, minimal_network: Network
) -> None:
    transport = await opened(node, minimal_network, lambda _: node.ssz())
    assert await transport.get_light_client_optimistic_update() == node.value
    assert node.accepts == ["application/octet-stream;q=1.0,application/json;q=0.9"]
    assert node.paths == ["/eth/v1/beacon/light_client/optimistic_update"]
    await transport.aclose()


@pytest.mark.parametrize("status", [406, 415])
async def test_a_provider_without_ssz_is_asked_for_json_from_then_on(
    node: Node, minimal_network: Network, status: int
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status) if SSZ in request.headers["accept"] else node.json()

    transport = await opened(node, minimal_network, answer)
    for _ in range(2):
        assert await transport.get_light_client_optimistic_update() == node.value
    assert [SSZ in accept for accept in node.accepts] == [True, False, False]
    await transport.aclose()


async def test_a_provider_whose_ssz_cannot_be_read_is_asked_for_json_from_then_on(
    node: Node, minimal_network: Network
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return node.ssz(b"\x01" * 300) if SSZ in request.headers["accept"] else node.json()

    transport = await opened(node, minimal_network, answer)
    for _ in range(2):
        assert await transport.get_light_client_optimistic_update() == node.value
    assert [SSZ in accept for accept in node.accepts] == [True, False, False]
    await transport.aclose()


async def test_json_is_not_remembered_if_it_is_no_better(
    node: Node, minimal_network: Network
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if SSZ in request.headers["accept"]:
            return node.ssz(b"\x01" * 300)
        return httpx.Response(200, json={"data": 1})

    transport = await opened(node, minimal_network, answer)
    for _ in range(2):
        with pytest.raises(MalformedAnswer, match=r"https://node\.example: for the optimistic"):
            await transport.get_light_client_optimistic_update()
    assert [SSZ in accept for accept in node.accepts] == [True, False] * 2
    await transport.aclose()


async def test_a_range_falls_back_to_json_and_keeps_its_encoding_to_itself(
    node: Node, minimal_network: Network
) -> None:
    update = make_update(minimal_network, 3)

    def answer(request: httpx.Request) -> httpx.Response:
        if "updates" not in request.url.path:
            return node.ssz()
        if SSZ in request.headers["accept"]:
            return node.ssz(b"\x01" * 300)
        return httpx.Response(200, json=[enveloped(update)])

    transport = await opened(node, minimal_network, answer)
    for _ in range(2):
        answered = await transport.get_light_client_updates_by_range(3, 1)
        assert answered.updates == (update,)
        assert answered.error is None
    await transport.get_light_client_optimistic_update()
    assert [SSZ in accept for accept in node.accepts] == [True, False, False, True]
    assert dict(node.requests[0].url.params) == {"start_period": "3", "count": "1"}
    await transport.aclose()


@pytest.mark.parametrize(
    "absent",
    [ROUTE_MISSING, httpx.Response(405), httpx.Response(501), httpx.Response(404)],
    ids=["404", "405", "501", "bare 404"],
)
async def test_the_names_of_version_0_are_found_and_remembered(
    node: Node, minimal_network: Network, absent: httpx.Response
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return node.json() if "/v0/" in request.url.path else absent

    transport = await opened(node, minimal_network, answer)
    for _ in range(2):
        assert await transport.get_light_client_optimistic_update() == node.value
    old = "/eth/v0/beacon/light_client/optimistic_update"
    assert node.paths == ["/eth/v1/beacon/light_client/optimistic_update", old, old]
    await transport.aclose()


async def test_a_provider_that_learns_version_1_is_followed(
    node: Node, minimal_network: Network
) -> None:
    spoken = "/v0/"

    def answer(request: httpx.Request) -> httpx.Response:
        return node.json() if spoken in request.url.path else ROUTE_MISSING

    transport = await opened(node, minimal_network, answer)
    await transport.get_light_client_optimistic_update()
    spoken = "/v1/"
    for _ in range(2):
        await transport.get_light_client_optimistic_update()
    assert ["/v1/" in path for path in node.paths] == [True, False, False, True, True]
    await transport.aclose()


async def test_version_0_is_not_tried_for_an_object_that_is_missing_in_version_1(
    node: Node, minimal_network: Network
) -> None:
    missing = httpx.Response(404, json={"message": "LC optimistic update unavailable"})
    transport = await opened(node, minimal_network, lambda _: missing)
    with pytest.raises(ProviderUnavailable, match="has none yet"):
        await transport.get_light_client_optimistic_update()
    assert len(node.paths) == 1
    await transport.aclose()


async def test_a_provider_without_the_routes_serves_nothing(
    node: Node, minimal_network: Network
) -> None:
    transport = await opened(node, minimal_network, lambda _: ROUTE_MISSING)
    with pytest.raises(NotServed, match="does not serve light client data there"):
        await transport.get_light_client_updates_by_range(0, 1)
    assert [path.split("/")[2] for path in node.paths] == ["v1", "v0"]
    await transport.aclose()


async def test_a_pause_that_the_provider_asks_for_is_told(
    node: Node, minimal_network: Network
) -> None:
    busy = httpx.Response(429, headers={"retry-after": "30"}, text="slow down")
    transport = await opened(node, minimal_network, lambda _: busy)
    with pytest.raises(RateLimited, match="slow down") as caught:
        await transport.get_light_client_finality_update()
    assert caught.value.retry_after == 30
    await transport.aclose()


async def test_a_range_keeps_what_came_before_it_became_unreadable(
    node: Node, minimal_network: Network
) -> None:
    first = make_update(minimal_network, 1)
    transport = await opened(node, minimal_network, lambda _: node.ssz(chunk(first) + b"\xff" * 40))
    answer = await transport.get_light_client_updates_by_range(1, 2)
    assert answer.updates == (first,)
    assert isinstance(answer.error, MalformedAnswer)
    assert answer.error.provider == "https://node.example"
    await transport.aclose()


async def test_an_unreadable_range_is_an_error(node: Node, minimal_network: Network) -> None:
    transport = await opened(node, minimal_network, lambda _: node.ssz(b"\xff" * 40))
    with pytest.raises(MalformedAnswer, match="update 0: "):
        await transport.get_light_client_updates_by_range(1, 2)
    await transport.aclose()


async def test_a_range_that_keeps_being_refused_for_earlier_periods_is_given_up(
    node: Node, minimal_network: Network
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        last = int(request.url.params["count"]) - 1
        return httpx.Response(500, json={"message": f"No update for period {last}"})

    transport = await opened(node, minimal_network, answer)
    with pytest.raises(ProviderUnavailable):
        await transport.get_light_client_updates_by_range(0, 9)
    assert len(node.requests) == 3
    await transport.aclose()


@pytest.mark.parametrize(("start", "count"), [(-1, 1), (0, 0), (0, 129)])
async def test_a_range_that_nobody_may_ask_for_is_the_callers_mistake(
    start: int, count: int
) -> None:
    with pytest.raises(ValueError, match="cannot ask"):
        await RestTransport("https://a.example").get_light_client_updates_by_range(start, count)


async def test_a_root_of_another_length_is_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        await RestTransport("https://a.example").get_light_client_bootstrap(b"short")


async def test_paths_queries_and_headers_of_the_user_are_kept(
    node: Node, minimal_network: Network
) -> None:
    transport = await opened(
        node,
        minimal_network,
        lambda _: node.ssz(chunk(make_update(minimal_network, 3))),
        url="https://us:pw@node.example/some/key/?k=v%26w",
        headers=[("X-Key", "abc"), ("User-Agent", "wallet/1")],
    )
    await transport.get_light_client_updates_by_range(3, 1)
    request = node.requests[0]
    assert request.url.raw_path == (
        b"/some/key/eth/v1/beacon/light_client/updates?k=v%26w&start_period=3&count=1"
    )
    assert request.headers["authorization"] == "Basic dXM6cHc="
    assert request.headers["x-key"] == "abc"
    assert request.headers.get_list("user-agent") == ["wallet/1"]
    assert request.headers["host"] == "node.example"
    assert "cookie" not in request.headers
    await transport.aclose()


async def test_cookies_are_not_kept(node: Node, minimal_network: Network) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        response = node.json()
        response.headers["set-cookie"] = "sid=1"
        return response

    transport = await opened(node, minimal_network, answer)
    for _ in range(2):
        await transport.get_light_client_optimistic_update()
    assert "cookie" not in node.requests[1].headers
    await transport.aclose()


async def test_a_transport_that_is_not_open_says_so(minimal_network: Network) -> None:
    transport = provider(lambda _: httpx.Response(200))
    for _ in range(2):
        with pytest.raises(TransportError, match="not open"):
            await transport.get_light_client_optimistic_update()
        with pytest.raises(TransportError, match="not open"):
            await anext(transport.stream_updates())
        await transport.open(minimal_network)
        await transport.aclose()
        await transport.aclose()


async def test_a_closed_transport_can_be_opened_again(node: Node, minimal_network: Network) -> None:
    transport = await opened(node, minimal_network, lambda _: node.json())
    await transport.aclose()
    await transport.open(minimal_network)
    assert await transport.get_light_client_optimistic_update() == node.value
    await transport.aclose()


async def test_an_object_of_another_preset_is_refused(
    node: Node, minimal_network: Network, mainnet: Network
) -> None:
    foreign = make_object(ObjectKind.OPTIMISTIC_UPDATE, mainnet, 10_000_000)
    response = httpx.Response(200, json={"data": to_json(foreign)})
    transport = await opened(node, minimal_network, lambda _: response)
    with pytest.raises(MalformedAnswer, match="minimal preset"):
        await transport.get_light_client_optimistic_update()
    await transport.aclose()


async def test_credentials_that_are_wrong_are_named_as_the_cause(
    node: Node, minimal_network: Network
) -> None:
    denied = httpx.Response(401, json={"message": "invalid project id"})
    transport = await opened(node, minimal_network, lambda _: denied)
    with pytest.raises(ProviderRefused, match=r"invalid project id.*check the credentials"):
        await transport.get_light_client_finality_update()
    await transport.aclose()


async def test_a_missing_ca_file_is_a_config_error(
    minimal_network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = RestTransport("https://node.example", ca_file="no/such/file.pem")
    with pytest.raises(ConfigError, match=r"no/such/file\.pem"):
        await transport.open(minimal_network)
    monkeypatch.setenv("SSL_CERT_FILE", "no/such/file.pem")
    with pytest.raises(ConfigError, match="SSL_CERT_FILE"):
        await RestTransport("https://node.example").open(minimal_network)


async def test_an_unusable_proxy_variable_is_a_config_error_without_its_value(
    minimal_network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "gopher://user:sekret@proxy.example")
    with pytest.raises(ConfigError, match="HTTPS_PROXY") as caught:
        await RestTransport("https://node.example").open(minimal_network)
    assert "sekret" not in str(caught.value)


@pytest.mark.parametrize("option", ["timeout", "connect_timeout", "idle_timeout"])
async def test_a_timeout_of_nothing_is_refused(option: str) -> None:
    with pytest.raises(ConfigError, match="timeout"):
        RestTransport("https://node.example", **{option: 0})  # type: ignore[arg-type]


def test_the_interface_is_imported_without_httpx() -> None:
    code = (
        "import sys, lightclient, lightclient.transports as t; assert 'httpx' not in sys.modules;"
        "t.RestTransport; assert 'httpx' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_unknown_attribute_is_an_attribute_error() -> None:
    import lightclient.transports

    assert not hasattr(lightclient.transports, "NoSuchTransport")
