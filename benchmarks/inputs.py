"""The objects that are timed: recorded mainnet updates, or simulated ones where those are absent.

The recorded set lies beside the checkout (``../shared/real-data``) and is not part of the project.
The simulated set has the same shape: mainnet preset, Capella format, 21 updates, few absent.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lightclient.config import DataFormat, Network, network_by_name
from lightclient.containers import (
    MAX_OBJECT_BYTES,
    encode_ssz,
    format_of_digest,
    split_update_stream,
)

RECORDED = Path(__file__).resolve().parents[2] / "shared" / "real-data" / "mainnet-capella"
_RECORDED_ROOT = bytes.fromhex("15cf56ebf887ede9cf3fc10a26ec83828628932c100e42c98c84f83da710c863")
_UPDATES = 21
_LONG_AFTER_MS = 10**9
"""So far after its newest object is a set judged that all of it is history."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """A run of light client objects in SSZ, as a server sends them.

    Attributes:
        updates: of successive periods, each with the format its digest tells.
        finality_update: applies after the updates.
        now_ms: when they are judged.
    """

    source: str
    network: Network
    trusted_block_root: bytes
    bootstrap: bytes
    updates: tuple[tuple[DataFormat | None, bytes], ...]
    finality_update: bytes
    finality_format: DataFormat | None
    now_ms: int


def recorded_or_simulated(folder: Path = RECORDED) -> Inputs:
    """The recorded mainnet objects if they are there."""
    return _recorded(folder) if folder.is_dir() else simulated()


def _recorded(folder: Path) -> Inputs:
    network = network_by_name("mainnet")
    stream = split_update_stream((folder / "updates.ssz").read_bytes(), MAX_OBJECT_BYTES)
    updates = tuple((format_of_digest(digest, network), data) for digest, data in stream)
    return Inputs(
        f"{len(updates)} recorded mainnet Capella updates",
        network,
        _RECORDED_ROOT,
        (folder / "bootstrap.ssz").read_bytes(),
        updates,
        (folder / "finUpdate.ssz").read_bytes(),
        updates[-1][0],
        _after_fork(network, "deneb") + _LONG_AFTER_MS,
    )


def _after_fork(network: Network, fork: str) -> int:
    return network.slot_start_ms(network.compute_start_slot_at_epoch(network.fork_epoch(fork)))


def simulated(updates: int = _UPDATES, preset: str = "mainnet") -> Inputs:
    """As many updates of a simulated chain, the same ones every time."""
    from lightclient.simulator import SimulatedChain, simulated_network

    network = simulated_network(preset, {"capella": 0})
    length = network.preset.slots_per_sync_committee_period
    absent = 1.5 / network.preset.sync_committee_size
    following = updates * length  # the period after the updates, where a finality update comes
    chain = SimulatedChain(network, dense_from_slot=2 * following, participation=1 - absent)
    chain.advance_to(following + length - 1)
    trusted_block_root = chain.trusted_block_root()
    bootstrap, finality_update = chain.bootstrap(trusted_block_root), chain.finality_update()
    assert bootstrap is not None
    assert finality_update is not None
    return Inputs(
        f"{updates} simulated {preset} Capella updates",
        chain.network,
        trusted_block_root,
        encode_ssz(bootstrap),
        tuple((item.data_format, encode_ssz(item)) for item in chain.updates(0, updates)),
        encode_ssz(finality_update),
        finality_update.data_format,
        chain.network.slot_start_ms(chain.head.slot) + _LONG_AFTER_MS,
    )
