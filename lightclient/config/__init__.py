"""Presets, networks, fork schedules, fork digests and the arithmetic of slots, epochs and periods.

A network comes from :func:`resolve_network`, :func:`network_by_name`,
:func:`load_network_directory` or :func:`network_from_config_mapping`; the result is a plain value.
"""

from lightclient.config.directory import load_network_directory, resolve_network
from lightclient.config.forks import (
    DATA_FORMATS,
    FAR_FUTURE_EPOCH,
    FIRST_LIGHT_CLIENT_FORK,
    FORKS,
    FORKS_BY_NAME,
    DataFormat,
    Fork,
)
from lightclient.config.mapping import network_from_config_mapping
from lightclient.config.network import (
    GENESIS_SLOT,
    BlobParameters,
    Network,
    Preset,
    ScheduledFork,
    compute_fork_data_root,
)
from lightclient.config.networks import NETWORK_ALIASES, NETWORK_NAMES, network_by_name
from lightclient.config.presets import GNOSIS, MAINNET, MINIMAL, PRESETS, preset_by_name
from lightclient.config.writing import config_mapping

__all__ = [
    "DATA_FORMATS",
    "FAR_FUTURE_EPOCH",
    "FIRST_LIGHT_CLIENT_FORK",
    "FORKS",
    "FORKS_BY_NAME",
    "GENESIS_SLOT",
    "GNOSIS",
    "MAINNET",
    "MINIMAL",
    "NETWORK_ALIASES",
    "NETWORK_NAMES",
    "PRESETS",
    "BlobParameters",
    "DataFormat",
    "Fork",
    "Network",
    "Preset",
    "ScheduledFork",
    "compute_fork_data_root",
    "config_mapping",
    "load_network_directory",
    "network_by_name",
    "network_from_config_mapping",
    "preset_by_name",
    "resolve_network",
]
