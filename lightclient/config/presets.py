"""The three presets, and what a configuration that builds on one may leave out.

A preset fixes the shape of objects and of time. The defaults beside it are the values of the
specification's ``configs/mainnet.yaml`` and ``configs/minimal.yaml`` and of Gnosis' configuration
that the light client reads; a network's own configuration overrides any of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from lightclient.config.forks import FORKS
from lightclient.config.network import Preset
from lightclient.errors import ConfigError

MAINNET: Final = Preset(
    name="mainnet",
    slots_per_epoch=32,
    epochs_per_sync_committee_period=256,
    sync_committee_size=512,
    min_sync_committee_participants=1,
    slot_duration_ms=12_000,
)
MINIMAL: Final = Preset(
    name="minimal",
    slots_per_epoch=8,
    epochs_per_sync_committee_period=8,
    sync_committee_size=32,
    min_sync_committee_participants=1,
    slot_duration_ms=6_000,
)
GNOSIS: Final = Preset(
    name="gnosis",
    slots_per_epoch=16,
    epochs_per_sync_committee_period=512,
    sync_committee_size=512,
    min_sync_committee_participants=1,
    slot_duration_ms=5_000,
)

PRESETS: Final[Mapping[str, Preset]] = MappingProxyType(
    {preset.name: preset for preset in (MAINNET, MINIMAL, GNOSIS)}
)


def preset_by_name(name: str) -> Preset:
    """The preset called ``name``; :class:`ConfigError` lists the known ones."""
    preset = PRESETS.get(name)
    if preset is None:
        raise ConfigError(f"unknown preset {name[:60]!r}; known presets: {', '.join(PRESETS)}")
    return preset


@dataclass(frozen=True, slots=True)
class ConfigDefaults:
    """Configuration values of the network after which a preset is named.

    Attributes:
        fork_version_suffix: the last byte of every fork version; the first is the fork's index.
    """

    fork_version_suffix: int
    max_blobs_per_block_electra: int
    churn_limit_quotient: int
    min_validator_withdrawability_delay: int
    min_epochs_for_block_requests: int
    deposit_chain_id: int

    def fork_version(self, fork_index: int) -> bytes:
        """Version (4 bytes) of the fork with this index in the fork table."""
        return bytes((fork_index, 0, 0, self.fork_version_suffix))


CONFIG_DEFAULTS: Final[Mapping[str, ConfigDefaults]] = MappingProxyType(
    {
        "mainnet": ConfigDefaults(0x00, 9, 65536, 256, 33024, 1),
        "minimal": ConfigDefaults(0x01, 9, 32, 256, 272, 5),
        "gnosis": ConfigDefaults(0x64, 2, 4096, 256, 33024, 100),
    }
)


def placeholder_fork_version(fork_index: int) -> bytes:
    """Version (4 bytes) of a fork that is not scheduled and for which no version is published.

    It never enters a digest or a signature domain: an unscheduled fork is never in force.
    """
    assert 0 <= fork_index < len(FORKS)
    return bytes((0xFF, 0xFF, 0xFF, fork_index))
