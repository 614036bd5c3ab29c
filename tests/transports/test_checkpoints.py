"""Checkpoint services: what beacon nodes and checkpointz say, and all that is odd about it."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from typing import Any

import anyio
import httpx
import pytest

from lightclient.config import Network
from lightclient.errors import ConfigError
from lightclient.simulator import SimulatedChain, simulated_network
from lightclient.simulator.habits import ServerHabits
from lightclient.sync.checkpoint_quorum import Standing
from lightclient.transports.checkpoints import (
    MAX_ANSWER_BYTES,
    CheckpointService,
    ask_for_checkpoint,
)
from tests.transports.checkpoint_services import (
    FINALIZED,
    GENESIS,
    HEAD,
    HEADER,
    NOW,
    SLOTS,
    STATUS,
    Service,
    beacon_node,
    checkpoint,
    checkpointz,
    decide,
    hear,
    root,
    standings,
)
from tests.transports.tcp import Heard, response, serving

serve = pytest.importorskip("lightclient.simulator.server", reason="needs [demo]").serve

pytestmark = pytest.mark.anyio

# One service -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answers",
    [
        {HEAD: checkpoint("9", root(9))},
        {HEAD: checkpoint(9, root(9))},
        {HEAD: checkpoint(9, f"{9:064X}")},
        {FINALIZED: checkpoint("9", root(9))},
        {STATUS: {"finality": checkpoint("9", root(9)), "upstreams": None}},
        {HEADER: {"root": root(9), "header": {"message": {"slot": "72"}}}},
        {HEADER: {"root": root(9), "header": {"message": {"slot": 65}}}},
        {SLOTS: {"slots": [{"slot": "72", "block_root": root(9)}]}},
        {HEAD: checkpoint(None, root(8)), FINALIZED: checkpoint(9, root(9))},
        {HEAD: {"finalized": None}, STATUS: {"finality": checkpoint(9, root(9))}},
        {HEAD: "?", SLOTS: {"slots": [{"slot": 72, "block_root": root(9)}]}},
        {HEAD: httpx.Response(200, content=b"<html>"), FINALIZED: checkpoint(9, root(9))},
        {HEAD: httpx.Response(200, json=checkpoint(9, root(9)))},
        {
            HEAD: httpx.Response(500, json={"message": "head is far"}),
            FINALIZED: checkpoint(9, root(9)),
        },
    ],
)
async def test_the_newest_finalized_checkpoint_is_found_however_it_is_told(
    minimal_network: Network, answers: dict[str, Any]
) -> None:
    statement = await hear(Service(answers), minimal_network)
    assert statement.failure is None, statement.reason
    assert statement.finalized is not None
    assert (statement.finalized.epoch, statement.finalized.root.hex()) == (9, root(9)[2:])


async def test_bad_entries_of_a_list_of_slots_are_left_out(minimal_network: Network) -> None:
    slots: list[Any] = [
        None,
        "junk",
        {"slot": 96},
        {"slot": 104, "block_root": None},
        {"slot": "x", "block_root": root(1)},
        {"slot": -8, "block_root": root(1)},
        {"slot": True, "block_root": root(1)},
        {"slot": 2**64, "block_root": root(1)},
        {"slot": 88, "block_root": "0x12"},
        {"slot": 88, "block_root": "0x" + "zz" * 32},
        {"slot": 90, "block_root": root(11)},  # within its epoch
        {"slot": 80, "block_root": root(10)},
        {"slot": "80", "block_root": root(12)},  # contradicts the one before
        {"slot": "72", "block_root": root(9), "epoch": "nonsense"},
        {"slot": 64, "block_root": root(8)},
    ]
    statement = await hear(Service({SLOTS: {"slots": slots}}), minimal_network)
    assert statement.finalized is not None
    assert (statement.finalized.epoch, statement.finalized.root.hex()) == (9, root(9)[2:])


@pytest.mark.parametrize(
    ("answers", "standing", "reason"),
    [
        ({}, Standing.UNUSABLE, "HTTP 404"),
        ({HEAD: checkpoint("0", root(0))}, Standing.UNUSABLE, "not finalized anything"),
        ({HEAD: checkpoint("41", root(41))}, Standing.UNUSABLE, "check the clock"),
        ({HEAD: checkpoint(str(2**64 - 1), root(1))}, Standing.UNUSABLE, "yet to come"),
        ({HEAD: checkpoint("9", "0x00")}, Standing.UNUSABLE, "not 32 bytes"),
        ({HEAD: checkpoint("nine", root(9))}, Standing.UNUSABLE, "no number"),
        ({HEAD: httpx.Response(200, content=b"[" * 100_000)}, Standing.UNUSABLE, "nested"),
        (
            {HEAD: httpx.Response(200, content=b" " * (MAX_ANSWER_BYTES + 1))},
            Standing.UNUSABLE,
            "too long",
        ),
        (
            {
                HEAD: httpx.Response(
                    200, json={"execution_optimistic": True, "data": checkpoint("9", root(9))}
                )
            },
            Standing.UNUSABLE,
            "execution_optimistic",
        ),
        ({HEAD: httpx.ConnectError("no route")}, Standing.UNREACHABLE, "cannot be reached"),
        ({HEAD: httpx.ReadTimeout("")}, Standing.UNREACHABLE, "silent for too long"),
        ({HEAD: httpx.Response(302)}, Standing.UNUSABLE, "redirects to nowhere"),
        (
            {GENESIS: {"genesis_validators_root": root(3)}, HEAD: checkpoint("9", root(9))},
            Standing.WRONG_NETWORK,
            root(3),
        ),
        ({SLOTS: {"slots": {}}}, Standing.UNUSABLE, "HTTP 404"),
        ({SLOTS: {"slots": [None]}}, Standing.UNUSABLE, "HTTP 404"),
    ],
)
async def test_why_a_service_does_not_count(
    minimal_network: Network, answers: dict[str, Any], standing: Standing, reason: str
) -> None:
    statement = await hear(Service(answers), minimal_network)
    assert statement.failure is standing
    assert reason in statement.reason
    assert statement.finalized is None
    assert not statement.reason.startswith("https://")  # its name stands beside it


@pytest.mark.parametrize("genesis", [None, {}, {"genesis_validators_root": "?"}, [1]])
async def test_a_service_need_not_tell_its_network(minimal_network: Network, genesis: Any) -> None:
    statement = await hear(
        Service({GENESIS: genesis, HEAD: checkpoint("9", root(9))}), minimal_network
    )
    assert statement.failure is None
    assert "does not tell its network" in statement.reason


async def test_the_right_network_is_no_news(minimal_network: Network) -> None:
    told = {"genesis_validators_root": "0x" + minimal_network.genesis_validators_root.hex()}
    statement = await hear(
        Service({GENESIS: told, HEAD: checkpoint("9", root(9))}), minimal_network
    )
    assert (statement.failure, statement.reason) == (None, "")


async def test_keys_in_urls_are_shown_nowhere(minimal_network: Network) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(401, json={"message": f"bad key in {request.url}"})

    service = CheckpointService(
        "https://user:passw0rd@rpc.example/v1/k3y0f0urs?token=t0ken",
        http_transport=httpx.MockTransport(answer),
    )
    service.open()
    statement = await service.tell(minimal_network, NOW)
    await service.aclose()
    assert statement.failure is Standing.UNUSABLE
    assert "HTTP 401" in statement.reason
    shown = f"{service.name} {statement!r}"
    assert not any(secret in shown for secret in ("passw0rd", "k3y0f0urs", "t0ken"))


def test_a_timeout_must_be_positive() -> None:
    with pytest.raises(ConfigError):
        CheckpointService("https://a.example", timeout=0)


# Several ---------------------------------------------------------------------------------------


async def test_beacon_nodes_and_checkpointz_are_compared(minimal_network: Network) -> None:
    _, decision = await decide(
        minimal_network, beacon_node("a", 9), checkpointz("b", 9), beacon_node("c", 9)
    )
    assert decision.checkpoint is not None
    assert decision.checkpoint.root.hex() == root(9)[2:]
    assert decision.agreeing == 3


async def test_services_that_are_ahead_are_asked_for_the_epoch_in_common(
    minimal_network: Network,
) -> None:
    ahead, history = beacon_node("a", 11), checkpointz("b", 10, history=[9, 8])
    statements, decision = await decide(
        minimal_network, ahead, history, beacon_node("c", 9), quorum=3
    )
    assert decision.checkpoint is not None
    assert decision.checkpoint.epoch == 9
    assert standings(decision) == ["agrees"] * 3
    assert statements[0].roots[9].hex() == root(9)[2:]


async def test_one_that_lags_by_epochs_does_not_hold_the_others_back(
    minimal_network: Network,
) -> None:
    _, decision = await decide(
        minimal_network, beacon_node("a", 9), beacon_node("b", 9), beacon_node("c", 3)
    )
    assert decision.checkpoint is not None
    assert decision.checkpoint.epoch == 9
    assert standings(decision) == ["agrees", "agrees", "lagging"]


async def test_one_that_lags_on_another_chain_is_found_out(minimal_network: Network) -> None:
    other = beacon_node("c", 3, lambda epoch: root(1000 + epoch))
    _, decision = await decide(minimal_network, beacon_node("a", 9), beacon_node("b", 9), other)
    assert decision.checkpoint is not None
    assert standings(decision) == ["agrees", "agrees", "conflicting"]
    assert decision.conflicts[0].epoch == 3


async def test_a_checkpoint_in_an_empty_slot_is_asked_for_by_its_root(
    minimal_network: Network,
) -> None:
    # The first slot of epoch 9 (72) is empty: slot 71 is its checkpoint.
    def node(name: str, epoch: int, **more: Any) -> Service:
        service = beacon_node(name, epoch)
        service.answers.pop("/eth/v1/beacon/blocks/72/root", None)
        header = {"root": root(9), "canonical": True, "header": {"message": {"slot": "71"}}}
        service.answers[f"/eth/v1/beacon/headers/{root(9)}"] = header
        service.answers |= more
        return service

    statements, decision = await decide(minimal_network, node("a", 9), node("b", 10), quorum=2)
    assert decision.checkpoint is not None
    assert decision.checkpoint.root.hex() == root(9)[2:]

    unfinished = node("b", 10)
    changes: tuple[dict[str, Any], ...] = (
        {"canonical": False, "header": {"message": {"slot": "71"}}},
        {"header": {"message": {"slot": "73"}}},
        {"header": {"message": {"slot": "64"}}},
        {"header": {}},
    )
    for change in changes:
        unfinished.answers[f"/eth/v1/beacon/headers/{root(9)}"] = change
        statements, decision = await decide(minimal_network, node("a", 9), unfinished)
        assert decision.checkpoint is None
        assert 9 not in statements[1].roots


async def test_an_older_final_block_is_not_taken_for_the_checkpoint(
    minimal_network: Network,
) -> None:
    # A liar names a block of slot 70 for epoch 9; the node has another one in slot 71.
    header = {"root": root(77), "canonical": True, "header": {"message": {"slot": "70"}}}
    node = beacon_node("b", 10)
    del node.answers["/eth/v1/beacon/blocks/72/root"]
    node.answers[f"/eth/v1/beacon/headers/{root(77)}"] = header
    node.answers["/eth/v1/beacon/blocks/71/root"] = {"root": root(9)}
    liar = Service({HEAD: checkpoint("9", root(77))}, "a")
    statements, decision = await decide(minimal_network, liar, node)
    assert decision.checkpoint is None
    assert 9 not in statements[1].roots


async def test_a_block_that_is_said_not_to_be_final_vouches_for_nothing(
    minimal_network: Network,
) -> None:
    ahead = beacon_node("a", 10)
    block = {"finalized": False, "data": {"root": root(9)}}
    ahead.answers["/eth/v1/beacon/blocks/72/root"] = httpx.Response(200, json=block)
    _, decision = await decide(minimal_network, ahead, beacon_node("b", 9))
    assert decision.checkpoint is None


async def test_wrong_networks_and_dead_hosts_still_count_as_asked(
    minimal_network: Network,
) -> None:
    wrong = beacon_node("c", 9)
    wrong.answers[GENESIS] = {"genesis_validators_root": root(3)}
    dead = Service({GENESIS: httpx.ConnectError("gone")}, "d")
    _, decision = await decide(
        minimal_network, beacon_node("a", 9), beacon_node("b", 9), wrong, dead, quorum=3
    )
    assert decision.checkpoint is None
    assert standings(decision) == ["unconfirmed", "unconfirmed", "wrong network", "unreachable"]


async def test_a_liar_does_not_get_a_round_of_its_own(minimal_network: Network) -> None:
    liar = Service({HEAD: checkpoint("39", root(666))}, "liar")
    _, decision = await decide(minimal_network, liar, beacon_node("a", 9), beacon_node("b", 9))
    assert decision.checkpoint is not None
    assert decision.checkpoint.root.hex() == root(9)[2:]
    assert standings(decision) == ["silent", "agrees", "agrees"]


# Real HTTP -------------------------------------------------------------------------------------


async def test_simulated_nodes_over_real_http_one_of_them_behind() -> None:
    network = simulated_network("minimal", {"fulu": 0})
    ahead, behind = SimulatedChain(network), SimulatedChain(network)
    ahead.advance_to(120)
    behind.advance_to(100)
    newer, older = ahead.head.finalized.root, behind.head.finalized.root
    assert newer != older
    async with AsyncExitStack() as stack:
        chains = (ahead, behind, ahead)
        urls = [await stack.enter_async_context(serve(chain, ServerHabits())) for chain in chains]
        services = [CheckpointService(url) for url in urls]
        _, decision = await ask_for_checkpoint(services, ahead.network, 2, 15)
        assert decision.checkpoint is not None
        assert decision.checkpoint.root == newer
        assert standings(decision) == ["agrees", "lagging", "agrees"]
        services = [CheckpointService(url) for url in urls]
        _, decision = await ask_for_checkpoint(services, ahead.network, 3, 15)
        assert decision.checkpoint is not None
        assert decision.checkpoint.root == older
        assert standings(decision) == ["agrees"] * 3


async def test_one_that_drips_is_given_up_in_time_and_the_others_are_heard(
    minimal_network: Network,
) -> None:
    async def drip(_heard: Heard, stream: anyio.abc.SocketStream) -> None:
        await stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        for _ in range(900):
            await stream.send(b" ")
            await anyio.sleep(0.1)

    async def good(heard: Heard, stream: anyio.abc.SocketStream) -> None:
        body = f'{{"data":{{"finalized":{{"epoch":9,"root":"{root(9)}"}}}}}}'.encode()
        await stream.send(
            response(body) if heard.target == HEAD else response(b"", "404 Not Found")
        )

    async with serving(drip) as slow, serving(good) as one, serving(good) as two:
        waits = ((slow, 0.5), (one, 60.0), (two, 60.0))
        services = [CheckpointService(s.url, timeout=seconds) for s, seconds in waits]
        start = time.monotonic()
        statements, decision = await ask_for_checkpoint(services, minimal_network, 2, NOW)
    assert time.monotonic() - start < 60
    assert decision.checkpoint is not None
    assert standings(decision) == ["unreachable", "agrees", "agrees"]
    assert "within 0.5 s" in statements[0].reason
