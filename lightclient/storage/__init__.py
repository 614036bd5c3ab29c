"""What the client keeps on disk."""

from lightclient.storage.data_directory import DataDirectory

__all__ = ["DataDirectory"]
