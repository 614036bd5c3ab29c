"""A client finds simulated peers by discovery, follows the honest and leaves the others.

Here on asyncio; ``tests/cli/test_demo_peers.py`` has the same on trio, and more of it.
"""

from __future__ import annotations

import logging
import os
import time

import pytest

pytest.importorskip("libp2p", reason="the extra [libp2p] is not installed")

from anyio.from_thread import start_blocking_portal

from lightclient.client import LightClient
from lightclient.simulator import SimulatedChain
from lightclient.simulator.chaos import Witness
from lightclient.simulator.libp2p.network import SimulatedNetwork, cast_of_peers, peers_of
from lightclient.simulator.libp2p.roles import ROLES
from lightclient.transports.libp2p.options import DiscoveryOptions, Libp2pOptions
from lightclient.transports.libp2p.pool import Libp2pPool
from tests.client.world import until
from tests.served import past_chain
from tests.transports.libp2p.unhurried import unhurried  # noqa: F401 - a fixture

pytestmark = pytest.mark.anyio
SLOT_MS = 400
HOSTILE = ("forger", "breaker", "spammer")


def make_client(network: SimulatedNetwork, witness: Witness) -> LightClient:
    """A client that knows the boot node and nobody else."""
    chain = witness.chain
    options = Libp2pOptions(
        secret=os.urandom(32),
        listen_address="127.0.0.1",
        tcp_port=0,
        discovery=DiscoveryOptions(udp_port=0, bootstrap_nodes=(network.boot_node,)),
    )
    return LightClient(
        network=chain.network,
        trusted_block_root=chain.trusted_block_root(8),
        pools=[Libp2pPool(options)],
        allow_stale_trusted_root=True,
        on_finalized_header=lambda header: _see(witness, header),
        on_optimistic_header=lambda header: _see(witness, header),
    )


def _see(witness: Witness, header: object) -> None:
    witness.see(header)  # type: ignore[arg-type]


def living_chain() -> SimulatedChain:
    """A chain that soon crosses a fork."""
    return past_chain(
        periods=4, fork_epochs={"deneb": 0, "electra": 16, "gloas": 35}, slot_ms=SLOT_MS
    )


async def follow(network: SimulatedNetwork, chain: SimulatedChain) -> Witness:
    """Until the client is past the last fork, and has parted from all who misbehave."""
    witness = Witness(chain)
    hostile = [peer for peer in network.peers if not peer.role.is_honest]
    async with make_client(network, witness) as client:

        def is_done() -> bool:
            head = client.optimistic_header()
            behind = witness.slots_behind(head)
            return (
                head is not None
                and head.fork == "gloas"
                and behind is not None
                and behind <= 4
                and all(peer.tally.goodbyes for peer in hostile)
                and all(peer.tally.met for peer in network.peers)
            )

        await until(is_done, 60)
    for peer in network.peers:
        assert peer.tally.met
        assert not peer.tally.told_false
        if peer.role.is_honest:
            assert set(peer.tally.goodbyes) <= {"client_shutdown"}
        else:
            assert {reason.name.lower() for reason in peer.role.ends} & peer.tally.goodbyes.keys()
    # What peers do is nothing that py-libp2p should print.
    assert not logging.getLogger("libp2p").isEnabledFor(logging.ERROR)
    assert witness.shown > 10
    assert not witness.false_headers
    return witness


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_among_hostile_peers_a_client_on_asyncio_reaches_the_head_across_a_fork(
    anyio_backend: str,
) -> None:
    chain = living_chain()
    cast = cast_of_peers(chain, 2, hostile=HOSTILE)
    with (
        start_blocking_portal("trio") as portal,
        portal.wrap_async_context_manager(
            peers_of(cast, live=True, late_after_slots=20)
        ) as network,
    ):
        await follow(network, chain)
    # Those who came late gossiped the head; some of it came from the one that spams.
    assert sum(peer.gossip.figures.published for peer in cast) > 20


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_peers_that_are_not_early_wait_until_the_others_were_left(anyio_backend: str) -> None:
    chain = past_chain(slot_ms=SLOT_MS)
    cast = cast_of_peers(chain, 1, honest=1, hostile=["mute"])
    started = time.monotonic()
    async with peers_of(cast, live=True, late_after_slots=2) as network:
        honest, mute = network.peers
        assert (honest.port, mute.port > 0) == (0, True)
        # Nobody comes: they do not wait for ever.
        await until(lambda: honest.port, 20)
    assert time.monotonic() - started > 2 * SLOT_MS / 1000


def test_a_seed_gives_the_same_cast_and_every_character_is_in_it() -> None:
    chain = past_chain()

    def drawn(seed: int) -> list[tuple[str, str, tuple[str, ...], tuple[str, ...]]]:
        return [
            (peer.peer_id, peer.role.name, peer.muxers, peer.faults.names)
            for peer in cast_of_peers(chain, seed)
        ]

    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)
    assert {role for _, role, _, _ in drawn(7)} == set(ROLES)
    assert len({muxers for _, _, muxers, _ in drawn(7)}) == 2


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_a_failure_of_who_uses_it_comes_out_as_it_is(anyio_backend: str) -> None:
    cast = cast_of_peers(past_chain(), 1, honest=1, hostile=[])
    with pytest.raises(LookupError, match="of a test"):
        async with peers_of(cast):
            raise LookupError("of a test")
