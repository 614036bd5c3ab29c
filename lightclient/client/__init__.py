"""The client that ties the rooms together, async and blocking."""

from lightclient.client.arguments import wall_clock_ms
from lightclient.client.blocking import BlockingLightClient
from lightclient.client.conflicts import Conflict, ConflictPolicy
from lightclient.client.light_client import LightClient
from lightclient.client.providers import Provider
from lightclient.client.status import Health, Reason, Status, SyncState
from lightclient.client.subscriptions import HeaderIterator

__all__ = [
    "BlockingLightClient",
    "Conflict",
    "ConflictPolicy",
    "HeaderIterator",
    "Health",
    "LightClient",
    "Provider",
    "Reason",
    "Status",
    "SyncState",
    "wall_clock_ms",
]
