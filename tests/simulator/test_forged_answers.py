"""Forged answers break the rule that they are named after, and none makes a lie believed."""

from __future__ import annotations

import random

import anyio
import pytest

from lightclient.containers import ObjectKind
from lightclient.protocol import Rule, VerdictKind
from lightclient.simulator.exchange import Asked
from lightclient.simulator.faults import FAULTS, fault_names, make_fault
from lightclient.simulator.views import honest_objects
from lightclient.sync import Processor
from tests.simulator.faulty_chain import TRUSTED_SLOT, chain, everything, faulty, following, now_ms

pytestmark = pytest.mark.anyio
FORGED = [name for name in FAULTS if name.startswith("forged_")]
HEAD_PERIOD = 5
FORGED_KINDS = [
    (name, kind)
    for name in FORGED
    for kind in ObjectKind
    if make_fault(name, random.Random(0)).applies_to(Asked(kind))
]


@pytest.mark.parametrize(("name", "kind"), FORGED_KINDS)
def test_a_forged_answer_breaks_its_rule(name: str, kind: ObjectKind) -> None:
    fault = make_fault(name, random.Random(1))
    root = chain().trusted_block_root(TRUSTED_SLOT)
    asked = Asked(kind, block_root=root, start_period=HEAD_PERIOD, count=1)
    honest = honest_objects(chain(), asked)
    forged = fault.objects(asked, honest, chain())
    assert len(forged) == len(honest) == 1
    assert forged != honest
    rules = set()
    for _ in range(4):
        (value,) = fault.objects(asked, honest, chain())
        is_bootstrap = kind is ObjectKind.BOOTSTRAP
        judge = (
            Processor(chain().network, root, backend=chain().backend)
            if is_bootstrap
            else following(chain())
        )
        before = judge.store
        outcome = judge.process(value, now_ms())
        assert outcome.verdict.is_refusal, outcome.verdict
        assert not outcome.progress
        assert (judge.store is None) == (before is None)
        rules.add(outcome.verdict.rule)
    wanted = {Rule(name.removeprefix("forged_"))}
    if wanted == {Rule.CONFLICTING_NEXT_COMMITTEE}:
        # The head's period has no known next committee, so that only its proof can be wrong.
        wanted = {Rule.INVALID_NEXT_COMMITTEE_BRANCH}
    assert rules == wanted


@pytest.mark.parametrize("name", sorted(set(fault_names())))
def test_no_fault_that_spares_the_committee_makes_a_false_header_believed(name: str) -> None:
    processors = [following(chain(), knows_next=knows_next) for knows_next in (False, True)]
    for seed in range(2):
        values = anyio.run(everything, faulty(name, seed=seed, timeout=0.01))
        for processor in processors:
            for value in values:
                processor.process(value, now_ms())
            for header in (processor.finalized_header, processor.optimistic_header):
                assert header is not None
                assert chain().block_of_root(header.root) is not None


async def test_equivocation_is_signed_and_false_and_drawn_on_request_alone() -> None:
    transport = faulty("equivocating")
    honest = await faulty().get_light_client_optimistic_update()
    other = await transport.get_light_client_optimistic_update()
    assert other.attested_header.beacon.slot == honest.attested_header.beacon.slot
    assert other.attested_header != honest.attested_header
    for value in (honest, other):
        outcome = following(chain()).process(value, now_ms())
        assert outcome.verdict.kind is VerdictKind.ACCEPTED
    assert "equivocating" not in fault_names()
    assert "equivocating" in fault_names(with_dishonest_committee=True)
