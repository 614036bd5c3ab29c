"""A local chain by a real beacon node with all its validators: Lodestar, on loopback.

The node is started in the seconds before genesis and ended with the block it runs in. Everything
else about its chain is asked of the node itself, as a user of a devnet would.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from lightclient.config import Network, resolve_network
from tests.interop.lodestar.engine import running_engine
from tests.ports import free_port

FOLDER: Final = Path(__file__).parent
CAPELLA_EPOCH: Final = 7
"""Finality begins in epoch 4: whoever starts then is there when the fork comes."""
VALIDATORS: Final = 4
"""Fewer make less noise: with dozens, what they sign in a slot is not told before the next one."""
SECONDS_TO_START: Final = 25
_GENESIS_BLOCK_HASH: Final = b"\x0b" * 32
_PATIENCE_SECONDS: Final = 5.0
_ASKING_SECONDS: Final = 20.0
_NO_PROXY: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class NodeFailed(Exception):
    """The node is not what a test needs it to be."""


@dataclass
class BeaconNode:
    """A node that runs.

    Attributes:
        rest_port, p2p_port: where it listens.
        directory: what it keeps; its log is there.
    """

    process: subprocess.Popen[bytes]
    rest_port: int
    p2p_port: int
    directory: Path
    _network: Network | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Its REST API."""
        return f"http://127.0.0.1:{self.rest_port}"

    def get(self, path: str) -> Any:
        """``data`` of the answer to a GET. Raises OSError."""
        with _NO_PROXY.open(self.url + path, timeout=_ASKING_SECONDS) as answer:
            return json.load(answer)["data"]

    def post(self, path: str, **query: str) -> None:
        """Have it do something. Raises OSError."""
        url = f"{self.url}{path}?{urllib.parse.urlencode(query)}"
        request = urllib.request.Request(url, method="POST")
        with _NO_PROXY.open(request, timeout=_ASKING_SECONDS) as answer:
            answer.read()

    def wait_for(self, path: str, seconds: float) -> Any:
        """``data`` of the answer, once there is one. Raises NodeFailed."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise NodeFailed(f"the node ended: {self.log()[-2000:]}")
            try:
                return self.get(path)
            except OSError:
                time.sleep(0.2)
        raise NodeFailed(f"no answer from {path}: {self.log()[-2000:]}")

    def log(self) -> str:
        """All that it said."""
        text = (self.directory / "log").read_text("utf-8", "replace")
        return re.sub(r"\x1b\[[0-9;]*m", "", text)

    # Its chain ----------------------------------------------------------------------------------

    @property
    def multiaddress(self) -> str:
        """Where to dial it. Its record is empty without discovery."""
        return str(self.get("/eth/v1/node/identity")["p2p_addresses"][0])

    @property
    def network(self) -> Network:
        """Its chain, as its API tells it."""
        if self._network is None:
            self._network = resolve_network(self.write_network())
        return self._network

    def write_network(self) -> Path:
        """A network directory, made of what its API tells."""
        directory = self.directory / "network"
        directory.mkdir(exist_ok=True)
        spec, genesis = self.get("/eth/v1/config/spec"), self.get("/eth/v1/beacon/genesis")
        (directory / "config.yaml").write_text(yaml.safe_dump(spec))
        genesis_time = int(genesis["genesis_time"]).to_bytes(8, "little")
        root = bytes.fromhex(genesis["genesis_validators_root"].removeprefix("0x"))
        (directory / "genesis.ssz").write_bytes(genesis_time + root)
        return directory

    @property
    def slot(self) -> int:
        """The slot by this machine's clock."""
        return self.network.slot_at_time_ms(time.time_ns() // 1_000_000)

    def finalized_checkpoint(self) -> tuple[int, str]:
        """Epoch and block root, hex, of the latest one; epoch 0 before there is any."""
        found = self.get("/eth/v1/beacon/states/head/finality_checkpoints")["finalized"]
        return int(found["epoch"]), str(found["root"])

    # Its peers ----------------------------------------------------------------------------------

    def connections(self, peer_id: str) -> list[tuple[str, str]]:
        """State and direction, by what it says, of its connections with a peer."""
        peers = self.get("/eth/v1/node/peers")
        return [(p["state"], p["direction"]) for p in peers if p["peer_id"] == peer_id]

    def dial(self, peer_id: str, multiaddress: str) -> None:
        """Have it connect to a peer."""
        self.post("/eth/v1/lodestar/connect_peer", peerId=peer_id, multiaddr=multiaddress)

    def score(self, peer_id: str) -> float:
        """What it thinks of a peer; 0 is well, and below it is worse."""
        scores = self.get("/eth/v1/lodestar/lodestar-peer-score-stats")
        return sum(float(p["score"]) for p in scores if peer_id in p.values())

    def requests(self, peer_id: str) -> Counter[str]:
        """What a peer asked it for."""
        asked = re.compile(r"Resp received request method=(\w+)")
        return Counter(match[1] for line in self.log_of(peer_id) if (match := asked.search(line)))

    def log_of(self, peer_id: str) -> list[str]:
        """The lines of its log that name a peer, in full or by the end of its id."""
        return [line for line in self.log().splitlines() if peer_id[-6:] in line]


@contextmanager
def running_node(program: str, directory: Path, genesis_time: int) -> Iterator[BeaconNode]:
    """A node and its execution engine, from before genesis until the block ends.

    Args:
        program: Node.js.
        directory: an empty one, for all that it keeps.

    Raises:
        NodeFailed: it does not start.
    """
    rest_port, p2p_port = free_port(), free_port()
    (directory / "jwt.hex").write_text("11" * 32)
    with running_engine(_GENESIS_BLOCK_HASH) as engine, (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, *_command(directory, genesis_time, engine, rest_port, p2p_port)],
            cwd=directory,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            node = BeaconNode(process, rest_port, p2p_port, directory)
            node.wait_for("/eth/v1/node/identity", genesis_time - time.time() + 60)
            yield node
        finally:
            _end(process)


def _command(
    directory: Path, genesis_time: int, engine: str, rest_port: int, p2p_port: int
) -> list[str]:
    options: dict[str, object] = {
        "dataDir": directory,
        "network": "dev",
        "genesisTime": genesis_time,
        "genesisValidators": VALIDATORS,
        "startValidators": f"0..{VALIDATORS - 1}",
        "server": f"http://127.0.0.1:{rest_port}",
        "params.SECONDS_PER_SLOT": 1,
        "params.ALTAIR_FORK_EPOCH": 0,
        "params.BELLATRIX_FORK_EPOCH": 0,
        "params.CAPELLA_FORK_EPOCH": CAPELLA_EPOCH,
        "params.TERMINAL_TOTAL_DIFFICULTY": 0,
        "eth1": "false",
        "chain.blsVerifyAllMainThread": "true",
        "execution.urls": engine,
        "jwt-secret": directory / "jwt.hex",
        "suggestedFeeRecipient": "0x" + "00" * 19 + "01",
        "rest": "true",
        "rest.address": "127.0.0.1",
        "rest.port": rest_port,
        "rest.namespace": "*",
        "discv5": "false",
        "listenAddress": "127.0.0.1",
        "port": p2p_port,
        "enr.ip": "127.0.0.1",
        "enr.tcp": p2p_port,
        "targetPeers": 20,
        "logLevel": "debug",
    }
    script = FOLDER / "node_modules" / ".bin" / "lodestar"
    return [str(script), "dev", *(f"--{name}={value}" for name, value in options.items())]


def _environment() -> dict[str, str]:
    """Ours, without what its argument parser would take for options."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LODESTAR")}
    return kept | {"LODESTAR_PRESET": "minimal", "NODE_ENV": "production"}


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end, and end it: it does not listen for a while."""
    process.terminate()
    try:
        process.wait(_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
