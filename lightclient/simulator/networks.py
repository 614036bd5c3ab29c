"""Networks for simulated chains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lightclient.config import (
    FAR_FUTURE_EPOCH,
    FIRST_LIGHT_CLIENT_FORK,
    FORKS,
    GENESIS_SLOT,
    Network,
    Preset,
    network_from_config_mapping,
)
from lightclient.errors import ConfigError


def simulated_network(
    preset: str | Preset = "minimal",
    fork_epochs: Mapping[str, int] | None = None,
    *,
    genesis_time: int = 0,
    slot_duration_ms: int | None = None,
    blob_schedule: Sequence[tuple[int, int]] = (),
    name: str = "simulated",
) -> Network:
    """A network with the fork versions of its preset's public network.

    Args:
        preset: by name, or with values of its own.
        fork_epochs: activation epoch by fork name. A fork that is left out activates with the next
            one that is given; later ones never. By default all up to Altair at genesis.
        genesis_time: Unix time in seconds.
        slot_duration_ms: the preset's by default.
        blob_schedule: ``(epoch, max_blobs_per_block)`` in order.

    The genesis validators root is left zero: :class:`SimulatedChain` gives it one.
    """
    wanted = {FIRST_LIGHT_CLIENT_FORK.name: GENESIS_SLOT} if fork_epochs is None else fork_epochs
    unknown = set(wanted) - {fork.name for fork in FORKS}
    if unknown:
        raise ConfigError(f"no such fork: {', '.join(sorted(unknown))}")
    config: dict[str, object] = {
        "BLOB_SCHEDULE": [
            {"EPOCH": epoch, "MAX_BLOBS_PER_BLOCK": blobs} for epoch, blobs in blob_schedule
        ]
    }
    epoch = FAR_FUTURE_EPOCH
    for fork in reversed(FORKS[1:]):
        epoch = wanted.get(fork.name, epoch)
        config[f"{fork.name.upper()}_FORK_EPOCH"] = epoch
    if slot_duration_ms is not None:
        config["SLOT_DURATION_MS"] = slot_duration_ms
    return network_from_config_mapping(config, name=name, genesis_time=genesis_time, preset=preset)
