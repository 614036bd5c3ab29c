"""No credential and no key ever shows: not in names, errors, logs or reprs."""

from __future__ import annotations

import logging
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightclient.config import Network
from lightclient.errors import ConfigError, TransportError
from lightclient.transports.address import (
    may_keep_credentials,
    origin_of,
    parse_address,
    redirect_target,
)
from lightclient.transports.redaction import (
    MASK,
    Redactor,
    header_secrets,
    one_line,
    safe_url,
    url_secrets,
)
from lightclient.transports.rest import RestTransport
from tests.transports.conftest import provider

KEY = "3f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c"
KEYED_URLS = [
    f"https://mainnet.infura.example/v3/{KEY}",
    f"https://eth-mainnet.alchemy.example/v2/{KEY}-_x",
    f"https://wandering-quick.quiknode.example/{KEY}/",
    f"https://rpc.provider.example/premium-http/eth_beacon/{KEY}",
    f"https://node.example/beacon?apikey={KEY}",
    f"https://node.example/?{KEY}",
    f"https://{KEY}.provider.example",
    f"https://user:{KEY}@node.example:5052",
    f"https://{KEY}@node.example",
]


@pytest.mark.parametrize("url", KEYED_URLS)
def test_a_provider_is_named_without_its_key(url: str) -> None:
    name = RestTransport(url).name
    assert KEY not in name
    assert KEY[:20] not in name
    assert name.startswith("https://")
    assert name.endswith(("example", "example:5052", f"/{MASK}", "/beacon"))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://Node.Example:8443/eth/v1/", "https://node.example:8443/eth/v1"),
        ("http://[::1]:5052", "http://[::1]:5052"),
        ("https://node.example/hunter/beacon", f"https://node.example/{MASK}/beacon"),
        ("https://node.example/%68%69", f"https://node.example/{MASK}"),
        ("not a url", MASK),
        ("https://node.example:99999/", MASK),
    ],
)
def test_only_harmless_words_of_a_path_are_shown(url: str, shown: str) -> None:
    assert safe_url(url) == shown


@pytest.mark.parametrize("url", KEYED_URLS)
def test_what_a_server_echoes_of_the_url_is_masked(url: str) -> None:
    redactor = Redactor(url_secrets(url))
    path = "/" + url.split("/", 3)[3] if url.count("/") > 2 else "/"
    key = f"{KEY}-_x" if "-_x" in url else KEY
    for said in (f"Cannot GET {path}", f"no host for {url}/eth/v1", f"'{key}' is not valid"):
        assert KEY not in redactor.quote(said)


def test_credentials_are_masked_in_every_spelling() -> None:
    password = "p@ss w/rd?"
    url = f"https://us%65r:{quote(password, safe='')}@node.example"
    address = parse_address(url)
    authorization = dict(address.headers)["Authorization"].split()[1]
    for text in (password, quote(password, safe=""), "user", authorization, password.upper()):
        assert address.redactor.redact(f"<{text}>") == f"<{MASK}>"
    assert "%" not in address.base_url
    assert "@" not in address.base_url


@pytest.mark.parametrize(
    "header",
    [
        ("Authorization", "Bearer sekret-token-1"),
        ("X-Api-Key", "sekret-token-1"),
        ("Cookie", "sid=sekret-token-1; theme=x"),
    ],
)
def test_header_values_are_masked_whole_and_in_part(header: tuple[str, str]) -> None:
    redactor = Redactor(header_secrets([header]))
    for text in (header[1], "sekret-token-1", "SEKRET-TOKEN-1"):
        assert "sekret" not in redactor.quote(f"bad value {text} given").lower()


def test_what_looks_like_a_secret_is_masked_although_nobody_named_it() -> None:
    redactor = Redactor()
    said = (
        "see https://a:b@other.example/k1?token=zzz for api_key=abc123, Bearer abcdef123456, "
        'and {"password": "hunter2"}'
    )
    shown = redactor.quote(said)
    for secret in ("a:b", "k1", "zzz", "abc123", "abcdef123456", "hunter2"):
        assert secret not in shown


def test_a_secret_inside_terminal_escapes_is_masked() -> None:
    assert Redactor([KEY]).quote(f"\x1b[31m{KEY}\x1b[0m") == f"[31m{MASK} [0m"


@given(st.text(max_size=400))
def test_a_quoted_text_is_one_printable_bounded_line(text: str) -> None:
    shown = Redactor([KEY]).quote(text)
    assert len(shown) <= 240
    assert shown.isprintable()
    assert "\n" not in shown


@given(st.text(max_size=60), st.text(max_size=60))
def test_a_secret_is_masked_wherever_it_stands(before: str, after: str) -> None:
    assert KEY not in Redactor([KEY]).quote(f"{before}{KEY}{after}")


def test_terminal_escapes_and_text_direction_do_not_survive() -> None:
    assert one_line("a\x1b]0;evil\x07b\u202ec\u2028d") == "a ]0;evil b c d"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://node.example",
        "node.example:5052",
        "https://",
        "https://node.example:port",
        "https://node.example:0",
        "https://no de.example",
        "https://node.example/\x00",
        "https://node.example/#part",
        "https://[::1",
        "https://node.example/" + "a" * 5000,
        "",
    ],
)
def test_an_unusable_url_is_refused_without_being_quoted(url: str) -> None:
    keyed = url.replace("node.example", f"u:{KEY}@node.example")
    with pytest.raises(ConfigError) as caught:
        RestTransport(keyed)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "header",
    [
        ("", KEY),
        ("a b", KEY),
        ("X-Key", ""),
        ("X-Key", f"{KEY}\r\nHost: evil"),
        ("X-Key", f"{KEY}é"),
        ("Accept", KEY),
        ("transfer-encoding", KEY),
    ],
)
def test_an_unusable_header_is_refused_without_its_value(header: tuple[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        RestTransport("https://node.example", headers=[header])
    assert KEY not in str(caught.value)


def test_reprs_show_no_secret() -> None:
    url = f"https://user:{KEY}@node.example/{KEY}?k={KEY}"
    transport = RestTransport(url, headers=[("X-Key", KEY)])
    for shown in (repr(transport), repr(parse_address(url, [("X-Key", KEY)]))):
        assert KEY not in shown


@pytest.mark.parametrize(
    ("source", "target", "kept"),
    [
        ("https://a.example", "https://a.example/x", True),
        ("https://a.example", "https://A.example:443/x", True),
        ("http://a.example", "https://a.example/x", True),
        ("http://a.example:8080", "https://a.example", False),
        ("https://a.example", "https://b.example", False),
        ("https://a.example", "https://a.example:8443", False),
        ("https://a.example", "http://a.example", False),
        ("https://a.example", "https://sub.a.example", False),
    ],
)
def test_credentials_stay_with_the_host_port_and_scheme(
    source: str, target: str, kept: bool
) -> None:
    first, second = origin_of(source), origin_of(target)
    assert first is not None
    assert second is not None
    assert may_keep_credentials(first, second) is kept


def test_credentials_that_a_redirect_names_are_dropped() -> None:
    target = redirect_target("https://a.example/x", "//u:p@b.example/y#z")
    assert target == "https://b.example/y"
    assert redirect_target("https://a.example/x", "javascript:alert(1)") is None
    assert redirect_target("https://a.example/x", "http://[") is None


@pytest.mark.anyio
async def test_nothing_that_is_raised_or_logged_holds_a_secret(
    minimal_network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if "finality" in request.url.path:
            raise httpx.ConnectError(f"no route to {request.url}")
        echoed = f"Cannot GET {request.url.raw_path!r} with {request.headers.multi_items()}"
        return httpx.Response(404, json={"code": 404, "message": echoed})

    caplog.set_level(logging.DEBUG)
    url = f"https://user:{KEY}x@node.example/{KEY}/?apikey={KEY}y"
    transport = provider(answer, url, headers=[("X-Key", f"{KEY}z")])
    await transport.open(minimal_network)
    errors: list[BaseException | None] = []
    for ask in (
        transport.get_light_client_finality_update(),
        transport.get_light_client_optimistic_update(),
        transport.get_light_client_updates_by_range(1, 2),
        transport.get_light_client_bootstrap(bytes(32)),
        anext(transport.stream_updates()),
    ):
        with pytest.raises(TransportError) as caught:
            await ask
        errors.append(caught.value)
    await transport.aclose()
    for error in errors:
        while error is not None:
            assert KEY not in f"{error!r} {error} {vars(error)}"
            assert "request" not in dir(error)
            error = error.__cause__ or error.__context__
    assert KEY not in caplog.text


@pytest.mark.anyio
async def test_an_embedders_own_requests_are_logged_as_ever(
    minimal_network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="httpx")
    transport = provider(lambda _: httpx.Response(404))
    await transport.open(minimal_network)
    with pytest.raises(TransportError):
        await transport.get_light_client_finality_update()
    assert "HTTP Request" not in caplog.text
    own = httpx.MockTransport(lambda _: httpx.Response(200))
    async with httpx.AsyncClient(transport=own) as client:
        await client.get("https://own.example/page")
    assert "https://own.example/page" in caplog.text
    await transport.aclose()
