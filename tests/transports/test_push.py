"""Updates that a provider pushes, and providers that cannot or will not."""

from __future__ import annotations

import json
from dataclasses import replace

import anyio
import httpx
import pytest
from anyio.abc import SocketStream

from lightclient.config import Network
from lightclient.containers import LightClientObject, ObjectKind
from lightclient.errors import (
    MalformedAnswer,
    NotServed,
    ProviderRefused,
    ProviderUnavailable,
    RateLimited,
    TransportError,
)
from lightclient.transports.push import default_event_idle
from lightclient.transports.rest import RestTransport
from tests.transports.conftest import Handler, collected, provider
from tests.transports.objects import enveloped, make_object
from tests.transports.tcp import Heard, Script, response, serving

pytestmark = pytest.mark.anyio

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\r\n"


@pytest.fixture
def values(minimal_network: Network) -> list[LightClientObject]:
    kinds = (ObjectKind.OPTIMISTIC_UPDATE, ObjectKind.FINALITY_UPDATE)
    return [make_object(kind, minimal_network, 80 + at) for at, kind in enumerate(kinds)]


def stream_of(values: list[LightClientObject], suffix: str = "") -> bytes:
    events = [
        f"event: light_client_{value.kind}{suffix}\r\ndata: {json.dumps(enveloped(value))}\r\n\r\n"
        for value in values
    ]
    return (": keep-alive\r\n\r\n" + "".join(events)).encode()


def pushes(body: bytes) -> httpx.Response:
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=body)


async def pushed(
    handler: Handler, network: Network
) -> tuple[list[LightClientObject], TransportError | None]:
    transport = provider(handler)
    await transport.open(network)
    updates, error = await collected(transport)
    await transport.aclose()
    return list(updates), error


async def test_both_topics_are_asked_for_and_given(
    minimal_network: Network, values: list[LightClientObject]
) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return pushes(stream_of(values))

    updates, error = await pushed(answer, minimal_network)
    assert updates == values
    assert isinstance(error, ProviderUnavailable)
    assert asked[0].url.path == "/eth/v1/events"
    assert asked[0].url.params.get_list("topics") == [
        "light_client_finality_update",
        "light_client_optimistic_update",
    ]
    assert asked[0].headers["accept"] == "text/event-stream"
    assert asked[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("status", [400, 404, 500])
async def test_the_topics_of_version_0_are_the_fallback(
    minimal_network: Network, values: list[LightClientObject], status: int
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if all(topic.endswith("_v0") for topic in request.url.params.get_list("topics")):
            return pushes(stream_of(values, "_v0"))
        return httpx.Response(status, json={"message": "unknown topic"})

    updates, _ = await pushed(answer, minimal_network)
    assert updates == values


async def test_a_provider_known_for_version_0_is_asked_for_its_topics_first(
    minimal_network: Network, values: list[LightClientObject]
) -> None:
    topics: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if "/v0/" in request.url.path:
            return httpx.Response(200, json=enveloped(values[0]))
        if request.url.path == "/eth/v1/events":
            topics.append(request.url.params.get_list("topics")[0])
            return pushes(b"")
        return httpx.Response(404, text="404 page not found")

    transport = provider(answer)
    await transport.open(minimal_network)
    await transport.get_light_client_optimistic_update()
    await collected(transport)
    await transport.aclose()
    assert topics == ["light_client_finality_update_v0"]


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (httpx.Response(400), NotServed),
        (httpx.Response(404), NotServed),
        (httpx.Response(405), NotServed),
        (httpx.Response(501), NotServed),
        (httpx.Response(500), NotServed),
        (httpx.Response(200, json={"data": 1}), NotServed),
        (httpx.Response(200, text="<html>"), NotServed),
        (httpx.Response(401), ProviderRefused),
        (httpx.Response(502), ProviderUnavailable),
        (httpx.Response(429, headers={"retry-after": "9"}), RateLimited),
    ],
    ids=lambda value: str(getattr(value, "status_code", "")),
)
async def test_a_provider_that_does_not_push_is_told_by_kind(
    minimal_network: Network, refusal: httpx.Response, kind: type[TransportError]
) -> None:
    updates, error = await pushed(lambda _: refusal, minimal_network)
    assert updates == []
    assert type(error) is kind


@pytest.mark.parametrize(
    "broken",
    [
        b"event: light_client_optimistic_update\ndata: {\n\n",
        b'event: light_client_finality_update\ndata: {"data": NaN}\n\n',
        b"data: " + b"x" * 600_000,
        b"data: x\n" * 300_000,
    ],
    ids=["cut", "NaN", "line", "event"],
)
async def test_a_broken_event_ends_the_stream_after_the_good_ones(
    minimal_network: Network, values: list[LightClientObject], broken: bytes
) -> None:
    body = stream_of(values) + broken
    updates, error = await pushed(lambda _: pushes(body), minimal_network)
    assert updates == values
    assert isinstance(error, MalformedAnswer)
    assert error.provider == "https://node.example"


def drips(content: bytes, *, step: int, pause: float = 0.0) -> Script:
    async def script(_: Heard, stream: SocketStream) -> None:
        await stream.send(HEAD)
        for start in range(0, len(content), step):
            await stream.send(content[start : start + step])
            await anyio.sleep(pause)

    return script


async def over_tcp(
    script: Script, network: Network, **options: float
) -> tuple[list[LightClientObject], TransportError | None]:
    async with serving(script) as server:
        transport = RestTransport(server.url, **options)  # type: ignore[arg-type]
        timeouts = transport._fetcher._timeouts
        transport._fetcher._timeouts = replace(timeouts, connect=60.0)  # on a busy machine
        await transport.open(network)
        updates, error = await collected(transport)
        await transport.aclose()
    return list(updates), error


async def test_events_in_pieces_over_a_socket_are_whole(
    minimal_network: Network, values: list[LightClientObject]
) -> None:
    updates, error = await over_tcp(drips(stream_of(values), step=997), minimal_network)
    assert updates == values
    assert "ended its event stream" in str(error)


async def test_a_stream_may_last_longer_than_any_request(
    minimal_network: Network, values: list[LightClientObject]
) -> None:
    body = stream_of(values)
    script = drips(body, step=len(body) // 8, pause=0.05)
    updates, _ = await over_tcp(script, minimal_network, timeout=0.1, event_idle_timeout=60)
    assert updates == values


async def test_a_silent_stream_counts_as_dead(
    minimal_network: Network, values: list[LightClientObject]
) -> None:
    script = drips(stream_of(values) + b" ", step=10_000_000, pause=30)
    with anyio.fail_after(60):
        updates, error = await over_tcp(script, minimal_network, event_idle_timeout=0.2)
    assert updates == values
    assert isinstance(error, ProviderUnavailable)
    assert "silent for too long" in str(error)


async def test_a_stream_that_breaks_off_is_unavailable(
    minimal_network: Network, values: list[LightClientObject]
) -> None:
    async def script(_: Heard, stream: SocketStream) -> None:
        chunk = stream_of(values)
        await stream.send(HEAD.replace(b"\r\n\r\n", b"\r\ntransfer-encoding: chunked\r\n\r\n"))
        await stream.send(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n40\r\nabc")

    updates, error = await over_tcp(script, minimal_network)
    assert updates == values
    assert isinstance(error, ProviderUnavailable)


async def test_a_stream_that_is_left_early_is_closed(
    minimal_network: Network, values: list[LightClientObject]
) -> None:
    ended = anyio.Event()

    async def script(_: Heard, stream: SocketStream) -> None:
        await stream.send(HEAD + stream_of(values))
        try:
            await stream.receive()
        finally:
            ended.set()

    async with serving(script) as server:
        transport = RestTransport(server.url)
        await transport.open(minimal_network)
        updates = transport.stream_updates()
        assert await anext(updates) == values[0]
        await updates.aclose()
        with anyio.fail_after(60):
            await ended.wait()
        await transport.aclose()


async def test_a_listener_that_is_cancelled_leaves_no_connection(
    minimal_network: Network, values: list[LightClientObject]
) -> None:
    begun, ended = anyio.Event(), anyio.Event()

    async def script(_: Heard, stream: SocketStream) -> None:
        await stream.send(HEAD)
        begun.set()
        try:
            await stream.receive()
        finally:
            ended.set()

    async with serving(script) as server:
        transport = RestTransport(server.url)
        await transport.open(minimal_network)
        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(collected, transport)
                await begun.wait()
                await anyio.sleep(0.05)  # it may have begun to read, or not
                tasks.cancel_scope.cancel()
            await ended.wait()
        await transport.aclose()


async def test_requests_work_beside_an_open_stream(
    minimal_network: Network, values: list[LightClientObject]
) -> None:
    async def script(heard: Heard, stream: SocketStream) -> None:
        if "events" in heard.target:
            await stream.send(HEAD + stream_of(values))
            await anyio.sleep(30)
        await stream.send(response(json.dumps(enveloped(values[0])).encode()))

    async with serving(script) as server:
        transport = RestTransport(server.url)
        await transport.open(minimal_network)
        updates = transport.stream_updates()
        for value in values:
            assert await anext(updates) == value
            assert await transport.get_light_client_optimistic_update() == values[0]
        await updates.aclose()
        await transport.aclose()


def test_silence_is_measured_in_slots(minimal_network: Network, mainnet: Network) -> None:
    assert default_event_idle(minimal_network) == 60
    assert default_event_idle(mainnet) == 120
