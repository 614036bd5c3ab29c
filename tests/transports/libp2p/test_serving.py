"""What a node answers its peers: whoever they are, whatever they ask."""

from __future__ import annotations

import os

import pytest

pytest.importorskip("libp2p", reason="the extra [libp2p] is not installed")

import trio

from lightclient.transports.libp2p import multistream, serving
from lightclient.transports.libp2p.identify import IDENTIFY, PING, read_identify
from lightclient.transports.libp2p.limits import QUOTAS
from lightclient.transports.libp2p.requests import ask
from lightclient.transports.libp2p.serving import RATE_LIMITED
from lightclient.transports.libp2p.streams import StreamBroken
from lightclient.wire.messages import UpdatesByRange
from lightclient.wire.protocols import (
    LIGHT_CLIENT_BOOTSTRAP_1,
    LIGHT_CLIENT_FINALITY_UPDATE_1,
    LIGHT_CLIENT_OPTIMISTIC_UPDATE_1,
    LIGHT_CLIENT_UPDATES_BY_RANGE_1,
    METADATA_2,
    METADATA_3,
    PING_1,
    STATUS_1,
    STATUS_2,
)
from lightclient.wire.responses import decode_object, decode_payload
from lightclient.wire.varint import encode_varint
from tests.client.world import World
from tests.transports.libp2p.hosts import read_all
from tests.transports.libp2p.strangers import Stranger, drip
from tests.transports.libp2p.world import make_node, running

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("patience")]


async def test_status_ping_and_metadata_are_always_answered(world: World) -> None:
    node = make_node(world, serves=False)
    async with running(node), Stranger(world).meeting(node) as connection:
        for protocol, request in (
            (STATUS_2, node.status()),
            (STATUS_1, node.status()),
            (PING_1, 7),
            (METADATA_2, None),
            (METADATA_3, None),
        ):
            answer = await ask(connection, protocol, request, world.network)
            assert decode_payload(protocol, answer.chunks[0]) is not None, protocol


async def test_light_client_data_is_refused_without_a_source_and_served_with_one(
    world: World,
) -> None:
    asked = (
        (LIGHT_CLIENT_BOOTSTRAP_1, world.root()),
        (LIGHT_CLIENT_UPDATES_BY_RANGE_1, UpdatesByRange(0, 4)),
        (LIGHT_CLIENT_FINALITY_UPDATE_1, None),
        (LIGHT_CLIENT_OPTIMISTIC_UPDATE_1, None),
    )
    for serves in (False, True):
        node = make_node(world, serves=serves)
        async with running(node), Stranger(world).meeting(node) as connection:
            for protocol, request in asked:
                answer = await ask(connection, protocol, request, world.network)
                if not serves:
                    assert answer.refusal is not None
                    assert answer.refusal.code == 3
                    continue
                for chunk in answer.chunks:
                    value = decode_object(protocol, chunk, world.network)
                    epoch = world.network.compute_epoch_at_slot(value.main_header.beacon.slot)
                    assert chunk.context == world.network.compute_fork_digest(epoch)
                assert answer.chunks


async def test_a_range_of_any_numbers_is_answered_within_bounds(world: World) -> None:
    node = make_node(world)
    async with running(node):
        for start, count in ((0, 0), (2**64 - 1, 2**64 - 1), (1, 2**64 - 1)):
            async with Stranger(world).meeting(node) as connection:
                request = UpdatesByRange(start, count)
                answer = await ask(
                    connection, LIGHT_CLIENT_UPDATES_BY_RANGE_1, request, world.network
                )
                assert len(answer.chunks) <= 128
                assert answer.refusal is None


async def test_who_asks_too_often_is_told_and_others_are_served(world: World) -> None:
    node = make_node(world)
    eager, other = Stranger(world), Stranger(world)
    async with running(node), eager.meeting(node) as often, other.meeting(node) as once:
        codes = []
        for _ in range(QUOTAS["light_client_bootstrap"].tokens + 2):
            answer = await ask(often, LIGHT_CLIENT_BOOTSTRAP_1, world.root(), world.network)
            codes.append(answer.refusal.code if answer.refusal else 0)
        assert codes[-1] == RATE_LIMITED
        assert codes[0] == 0
        answer = await ask(once, LIGHT_CLIENT_BOOTSTRAP_1, world.root(), world.network)
        assert answer.chunks


@pytest.mark.parametrize(
    "request_bytes",
    [b"\xff" * 12, encode_varint(2**32) + b"x", b"", b"\x08\xff\xff\xff\xff", os.urandom(200)],
)
async def test_a_request_that_is_none_is_refused_and_costs_nothing(
    world: World, request_bytes: bytes
) -> None:
    node = make_node(world)
    async with running(node), Stranger(world).meeting(node) as connection:
        stream = await connection.open_stream()
        await multistream.propose(stream, [PING_1.protocol_id])
        await stream.write(request_bytes)
        await stream.close_write()
        assert (await read_all(stream))[:1] == b"\x01"
        assert (await ask(connection, PING_1, 1, world.network)).chunks


async def test_a_request_that_drips_is_given_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "REQUEST_SECONDS", 0.3)
    node = make_node(world)
    async with running(node), Stranger(world).meeting(node) as connection:
        stream = await connection.open_stream()
        await multistream.propose(stream, [PING_1.protocol_id])
        with trio.fail_after(60), pytest.raises(StreamBroken):
            await drip(stream, b"\x88")


async def test_it_says_who_it_is_and_answers_pings_of_libp2p(world: World) -> None:
    node = make_node(world, agent="tester/1")
    async with running(node), Stranger(world).meeting(node) as connection:
        stream = await connection.open_stream()
        await multistream.propose(stream, [IDENTIFY])
        identity = await read_identify(stream)
        assert identity.agent == "tester/1"
        assert LIGHT_CLIENT_BOOTSTRAP_1.protocol_id in identity.protocols
        stream = await connection.open_stream()
        await multistream.propose(stream, [PING])
        data = os.urandom(32)
        await stream.write(data)
        assert await stream.read(32) == data
