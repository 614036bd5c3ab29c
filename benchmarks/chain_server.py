"""A simulated chain for the memory measurement, served over HTTP until the process is ended.

``python -m benchmarks.chain_server FOLDER`` writes the network's ``config.yaml`` to FOLDER and one
line of JSON to standard output: what a client needs to know.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import anyio
import yaml

from lightclient.simulator import SimulatedChain, config_mapping, simulated_network
from lightclient.simulator.server import serve

_SLOT_DURATION_MS = 500
_PERIODS = 3


async def _serve(folder: Path) -> None:
    network = simulated_network("mainnet", {"electra": 0}, slot_duration_ms=_SLOT_DURATION_MS)
    epochs = 4
    slots = _PERIODS * network.preset.slots_per_sync_committee_period
    dense_from_slot = slots + network.preset.slots_per_epoch
    head = dense_from_slot + epochs * network.preset.slots_per_epoch
    genesis_time = int(time.time()) - head * _SLOT_DURATION_MS // 1000
    network = simulated_network(
        "mainnet", {"electra": 0}, slot_duration_ms=_SLOT_DURATION_MS, genesis_time=genesis_time
    )
    chain = SimulatedChain(network, dense_from_slot=dense_from_slot)
    chain.advance_to_time_ms(int(time.time() * 1000))
    (folder / "config.yaml").write_text(yaml.safe_dump(config_mapping(chain.network)))
    async with serve(chain, live=True) as url:
        description = {
            "url": url,
            "network_directory": str(folder),
            "genesis_time": genesis_time,
            "genesis_validators_root": "0x" + chain.network.genesis_validators_root.hex(),
            "trusted_block_root": "0x" + chain.trusted_block_root().hex(),
        }
        print(json.dumps(description), flush=True)
        await anyio.sleep_forever()


if __name__ == "__main__":
    anyio.run(_serve, Path(sys.argv[1]))
