"""A simulated chain behind real HTTP on loopback, with its network directory, for other processes.

The chain grows with the clock in a thread of this process; programs under test are subprocesses
that know nothing but the URL, the directory and the trusted root.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from anyio.from_thread import start_blocking_portal

from lightclient.config import Network
from lightclient.simulator import SimulatedChain, config_mapping, simulated_network
from lightclient.simulator.habits import ServerHabits
from lightclient.simulator.server import serve

SLOT_MS = 250
ALL_FULU: Mapping[str, int] = {"fulu": 0}


@dataclass
class Served:
    """What a user of the chain needs to know."""

    chain: SimulatedChain
    habits: ServerHabits
    url: str
    network_directory: Path

    @property
    def network(self) -> Network:
        return self.chain.network

    @property
    def trusted_block_root(self) -> str:
        """A root some periods ago, hex."""
        return "0x" + self.chain.trusted_block_root(8).hex()

    @property
    def options(self) -> list[str]:
        """Options of the follower."""
        return [
            f"--network={self.network_directory}",
            f"--trusted-block-root={self.trusted_block_root}",
            f"--rest-url={self.url}",
        ]


def write_network(network: Network, directory: Path) -> Path:
    """A network directory as devnets have them."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.yaml").write_text(yaml.safe_dump(config_mapping(network)))
    genesis = network.genesis_time.to_bytes(8, "little") + network.genesis_validators_root
    (directory / "genesis.ssz").write_bytes(genesis + bytes(64))
    return directory


def past_chain(
    periods: int = 3, fork_epochs: Mapping[str, int] = ALL_FULU, slot_ms: int = SLOT_MS
) -> SimulatedChain:
    """A chain that is ``periods`` old now."""
    preset = simulated_network("minimal").preset
    head_slot = periods * preset.slots_per_sync_committee_period
    network = simulated_network(
        "minimal",
        fork_epochs,
        genesis_time=int(time.time() - head_slot * slot_ms / 1000),
        slot_duration_ms=slot_ms,
        name="served",
    )
    chain = SimulatedChain(network, dense_from_slot=head_slot - 4 * preset.slots_per_epoch)
    chain.advance_to_time_ms(time.time_ns() // 1_000_000)
    return chain


@contextmanager
def served(chain: SimulatedChain, directory: Path, *, live: bool = True) -> Iterator[Served]:
    """Serve ``chain`` from a thread while the block runs."""
    habits = ServerHabits()
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(serve(chain, habits, live=live)) as url,
    ):
        yield Served(chain, habits, url, write_network(chain.network, directory))
