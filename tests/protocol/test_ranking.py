"""The ranking of updates: the specification's comparisons, and that they make one order."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import snappy
from hypothesis import given, settings
from hypothesis import strategies as st

from lightclient.config.forks import FORKS_BY_NAME
from lightclient.containers import LightClientUpdate, ObjectKind, SyncAggregate, object_type
from lightclient.protocol import (
    has_supermajority,
    is_better_update,
    is_finality_update,
    is_sync_committee_update,
)
from tests.protocol.forge import PERIOD, Forge, network_from_genesis
from tests.protocol.judging import at_slot

NETWORK = network_from_genesis("capella")
FORGE = Forge(NETWORK)
BASE = FORGE.update(PERIOD + 24, finalized_slot=PERIOD + 8, committee=True)
BARE = FORGE.update(PERIOD + 24)


def made(
    participants: int = 32,
    *,
    committee: bool = True,
    finality: bool = True,
    attested_slot: int = PERIOD + 24,
    finalized_slot: int = PERIOD + 8,
    signature_slot: int = PERIOD + 25,
) -> LightClientUpdate:
    """An update with these properties; ranking looks at no proof and no signature."""
    header = BASE.finalized_header if finality else BARE.finalized_header
    return replace(
        BASE,
        attested_header=at_slot(BASE.attested_header, attested_slot),
        next_sync_committee_branch=(BASE if committee else BARE).next_sync_committee_branch,
        finality_branch=(BASE if finality else BARE).finality_branch,
        finalized_header=at_slot(header, finalized_slot) if finality else header,
        sync_aggregate=SyncAggregate(((1 << participants) - 1).to_bytes(4, "little"), bytes(96)),
        signature_slot=signature_slot,
    )


def test_each_comparison_decides_before_the_next() -> None:
    """Best first: a line loses to the one above by one comparison, whatever later ones say."""
    ordered = [
        made(32),
        made(32, signature_slot=PERIOD + 26),
        made(32, attested_slot=PERIOD + 26, signature_slot=PERIOD + 27),
        made(31),
        made(22, signature_slot=PERIOD + 60),
        made(32, finalized_slot=PERIOD - 1),  # finality of the period before
        made(32, finality=False),
        made(32, attested_slot=2 * PERIOD - 1, signature_slot=2 * PERIOD),  # no longer relevant
        made(22, committee=False),
        made(22, committee=False, finality=False),
        made(21),  # below two thirds participation comes first
        made(20),
        made(20, finalized_slot=PERIOD - 1),
        made(20, finality=False),
        made(20, committee=False),
        made(20, committee=False, finality=False),
        made(1),
    ]
    for (i, first), (j, second) in itertools.product(enumerate(ordered), repeat=2):
        assert is_better_update(first, second, NETWORK) is (i < j), (i, j)


def test_two_thirds_is_reached_exactly() -> None:
    assert [has_supermajority(made(count)) for count in (21, 22)] == [False, True]


def test_an_all_zero_branch_means_that_nothing_is_proven() -> None:
    assert is_finality_update(made())
    assert is_sync_committee_update(made())
    assert not is_finality_update(made(finality=False))
    assert not is_sync_committee_update(made(committee=False))
    for field in ("finality_branch", "next_sync_committee_branch"):
        for index in range(5):
            branch = list(getattr(BARE, field))
            branch[index] = bytes(31) + b"\1"
            one_bit: dict[str, Any] = {field: tuple(branch)}
            update = replace(BARE, **one_bit)
            assert is_finality_update(update) is (field == "finality_branch")
            assert is_sync_committee_update(update) is (field != "finality_branch")


slots = st.integers(PERIOD - 3, 2 * PERIOD + 3)
updates = st.builds(
    made,
    st.integers(0, 32) | st.sampled_from([21, 22]),
    committee=st.booleans(),
    finality=st.booleans(),
    attested_slot=slots,
    finalized_slot=slots,
    signature_slot=slots,
)


def specified(new: LightClientUpdate, old: LightClientUpdate) -> bool:
    """Altair ``is_better_update`` as the specification writes it, comparison by comparison."""
    period = NETWORK.compute_sync_committee_period_at_slot
    max_active = len(new.sync_aggregate.sync_committee_bits) * 8
    new_active = new.sync_aggregate.num_active_participants
    old_active = old.sync_aggregate.num_active_participants
    new_super, old_super = new_active * 3 >= max_active * 2, old_active * 3 >= max_active * 2
    if new_super != old_super:
        return new_super
    if not new_super and new_active != old_active:
        return new_active > old_active
    new_relevant, old_relevant = (
        is_sync_committee_update(update)
        and period(update.attested_header.beacon.slot) == period(update.signature_slot)
        for update in (new, old)
    )
    if new_relevant != old_relevant:
        return new_relevant
    new_finality, old_finality = is_finality_update(new), is_finality_update(old)
    if new_finality != old_finality:
        return new_finality
    if new_finality:
        new_final, old_final = (
            period(update.finalized_header.beacon.slot)
            == period(update.attested_header.beacon.slot)
            for update in (new, old)
        )
        if new_final != old_final:
            return new_final
    if new_active != old_active:
        return new_active > old_active
    new_slot, old_slot = new.attested_header.beacon.slot, old.attested_header.beacon.slot
    if new_slot != old_slot:
        return new_slot < old_slot
    return new.signature_slot < old.signature_slot


@settings(max_examples=300)
@given(updates, updates)
def test_the_ranking_is_the_specification_s(one: LightClientUpdate, two: LightClientUpdate) -> None:
    assert is_better_update(one, two, NETWORK) == specified(one, two)
    assert is_better_update(two, one, NETWORK) == specified(two, one)


@given(updates, updates, updates)
def test_the_ranking_is_a_strict_order(
    one: LightClientUpdate, two: LightClientUpdate, three: LightClientUpdate
) -> None:
    def better(new: LightClientUpdate, old: LightClientUpdate) -> bool:
        return is_better_update(new, old, NETWORK)

    assert not better(one, one)
    assert not (better(one, two) and better(two, one))
    if better(one, two) and better(two, three):
        assert better(one, three)
    equal = not better(one, two) and not better(two, one)
    if equal:
        assert better(one, three) == better(two, three)
        assert better(three, one) == better(three, two)


def test_the_official_ranking_vectors_are_in_order(spec_vectors: Path) -> None:
    cases = sorted(spec_vectors.glob("tests/*/*/light_client/update_ranking/*/*"))
    if not cases:
        pytest.skip("no update_ranking vectors here")
    for case in cases:
        fork_name, preset = case.parts[-5], case.parts[-6]
        network = network_from_genesis(fork_name)
        assert preset == network.preset.name
        layout = object_type(ObjectKind.UPDATE, FORKS_BY_NAME[fork_name].data_format, 32)
        files = sorted(
            case.glob("updates_*.ssz_snappy"), key=lambda path: int(path.name.split(".")[0][8:])
        )
        ranked = [layout.decode(snappy.decompress(path.read_bytes())) for path in files]
        assert len(ranked) > 2
        for better, worse in itertools.combinations(ranked, 2):
            assert isinstance(better, LightClientUpdate)
            assert isinstance(worse, LightClientUpdate)
            assert not is_better_update(worse, better, network)
        for better, worse in itertools.pairwise(ranked):
            assert isinstance(better, LightClientUpdate)
            assert isinstance(worse, LightClientUpdate)
            assert is_better_update(better, worse, network)
