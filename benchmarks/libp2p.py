"""What the network costs a client: time to the first head, memory, bytes a day.

``python -m benchmarks.libp2p [--quick] [--peers N] [--slots N] [--json PATH]`` has peers of a
simulated chain (mainnet preset, committees of 512, slots of 12 seconds) in one process and a client
in another, all on loopback. The client knows one boot node. Over a whole epoch (32 slots, the
default) both gossip topics are in what is counted. Needs the extra ``[libp2p]``, and Linux.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, as_json, figure, table

_FORK = "fulu"
_PERIODS = 3
_DENSE_EPOCHS = 4
_PATIENCE_SECONDS = 120.0
_DAY_SECONDS = 86_400
_LOOK_UPS_A_DAY = 144
_LOOK_UP_BYTES = 50_000
"""Of a look-up in the real network, where it asks up to 48 nodes; here there are but a few."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What a client needs to know, and how fast the chain is."""

    network_directory: str
    trusted_block_root: str
    boot_node: str
    genesis_time: int
    slot_ms: int
    sizes: dict[str, list[int]]

    @property
    def options(self) -> list[str]:
        """Of the program."""
        return [
            f"--network={self.network_directory}",
            f"--trusted-block-root={self.trusted_block_root}",
            f"--bootstrap-node={self.boot_node}",
            "--listen-address=127.0.0.1",
            "--tcp-port=0",
            "--udp-port=0",
            "--allow-stale-trusted-root",
            "--log-format=nocolors",
        ]


# The peers, in a process of their own -----------------------------------------------------------


async def _serve(folder: Path, peers: int, slot_ms: int) -> None:
    import anyio
    import yaml

    from lightclient.simulator import SimulatedChain, config_mapping, simulated_network
    from lightclient.simulator.libp2p.network import cast_of_peers, peers_of

    shape = simulated_network("mainnet", {_FORK: 0}).preset
    dense = (_PERIODS * shape.slots_per_sync_committee_period) + shape.slots_per_epoch
    head = dense + _DENSE_EPOCHS * shape.slots_per_epoch
    network = simulated_network(
        "mainnet",
        {_FORK: 0},
        slot_duration_ms=slot_ms,
        genesis_time=int(time.time()) - head * slot_ms // 1000,
        name="benchmark",
    )
    chain = SimulatedChain(network, dense_from_slot=dense)
    chain.advance_to_time_ms(time.time_ns() // 1_000_000)
    network = chain.network
    (folder / "config.yaml").write_text(yaml.safe_dump(config_mapping(network)))
    genesis = network.genesis_time.to_bytes(8, "little") + network.genesis_validators_root
    (folder / "genesis.ssz").write_bytes(genesis + bytes(64))
    cast = cast_of_peers(chain, 0, honest=peers, hostile=())
    async with peers_of(cast, live=True) as served:
        scene = Scene(
            network_directory=str(folder),
            trusted_block_root="0x" + chain.trusted_block_root().hex(),
            boot_node=served.boot_node.text,
            genesis_time=network.genesis_time,
            slot_ms=slot_ms,
            sizes=_sizes(chain),
        )
        fields = {name: getattr(scene, name) for name in Scene.__slots__}
        print(json.dumps(fields), flush=True)
        await anyio.sleep_forever()


def _sizes(chain: Any) -> dict[str, list[int]]:
    """Bytes of the chain's objects: SSZ, in a gossip message or an answer."""
    from lightclient.containers import encode_ssz
    from lightclient.wire.gossip import encode_payload
    from lightclient.wire.responses import encode_object

    found = {
        "bootstrap": chain.bootstrap(chain.trusted_block_root()),
        "update": chain.best_update(1),
        "finality_update": chain.finality_update(),
        "optimistic_update": chain.optimistic_update(),
    }
    return {
        name: [
            len(encode_ssz(value)),
            len(encode_payload(encode_ssz(value))),
            len(encode_object(value, chain.network)),
        ]
        for name, value in found.items()
    }


# The client whose bytes are counted, in a process of its own ------------------------------------


async def _follow(scene: Scene, peers: int, slots: int) -> None:
    import anyio

    from lightclient import LightClient, resolve_network
    from lightclient.transports.libp2p.options import DiscoveryOptions, Libp2pOptions
    from lightclient.transports.libp2p.pool import Libp2pPool
    from lightclient.wire.enr import parse_record

    discovery = DiscoveryOptions(udp_port=0, bootstrap_nodes=(parse_record(scene.boot_node),))
    pool = Libp2pPool(
        Libp2pOptions(
            secret=random.Random(time.time_ns()).randbytes(32),
            listen_address="127.0.0.1",
            tcp_port=0,
            discovery=discovery,
            max_peers=peers,
        )
    )
    async with LightClient(
        network=resolve_network(scene.network_directory),
        trusted_block_root=scene.trusted_block_root,
        pools=[pool],
        allow_stale_trusted_root=True,
    ) as client:
        await client.wait_until_synced()
        # The mesh forms, and what was asked for at the start is over.
        with anyio.move_on_after(_PATIENCE_SECONDS / 2):
            while pool.node is None or len(pool.node.peers) < peers:  # noqa: ASYNC110
                await anyio.sleep(0.1)
        await anyio.sleep(2 * scene.slot_ms / 1000)
        before, started = _counters(pool), time.perf_counter()
        await anyio.sleep(slots * scene.slot_ms / 1000)
        seconds = time.perf_counter() - started
        counted = {name: count - before[name] for name, count in _counters(pool).items()}
        assert pool.node is not None
        print(json.dumps({**counted, "seconds": seconds, "peers": len(pool.node.peers)}))


def _counters(pool: Any) -> dict[str, int]:
    node, discovery = pool.node, pool.discovery
    return {
        "tcp_received": node.traffic.received,
        "tcp_sent": node.traffic.sent,
        "udp_received": discovery.figures.received_bytes,
        "udp_sent": discovery.figures.sent_bytes,
        "gossip_accepted": node.gossip.accepted,
        "gossip_forwarded": node.gossip.forwarded,
    }


# Measuring --------------------------------------------------------------------------------------


@contextmanager
def served(folder: Path, peers: int, slot_ms: int) -> Iterator[Scene]:
    """Peers in another process."""
    server = subprocess.Popen(
        [*_this("serve"), str(folder), str(peers), str(slot_ms)], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    try:
        line = server.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of the peers ended with {server.wait()}")
        yield Scene(**json.loads(line))
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()


def measure_start(scene: Scene, rounds: int, seconds: float) -> list[Figure]:
    """From a process's start to its first head, and memory then and ``seconds`` later."""
    times, processor_times, at_first, later = [], [], [], []
    for number in range(rounds):
        started = time.perf_counter()
        with _client_process(scene) as (client, log):
            _wait_for_head(scene, client, log)
            times.append(time.perf_counter() - started)
            processor_times.append(_processor_seconds(client.pid))
            at_first.append(_resident_mb(client.pid))
            if number == rounds - 1:
                time.sleep(seconds)
                later.append(_resident_mb(client.pid))
    return [
        figure("process start to the verified head (libp2p)", "s", times),
        figure("processor time of that", "s", processor_times),
        figure("resident memory at the first head", "MB", at_first),
        figure(f"resident memory {seconds:g} s later", "MB", later),
    ]


@contextmanager
def _client_process(scene: Scene) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "client.log"
        with log.open("w") as output:
            client = subprocess.Popen(
                [sys.executable, "-m", "lightclient_cli", *scene.options],
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            yield client, log
        finally:
            client.terminate()
            client.wait()


def _wait_for_head(scene: Scene, client: subprocess.Popen[bytes], log: Path) -> None:
    """Until the head of the chain is verified; what comes before it are heads of the past."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while _last_head(log) < (time.time() - scene.genesis_time) * 1000 // scene.slot_ms - 2:
        if client.poll() is not None or time.monotonic() > deadline:
            lines = log.read_text().strip().splitlines()
            raise RuntimeError(f"followed no head; its last line: {lines[-1] if lines else ''}")
        time.sleep(0.02)


def _last_head(log: Path) -> int:
    slots = re.findall(r"New LC optimistic header.*?\bslot=(\d+)", log.read_text())
    return int(slots[-1]) if slots else -1


def measure_traffic(scene: Scene, peers: int, slots: int) -> dict[str, float]:
    """What a client receives and sends over ``slots`` slots at the head, among ``peers`` peers."""
    folder = Path(scene.network_directory)
    (folder / "scene.json").write_text(
        json.dumps({name: getattr(scene, name) for name in Scene.__slots__})
    )
    done = subprocess.run(
        [*_this("follow"), str(folder), str(peers), str(slots)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    counted: dict[str, float] = json.loads(done.stdout)
    return counted


def traffic_figures(counted: dict[str, float], slots: int) -> list[Figure]:
    """A slot's bytes, and a day's."""
    days = counted["seconds"] / _DAY_SECONDS
    figures = []
    for name, what in (("tcp", "gossip and requests"), ("udp", "discovery")):
        for way in ("received", "sent"):
            count = counted[f"{name}_{way}"]
            figures.append(figure(f"{way} a slot ({what})", "bytes", [count / slots]))
            figures.append(figure(f"{way} a day ({what})", "MB", [count / days / 1e6]))
    look_ups = _LOOK_UPS_A_DAY * _LOOK_UP_BYTES / 1e6
    total = sum(counted[key] for key in counted if key.startswith(("tcp_", "udp_"))) / days / 1e6
    figures.append(figure("look-ups a day in a real network (not measured here)", "MB", [look_ups]))
    figures.append(figure("both ways a day, with those look-ups", "MB", [total + look_ups]))
    return figures


def _resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("the client ended while it was measured")


def _processor_seconds(pid: int) -> float:
    """Of all threads, in user and system mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _this(part: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.libp2p", f"--{part}"]


def run(peers: int, slots: int, rounds: int, seconds: float, slot_ms: int) -> dict[str, Any]:
    """Everything, as it is printed and written."""
    with tempfile.TemporaryDirectory() as name, served(Path(name), peers, slot_ms) as scene:
        print(f"Bytes of objects ({_FORK}, committees of 512): SSZ, gossip payload, answer")
        for kind, sizes in scene.sizes.items():
            print(f"  {kind}: {', '.join(map(str, sizes))}")
        figures = measure_start(scene, rounds, seconds)
        print(table(figures), flush=True)
        counted = measure_traffic(scene, peers, slots)
        accepted = int(counted["gossip_accepted"])
        print(
            f"{slots} slots of {slot_ms / 1000:g} s among {int(counted['peers'])} peers that all"
            f" tell everything: {accepted} updates accepted,"
            f" {int(counted['gossip_forwarded'])} times passed on"
        )
        traffic = traffic_figures(counted, slots)
        print(table(traffic))
    return {
        "peers": peers,
        "slots": slots,
        "slot_ms": slot_ms,
        "sizes": scene.sizes,
        "counted": counted,
        "load": os.getloadavg()[0],
        "figures": [as_json(item) for item in figures + traffic],
    }


def main() -> None:
    """Measure, or be one of the two other processes."""
    if len(sys.argv) > 1 and sys.argv[1] in ("--serve", "--follow"):
        import anyio

        logging.getLogger("lightclient").setLevel(logging.CRITICAL)
        folder, number, other = Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
        with suppress(KeyboardInterrupt):
            if sys.argv[1] == "--serve":
                anyio.run(_serve, folder, number, other, backend="trio")
            else:
                scene = Scene(**json.loads((folder / "scene.json").read_text()))
                anyio.run(_follow, scene, number, other, backend="trio")
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks.libp2p", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fast slots and few: says little")
    parser.add_argument("--peers", type=int, default=8, help="honest peers, all in the mesh")
    parser.add_argument("--slots", type=int, default=32, help="for so long bytes are counted")
    parser.add_argument("--rounds", type=int, default=5, help="starts that are timed")
    parser.add_argument("--seconds", type=float, default=60.0, help="until memory is read again")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures there, too")
    given = parser.parse_args()
    if given.quick:
        report = run(min(given.peers, 2), 3, 1, 1.0, 1000)
    else:
        report = run(given.peers, given.slots, given.rounds, given.seconds, 12_000)
    if given.json is not None:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
