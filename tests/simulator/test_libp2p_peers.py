"""A simulated peer serves and gossips as a full node does, and misbehaves as it is told to."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

pytest.importorskip("libp2p", reason="the extra [libp2p] is not installed")

import trio

from lightclient.beacon import containers_for
from lightclient.beacon.decoding import decode_view
from lightclient.containers import LightClientOptimisticUpdate, ObjectKind
from lightclient.errors import (
    MalformedAnswer,
    ProviderUnavailable,
    RateLimited,
    TransportError,
    UnknownBootstrap,
)
from lightclient.simulator.exchange import Asked
from lightclient.simulator.libp2p.faults import PEER_FAULTS, PeerFault
from lightclient.simulator.libp2p.peer import SimulatedPeer
from lightclient.simulator.libp2p.roles import HONEST, ROLES, Role
from lightclient.simulator.libp2p.served import is_of_chain, latest_updates, status_of
from lightclient.simulator.live_scenes import UPDATE_RULES, kinds_breaking, live_forgeries
from lightclient.transports.libp2p.connections import Connection
from lightclient.transports.libp2p.muxers import MPLEX, YAMUX
from lightclient.transports.libp2p.requests import Deadlines, ask
from lightclient.transports.libp2p.standing import irrelevance
from lightclient.transports.libp2p.transport import Libp2pTransport
from lightclient.transports.pools import Heads
from lightclient.transports.task_groups import bare_task_group
from lightclient.wire.gossip import topic_of
from lightclient.wire.messages import BlocksByRange, Metadata, Status, UpdatesByRange
from lightclient.wire.protocols import (
    BEACON_BLOCKS_BY_RANGE_2,
    BEACON_BLOCKS_BY_ROOT_2,
    GOODBYE_1,
    LIGHT_CLIENT_UPDATES_BY_RANGE_1,
    METADATA_2,
    METADATA_3,
    PING_1,
    STATUS_1,
    STATUS_2,
)
from lightclient.wire.responses import decode_object, decode_payload
from tests.client.world import FORK_EPOCHS, SLOTS_PER_EPOCH, World, until
from tests.transports.libp2p.hosts import Host
from tests.transports.libp2p.unhurried import unhurried  # noqa: F401 - a fixture
from tests.transports.libp2p.world import Member, make_node, running

pytestmark = pytest.mark.anyio
SLOT = 300


@pytest.fixture
def anyio_backend() -> str:
    return "trio"


@pytest.fixture(scope="module")
def world() -> World:
    return World(SLOT)


def make_peer(world: World, *faults: str, role: Role = HONEST, **options: Any) -> SimulatedPeer:
    peer = SimulatedPeer(
        world.chain,
        os.urandom(32),
        clock=world.clock,
        role=role,
        rng=random.Random(1),
        **options,
    )
    if faults:
        peer.faults.faults = tuple(PEER_FAULTS[name](random.Random(name)) for name in faults)
    return peer


@asynccontextmanager
async def up(peer: SimulatedPeer) -> AsyncIterator[None]:
    async with bare_task_group() as tasks:
        await tasks.start(peer.run)
        yield


@asynccontextmanager
async def meeting(peer: SimulatedPeer) -> AsyncIterator[Connection]:
    """A connection of some host to a peer that is up."""
    async with up(peer), Host().running() as host:
        yield await host.board.dial(peer.address)


# Honest -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("muxer", [YAMUX, MPLEX])
async def test_it_serves_every_light_client_object(world: World, muxer: str) -> None:
    peer = make_peer(world, muxers=(muxer,))
    async with meeting(peer) as connection:
        assert connection.muxer == muxer
        transport = Libp2pTransport(connection, world.network)
        bootstrap = await transport.get_light_client_bootstrap(world.root())
        assert bootstrap == world.chain.bootstrap(world.root())
        updates = await transport.get_light_client_updates_by_range(0, 128)
        assert (list(updates.updates), updates.error) == (world.chain.updates(0, 128), None)
        assert len(updates.updates) == 5
        finality = await transport.get_light_client_finality_update()
        assert finality == world.chain.finality_update()
        optimistic = await transport.get_light_client_optimistic_update()
        assert optimistic == world.chain.optimistic_update()
        with pytest.raises(UnknownBootstrap):
            await transport.get_light_client_bootstrap(bytes(32))
    assert peer.tally.met == 1
    assert peer.tally.connected == 0
    assert peer.responder.requests["light_client_bootstrap"] == 2


async def test_each_update_comes_under_the_digest_of_its_own_fork(world: World) -> None:
    async with meeting(make_peer(world)) as connection:
        protocol = LIGHT_CLIENT_UPDATES_BY_RANGE_1
        answer = await ask(connection, protocol, UpdatesByRange(0, 5), world.network)
    assert len({chunk.context for chunk in answer.chunks}) == len(FORK_EPOCHS)
    for chunk in answer.chunks:
        value = decode_object(protocol, chunk, world.network)
        epoch = world.network.compute_epoch_at_slot(value.main_header.beacon.slot)
        assert chunk.context == world.network.compute_fork_digest(epoch)


async def test_it_says_where_it_stands_and_hears_where_its_client_does(world: World) -> None:
    own = Status(bytes(4), bytes(32), 0, bytes(32), 0, 0)
    peer = make_peer(world)
    async with meeting(peer) as connection:
        for protocol in (STATUS_2, STATUS_1):
            answer = await ask(connection, protocol, own, world.network)
            status = decode_payload(protocol, answer.chunks[0])
            assert status.head_slot == world.chain.head.slot
            assert status.head_root == world.chain.head.root
            assert irrelevance(world.network, Heads(), status, SLOT) is None
        for protocol, metadata in ((METADATA_2, Metadata(1)), (METADATA_3, Metadata(1))):
            answer = await ask(connection, protocol, None, world.network)
            assert decode_payload(protocol, answer.chunks[0]) == metadata
        answer = await ask(connection, PING_1, 7, world.network)
        assert decode_payload(PING_1, answer.chunks[0]) == 1
        await ask(connection, GOODBYE_1, 250, world.network)
        await ask(connection, GOODBYE_1, 77, world.network)
    assert peer.tally.statuses == [own, own]
    assert peer.tally.goodbyes == {"bad_score": 1, "77": 1}


async def test_it_serves_blocks_by_root_and_by_range(world: World) -> None:
    chain, network = world.chain, world.network
    wanted = [chain.block_at(SLOT - back) for back in (0, 3)]
    async with meeting(make_peer(world)) as connection:
        roots = (*(block.root for block in wanted), bytes(32))
        by_root = await ask(connection, BEACON_BLOCKS_BY_ROOT_2, roots, network, 3)
        sparse = BlocksByRange(SLOT - 40, 100)
        by_range = await ask(connection, BEACON_BLOCKS_BY_RANGE_2, sparse, network, 100)
    signed_type = containers_for(wanted[0].fork.name, network.preset).SignedBeaconBlock
    signed = [decode_view(signed_type, chunk.payload) for chunk in by_root.chunks]
    assert [bytes(view.message.hash_tree_root()) for view in signed] == [b.root for b in wanted]
    slots = [int(decode_view(signed_type, chunk.payload).message.slot) for chunk in by_range.chunks]
    assert slots == [block.slot for block in chain.blocks if SLOT - 40 <= block.slot <= SLOT]
    # The range begins in the sparse past.
    assert 275 not in slots


async def test_who_asks_too_often_is_told_so(world: World) -> None:
    async with meeting(make_peer(world)) as connection:
        transport = Libp2pTransport(connection, world.network)
        transport._pace.take = lambda *_: True  # type: ignore[method-assign]
        for _ in range(2):
            await transport.get_light_client_finality_update()
        with pytest.raises(RateLimited):
            await transport.get_light_client_finality_update()


async def test_it_gossips_both_updates_across_a_fork() -> None:
    fork_slot = FORK_EPOCHS["electra"] * SLOTS_PER_EPOCH
    world = World(fork_slot - 2, dense_slots=20)
    peer, member = make_peer(world), Member()
    async with up(peer):
        node = make_node(world, member, serves=False, direct=[peer.address])
        async with running(node):
            await until(lambda: member.transports, 20)
            for slot in range(fork_slot - 1, fork_slot + 4):
                await until(partial(_is_heard, peer, world, slot), 20)
                world.go_to(slot)
                await until(partial(_has_head, member, slot - 1), 20)
    assert _heads(member) == list(range(fork_slot - 2, fork_slot + 3))
    kinds = {update.kind for update in member.judged}
    assert kinds == {ObjectKind.FINALITY_UPDATE, ObjectKind.OPTIMISTIC_UPDATE}
    digests = {topic_of(update, world.network).fork_digest for update in member.judged}
    assert len(digests) == 2
    assert all(is_of_chain(update, world.chain) for update in member.judged)


def _is_heard(peer: SimulatedPeer, world: World, slot: int) -> bool:
    """Whether anybody listens to what is gossiped under the digest of ``slot``."""
    digest = world.network.compute_fork_digest(world.network.compute_epoch_at_slot(slot))
    topic = f"/eth2/{digest.hex()}/light_client_optimistic_update/ssz_snappy"
    return bool(peer.gossip.router.peers_of(topic))


def _has_head(member: Member, slot: int) -> bool:
    return _heads(member)[-1:] == [slot]


def _heads(member: Member) -> list[int]:
    return [
        update.attested_header.beacon.slot
        for update in member.judged
        if isinstance(update, LightClientOptimisticUpdate)
    ]


# What is of the chain ---------------------------------------------------------------------------


def test_what_an_honest_node_says_is_of_the_chain_and_no_forgery_is(world: World) -> None:
    updates = latest_updates(world.chain)
    assert len(updates) == 2
    forged = 0
    for update in updates:
        assert is_of_chain(update, world.chain)
        for rule in UPDATE_RULES:
            if update.kind in kinds_breaking(rule):
                lies = live_forgeries(world.chain, update, rule)
                forged += len(lies)
                assert not any(is_of_chain(lie, world.chain) for lie in lies)  # type: ignore[arg-type]
    assert forged > 20


def test_its_status_is_that_of_the_chain(world: World) -> None:
    status = status_of(world.chain, SLOT)
    finalized = world.chain.finalized
    assert finalized is not None
    assert status.finalized_root == finalized.root
    assert status.finalized_epoch * SLOTS_PER_EPOCH == finalized.slot
    assert status_of(World(5).chain, 5).finalized_root == bytes(32)


# Hostile ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("length_lie", MalformedAnswer),
        ("truncated_body", MalformedAnswer),
        ("cut_object", MalformedAnswer),
        ("junk_body", TransportError),
        ("empty_body", MalformedAnswer),
        ("resetting_mid_body", ProviderUnavailable),
        ("resetting", ProviderUnavailable),
        ("server_error", ProviderUnavailable),
        ("light_client_off", ProviderUnavailable),
        ("rate_limiting", RateLimited),
        ("wrong_preset", MalformedAnswer),
    ],
)
async def test_what_goes_wrong_is_what_its_name_says(
    world: World, fault: str, error: type[TransportError]
) -> None:
    peer = make_peer(world, fault)
    async with meeting(peer) as connection:
        transport = Libp2pTransport(connection, world.network)
        with pytest.raises(error):
            await transport.get_light_client_finality_update()
    assert peer.faults.injected[fault] >= 1  # twice if it was asked again


async def test_a_mute_peer_takes_a_request_and_says_nothing(world: World) -> None:
    peer = make_peer(world, "silent")
    async with meeting(peer) as connection:
        transport = Libp2pTransport(connection, world.network)
        with trio.move_on_after(0.5) as scope:
            await transport.get_light_client_finality_update()
    assert scope.cancelled_caught
    assert peer.responder.requests["light_client_finality_update"] == 1


async def test_a_stranger_says_so_by_its_fork_digest(world: World) -> None:
    peer = make_peer(world, role=ROLES["stranger"])
    async with meeting(peer) as connection:
        own = Status(bytes(4), bytes(32), 0, bytes(32), 0, 0)
        answer = await ask(connection, STATUS_2, own, world.network)
        status = decode_payload(STATUS_2, answer.chunks[0])
    assert irrelevance(world.network, Heads(), status, SLOT)


@pytest.mark.parametrize("role", ["spammer", "breaker", "stranger", "mute"])
async def test_a_node_of_ours_parts_from_it_with_the_reason(
    world: World, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Who says nothing is not waited for; who does may be late on a busy machine.
    seconds = 1.0 if role == "mute" else 60.0
    deadlines = Deadlines(seconds, seconds)
    monkeypatch.setattr("lightclient.transports.libp2p.requests._SHORT", deadlines)
    # A goodbye that takes longer than this is not heard.
    monkeypatch.setattr("lightclient.transports.libp2p.acquaintance.GOODBYE_SECONDS", 10.0)
    local = World(SLOT)
    peer = make_peer(local, role=ROLES[role])
    async with up(peer):
        node = make_node(local, Member(), serves=False, direct=[peer.address])
        async with running(node):
            await until(lambda: peer.tally.met, 10)

            def gossips() -> bool:
                if role in ("spammer", "breaker") and _is_heard(peer, local, SLOT):
                    local.go_to(local.slot + 1)
                return bool(peer.tally.goodbyes)

            await until(gossips, 20)
    expected = {reason.name.lower() for reason in ROLES[role].ends}
    assert expected & peer.tally.goodbyes.keys()


def test_misplaced_gossip_is_true_and_told_on_the_other_side_of_a_fork() -> None:
    world = World(FORK_EPOCHS["electra"] * SLOTS_PER_EPOCH - 2)
    peer = make_peer(world, "misplaced_gossip")
    (misplaced,) = peer._messages(Asked(ObjectKind.OPTIMISTIC_UPDATE, pushed=True))
    (honest,) = make_peer(world)._messages(Asked(ObjectKind.OPTIMISTIC_UPDATE, pushed=True))
    assert misplaced.data == honest.data
    assert misplaced.topic != honest.topic
    # Far from any fork there is no other side.
    quiet = make_peer(World(SLOT), "misplaced_gossip")
    plain = make_peer(World(SLOT))
    asked = Asked(ObjectKind.OPTIMISTIC_UPDATE, pushed=True)
    assert quiet._messages(asked) == plain._messages(asked)


# Characters -------------------------------------------------------------------------------------


def test_every_fault_has_its_name_and_those_of_gossip_leave_answers_alone() -> None:
    for name, kind in PEER_FAULTS.items():
        assert kind.name == name
        fault = kind(random.Random(1))
        if isinstance(fault, PeerFault) and "gossip" in name:
            assert not fault.applies_to(Asked(ObjectKind.BOOTSTRAP))
            assert fault.applies_to(Asked(ObjectKind.FINALITY_UPDATE, pushed=True))


@pytest.mark.parametrize("role", ROLES.values(), ids=list(ROLES))
def test_a_role_is_the_same_for_the_same_seed(role: Role) -> None:
    def drawn(seed: int) -> list[tuple[str, float]]:
        made = role.make_faults(random.Random(seed))
        return [(fault.name, fault.rng.random()) for fault in made]

    assert drawn(3) == drawn(3)
    assert role.is_honest == (drawn(3) == [])
    if not role.is_honest:
        assert drawn(3) != drawn(4)
        assert role.ends
    assert {name for name, _ in drawn(5)} <= PEER_FAULTS.keys()
