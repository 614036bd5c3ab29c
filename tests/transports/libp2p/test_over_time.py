"""A node over hours, in virtual time: the topics around a fork, and starting again and again."""

from __future__ import annotations

import os
import random
from itertools import pairwise
from typing import Any

import pytest

pytest.importorskip("libp2p", reason="the extra [libp2p] is not installed")

import anyio
import trio
import trio.testing

from lightclient.config import network_by_name
from lightclient.transports.libp2p.node import Node
from lightclient.transports.libp2p.options import Libp2pOptions
from lightclient.transports.libp2p.supervision import (
    FIRST_RESTART_SECONDS,
    GOOD_RUN_SECONDS,
    LONGEST_RESTART_SECONDS,
    BackOff,
)
from lightclient.wire.gossip import LIGHT_CLIENT_TOPICS, Topic
from tests.transports.libp2p.world import Member

pytestmark = pytest.mark.anyio
MAINNET = network_by_name("mainnet")
FORK_EPOCH = 364_032
EPOCH_SECONDS = 384


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}


def node_at(epoch: int, member: Member | None = None) -> Node:
    """A node that listens nowhere, and whose clock goes with trio's from an epoch's start on."""
    start_ms = MAINNET.slot_start_ms(MAINNET.compute_start_slot_at_epoch(epoch))
    begun = trio.current_time()
    rng = random.Random(1)
    return Node(
        Libp2pOptions(secret=os.urandom(32), listen_address=None),
        MAINNET,
        member or Member(),
        clock=lambda: start_ms + int((trio.current_time() - begun) * 1000),
        uniform=rng.uniform,
        sample=rng.sample,
    )


async def test_topics_are_those_of_both_forks_from_an_epoch_before_one_until_an_epoch_after() -> (
    None
):
    digests = [MAINNET.compute_fork_digest(epoch) for epoch in (FORK_EPOCH - 1, FORK_EPOCH)]
    assert digests[0] != digests[1], "another epoch is that of the fork"
    expected = {-2: {0}, -1: {0, 1}, 0: {0, 1}, 1: {1}, 2: {1}}
    node = node_at(FORK_EPOCH - 2)
    async with anyio.create_task_group() as tasks:
        await tasks.start(node.run)
        for which in expected.values():
            # In the midst of each epoch: a slot before its start they have changed already.
            await trio.sleep(EPOCH_SECONDS / 2)
            topics = {str(Topic(digests[i], name)) for i in which for name in LIGHT_CLIENT_TOPICS}
            assert node._gossip.router.topics == topics
            await trio.sleep(EPOCH_SECONDS / 2)
        tasks.cancel_scope.cancel()


async def test_a_host_that_ends_at_once_every_time_is_started_ever_later_and_never_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node = node_at(FORK_EPOCH)
    starts: list[float] = []

    def fail() -> None:
        starts.append(trio.current_time())
        raise RuntimeError("a fault in the host")

    monkeypatch.setattr(node, "_choose_topics", fail)
    with trio.move_on_after(3600):
        await node.run()
    waits = [later - earlier for earlier, later in pairwise(starts)]
    assert 0.75 * FIRST_RESTART_SECONDS <= waits[0] <= 1.5 * FIRST_RESTART_SECONDS
    assert max(waits) <= 1.3 * LONGEST_RESTART_SECONDS
    assert all(wait >= 0.7 * LONGEST_RESTART_SECONDS for wait in waits[8:])
    assert 3600 / LONGEST_RESTART_SECONDS * 0.7 < len(starts) == node.restarts


def test_after_a_good_run_the_first_wait_is_short_again() -> None:
    back_off = BackOff(lambda low, high: 1.0)
    waits = [back_off.after(0.0) for _ in range(8)]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert back_off.after(GOOD_RUN_SECONDS + 1) == 1
    assert back_off.after(0.0) == 2
    assert back_off.restarts == 10
