"""What the client keeps on disk."""

from lightclient.storage.data_directory import DataDirectory
from lightclient.storage.state import StoredState
from lightclient.storage.state_directory import STATE_FILE, StateDirectory, StateStorage

__all__ = ["STATE_FILE", "DataDirectory", "StateDirectory", "StateStorage", "StoredState"]
