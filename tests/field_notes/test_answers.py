"""Servers whose answers are wrong, stale or mislabelled."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable
from dataclasses import replace

import anyio
import httpx
import pytest

from lightclient import MalformedAnswer, VerifiedHeader
from lightclient.protocol import Rule
from lightclient.simulator import SimulatedChain, simulated_network
from lightclient.simulator.faults import fault_names, make_fault
from lightclient.simulator.habits import Answer, Received, ServerHabits
from lightclient.simulator.in_process import FaultyTransport
from lightclient.transports.rest import RestTransport
from lightclient.transports.scores import START_SCORE
from tests.client.world import TickingWorld, until
from tests.field_notes.playing import SLOT, client_of, head_over_http, make_world, served, synced

pytestmark = pytest.mark.anyio
LIES = [name for name in fault_names() if name.startswith("forged_")]
STAND_INS = (
    Rule.BAD_SIGNATURE,
    Rule.INVALID_BOOTSTRAP_COMMITTEE_BRANCH,
    Rule.INVALID_NEXT_COMMITTEE_BRANCH,
)
"""What is broken in place of a rule that cannot be broken there."""


@pytest.mark.parametrize("lie", LIES)
async def test_a_lie_is_refused_by_its_rule_and_costs_the_liar_alone(
    lie: str, caplog: pytest.LogCaptureFixture
) -> None:
    world = make_world()
    liar = FaultyTransport(world.chain, [make_fault(lie, random.Random(0))], name="liar")
    with caplog.at_level(logging.WARNING, "lightclient"):
        async with client_of(world, liar, world.provider()) as client:
            await synced(client)
            scores = {item.name: item.score.honesty for item in client.providers}
    fields = [record.__dict__.get("lc", {}) for record in caplog.records]
    refusals = [item for item in fields if "rule" in item]
    assert {refusal["provider"] for refusal in refusals} <= {"liar"}
    assert scores["good"] >= START_SCORE
    rules = {str(refusal["rule"]) for refusal in refusals}
    if lie == f"forged_{Rule.SIGNATURE_SLOT_IN_FUTURE}":
        # In a range, the periods of such an update do not fit: it is left out unjudged.
        assert rules <= {Rule.SIGNATURE_SLOT_IN_FUTURE}
    else:
        assert rules
        assert rules <= {lie.removeprefix("forged_"), *STAND_INS}
        assert scores["liar"] < scores["good"]


async def test_with_liars_alone_nothing_false_is_ever_shown() -> None:
    world = make_world()
    liars = [
        FaultyTransport(world.chain, [make_fault(lie, random.Random(2))], name=lie)
        for lie in ("forged_bad_signature", "forged_invalid_next_committee_branch")
    ]
    shown: list[VerifiedHeader] = []
    async with client_of(
        world, *liars, on_finalized_header=shown.append, on_optimistic_header=shown.append
    ):
        await anyio.sleep(1)
    assert all(header.root in world.chain.blocks_by_root for header in shown)


async def test_a_branch_of_another_forks_length_is_not_decoded() -> None:
    world = make_world()

    def lengthen(_request: Received, answer: Answer) -> Answer:
        if b"finality_branch" in answer.body and answer.body[:1] == b"{":
            value = json.loads(answer.body)
            value["data"]["finality_branch"].append("0x" + "11" * 32)
            answer.body = json.dumps(value).encode()
        return answer

    async with served(world, ServerHabits(ssz=False, intercept=lengthen)) as (transport,):
        await transport.open(world.network)
        with pytest.raises(MalformedAnswer, match="finality_branch"):
            await transport.get_light_client_finality_update()
        await transport.aclose()


@pytest.mark.parametrize("fault", ["stale_finality", "stale_latest", "frozen", "lagging"])
async def test_stale_data_moves_nothing_backwards(fault: str) -> None:
    world = TickingWorld(SLOT, slot_duration_ms=100)
    stale = FaultyTransport(world.chain, [make_fault(fault, random.Random(3))], name="stale")
    slots: list[int] = []
    async with client_of(
        world,
        stale,
        world.provider(),
        on_finalized_header=lambda header: slots.append(header.slot),
    ) as client:
        await synced(client)
        await until(lambda: len(set(slots)) >= 3, seconds=20)
    assert slots == sorted(slots)


LABELS = {
    "no version header": ServerHabits(version_header=False),
    "no version anywhere": ServerHabits(version_header=False, body_version=False, ssz=False),
    "no envelope": ServerHabits(version_header=False, envelope=False, ssz=False),
    "a version for each update": ServerHabits(updates_version_header=True),
    "numbers for strings": ServerHabits(ssz=False, quoted_numbers=False),
    "digest of the signature slot": ServerHabits(version_header=False, digest="signature"),
    "digest of no network": ServerHabits(version_header=False, digest="zero_root"),
}


@pytest.mark.parametrize("label", LABELS)
async def test_labels_that_are_missing_or_odd_do_no_harm(label: str) -> None:
    await head_over_http(make_world(), LABELS[label])


@pytest.mark.parametrize("version", ["phase0", "altair", "gloas", "nonsense", "", "electra,altair"])
async def test_a_version_header_that_lies_does_no_harm(version: str) -> None:
    def relabel(_request: Received, answer: Answer) -> Answer:
        answer.headers["Eth-Consensus-Version"] = version
        return answer

    await head_over_http(make_world(), ServerHabits(intercept=relabel))


async def test_digests_with_and_without_blob_parameters_are_understood() -> None:
    network = simulated_network(
        "minimal", {"electra": 0, "fulu": 8}, blob_schedule=[(8, 12), (12, 15)]
    )
    chain = SimulatedChain(network, dense_from_slot=150)
    chain.advance_to(170)
    update = chain.finality_update()
    assert update is not None
    whole = chain.network.compute_fork_digest(21)
    plain = replace(chain.network, blob_schedule=()).compute_fork_digest(21)
    before = chain.network.compute_fork_digest(9)
    assert len({whole, plain, before}) == 3
    updates = chain.updates(0, 3)

    def answer_with(digest: bytes) -> Callable[[httpx.Request], httpx.Response]:
        from tests.transports.objects import chunk

        body = b"".join(chunk(item, digest) for item in updates)
        headers = {"content-type": "application/octet-stream"}
        return lambda _: httpx.Response(200, headers=headers, content=body)

    for digest in (whole, plain, before, bytes(4)):
        transport = RestTransport(
            "https://x.example", http_transport=httpx.MockTransport(answer_with(digest))
        )
        await transport.open(chain.network)
        found = await transport.get_light_client_updates_by_range(0, 3)
        await transport.aclose()
        assert found.error is None
        assert list(found.updates) == updates
