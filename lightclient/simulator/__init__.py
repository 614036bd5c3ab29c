"""A simulated beacon chain with real keys, signatures and proofs, for any preset and fork schedule.

For the demo, tests, vectors and benchmarks. Needs nothing beyond the library's own dependencies.
"""

from __future__ import annotations

from lightclient.config import config_mapping
from lightclient.simulator.blocks import BlockContents, Checkpoint, SimulatedBlock
from lightclient.simulator.chain import SimulatedChain
from lightclient.simulator.keys import SimulatedCommittee, ValidatorKeys
from lightclient.simulator.networks import simulated_network

__all__ = [
    "BlockContents",
    "Checkpoint",
    "SimulatedBlock",
    "SimulatedChain",
    "SimulatedCommittee",
    "ValidatorKeys",
    "config_mapping",
    "simulated_network",
]
