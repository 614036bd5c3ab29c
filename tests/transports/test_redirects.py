"""Redirects over real sockets: where they may lead, and that no secret goes along."""

from __future__ import annotations

import pytest
from anyio.abc import SocketStream

from lightclient.config import Network
from lightclient.errors import MalformedAnswer, ProviderRefused
from tests.transports.asking import PATH, ask, redirect, refusal
from tests.transports.tcp import Heard, RawServer, Script, response, serving

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.usefixtures("no_proxy"),
]


def by_path(answers: dict[str, bytes]) -> Script:
    async def script(heard: Heard, stream: SocketStream) -> None:
        await stream.send(answers.get(heard.target, response(b"", "404 Not Found")))

    return script


SECRETS = {"headers": [("X-Key", "sekret-1"), ("Cookie", "sid=sekret-2")]}


@pytest.mark.parametrize("status", ["301 a", "302 b", "303 c", "307 d", "308 e"])
async def test_a_redirect_on_the_same_host_keeps_every_header(
    minimal_network: Network, body: bytes, status: str
) -> None:
    answers = {PATH: redirect("/moved?x=1", status), "/moved?x=1": response(body)}
    async with serving(by_path(answers)) as server:
        url = server.url.replace("//", "//us:pw@")
        assert await ask(url, minimal_network, **SECRETS) == 80
    first, second = server.heard
    assert second.headers == first.headers
    assert second.headers["x-key"] == "sekret-1"
    assert second.headers["authorization"].startswith("Basic ")


async def test_a_redirect_to_another_host_gets_no_credentials(
    minimal_network: Network, body: bytes
) -> None:
    async with serving(by_path({"/x": response(body)})) as other:
        target = other.url.replace("//", "//evil:evil@") + "/x"
        async with serving(by_path({PATH: redirect(target)})) as server:
            url = server.url.replace("//", "//us:pw@")
            assert await ask(url, minimal_network, **SECRETS) == 80
    headers = other.heard[0].headers
    assert not {"x-key", "authorization", "cookie"} & set(headers)
    assert headers["accept"] == server.heard[0].headers["accept"]
    assert headers["host"] == f"127.0.0.1:{other.port}"


async def test_a_redirect_to_another_host_gets_no_key_of_the_query(
    minimal_network: Network, body: bytes
) -> None:
    keys = "apikey=sekret-3&t=a%2Bb"
    async with serving(by_path({f"{PATH}?page=1": response(body)})) as other:
        target = f"{other.url}{PATH}?t=a%2bb&page=1&apikey=sekret-3"
        async with serving(by_path({f"{PATH}?{keys}": redirect(target)})) as server:
            assert await ask(f"{server.url}?{keys}", minimal_network) == 80
    assert [heard.target for heard in other.heard] == [f"{PATH}?page=1"]


@pytest.mark.parametrize("target", ["/v3/sekret-4{path}", "/?from=%2Fv3%2Fsekret-4-long{path}"])
async def test_a_redirect_that_takes_a_key_of_the_path_to_another_host_is_refused(
    minimal_network: Network, target: str
) -> None:
    key = "sekret-4-long" if "long" in target else "sekret-4"
    async with serving(by_path({})) as other:
        location = other.url + target.format(path=PATH)
        async with serving(by_path({f"/v3/{key}{PATH}": redirect(location)})) as server:
            error = await refusal(f"{server.url}/v3/{key}", minimal_network)
    assert isinstance(error, ProviderRefused)
    assert "name it as the provider" in str(error)
    assert "sekret" not in str(error)
    assert not other.heard


async def test_credentials_do_not_come_back_after_a_stranger_redirected(
    minimal_network: Network, body: bytes
) -> None:
    home: list[RawServer] = []

    async def back(_: Heard, stream: SocketStream) -> None:
        await stream.send(redirect(f"{home[0].url}/chosen"))

    async with serving(back) as other:
        answers = {PATH: redirect(other.url), "/chosen": response(body)}
        async with serving(by_path(answers)) as server:
            home.append(server)
            assert await ask(server.url, minimal_network, **SECRETS) == 80
    assert "x-key" in server.heard[0].headers
    assert "x-key" not in server.heard[1].headers


async def test_a_circle_of_redirects_is_refused(minimal_network: Network) -> None:
    answers = {PATH: redirect("/a"), "/a": redirect("/b"), "/b": redirect("/a")}
    async with serving(by_path(answers)) as server:
        error = await refusal(server.url, minimal_network)
    assert isinstance(error, ProviderRefused)
    assert "circle" in str(error)
    assert len(server.heard) == 3


async def test_no_more_than_five_redirects_are_followed(minimal_network: Network) -> None:
    answers = {PATH: redirect("/0"), **{f"/{n}": redirect(f"/{n + 1}") for n in range(9)}}
    async with serving(by_path(answers)) as server:
        error = await refusal(server.url, minimal_network)
    assert isinstance(error, ProviderRefused)
    assert len(server.heard) == 6


@pytest.mark.parametrize("location", ["", "ftp://a.example/", "http://[", "http://a b/"])
async def test_a_redirect_to_nowhere_is_malformed(minimal_network: Network, location: str) -> None:
    async with serving(by_path({PATH: redirect(location)})) as server:
        error = await refusal(server.url, minimal_network)
    assert isinstance(error, MalformedAnswer)
