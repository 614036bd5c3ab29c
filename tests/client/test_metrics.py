"""A client as Prometheus sees it, and the pages /health and /ready."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from lightclient import BlockingLightClient, LightClient
from lightclient.client.measures import MAX_PROVIDERS, Durations
from lightclient.client.metrics import ClientCollector, health_document, register_client, wsgi_app
from lightclient.errors import (
    ConfigError,
    MalformedAnswer,
    ProviderUnavailable,
    RateLimited,
    UnknownBootstrap,
)
from tests.client.scraping import scraped, value
from tests.client.world import SLOTS_PER_EPOCH, SLOTS_PER_PERIOD, World

pytestmark = pytest.mark.anyio
HEAD = SLOTS_PER_PERIOD + 30


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_a_synced_client_shows_where_it_is_and_what_it_did() -> None:
    world = World(HEAD)
    async with world.client() as client:
        finalized = await client.wait_until_synced()
        samples = scraped(client)
        head = client.optimistic_header()
    assert head is not None
    assert value(samples, "sync_state", lightclient_sync_state="synced") == 1
    assert value(samples, "sync_state", lightclient_sync_state="syncing") == 0
    assert value(samples, "health", lightclient_health="synced") == 1
    assert value(samples, "ready") == 1
    assert value(samples, "current_slot") == HEAD
    assert value(samples, "finalized_slot") == finalized.slot
    assert value(samples, "finalized_age_seconds") == client.age(finalized)
    assert value(samples, "head_slot") == head.slot
    assert 0 < value(samples, "participation_ratio") <= 1
    assert value(samples, "providers") == value(samples, "usable_providers") == 1
    assert value(samples, "provider_score", provider="good", figure="honesty") > 300
    labels = {"provider": "good", "kind": "bootstrap"}
    assert value(samples, "verdicts_total", verdict="accepted", **labels) == 1
    assert value(samples, "requests_total", result="answered", **labels) == 1
    asked = sum(n for (name, _), n in samples.items() if name == "lightclient_requests_total")
    counted = value(samples, "provider_request_seconds_count", provider="good")
    assert counted == value(samples, "provider_request_seconds_bucket", provider="good", le="+Inf")
    assert counted <= asked
    assert value(samples, "verification_seconds_count", kind="update") >= 1
    assert value(samples, "verification_seconds_sum", kind="update") > 0
    assert ("lightclient_clock_skew_seconds", ()) not in samples  # nobody told the time
    assert ("lightclient_store_bytes", ()) not in samples  # nothing is stored


def test_a_client_that_has_not_begun_can_be_scraped() -> None:
    samples = scraped(World(HEAD).client())
    assert value(samples, "sync_state", lightclient_sync_state="bootstrapping") == 1
    assert value(samples, "ready") == 0
    assert ("lightclient_head_slot", ()) not in samples


async def test_the_size_of_the_stored_state_is_shown(tmp_path: Any) -> None:
    async with World(HEAD).client(data_dir=tmp_path) as client:
        await client.wait_until_synced()
    assert 1000 < value(scraped(client), "store_bytes") < 1_000_000


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (ProviderUnavailable("x"), "unavailable"),
        (RateLimited("x"), "rate_limited"),
        (MalformedAnswer("x"), "malformed"),
        (UnknownBootstrap("x"), "unknown_bootstrap"),
    ],
)
async def test_failed_requests_are_counted_by_how_they_ended(error: Any, result: str) -> None:
    world = World(HEAD)
    bad, good = world.provider("bad"), world.provider("good")
    bad.error = error
    async with world.client(bad, good) as client:
        await client.wait_until_synced()
        samples = scraped(client)
    assert value(samples, "requests_total", provider="bad", kind="bootstrap", result=result) >= 1
    key = ("lightclient_provider_request_seconds_count", (("provider", "bad"),))
    assert key not in samples


async def test_refusals_are_counted_by_rule_and_provider() -> None:
    world = World(HEAD)
    lying = world.provider("lying")
    async with world.client(lying) as client:
        await client.wait_until_synced()
        update = world.chain.optimistic_update()
        assert update is not None
        await client._fetcher.judge(client.providers[0], _forged(update))
        samples = scraped(client)
    assert value(samples, "refusals_total", rule="bad_signature") == 1
    labels = {"provider": "lying", "kind": "optimistic_update", "verdict": "unviable_fork"}
    assert value(samples, "verdicts_total", **labels) == 1


def _forged(update: Any) -> Any:
    from dataclasses import replace

    beacon = replace(update.attested_header.beacon, proposer_index=77)
    header = replace(update.attested_header, beacon=beacon)
    return replace(update, attested_header=header, signature_slot=update.signature_slot)


def test_the_blocking_face_is_shown_alike_from_another_thread() -> None:
    world = World(HEAD)
    with BlockingLightClient(
        network=world.network,
        trusted_block_root=world.root(),
        transports=[world.provider()],
        clock=world.clock,
    ) as client:
        client.wait_until_synced(timeout=20)
        assert value(scraped(client), "ready") == 1


def test_it_can_be_registered_twice_in_different_registries_and_unregistered() -> None:
    client = World(HEAD).client()
    registry = CollectorRegistry()
    collector = register_client(client, registry)
    assert isinstance(collector, ClientCollector)
    assert b"lightclient_ready" in generate_latest(registry)
    registry.unregister(collector)
    assert generate_latest(registry) == b""


# Bounds -----------------------------------------------------------------------------------------


def test_more_providers_than_labels_share_one() -> None:
    world = World(HEAD)
    client = world.client(*(world.provider(f"p{n}") for n in range(MAX_PROVIDERS + 20)))
    labels = {client.measures.label_of(provider) for provider in client.providers}
    assert len(labels) == MAX_PROVIDERS + 1
    assert "others" in labels
    assert len([key for key in scraped(client) if "provider_score" in key[0]]) == 2 * len(labels)


def test_durations_fall_at_or_below_their_bounds() -> None:
    durations = Durations((1.0, 2.0))
    for seconds in (0.5, 1.0, 1.5, 2.0, 3.0):
        durations.note(seconds)
    assert durations.counts == [2, 2, 1]
    assert durations.total == 8.0


def test_scraping_while_the_numbers_change_never_fails() -> None:
    world = World(HEAD)
    client = world.client()
    stop = threading.Event()

    def change() -> None:
        number = 0
        while not stop.is_set():
            number = (number + 1) % 50
            client.measures.verdicts.pop((f"p{number}", "update", "accepted"), None)
            client.measures.verdicts[f"p{number}", "update", "accepted"] += 1
            client.measures.judging_seconds.pop(str(number), None)
            client.measures.judging_seconds[str(number)] = Durations((1.0,))

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(20):
            list(ClientCollector(client).collect())
    finally:
        stop.set()
        thread.join()


# Without the library ----------------------------------------------------------------------------


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ConfigError, match=r'pip install "lightclient\[metrics\]"'):
        register_client(World(HEAD).client())


def test_the_library_is_not_loaded_before_it_is_used() -> None:
    code = (
        "import sys, lightclient.client, lightclient.client.metrics, lightclient_cli.follow;"
        "sys.exit('prometheus_client' in sys.modules or 'wsgiref' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Pages ------------------------------------------------------------------------------------------


class Pages:
    """The WSGI application, asked without a server."""

    def __init__(self, client: LightClient) -> None:
        registry = CollectorRegistry()
        register_client(client, registry)
        self._app = wsgi_app(client, registry)

    def get(self, path: str, method: str = "GET") -> tuple[int, bytes]:
        answers: list[str] = []

        def start(status: str, headers: list[tuple[str, str]]) -> None:
            answers.append(status)
            assert all(isinstance(text, str) for pair in headers for text in pair)

        environ = {"PATH_INFO": path, "REQUEST_METHOD": method, "QUERY_STRING": ""}
        body = b"".join(self._app(environ, start))
        return int(answers[0][:3]), body

    def document(self, path: str) -> tuple[int, dict[str, Any]]:
        status, body = self.get(path)
        return status, json.loads(body)


async def test_a_synced_client_is_healthy_and_ready() -> None:
    async with World(HEAD).client() as client:
        await client.wait_until_synced()
        pages = Pages(client)
        assert pages.document("/ready")[0] == 200
        status, document = pages.document("/health")
    assert status == 200
    head = document.pop("head_slot")
    assert document.pop("finalized_slot") <= head <= HEAD
    assert document == {
        "health": "synced",
        "is_alive": True,
        "is_ready": True,
        "sync": "synced",
        "current_slot": HEAD,
        "clock_skew": None,
        "reasons": [],
    }


async def test_a_client_on_its_way_is_healthy_and_not_ready_and_says_why() -> None:
    pages = Pages(World(HEAD).client())
    assert pages.get("/health")[0] == 200
    status, document = pages.document("/ready")
    assert status == 503
    assert [reason["code"] for reason in document["reasons"]] == ["no_bootstrap"]


async def test_a_stale_client_is_not_ready_and_a_stuck_one_not_healthy() -> None:
    world = World(HEAD)
    client = world.client()
    async with client:
        await client.wait_until_synced()
        await client.watch.tick()
        client.stop()
    pages = Pages(client)
    world.set_clock(HEAD + 3 * SLOTS_PER_EPOCH)
    assert pages.get("/ready")[0] == 503
    status, document = pages.document("/health")
    assert (status, document["health"]) == (200, "stale")
    for slot in range(HEAD + 3 * SLOTS_PER_EPOCH, HEAD + 9 * SLOTS_PER_EPOCH):
        world.set_clock(slot)
        await client.watch.tick()
    status, document = pages.document("/health")
    assert (status, document["health"]) == (503, "stuck")
    assert "no_progress" in [reason["code"] for reason in document["reasons"]]


async def test_a_client_whose_loop_hangs_is_not_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    client = World(HEAD).client()
    async with client:
        await client.wait_until_synced()
        assert Pages(client).get("/health")[0] == 200
        monkeypatch.setattr(client.watch, "_ticked_at", -1e9)
        status, document = Pages(client).document("/health")
        assert (status, document["health"], document["is_ready"]) == (503, "stuck", False)
        assert document["reasons"][-1]["code"] == "hanging"
        assert health_document(client) == document


def test_other_pages_and_methods_are_refused() -> None:
    pages = Pages(World(HEAD).client())
    assert pages.get("/")[0] == 404
    assert pages.get("/metrics/../etc")[0] == 404
    assert pages.get("/health", "POST")[0] == 405
    assert pages.get("/metrics", "DELETE")[0] == 405
    status, text = pages.get("/metrics")
    assert status == 200
    assert b"lightclient_ready 0.0" in text
