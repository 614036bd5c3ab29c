"""The quorum over checkpoint services: a function of what they said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightclient.sync.checkpoint_quorum import (
    Checkpoint,
    Decision,
    Standing,
    Statement,
    absolute_majority,
    decide,
    default_quorum,
    epochs_to_compare,
    find_conflicts,
)

A, B, C = (bytes([number]) * 32 for number in (0xA, 0xB, 0xC))


def says(name: str, epoch: int, root: bytes, **older: bytes) -> Statement:
    """A service that finalized ``epoch`` and also told ``eN=root`` for others."""
    roots = {int(key[1:]): value for key, value in older.items()}
    return Statement(name, Checkpoint(epoch, root), roots={**roots, epoch: root})


def fails(name: str, how: Standing = Standing.UNREACHABLE) -> Statement:
    return Statement(name, failure=how, reason="for a reason")


def standings(decision: Decision) -> list[str]:
    return [str(standing) for standing in decision.standings]


@pytest.mark.parametrize(("asked", "quorum"), [(1, 2), (2, 2), (3, 2), (4, 3), (5, 3), (32, 17)])
def test_the_default_is_a_majority_of_those_asked_and_two_at_least(asked: int, quorum: int) -> None:
    assert default_quorum(asked) == quorum
    assert quorum * 2 > asked


def test_services_that_say_the_same_agree() -> None:
    decision = decide([says("a", 9, A), says("b", 9, A)], 2)
    assert decision.checkpoint == Checkpoint(9, A)
    assert decision.agreeing == 2
    assert standings(decision) == ["agrees", "agrees"]
    assert decision.conflicts == ()


def test_one_service_is_no_quorum_of_two() -> None:
    decision = decide([says("a", 9, A), fails("b")], 2)
    assert decision.checkpoint is None
    assert standings(decision) == ["unconfirmed", "unreachable"]


def test_nobody_agrees_on_nothing() -> None:
    assert decide([fails("a"), fails("b", Standing.WRONG_NETWORK)], 2).checkpoint is None
    assert decide([], 2).checkpoint is None


def test_a_service_that_is_ahead_is_compared_at_the_epoch_in_common() -> None:
    decision = decide([says("a", 10, B, e9=A), says("b", 9, A)], 2)
    assert decision.checkpoint == Checkpoint(9, A)
    assert standings(decision) == ["agrees", "agrees"]


def test_the_newest_epoch_with_a_quorum_is_chosen_and_the_rest_lag() -> None:
    statements = [says("a", 10, B, e9=A), says("b", 10, B, e9=A), says("c", 9, A)]
    decision = decide(statements, 2)
    assert decision.checkpoint == Checkpoint(10, B)
    assert standings(decision) == ["agrees", "agrees", "lagging"]


def test_who_tells_nothing_of_the_epoch_in_common_is_silent() -> None:
    decision = decide([says("a", 9, A), says("b", 9, A), says("c", 12, C)], 2)
    assert standings(decision) == ["agrees", "agrees", "silent"]


def test_a_laggard_on_another_chain_is_in_conflict() -> None:
    statements = [says("a", 10, B, e9=A), says("b", 10, B), says("c", 9, C)]
    decision = decide(statements, 2)
    assert decision.checkpoint == Checkpoint(10, B)
    assert standings(decision) == ["agrees", "agrees", "conflicting"]
    assert [conflict.epoch for conflict in decision.conflicts] == [9]


def test_a_conflict_needs_more_than_half_of_all_that_were_asked() -> None:
    statements = [says("a", 9, A), says("b", 9, A), says("c", 9, B), fails("d"), fails("e")]
    decision = decide(statements, 2)
    assert decision.checkpoint is None
    assert decision.needed == 3
    assert standings(decision)[:3] == ["conflicting"] * 3
    # Without the contradiction two would have been enough.
    assert decide([*statements[:2], *map(fails, "cde")], 2).checkpoint == Checkpoint(9, A)
    # And a majority outvotes one that contradicts.
    decision = decide([*statements[:3], says("d", 9, A), fails("e")], 2)
    assert decision.checkpoint == Checkpoint(9, A)
    assert standings(decision) == ["agrees", "agrees", "conflicting", "agrees", "unreachable"]


def test_two_roots_with_as_many_services_are_no_quorum_however_low_it_is() -> None:
    assert decide([says("a", 9, A), says("b", 9, B)], 1).checkpoint is None
    four = [says("a", 9, A), says("b", 9, B), says("c", 9, A), says("d", 9, B)]
    assert decide(four, 2).checkpoint is None


def test_after_a_conflict_about_the_newest_epoch_all_may_still_agree_on_an_older_one() -> None:
    statements = [says("a", 10, B, e9=A), says("b", 10, C, e9=A), says("c", 9, A)]
    decision = decide(statements, 2)
    assert decision.checkpoint == Checkpoint(9, A)
    assert [conflict.epoch for conflict in decision.conflicts] == [10]
    assert dict(decision.conflicts[0].roots) == {B: ("a",), C: ("b",)}


def test_what_a_service_that_does_not_count_says_is_no_conflict() -> None:
    other = says("c", 9, C)
    other.failure = Standing.WRONG_NETWORK
    statements = [says("a", 9, A), says("b", 9, A), other]
    assert find_conflicts(statements) == ()
    assert decide(statements, 2).checkpoint == Checkpoint(9, A)


def test_only_epochs_that_a_quorum_has_finalized_are_compared() -> None:
    statements = [says("a", 12, A), says("b", 10, B), says("c", 9, C), fails("d")]
    assert epochs_to_compare(statements, 1) == [12, 10, 9]
    assert epochs_to_compare(statements, 2) == [10, 9]
    assert epochs_to_compare(statements, 3) == [9]
    assert epochs_to_compare(statements, 4) == []


roots = st.sampled_from([A, B, C])
statement = st.builds(
    lambda finalized, older: Statement(
        "x",
        finalized,
        roots={e: r for e, r in older.items() if e < finalized.epoch}
        | {finalized.epoch: finalized.root},
    ),
    st.builds(Checkpoint, st.integers(0, 5), roots),
    st.dictionaries(st.integers(0, 5), roots, max_size=4),
)


@given(st.lists(st.one_of(statement, st.just(fails("f"))), max_size=7), st.integers(1, 7))
def test_a_root_is_named_by_a_quorum_and_in_a_conflict_by_a_majority(
    statements: list[Statement], quorum: int
) -> None:
    decision = decide(statements, quorum)
    assert len(decision.standings) == len(statements)
    if decision.checkpoint is None:
        return
    chosen = decision.checkpoint
    behind = [t for t in statements if t.roots.get(chosen.epoch) == chosen.root]
    assert decision.agreeing == len(behind) >= quorum
    if any(t.roots.get(chosen.epoch, chosen.root) != chosen.root for t in statements):
        assert decision.conflicts
    if decision.conflicts:
        assert len(behind) >= absolute_majority(len(statements))


@given(st.lists(statement, min_size=1, max_size=6))
def test_liars_below_the_default_quorum_never_get_their_root_chosen(
    liars: list[Statement],
) -> None:
    honest = [says(f"h{n}", 4, A, e0=A, e1=A, e2=A, e3=A) for n in range(len(liars) + 1)]
    decision = decide([*liars, *honest], default_quorum(len(liars) + len(honest)))
    assert decision.checkpoint is not None
    assert decision.checkpoint.root == A
