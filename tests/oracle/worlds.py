"""Networks to play in: random fork schedules, versions and roots, in the presets of the package."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random

from lightclient.config import FAR_FUTURE_EPOCH, FORKS, Network, network_from_config_mapping
from lightclient.config.forks import DATA_FORMATS

FORK_NAMES = tuple(fork.name for fork in FORKS[1:])


@dataclass(frozen=True)
class World:
    """A network, and the fork whose functions the specification uses there."""

    network: Network
    store_fork: str
    boundaries: tuple[int, ...] = field(default=())
    """The first slots of forks other than genesis'."""


def drawn_world(draw: Random, preset: str, newest: str | None = None) -> World:
    """A network in which forks up to ``newest`` (drawn by default) activate.

    Each fork activates with the one before, a few epochs later, or at a period's start.
    """
    if newest is None:
        newest = draw.choice(FORK_NAMES)
    last = FORK_NAMES.index(newest)
    per_period = 8 if preset == "minimal" else 256
    dense = draw.random() < 0.5
    epoch = draw.choice([0, 0, 0, 1, per_period])
    # The forks before this one are over before the chain begins.
    first = draw.randrange(last + 1)
    config: dict[str, object] = {"GENESIS_FORK_VERSION": "0x" + draw.randbytes(4).hex()}
    for index, name in enumerate(FORK_NAMES):
        if index > first:
            epoch += draw.choice(
                [
                    0,
                    1,
                    2,
                    per_period // 2,
                    per_period,
                    -epoch % per_period,
                    draw.randrange(per_period),
                ]
                if dense
                else [
                    per_period,
                    -epoch % per_period + per_period,
                    draw.randrange(1, 3 * per_period),
                ]
            )
        config[f"{name.upper()}_FORK_EPOCH"] = epoch if index <= last else FAR_FUTURE_EPOCH
        config[f"{name.upper()}_FORK_VERSION"] = "0x" + draw.randbytes(4).hex()
    if last >= FORK_NAMES.index("fulu"):
        config["BLOB_SCHEDULE"] = drawn_blob_schedule(draw, epoch)
    network = network_from_config_mapping(config, preset=preset, name="oracle")
    network = replace(
        network,
        genesis_validators_root=draw.randbytes(32),
        genesis_time=draw.choice([0, 1, 1_606_824_023]),
        slot_duration_ms=draw.choice([network.slot_duration_ms, 1, 12_000, 4321]),
    )
    store_fork = newest if draw.random() < 0.7 else draw.choice(FORK_NAMES[last:])
    slots = network.preset.slots_per_epoch
    boundaries = sorted({item.epoch * slots for item in network.forks[1 : last + 2]} - {0})
    return World(network, store_fork, tuple(boundaries))


def drawn_blob_schedule(draw: Random, around: int) -> list[dict[str, int]]:
    """Entries at ascending epochs around one."""
    epochs = sorted({max(0, around + draw.randrange(-6, 12)) for _ in range(draw.randrange(4))})
    return [{"EPOCH": epoch, "MAX_BLOBS_PER_BLOCK": draw.randrange(1, 300)} for epoch in epochs]


def formats_for(world: World) -> tuple[str, ...]:
    """The names of the formats that the specification can be given in a world."""
    newest = FORKS[1 + FORK_NAMES.index(world.store_fork)].data_format
    return tuple(item.name for item in DATA_FORMATS[: DATA_FORMATS.index(newest) + 1])
