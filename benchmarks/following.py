"""The library as an application uses it, following a head: the process whose memory is measured.

Takes the options of ``nimbus-light-client`` that it needs, each as ``--name=value``.
"""

from __future__ import annotations

import sys

import anyio

from lightclient import LightClient, resolve_network


async def _follow(options: dict[str, str]) -> None:
    network = resolve_network(
        options["network"],
        genesis_time=int(options["genesis-time"]),
        genesis_validators_root=bytes.fromhex(options["genesis-validators-root"][2:]),
    )
    async with LightClient(
        network=network,
        trusted_block_root=options["trusted-block-root"],
        transports=[options["rest-url"]],
        bls_backend=options["bls-backend"],
        allow_stale_trusted_root=True,
    ) as client:
        async for header in client.optimistic_headers():
            print("optimistic header", header.slot, flush=True)


if __name__ == "__main__":
    anyio.run(_follow, dict(option[2:].split("=", 1) for option in sys.argv[1:]))
