"""The follower as a process on a network of peers: no REST provider anywhere."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import click
import pytest

pytest.importorskip("libp2p", reason="the extra [libp2p] is not installed")

from anyio.from_thread import start_blocking_portal

from lightclient.config import Network, network_by_name
from lightclient.errors import ConfigError, DataDirError
from lightclient.simulator import SimulatedChain
from lightclient.transports.libp2p.identity import KEY_FILE, load_identity
from lightclient.transports.libp2p.pool import Libp2pPool
from lightclient_cli.main import main
from lightclient_cli.peering import make_pool
from tests.cli.followers import run
from tests.served import past_chain, write_network
from tests.transports.libp2p.world import address_of, make_node, running

PEER = "/ip4/127.0.0.1/tcp/9/p2p/16Uiu2HAmVFdezXVH5ro8xTQy1QeDN1J74p5dpxSZdDBNMPHFYp7X"
ROOT = "0x" + "11" * 32


@dataclass
class LiveChain:
    """A chain that grows with the machine's clock, as nodes are given one."""

    whole: SimulatedChain

    @property
    def chain(self) -> SimulatedChain:
        self.whole.advance_to_time_ms(self.clock())
        return self.whole

    @property
    def network(self) -> Network:
        return self.whole.network

    @staticmethod
    def clock() -> int:
        return time.time_ns() // 1_000_000


@contextmanager
def served_by_a_peer(directory: Path) -> Iterator[list[str]]:
    """The options of a follower that knows one peer."""
    live: Any = LiveChain(past_chain(slot_ms=1000))
    node = make_node(live)
    with (
        start_blocking_portal("trio") as portal,
        portal.wrap_async_context_manager(running(node)),
    ):
        yield [
            f"--network={write_network(live.network, directory)}",
            f"--trusted-block-root=0x{live.chain.trusted_block_root(8).hex()}",
            f"--direct-peer={address_of(node)}",
            "--no-discv5",
            "--tcp-port=0",
            "--listen-address=127.0.0.1",
            "--log-format=nocolors",
        ]


def test_a_chain_is_followed_from_a_peer_alone(tmp_path: Path) -> None:
    kept = tmp_path / "data"
    with served_by_a_peer(tmp_path / "network") as options:
        done = run(*options, f"--data-dir={kept}", "--stop-at-synced-epoch=0")
    assert (done.returncode, done.stderr) == (0, "")
    assert "New LC finalized header" in done.stdout
    assert "providers=libp2p" in done.stdout
    key = kept / KEY_FILE
    if os.name == "posix":
        assert stat.S_IMODE(key.stat().st_mode) == 0o600


def options_of(*args: str) -> dict[str, Any]:
    context = main.make_context("nimbus-light-client", ["--trusted-block-root", ROOT, *args])
    return context.params


def test_the_identity_is_kept_unless_it_is_to_be_fresh(tmp_path: Path) -> None:
    where = f"--data-dir={tmp_path}"
    mainnet = network_by_name("mainnet")
    kept = [make_pool(options_of(where), mainnet)._options.secret for _ in range(2)]
    assert kept[0] == kept[1] == load_identity(tmp_path).secret
    fresh = make_pool(options_of(where, "--ephemeral-identity"), mainnet)._options.secret
    assert fresh != kept[0]


def test_a_damaged_identity_is_told_and_not_replaced(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_text("not hex at all")
    with pytest.raises(DataDirError, match="delete it"):
        load_identity(tmp_path)
    assert (tmp_path / KEY_FILE).read_text() == "not hex at all"


def test_a_network_brings_its_own_nodes_and_a_file_adds_others(tmp_path: Path) -> None:
    mainnet, hoodi = network_by_name("mainnet"), network_by_name("hoodi")
    file = tmp_path / "nodes.txt"
    extra = hoodi.bootstrap_nodes[:2]
    file.write_text(f"# ours\n{extra[0]}\n\n- {extra[1]} # as in YAML\nenode://1@1.2.3.4:30303\n")
    pool = make_pool(options_of(f"--bootstrap-file={file}"), mainnet)
    node = cast("Any", SimpleNamespace(add_candidate=None))
    discovery = pool._discovery(pool._options, mainnet, node)
    assert discovery is not None
    assert [item.text for item in discovery._start[:2]] == list(extra)
    assert len(discovery._start) == 2 + len(mainnet.bootstrap_nodes)


@pytest.mark.parametrize(
    "written",
    ["\ufeff{0}\n{1}\n", '["{0}",\n "{1}"]', '[\n  "{0}",\n  "{1}"\n]\n', "'{0}'\r\n- '{1}'"],
)
def test_no_node_of_a_file_is_lost_by_how_it_is_written(tmp_path: Path, written: str) -> None:
    texts = network_by_name("hoodi").bootstrap_nodes[:2]
    file = tmp_path / "nodes"
    file.write_bytes(written.format(*texts).encode())
    options = make_pool(options_of(f"--bootstrap-file={file}"), network_by_name("mainnet"))._options
    assert options.discovery is not None
    assert [item.text for item in options.discovery.records] == list(texts)


@pytest.mark.parametrize(
    ("nat", "address", "learns"),
    [
        (None, None, True),
        ("any", None, True),
        ("none", None, False),
        ("extip:1.2.3.4", "1.2.3.4", True),
    ],
)
def test_the_address_to_tell_is_given_or_learnt_or_kept_silent(
    nat: str | None, address: str | None, learns: bool
) -> None:
    args = [] if nat is None else [f"--nat={nat}"]
    options = make_pool(options_of(*args), network_by_name("mainnet"))._options
    assert options.discovery is not None
    assert (options.external_address, options.discovery.learns_address) == (address, learns)


def test_a_file_without_any_record_is_told(tmp_path: Path) -> None:
    file = tmp_path / "nodes.txt"
    file.write_text("# nothing yet\nenode://1@1.2.3.4:30303\n")
    with pytest.raises(click.UsageError, match="holds no node record"):
        make_pool(options_of(f"--bootstrap-file={file}"), network_by_name("mainnet"))


@pytest.mark.parametrize(
    "bad",
    [
        ["--direct-peer=nonsense"],
        ["--direct-peer=" + PEER.replace("tcp", "udp")],
        ["--bootstrap-node=enr:-nonsense"],
        ["--bootstrap-file=/no/such/file"],
        ["--nat=1.2.3.4"],
        ["--nat=extip:nowhere"],
        ["--nat=extip:0.0.0.0"],
        ["--nat=extip:::"],
        ["--nat=extip:224.0.0.1"],
        ["--listen-address=everywhere"],
        ["--max-peers=0"],
        ["--max-peers=10", "--hard-max-peers=9"],
        ["--no-discv5"],
    ],
)
def test_what_cannot_be_used_is_told(bad: list[str]) -> None:
    with pytest.raises((click.UsageError, ConfigError)):
        make_pool(options_of(*bad), network_by_name("mainnet"))


def test_rest_alone_asks_for_no_peers_and_both_are_used_as_one() -> None:
    from lightclient_cli.follow import _pools

    mainnet = network_by_name("mainnet")
    assert _pools(options_of("--rest-url=http://127.0.0.1:1"), mainnet) == ()
    both = options_of("--rest-url=http://127.0.0.1:1", f"--direct-peer={PEER}")
    assert len(_pools(both, mainnet)) == 1
    # A named peer is no reason to look for others, but a boot node is.
    for named, is_looking in (
        (f"--direct-peer={PEER}", False),
        (f"--bootstrap-node={mainnet.bootstrap_nodes[0]}", True),
    ):
        (pool,) = _pools(options_of("--rest-url=http://127.0.0.1:1", named), mainnet)
        assert isinstance(pool, Libp2pPool)
        assert (pool._options.discovery is not None) is is_looking
    # With discovery asked for, the network's own boot nodes are enough.
    looking = options_of("--rest-url=http://127.0.0.1:1", "--discv5")
    (pool,) = _pools(looking, mainnet)
    assert isinstance(pool, Libp2pPool)
    assert pool._options.discovery is not None
    assert _pools(options_of("--rest-url=http://127.0.0.1:1", "--no-discv5"), mainnet) == ()
    assert len(_pools(options_of(), mainnet)) == 1
