"""What a store was proven by is kept with it and proves it again, or says what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from lightclient.config import DATA_FORMATS
from lightclient.containers import LightClientObject, default_sync_committee
from lightclient.protocol import ACCEPTED, LightClientStore, SignatureVerifier
from lightclient.sync import (
    ForcedUpdatePolicy,
    NewFinalizedHeader,
    NewOptimisticHeader,
    Processor,
    StoreProofs,
    why_not_proven,
)
from tests.sync.chains import (
    HEAD,
    NOW,
    at,
    bootstrap,
    chain,
    finality_update,
    optimistic_update,
    processor,
    update,
)

NETWORK = chain().network
ROOT = bootstrap().header.beacon.hash_tree_root()
Case = tuple[LightClientStore, StoreProofs]


def at_head() -> Processor:
    made = processor()
    for period in range(5):
        assert made.process(update(period), NOW).verdict == ACCEPTED
    made.process(finality_update(), NOW)
    made.process(optimistic_update(), NOW)
    return made


def kept(made: Processor) -> Case:
    assert made.store is not None
    return made.store.copy(), made.proofs


def why_not(case: Case, root: bytes = ROOT) -> str | None:
    # Keys of its own: nothing is remembered from the first time.
    verifier = SignatureVerifier(Processor(NETWORK, ROOT).signatures.backend)
    return why_not_proven(*case, root, NETWORK, verifier)


def test_every_store_on_the_way_can_be_proven_again() -> None:
    made = processor()
    assert why_not(kept(made)) is None
    later: list[LightClientObject] = [
        *map(update, range(5)),
        finality_update(),
        optimistic_update(),
    ]
    for value in later:
        made.process(value, NOW)
        assert why_not(kept(made)) is None


def test_a_history_judged_together_leaves_the_same_proofs_as_one_by_one() -> None:
    single, together = processor(), processor()
    updates = [update(period) for period in range(4)]
    for value in updates:
        single.process(value, NOW)
    together.process_updates(updates, NOW)
    assert together.proofs == single.proofs
    assert why_not(kept(together)) is None


def test_a_store_that_was_forced_on_can_be_proven_again() -> None:
    made = processor(weak=True, forced_update=ForcedUpdatePolicy.SPEC_TIMEOUT)
    made.process(update(0, weak=True), NOW)
    for period in range(1, 4):
        made.process(update(period, weak=True), NOW)
        assert why_not(kept(made)) is None
        assert made.tick(NOW) is not None
        assert why_not(kept(made)) is None


def test_the_candidate_of_a_stalled_period_is_proven_with_the_rest() -> None:
    made = processor(weak=True)
    made.process(update(0, weak=True), NOW)
    made.process(update(1, weak=True), NOW)
    store, proofs = kept(made)
    assert store.best_valid_update is not None
    assert why_not((store, proofs)) is None
    aggregate = update(2, weak=True).sync_aggregate
    store.best_valid_update = replace(store.best_valid_update, sync_aggregate=aggregate)
    assert "the best valid update is not valid" in (why_not((store, proofs)) or "")


def test_resuming_gives_the_same_headers_and_goes_on_from_there() -> None:
    first = at_head()
    resumed = Processor(NETWORK, ROOT)
    events = resumed.resume(*kept(first), NOW)
    assert [type(event) for event in events] == [NewFinalizedHeader, NewOptimisticHeader]
    assert events[0].header == resumed.finalized_header == first.finalized_header
    assert events[1].header == resumed.optimistic_header == first.optimistic_header
    assert resumed.finalized_header is not None
    assert resumed.finalized_header.participants is not None
    assert resumed.process(bootstrap(), NOW).verdict.rule == "bootstrap_exists"
    later = at(HEAD + 8)
    assert not resumed.process(optimistic_update(), later).progress
    assert why_not(kept(resumed)) is None


def test_resuming_at_the_trusted_block_claims_no_signature_for_it() -> None:
    resumed = Processor(NETWORK, ROOT)
    resumed.resume(*kept(processor()), NOW)
    assert resumed.finalized_header is not None
    assert resumed.finalized_header.participants is None
    assert resumed.process(update(0), NOW).progress


def test_a_store_that_is_forgotten_leaves_nothing() -> None:
    made = at_head()
    made.forget()
    assert (made.store, made.finalized_header, made.optimistic_header) == (None, None, None)
    assert made.proofs == StoreProofs()
    assert made.process(bootstrap(), NOW).progress


# What does not hold -------------------------------------------------------------------------------


def _changed(**changes: object) -> Callable[[Case], Case]:
    return lambda case: (replace(case[0], **changes), case[1])  # type: ignore[arg-type]


def _unproven(**changes: object) -> Callable[[Case], Case]:
    return lambda case: (case[0], replace(case[1], **changes))  # type: ignore[arg-type]


def _swapped_keys(case: Case) -> Case:
    """Two members in each other's seat: the sum of all keys stays the same."""
    committee = case[0].current_sync_committee
    keys = committee.pubkeys
    # The two seats must differ in their bits for the difference to show in this signature.
    bits = int.from_bytes(case[1].finalized.sync_aggregate.sync_committee_bits, "little")  # type: ignore[union-attr]
    absent = next(seat for seat in range(committee.size) if not bits >> seat & 1)
    present = next(seat for seat in range(committee.size) if bits >> seat & 1)
    seats = [committee.pubkey(seat) for seat in range(committee.size)]
    seats[absent], seats[present] = seats[present], seats[absent]
    assert b"".join(seats) != keys
    return replace(case[0], current_sync_committee=replace(committee, pubkeys=b"".join(seats))), (
        case[1]
    )


_EMPTY = default_sync_committee(16)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_changed(finalized_header=update(2).finalized_header), "out of the finalized"),
        (_changed(finalized_header=update(4).finalized_header), "finalized header is not proven"),
        (_changed(optimistic_header=update(2).attested_header), "out of the finalized"),
        (
            _changed(optimistic_header=finality_update().attested_header),
            "optimistic header is not proven",
        ),
        (_changed(current_sync_committee=_EMPTY), "another size"),
        (_changed(next_sync_committee=_EMPTY), "another size"),
        (_changed(current_sync_committee=update(2).next_sync_committee), "signature of the header"),
        (_changed(next_sync_committee=update(2).next_sync_committee), "next sync committee is not"),
        (_changed(current_max_active_participants=33), "more participants"),
        (_changed(previous_max_active_participants=-1), "more participants"),
        (_changed(data_format=DATA_FORMATS[0]), "newer format"),
        (_changed(best_valid_update=update(1)), "the best valid update is not valid"),
        (_unproven(finalized=None), "is not the trusted block's"),
        (_unproven(finalized=update(2)), "finalized header is not proven"),
        (_unproven(optimistic=None), "optimistic header is not proven"),
        (_unproven(optimistic=update(4)), "optimistic header is not proven"),
        (_unproven(next_sync_committee=None), "next sync committee is not proven"),
        (_unproven(next_sync_committee=update(3)), "next sync committee is not proven"),
        (_swapped_keys, "signature of the header"),
    ],
)
def test_a_store_with_one_part_of_another_does_not_hold(
    change: Callable[[Case], Case], reason: str
) -> None:
    case = kept(at_head())
    assert why_not(case) is None
    assert reason in (why_not(change(case)) or "")


def test_a_signature_that_is_not_the_committees_does_not_hold() -> None:
    store, proofs = kept(at_head())
    aggregate = update(3).sync_aggregate
    for name in ("finalized", "optimistic", "next_sync_committee"):
        proof = replace(getattr(proofs, name), sync_aggregate=aggregate)
        changed = replace(proofs, **{name: proof})
        assert "signature of the header" in (why_not((store, changed)) or ""), name


def test_a_header_with_a_payload_that_it_does_not_prove_does_not_hold() -> None:
    store, proofs = kept(at_head())
    header = store.finalized_header
    assert header.execution is not None
    lie = replace(header, execution=replace(header.execution, block_number=1))
    assert "no valid payload" in (why_not((replace(store, finalized_header=lie), proofs)) or "")


def test_the_trusted_block_of_somebody_else_proves_nothing() -> None:
    case = kept(processor())
    assert "is not the trusted block's" in (why_not(case, bytes(32)) or "")
