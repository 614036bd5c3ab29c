"""A client as Prometheus sees it: what a scrape gives, by name and labels."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from lightclient import BlockingLightClient, LightClient
from lightclient.client.metrics import register_client

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scraped(client: LightClient | BlockingLightClient) -> Samples:
    """What a scrape gives: by name and labels."""
    registry = CollectorRegistry()
    register_client(client, registry)
    text = generate_latest(registry).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples["lightclient_" + name, tuple(sorted(labels.items()))]
