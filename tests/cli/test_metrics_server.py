"""The server behind --metrics: its pages over real HTTP, and what it does about trouble."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from lightclient import LightClient
from lightclient.client.metrics import require_library
from lightclient.errors import ConfigError, ListenError
from lightclient_cli import metrics_server
from lightclient_cli.metrics_server import MAX_REQUESTS_AT_ONCE, MetricsServer
from tests.cli.conftest import Command
from tests.client.world import World
from tests.ports import free_port
from tests.served import past_chain, served


@pytest.fixture
def client() -> LightClient:
    return World(100).client()


@pytest.fixture
def server(client: LightClient) -> Iterator[MetricsServer]:
    with MetricsServer(client, "127.0.0.1", 0) as running:
        yield running


def get(server: MetricsServer, path: str, method: str = "GET") -> tuple[int, str, str]:
    """Status, content type, body."""
    url = f"http://127.0.0.1:{server.port}{path}"
    request = urllib.request.Request(url, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as answer:
            return answer.status, answer.headers["content-type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["content-type"], error.read().decode()


def test_it_serves_metrics_of_the_client_and_of_the_process(server: MetricsServer) -> None:
    status, kind, text = get(server, "/metrics")
    assert (status, kind.partition(";")[0]) == (200, "text/plain")
    assert "lightclient_ready 0.0" in text
    assert "python_info{" in text


def test_health_and_readiness_come_with_their_reasons(server: MetricsServer) -> None:
    status, kind, text = get(server, "/ready")
    assert (status, kind) == (503, "application/json")
    assert json.loads(text)["is_ready"] is False
    assert get(server, "/health")[0] == 200


def test_anything_else_is_refused(server: MetricsServer) -> None:
    assert get(server, "/")[0] == 404
    assert get(server, "/health", "POST")[0] == 405


def test_what_is_no_http_harms_nobody(
    server: MetricsServer, capfd: pytest.CaptureFixture[str]
) -> None:
    for junk in (b"\x00" * 100, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"A" * 100_000 + b"\n"):
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
            connection.sendall(junk)
    assert get(server, "/health")[0] == 200
    assert capfd.readouterr() == ("", "")


def test_more_connections_than_it_serves_at_once_are_closed_and_the_next_is_served(
    server: MetricsServer,
) -> None:
    with ExitStack() as stack:
        idle = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=60))
            for _ in range(MAX_REQUESTS_AT_ONCE + 4)
        ]
        assert [connection.recv(1) for connection in idle[-4:]] == [b""] * 4
        before = threading.active_count()
        assert before < MAX_REQUESTS_AT_ONCE + 10
    for _ in range(100):
        try:
            assert get(server, "/health")[0] == 200
            break
        except OSError:
            time.sleep(0.05)
    else:
        raise AssertionError("it never recovered")


def test_a_connection_that_says_nothing_is_closed(
    client: LightClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_server._Requests, "timeout", 0.1)
    with (
        MetricsServer(client, "127.0.0.1", 0) as running,
        socket.create_connection(("127.0.0.1", running.port), timeout=60) as connection,
    ):
        assert connection.recv(1) == b""


def test_a_request_that_drips_is_cut_off(
    client: LightClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_server, "REQUEST_SECONDS", 0.5)
    with (
        MetricsServer(client, "127.0.0.1", 0) as running,
        socket.create_connection(("127.0.0.1", running.port), timeout=0.1) as connection,
    ):
        is_closed, end = False, time.monotonic() + 60
        while not is_closed and time.monotonic() < end:
            try:
                connection.sendall(b"G")
                is_closed = connection.recv(1) == b""
            except TimeoutError:
                continue
            except OSError:
                is_closed = True
        assert is_closed


def test_the_port_is_free_again_afterwards(client: LightClient) -> None:
    with MetricsServer(client, "127.0.0.1", 0) as first:
        port = first.port
    with MetricsServer(client, "127.0.0.1", port) as second:
        assert get(second, "/health")[0] == 200


def test_it_can_listen_on_version_6_of_the_protocol(client: LightClient) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with MetricsServer(client, "::1", 0) as running:
        socket.create_connection(("::1", running.port), timeout=60).close()


# Trouble at the start -----------------------------------------------------------------------------


def test_an_address_in_use_is_told(client: LightClient, server: MetricsServer) -> None:
    with (
        pytest.raises(ListenError, match=rf"--metrics-port {server.port}: in use"),
        MetricsServer(client, "127.0.0.1", server.port),
    ):
        pass


@pytest.mark.parametrize("address", ["192.0.2.1", "no such host", "x" * 300])
def test_an_address_that_is_not_ours_is_told(client: LightClient, address: str) -> None:
    with (
        pytest.raises(ListenError, match="this machine has no such address"),
        MetricsServer(client, address, 0),
    ):
        pass


FOLLOW = ("--trusted-block-root", "0x" + "01" * 32, "--rest-url", "http://127.0.0.1:9")


def test_a_port_in_use_ends_the_program_with_one_line(
    command: Command, server: MetricsServer
) -> None:
    result = command(*FOLLOW, "--metrics", "--metrics-port", server.port)
    assert result.exit_code == 1
    (line,) = [text for text in result.stderr.splitlines() if text.startswith("Error")]
    assert "in use by another program; choose another port" in line


def test_without_the_library_the_program_names_the_extra(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ConfigError):
        require_library()
    result = command(*FOLLOW, "--metrics")
    assert result.exit_code == 2
    assert 'pip install "lightclient[metrics]"' in result.stderr


@pytest.mark.parametrize("port", ["65536", "-1", "x", "1.5"])
def test_a_port_that_is_none_is_refused(command: Command, port: str) -> None:
    result = command(*FOLLOW, "--metrics", f"--metrics-port={port}")
    assert result.exit_code == 2
    assert "--metrics-port" in result.stderr


# The whole program --------------------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_the_follower_becomes_ready_and_tells_so_to_whoever_asks(tmp_path: Path) -> None:
    with served(past_chain(), tmp_path) as chain:
        port = free_port()
        program = [sys.executable, "-m", "lightclient_cli", *chain.options]
        program += ["--metrics", f"--metrics-port={port}", "--log-level=warn"]
        environment = {**os.environ, "HTTP_PROXY": "", "http_proxy": "", "NO_PROXY": "127.0.0.1"}
        with subprocess.Popen(program, env=environment, stdout=subprocess.PIPE) as process:
            try:
                document = _once_ready(port)
                text = _page(port, "/metrics")
            finally:
                process.terminate()
                process.communicate(timeout=60)
    assert document["health"] == "synced"
    assert document["head_slot"] >= document["finalized_slot"] > 0
    # The server's clock is this machine's, and tells the time in its answers.
    assert abs(document["clock_skew"]) < 60
    assert 'lightclient_verdicts_total{kind="bootstrap",' in text
    assert 'lightclient_provider_score{figure="honesty",' in text
    assert "process_resident_memory_bytes" in text or sys.platform != "linux"


def _page(port: int, path: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
        return str(answer.read().decode())


def _once_ready(port: int) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            document: dict[str, Any] = json.loads(_page(port, "/ready"))
            if document["clock_skew"] is not None:
                return document
        except OSError:  # not up yet, or 503
            pass
        time.sleep(0.1)
    raise AssertionError("it never became ready")
