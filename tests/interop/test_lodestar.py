"""A real beacon node's chain, followed while it runs: over libp2p, over REST, and over both.

One Lodestar node with all the chain's validators, slots of a second and periods of about a minute.
The tests share it and run in order: the first is there when a fork and a period begin, the later
ones catch up on both. What each cost is shown.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("libp2p", reason="the extra [libp2p] is not installed")

import anyio
import anyio.to_thread

from lightclient.client import LightClient, SyncState
from lightclient.containers import decode_json, encode_ssz
from lightclient.transports.libp2p.requests import ask
from lightclient.wire.gossip import LIGHT_CLIENT_TOPICS, TOPIC_KINDS
from lightclient.wire.protocols import LIGHT_CLIENT_FINALITY_UPDATE_1
from tests.interop.lodestar.followed import (
    Chain,
    Followed,
    assert_at_ease,
    assert_true_to_the_node,
    following,
    make_pool,
    until,
)
from tests.interop.lodestar.node import (
    CAPELLA_EPOCH,
    FOLDER,
    SECONDS_TO_START,
    BeaconNode,
    NodeFailed,
    running_node,
)
from tests.interop.npm import installed

# An installation may be part of the first test.
pytestmark = pytest.mark.timeout(900)
Tell = Callable[[str], None]
ATTEMPTS = 3
"""At a chain that finalizes in time, which one with such short slots does not on a busy machine."""
SLOTS_TO_FOLLOW = 5
MINUTES = float(os.environ.get("LIGHTCLIENT_INTEROP_MINUTES", "0"))
PATIENCE_SECONDS = 200
WAYS = (("libp2p",), ("rest",), ("libp2p", "rest"))


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    program = installed(FOLDER)
    for _ in range(ATTEMPTS):
        genesis_time = int(time.time()) + SECONDS_TO_START
        directory = tmp_path_factory.mktemp("lodestar")
        with running_node(program, directory, genesis_time) as node:
            root = first_finalized(node)
            if root is not None:
                yield Chain(node, root)
                return
    raise NodeFailed("no finality before the fork: this machine is too busy for slots of a second")


def first_finalized(node: BeaconNode) -> str | None:
    """The first block that it finalizes; None if that is too late to see the fork."""
    fork_slot = node.network.compute_start_slot_at_epoch(CAPELLA_EPOCH)
    while node.slot < fork_slot - SLOTS_TO_FOLLOW:
        epoch, root = node.finalized_checkpoint()
        if epoch:
            return root
        time.sleep(0.2)
    return None


@pytest.fixture
def anyio_backend() -> str:
    return "trio"


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Tell:
    """Tells figures to whoever watches, whether or not output is captured."""

    def tell(text: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n  {text}\n")

    return tell


@pytest.mark.anyio
async def test_it_is_followed_into_a_fork_and_the_next_period(
    chain: Chain, caplog: pytest.LogCaptureFixture, told: Tell
) -> None:
    caplog.set_level(logging.DEBUG, "lightclient.libp2p")
    network = chain.node.network
    fork_slot = network.compute_start_slot_at_epoch(CAPELLA_EPOCH)
    period_slot = network.preset.slots_per_sync_committee_period
    async with (
        following(chain, ("libp2p",)) as by_peers,
        following(chain, ("rest",)) as by_rest,
        following(chain, ("libp2p", "rest")) as by_both,
    ):
        everyone = (by_peers, by_rest, by_both)

        def are_past_the_period() -> bool:
            headers = [each.client.finalized_header() for each in everyone]
            return all(header is not None and header.slot >= period_slot for header in headers)

        try:
            await until(are_past_the_period, PATIENCE_SECONDS)
        finally:
            for each in everyone:
                told(each.figures())
        for each in everyone:
            slots = [slot for slot, _ in each.heads]
            assert slots[0] < fork_slot < period_slot < slots[-1]
            assert slots == sorted(set(slots))
            assert not each.client.measures.rules
            await assert_true_to_the_node(each)
        for each in (by_peers, by_both):
            await assert_at_ease(each, caplog.text)
            assert each.ours.gossip.received > 0
            assert each.ours.gossip.rejected == 0
        assert by_peers.ours.gossip.accepted > 0


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_asyncio_program_catches_up_by_peers_alone(chain: Chain, told: Tell) -> None:
    async with following(chain, ("libp2p",)) as followed:
        with anyio.fail_after(30):
            await followed.client.wait_until_synced()
        seen = len(followed.heads)
        await until(lambda: len(followed.heads) >= seen + 3, 20)
        told(followed.figures())
        await assert_true_to_the_node(followed)


@pytest.mark.anyio
async def test_it_thinks_no_worse_of_who_gossips_to_it(
    chain: Chain, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "lightclient.libp2p")
    async with following(chain, ("libp2p",)) as followed:
        with anyio.fail_after(30):
            await followed.client.wait_until_synced()
        network = followed.client.network
        for name in LIGHT_CLIENT_TOPICS:
            path = f"/eth/v1/beacon/light_client/{name.removeprefix('light_client_')}"
            document = await anyio.to_thread.run_sync(followed.node.get, path)
            update = decode_json(TOPIC_KINDS[name], document, network)
            epoch = network.compute_epoch_at_slot(update.main_header.beacon.slot)
            digest = network.compute_fork_digest(epoch)
            await until(lambda: followed.ours.gossip.received > 0, 20)
            followed.ours.publish(name, encode_ssz(update), digest)
        seen = len(followed.heads)
        await until(lambda: len(followed.heads) >= seen + 2, 20)
        assert followed.ours.gossip.published == len(LIGHT_CLIENT_TOPICS)
        await assert_at_ease(followed, caplog.text)


@pytest.mark.anyio
async def test_it_is_followed_when_it_was_the_one_that_dialled(
    chain: Chain, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "lightclient.libp2p")
    pool = make_pool(listen_address="127.0.0.1")
    client = LightClient(
        network=chain.node.network, trusted_block_root=chain.trusted_block_root, pools=[pool]
    )
    async with client:
        await until(lambda: pool.node is not None and pool.node.port > 0, 20)
        followed = Followed(chain.node, client, {}, pool)
        ours = followed.ours
        address = f"/ip4/127.0.0.1/tcp/{ours.port}/p2p/{ours.peer_id}"
        await anyio.to_thread.run_sync(chain.node.dial, ours.peer_id, address)
        with anyio.fail_after(30):
            await client.wait_until_synced()
        await assert_true_to_the_node(followed)
        await assert_at_ease(followed, caplog.text)
        peers = await anyio.to_thread.run_sync(chain.node.connections, ours.peer_id)
        assert peers == [("connected", "outbound")]


@pytest.mark.anyio
async def test_who_asks_too_often_is_seen_to_be_ill_at_ease(chain: Chain) -> None:
    """What the tests above would see if our pace were too quick: the limits are real."""
    async with following(chain, ("libp2p",)) as followed:
        with anyio.fail_after(30):
            await followed.client.wait_until_synced()
        [peer] = followed.ours.peers.values()
        answers = [
            await ask(peer.connection, LIGHT_CLIENT_FINALITY_UPDATE_1, None, chain.node.network)
            for _ in range(4)
        ]
        refusal = answers[-1].refusal
        assert refusal is not None
        assert "RATE_LIMITED" in refusal.text
        lines = await anyio.to_thread.run_sync(chain.node.log_of, followed.ours.peer_id)
        assert any("rate limit" in line for line in lines)
        assert await anyio.to_thread.run_sync(chain.node.score, followed.ours.peer_id) < 0


@pytest.mark.skipif(MINUTES == 0, reason="follows for LIGHTCLIENT_INTEROP_MINUTES, if that is set")
@pytest.mark.timeout(60 * MINUTES + 900)
@pytest.mark.anyio
async def test_it_is_at_ease_with_who_follows_it_for_long(
    chain: Chain, caplog: pytest.LogCaptureFixture, told: Tell
) -> None:
    caplog.set_level(logging.DEBUG, "lightclient.libp2p")
    async with (
        following(chain, ("libp2p",)) as by_peers,
        following(chain, ("rest",)) as by_rest,
        following(chain, ("libp2p", "rest")) as by_both,
    ):
        await anyio.sleep(60 * MINUTES)
        for each in (by_peers, by_rest, by_both):
            told(each.figures())
            assert each.client.status.state is SyncState.SYNCED
            assert not each.client.measures.rules
            await assert_true_to_the_node(each)
        for each in (by_peers, by_both):
            asked = await anyio.to_thread.run_sync(chain.node.requests, each.ours.peer_id)
            told(f"the node counts {dict(asked)}")
            await assert_at_ease(each, caplog.text)


# --- the program ----------------------------------------------------------------------------------


def program_options(chain: Chain, ways: tuple[str, ...], data_dir: Path) -> list[str]:
    """A user's command line for the node's chain."""
    options = [
        f"--network={chain.node.write_network()}",
        f"--trusted-block-root={chain.trusted_block_root}",
        f"--data-dir={data_dir}",
        "--log-format=json",
        "--log-level=debug",
    ]
    if "libp2p" in ways:
        options += [f"--direct-peer={chain.node.multiaddress}", "--no-discv5", "--tcp-port=0"]
        options += ["--listen-address=127.0.0.1", "--nat=none"]
    if "rest" in ways:
        options.append(f"--rest-url={chain.node.url}")
    return options


@pytest.mark.parametrize("ways", WAYS, ids="+".join)
def test_the_program_catches_up_and_follows(
    chain: Chain, ways: tuple[str, ...], tmp_path: Path, told: Tell
) -> None:
    started = time.monotonic()
    command = [sys.executable, "-m", "lightclient_cli"]
    command += program_options(chain, ways, tmp_path / "data")
    heads: list[dict[str, Any]] = []
    slots: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    environment = {**os.environ, "HTTP_PROXY": "", "http_proxy": "", "NO_PROXY": "127.0.0.1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                entry = json.loads(line)
                if entry["msg"].startswith("New LC"):
                    if not heads:
                        told(f"{'+'.join(ways)}: {time.monotonic() - started:.2f} s to a head")
                    heads.append(entry)
                else:
                    (slots if entry["msg"] == "Slot start" else others).append(entry)
                if entry["msg"] == "Slot start" and _times_synced(slots) == SLOTS_TO_FOLLOW:
                    process.send_signal(signal.SIGTERM)
                assert time.monotonic() - started < 60, others
            assert process.wait(10) == 0
        finally:
            process.kill()
    assert [entry for entry in slots if entry["sync"] == "synced"][-1]["peers"] == len(ways)
    finalized = [entry for entry in heads if entry["msg"] == "New LC finalized header"][-1]
    node = chain.node
    assert int(finalized["slot"]) >= node.network.preset.slots_per_sync_committee_period
    header = node.get(f"/eth/v1/beacon/headers/{finalized['slot']}")
    assert finalized["root"] == header["root"]
    assert not [entry for entry in others if entry["lvl"] in ("WRN", "ERR", "FAT")]


def _times_synced(slots: list[dict[str, Any]]) -> int:
    return sum(entry["sync"] == "synced" for entry in slots)
