"""Over real sockets: slow, silent and lying servers, TLS and proxies."""

from __future__ import annotations

import gzip
import json
import subprocess
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketStream
from anyio.streams.tls import TLSListener

from lightclient.config import Network
from lightclient.errors import (
    MalformedAnswer,
    ProviderRefused,
    ProviderUnavailable,
    RateLimited,
    TransportError,
)
from lightclient.transports.rest import RestTransport
from tests.transports.asking import PATH, ask, redirect, refusal, says
from tests.transports.objects import chunk, enveloped, make_update
from tests.transports.tcp import Heard, response, serving

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.usefixtures("no_proxy"),
]


async def test_an_answer_in_small_pieces_is_whole(minimal_network: Network, body: bytes) -> None:
    async with serving(says(response(body), step=400)) as server:
        assert await ask(server.url, minimal_network) == 80
        assert server.heard[0].target == PATH


async def test_a_compressed_answer_is_read(minimal_network: Network, body: bytes) -> None:
    packed = response(gzip.compress(body), content_encoding="gzip")
    async with serving(says(packed)) as server:
        assert await ask(server.url, minimal_network) == 80
        assert server.heard[0].headers["accept-encoding"] == "gzip, deflate"


async def test_an_answer_that_drips_ends_with_the_total_deadline(
    minimal_network: Network, body: bytes
) -> None:
    async with serving(says(response(body), pause=0.05, step=1)) as server:
        with anyio.fail_after(60):
            error = await refusal(server.url, minimal_network, timeout=0.4)
    assert isinstance(error, ProviderUnavailable)
    assert "no complete answer within 0.4 s" in str(error)


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\n", response(content_length="90")])
async def test_a_server_that_falls_silent_is_left(minimal_network: Network, sent: bytes) -> None:
    async with serving(says(sent + b"", pause=30.0) if sent else _mute) as server:
        with anyio.fail_after(60):
            error = await refusal(server.url, minimal_network, idle_timeout=0.2, timeout=60)
    assert isinstance(error, ProviderUnavailable)
    assert "silent for too long" in str(error)


async def _mute(_: Heard, __: SocketStream) -> None:
    await anyio.sleep(30)


async def test_a_server_that_is_not_there_is_unavailable(minimal_network: Network) -> None:
    async with serving(says(b"")) as server:
        url = server.url
    error = await refusal(f"{url}/sekret", minimal_network)
    assert isinstance(error, ProviderUnavailable)
    assert "cannot be reached" in str(error)
    assert "sekret" not in str(error)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 2xx\r\n\r\n",
        b"\x00" * 500,
        b"HTTP/1.1 200 OK\r\n",
    ],
)
async def test_a_server_that_does_not_speak_http_is_unavailable(
    minimal_network: Network, sent: bytes
) -> None:
    async with serving(says(sent)) as server:
        error = await refusal(server.url, minimal_network)
    assert isinstance(error, ProviderUnavailable)


async def test_endless_headers_are_bounded(minimal_network: Network) -> None:
    head = b"HTTP/1.1 200 OK\r\n" + b"x-a: " + b"b" * 300_000
    async with serving(says(head, step=20_000)) as server:
        assert isinstance(await refusal(server.url, minimal_network), ProviderUnavailable)


async def test_a_body_shorter_than_its_length_is_not_taken_for_whole(
    minimal_network: Network, body: bytes
) -> None:
    cut = response(body)[:-10]
    async with serving(says(cut)) as server:
        error = await refusal(server.url, minimal_network)
    assert isinstance(error, ProviderUnavailable)
    assert "closed the connection early" in str(error)


async def test_a_body_longer_than_its_length_is_cut_there(
    minimal_network: Network, body: bytes
) -> None:
    async with serving(says(response(body + b"junk", content_length=str(len(body))))) as server:
        assert await ask(server.url, minimal_network) == 80


async def test_a_stated_length_beyond_the_bound_is_refused_unread(
    minimal_network: Network,
) -> None:
    async with serving(says(response(content_length="9" * 15), pause=30.0)) as server:
        with anyio.fail_after(60):
            error = await refusal(server.url, minimal_network)
    assert isinstance(error, MalformedAnswer)
    assert "too long: 999999999999999 bytes" in str(error)


async def _endless(_: Heard, stream: SocketStream) -> None:
    await stream.send(b"HTTP/1.1 200 OK\r\n\r\n[")
    while True:
        await stream.send(b" " * 65536)


async def test_an_endless_body_is_left_at_its_bound(minimal_network: Network) -> None:
    async with serving(_endless) as server:
        with anyio.fail_after(60):
            error = await refusal(server.url, minimal_network)
    assert isinstance(error, MalformedAnswer)
    assert "too long: more than" in str(error)


async def test_a_compression_bomb_is_left_at_its_bound(minimal_network: Network) -> None:
    bomb = response(gzip.compress(b" " * 20_000_000), content_encoding="gzip")
    async with serving(says(bomb)) as server:
        error = await refusal(server.url, minimal_network)
    assert isinstance(error, MalformedAnswer)
    assert "too long: more than" in str(error)


@pytest.mark.parametrize("encoding", ["br", "gzip, br", "gzip"])
async def test_a_compression_that_cannot_be_undone_is_refused(
    minimal_network: Network, body: bytes, encoding: str
) -> None:
    async with serving(says(response(body, content_encoding=encoding))) as server:
        error = await refusal(server.url, minimal_network)
    assert isinstance(error, MalformedAnswer)
    assert "compress" in str(error)


async def test_a_huge_error_page_is_quoted_from_its_beginning(minimal_network: Network) -> None:
    page = b'{"code":503,"message":"down for today","stacktraces":["' + b"x" * 1_000_000 + b'"]}'
    async with serving(says(response(page, "503 Oops", retry_after="5"))) as server:
        error = await refusal(server.url, minimal_network)
    assert isinstance(error, RateLimited)
    assert '"down for today"' in str(error)


@pytest.mark.parametrize("as_json", [True, False])
async def test_a_range_that_breaks_off_keeps_its_whole_updates(
    minimal_network: Network, as_json: bool
) -> None:
    updates = [make_update(minimal_network, period) for period in (1, 2, 3)]
    if as_json:
        content = json.dumps([enveloped(update) for update in updates]).encode()
    else:
        content = b"".join(chunk(update) for update in updates)
    label = "application/json" if as_json else "application/octet-stream"
    sent = response(content, content_type=label)[:-300]
    async with serving(says(sent)) as server:
        transport = RestTransport(server.url)
        await transport.open(minimal_network)
        answer = await transport.get_light_client_updates_by_range(1, 3)
        await transport.aclose()
    assert answer.updates == tuple(updates[:2])
    assert isinstance(answer.error, ProviderUnavailable)
    assert len(server.heard) == 1


# TLS and proxies -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=beacon.example", "-addext", "subjectAltName=IP:127.0.0.1"]
    try:
        subprocess.run(
            [*command, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs the openssl command")
    return cert, key


async def _over_tls(
    network: Network,
    content: bytes,
    certificate: tuple[Path, Path],
    host: str = "127.0.0.1",
    **options: object,
) -> int:
    import ssl

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    plain = await anyio.create_tcp_listener(local_host="127.0.0.1")
    listener = TLSListener(plain, context, standard_compatible=False)
    port = plain.extra(anyio.abc.SocketAttribute.local_port)

    async def converse(stream: anyio.abc.ByteStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(content)

    outcome: int | TransportError
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, converse)
        try:
            outcome = await ask(f"https://{host}:{port}", network, **options)
        except TransportError as error:
            outcome = error
        tasks.cancel_scope.cancel()
    if isinstance(outcome, TransportError):
        raise outcome
    return outcome


async def test_a_custom_authority_is_accepted_by_file_and_by_environment(
    minimal_network: Network,
    body: bytes,
    certificate: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = response(body)
    assert await _over_tls(minimal_network, content, certificate, ca_file=str(certificate[0])) == 80
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    assert await _over_tls(minimal_network, content, certificate) == 80


async def test_an_unknown_authority_is_refused_and_the_remedy_named(
    minimal_network: Network, body: bytes, certificate: tuple[Path, Path]
) -> None:
    with pytest.raises(ProviderUnavailable, match="SSL_CERT_FILE"):
        await _over_tls(minimal_network, response(body), certificate)


async def test_a_certificate_of_another_host_is_refused_as_that(
    minimal_network: Network, body: bytes, certificate: tuple[Path, Path]
) -> None:
    content, ca_file = response(body), str(certificate[0])
    with pytest.raises(ProviderUnavailable, match="does not hold; check the URL") as caught:
        await _over_tls(minimal_network, content, certificate, "localhost", ca_file=ca_file)
    assert "Hostname mismatch" in str(caught.value)


async def test_a_redirect_from_https_to_http_is_refused(
    minimal_network: Network, certificate: tuple[Path, Path]
) -> None:
    content = redirect("http://127.0.0.1:9/sekret")
    with pytest.raises(ProviderRefused, match="unprotected http://127") as caught:
        await _over_tls(minimal_network, content, certificate, ca_file=str(certificate[0]))
    assert "sekret" not in str(caught.value)


async def test_a_proxy_of_the_environment_is_used_unless_no_proxy_names_the_host(
    minimal_network: Network, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(says(response(body))) as proxy, serving(says(response(body))) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("//", "//me:sekret@"))
        assert await ask(server.url, minimal_network) == 80
        assert (len(proxy.heard), len(server.heard)) == (1, 0)
        assert proxy.heard[0].target == f"{server.url}{PATH}"
        assert proxy.heard[0].headers["proxy-authorization"].startswith("Basic ")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert await ask(server.url, minimal_network) == 80
        assert (len(proxy.heard), len(server.heard)) == (1, 1)


async def test_a_proxy_that_refuses_is_named_without_its_credentials(
    minimal_network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(says(response(b"", "407 Proxy Authentication Required"))) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//me:sekret@"))
        error = await refusal("https://node.example", minimal_network)
    assert isinstance(error, ProviderUnavailable)
    assert "the proxy does not let us through" in str(error)
    assert "sekret" not in str(error)
    assert proxy.heard[0].target == "node.example:443"
