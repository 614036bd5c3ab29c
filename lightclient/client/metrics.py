"""A client for Prometheus, with the pages that supervisors and load balancers ask for.

Needs ``prometheus-client`` (``pip install "lightclient[metrics]"``), which is imported when used.
Everything is read when it is asked for, perhaps from another thread; nothing is changed here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from lightclient.client.blocking import BlockingLightClient
from lightclient.client.light_client import LightClient
from lightclient.client.measures import Durations
from lightclient.client.status import Health, Reason, Status, SyncState
from lightclient.errors import ConfigError
from lightclient.sync import VerifiedHeader

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

StartResponse = Callable[[str, list[tuple[str, str]]], object]
WsgiApp = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]

_PREFIX = "lightclient"
_JSON = "application/json"
_HANGING_EPOCHS = 1
"""A client that did not look at its clock for so long does not run any more."""


def register_client(
    client: LightClient | BlockingLightClient, registry: CollectorRegistry | None = None
) -> ClientCollector:
    """Show ``client`` in ``registry`` (default: the library's own); unregister it there.

    Raises:
        ConfigError: prometheus-client is not installed.
    """
    library = require_library()
    collector = ClientCollector(client)
    (library.REGISTRY if registry is None else registry).register(collector)
    return collector


def require_library() -> Any:
    """The module ``prometheus_client``. Raises ConfigError where it is missing."""
    try:
        import prometheus_client
    except ImportError:
        raise ConfigError(
            "metrics need prometheus-client, which comes with an extra:"
            ' pip install "lightclient[metrics]"'
        ) from None
    return prometheus_client


class ClientCollector:
    """Everything about one client, read at each scrape."""

    def __init__(self, client: LightClient | BlockingLightClient) -> None:
        self._client = client if isinstance(client, LightClient) else client.light_client

    def collect(self) -> Iterator[Metric]:
        """The client's metrics, as prometheus-client wants them."""
        status = self._client.status
        yield from self._states(status)
        yield from self._headers()
        yield from self._clock(status)
        yield from self._providers(status)
        yield from self._measures()
        yield from self._store()
        yield from self._pools()

    def describe(self) -> list[Metric]:
        """Nothing ahead of time: registering a client must not need one that runs."""
        return []

    def _states(self, status: Status) -> Iterator[Metric]:
        from prometheus_client.core import InfoMetricFamily, StateSetMetricFamily

        from lightclient import __version__

        info = {"version": __version__, "network": self._client.network.name}
        yield InfoMetricFamily(_PREFIX, "The client", value=info)
        states = {state.value: state is status.state for state in SyncState}
        yield StateSetMetricFamily(f"{_PREFIX}_sync_state", "How far it is", value=states)
        health = {state.value: state is status.health for state in Health}
        yield StateSetMetricFamily(f"{_PREFIX}_health", "As the page /health has it", value=health)
        yield _gauge("ready", "1 if the headers can be relied on to be recent", status.is_ready)
        yield _gauge("sync_progress_ratio", "Share of the periods done", status.progress)

    def _headers(self) -> Iterator[Metric]:
        client = self._client
        head, finalized = client.optimistic_header(), client.finalized_header()
        yield _gauge("current_slot", "Slot by the clock", client.current_slot)
        for name, header in (("head", head), ("finalized", finalized)):
            if header is not None:
                yield _gauge(f"{name}_slot", f"Slot of the {name} header", header.slot)
                age = client.age(header)
                yield _gauge(f"{name}_age_seconds", f"Since the {name} header's slot began", age)
        if head is not None and head.participation is not None:
            text = "Share of the sync committee that signed the head"
            yield _gauge("participation_ratio", text, head.participation)

    def _clock(self, status: Status) -> Iterator[Metric]:
        if status.clock_skew is not None:
            text = "How far this machine's clock is ahead of the providers'; negative: behind"
            yield _gauge("clock_skew_seconds", text, status.clock_skew)
        epoch = self._client.watch.schedule.next_unknown_epoch
        if epoch is not None:
            text = "First epoch of an announced fork that this version does not know"
            yield _gauge("unknown_fork_epoch", text, epoch)

    def _providers(self, status: Status) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        yield _gauge("providers", "Providers", status.providers)
        yield _gauge("usable_providers", "That answered the last time", status.usable_providers)
        score = GaugeMetricFamily(
            f"{_PREFIX}_provider_score", "-1000 to 1000", labels=["provider", "figure"]
        )
        label_of = self._client.measures.label_of
        for name, provider in {label_of(item): item for item in self._client.providers}.items():
            score.add_metric([name, "availability"], provider.score.availability)
            score.add_metric([name, "honesty"], provider.score.honesty)
        yield score

    def _measures(self) -> Iterator[Metric]:
        measures = self._client.measures
        yield _counter(
            "requests", "Requests", ("provider", "kind", "result"), dict(measures.requests)
        )
        yield _counter(
            "verdicts", "Judged objects", ("provider", "kind", "verdict"), dict(measures.verdicts)
        )
        rules: dict[tuple[str, ...], int] = {(k,): n for k, n in dict(measures.rules).items()}
        yield _counter("refusals", "Refused objects", ("rule",), rules)
        yield _histogram(
            "provider_request_seconds",
            "Requests that were answered",
            "provider",
            dict(measures.request_seconds),
        )
        yield _histogram(
            "verification_seconds",
            "Judging one object, signature included",
            "kind",
            dict(measures.judging_seconds),
        )

    def _store(self) -> Iterator[Metric]:
        size = self._client.store_bytes
        if size is not None:
            yield _gauge("store_bytes", "Size of the stored state on disk", size)

    def _pools(self) -> Iterator[Metric]:
        for pool in self._client.pools:
            figures, name = pool.figures(), pool.name
            yield _gauge(f"{name}_peers", "Peers that are connected", figures.peers)
            for key, value in figures.gauges.items():
                yield _gauge(f"{name}_{key}", f"{key.replace('_', ' ').capitalize()} now", value)
            for key, count in figures.counters.items():
                text = f"{key.replace('_', ' ').capitalize()} since the start"
                yield _counter(f"{name}_{key}", text, (), {(): count})


def _gauge(name: str, text: str, value: float) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    return GaugeMetricFamily(f"{_PREFIX}_{name}", text, value=float(value))


def _counter(
    name: str, text: str, labels: tuple[str, ...], values: dict[tuple[str, ...], int]
) -> Metric:
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(f"{_PREFIX}_{name}", text, labels=labels)
    for key, count in values.items():
        family.add_metric(key, count)
    return family


def _histogram(name: str, text: str, label: str, values: dict[str, Durations]) -> Metric:
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily(f"{_PREFIX}_{name}", text, labels=[label])
    for key, durations in values.items():
        buckets, so_far = [], 0
        for bound, count in zip(
            (*map(str, durations.bounds), "+Inf"), tuple(durations.counts), strict=True
        ):
            so_far += count
            buckets.append((bound, float(so_far)))
        family.add_metric([key], buckets, durations.total)
    return family


# Pages ------------------------------------------------------------------------------------------


def health_document(client: LightClient) -> dict[str, Any]:
    """What the pages ``/health`` and ``/ready`` tell."""
    status = client.status
    reasons = list(status.reasons)
    is_hanging = client.watch.seconds_since_tick(time.monotonic()) > _hanging_seconds(client)
    if is_hanging:
        reasons.append(Reason("hanging", "the client's loop does not run: restart it"))
    return {
        "health": Health.STUCK.value if is_hanging else status.health.value,
        "is_alive": status.is_alive and not is_hanging,
        "is_ready": status.is_ready and not is_hanging,
        "sync": status.state.value,
        "current_slot": client.current_slot,
        "head_slot": _slot(client.optimistic_header()),
        "finalized_slot": _slot(client.finalized_header()),
        "clock_skew": status.clock_skew,
        "reasons": [{"code": reason.code, "sentence": reason.sentence} for reason in reasons],
    }


def _hanging_seconds(client: LightClient) -> float:
    epoch_ms = client.network.preset.slots_per_epoch * client.network.slot_duration_ms
    return _HANGING_EPOCHS * epoch_ms / 1000


def _slot(header: VerifiedHeader | None) -> int | None:
    return None if header is None else header.slot


def wsgi_app(client: LightClient, registry: CollectorRegistry) -> WsgiApp:
    """The pages ``/metrics``, ``/health`` and ``/ready``.

    ``/health`` is 503 while the client is stuck or hangs, ``/ready`` while it is not synced; both
    say why, in JSON.
    """
    metrics: WsgiApp = require_library().make_wsgi_app(registry)

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if environ.get("REQUEST_METHOD") not in ("GET", "HEAD"):
            return _page(start_response, "405 Method Not Allowed", {"error": "GET only"})
        if path == "/metrics":
            return metrics({**environ, "REQUEST_METHOD": "GET"}, start_response)
        if path in ("/health", "/ready"):
            document = health_document(client)
            is_well = document["is_alive" if path == "/health" else "is_ready"]
            return _page(start_response, "200 OK" if is_well else "503 Unavailable", document)
        known = {"error": "not found", "pages": ["/metrics", "/health", "/ready"]}
        return _page(start_response, "404 Not Found", known)

    return app


def _page(start_response: StartResponse, status: str, document: object) -> Iterable[bytes]:
    body = json.dumps(document).encode() + b"\n"
    headers = [
        ("Content-Type", _JSON),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
    ]
    start_response(status, headers)
    return [body]
