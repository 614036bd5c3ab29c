"""The client that ties the rooms together, async and blocking."""

from lightclient.client.blocking import BlockingLightClient
from lightclient.client.light_client import LightClient, Status, SyncState, wall_clock_ms

__all__ = ["BlockingLightClient", "LightClient", "Status", "SyncState", "wall_clock_ms"]
