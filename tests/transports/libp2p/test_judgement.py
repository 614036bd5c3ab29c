"""What becomes of a gossiped update for others, as a table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lightclient.containers import LightClientOptimisticUpdate, ObjectKind, encode_ssz
from lightclient.errors import DecodeError
from lightclient.protocol import ACCEPTED, Rule, Verdict, VerdictKind
from lightclient.sync import NewOptimisticHeader, Outcome, VerifiedHeader
from lightclient.transports.libp2p.judgement import (
    Acceptance,
    GossipRules,
    PushedUpdate,
    decode_gossip,
    is_too_early,
)
from lightclient.wire.gossip import FINALITY_UPDATE, OPTIMISTIC_UPDATE, Topic
from tests.client.world import World
from tests.transports.objects import make_object


def digest(world: World, slot: int) -> bytes:
    return world.network.compute_fork_digest(world.network.compute_epoch_at_slot(slot))


def progress(world: World, update: PushedUpdate) -> Outcome:
    header = VerifiedHeader(update.attested_header, world.network)
    return Outcome(ACCEPTED, (NewOptimisticHeader(header),), progress=True)


def judged(kind: VerdictKind, rule: Rule) -> Outcome:
    return Outcome(Verdict(kind, rule))


def late(world: World) -> int:
    return world.network.slot_start_ms(world.slot + 10)


@pytest.fixture
def finality(world: World) -> PushedUpdate:
    update = world.chain.finality_update()
    assert update is not None
    return update


@pytest.fixture
def optimistic(world: World) -> PushedUpdate:
    update = world.chain.optimistic_update()
    assert update is not None
    return update


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (None, Acceptance.IGNORE),
        (judged(VerdictKind.INVALID, Rule.INVALID_FINALITY_BRANCH), Acceptance.REJECT),
        (judged(VerdictKind.UNVIABLE_FORK, Rule.BAD_SIGNATURE), Acceptance.IGNORE),
        (judged(VerdictKind.MISSING_PARENT, Rule.PERIOD_NOT_COVERED), Acceptance.IGNORE),
        (judged(VerdictKind.DUPLICATE, Rule.NO_PROGRESS), Acceptance.IGNORE),
    ],
)
def test_each_verdict_means_what_the_specification_says(
    world: World, optimistic: PushedUpdate, outcome: Outcome | None, expected: Acceptance
) -> None:
    assert GossipRules(world.network).decide(optimistic, outcome, late(world)) is expected


def test_progress_is_passed_on_unless_it_comes_too_early(
    world: World, optimistic: PushedUpdate
) -> None:
    rules, network = GossipRules(world.network), world.network
    outcome = progress(world, optimistic)
    due_ms = network.slot_start_ms(optimistic.signature_slot) + network.slot_duration_ms // 3
    assert is_too_early(optimistic, network, due_ms - 502)
    assert not is_too_early(optimistic, network, due_ms - 498)
    assert rules.decide(optimistic, outcome, due_ms - 502) is Acceptance.IGNORE
    assert rules.decide(optimistic, outcome, due_ms) is Acceptance.ACCEPT


def test_from_gloas_on_updates_may_be_told_earlier(world: World, optimistic: PushedUpdate) -> None:
    earlier = tuple(
        replace(item, epoch=0) if item.fork.has_early_dues else item for item in world.network.forks
    )
    network = replace(world.network, forks=earlier)
    start_ms = network.slot_start_ms(optimistic.signature_slot)
    due_ms = start_ms + network.slot_duration_ms // 4
    assert is_too_early(optimistic, network, due_ms - 501)
    assert not is_too_early(optimistic, network, due_ms - 500)
    assert is_too_early(optimistic, world.network, due_ms - 500)


def test_an_optimistic_update_that_matches_the_last_finality_update_passes_once(
    world: World, finality: PushedUpdate
) -> None:
    rules = GossipRules(world.network)
    known = judged(VerdictKind.DUPLICATE, Rule.NO_PROGRESS)
    optimistic = LightClientOptimisticUpdate(
        finality.data_format,
        finality.attested_header,
        finality.sync_aggregate,
        finality.signature_slot,
    )
    assert rules.decide(optimistic, known, late(world)) is Acceptance.IGNORE
    assert rules.decide(finality, progress(world, finality), late(world)) is Acceptance.ACCEPT
    assert rules.decide(finality, known, late(world)) is Acceptance.IGNORE
    assert rules.decide(optimistic, known, late(world)) is Acceptance.ACCEPT
    assert rules.decide(optimistic, known, late(world)) is Acceptance.IGNORE


def test_an_update_is_decoded_under_its_own_forks_digest(
    world: World, finality: PushedUpdate, optimistic: PushedUpdate
) -> None:
    for name, update in ((FINALITY_UPDATE, finality), (OPTIMISTIC_UPDATE, optimistic)):
        slot = update.attested_header.beacon.slot
        topic = Topic(digest(world, slot), name)
        assert decode_gossip(topic, encode_ssz(update), world.network) == update


def test_at_a_forks_first_slot_the_signatures_digest_will_do(world: World) -> None:
    fork_slot = world.network.compute_start_slot_at_epoch(24)
    zeros = make_object(ObjectKind.OPTIMISTIC_UPDATE, world.network, fork_slot - 1)
    assert isinstance(zeros, LightClientOptimisticUpdate)
    assert digest(world, fork_slot) != digest(world, fork_slot - 1)
    topic = Topic(digest(world, fork_slot), OPTIMISTIC_UPDATE)
    signed_in_the_fork = replace(zeros, signature_slot=fork_slot)
    decode_gossip(topic, encode_ssz(signed_in_the_fork), world.network)
    signed_before = replace(zeros, signature_slot=fork_slot - 1)
    with pytest.raises(DecodeError, match="another fork"):
        decode_gossip(topic, encode_ssz(signed_before), world.network)


@pytest.mark.parametrize("content", [b"", b"\0" * 7, b"\xff" * 500])
def test_what_is_no_update_is_told_as_such(world: World, content: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_gossip(Topic(digest(world, world.slot), OPTIMISTIC_UPDATE), content, world.network)
    with pytest.raises(DecodeError):
        decode_gossip(Topic(digest(world, world.slot), "beacon_block"), content, world.network)
