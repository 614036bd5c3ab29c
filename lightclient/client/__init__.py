"""The client that ties the rooms together, async and blocking."""

from lightclient.client.blocking import BlockingLightClient
from lightclient.client.fetching import Provider
from lightclient.client.light_client import LightClient, wall_clock_ms
from lightclient.client.status import Health, Reason, Status, SyncState
from lightclient.client.subscriptions import HeaderIterator

__all__ = [
    "BlockingLightClient",
    "HeaderIterator",
    "Health",
    "LightClient",
    "Provider",
    "Reason",
    "Status",
    "SyncState",
    "wall_clock_ms",
]
