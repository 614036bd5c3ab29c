"""Verdicts as text: every rule has a sentence that names what it saw, and a hint."""

from __future__ import annotations

import re

import pytest

from lightclient.protocol import ACCEPTED, Rule, Verdict, VerdictKind, undecodable, verdict_of
from lightclient.protocol.verdicts import _MEANING

KINDS = {
    "undecodable": "invalid",
    "bootstrap_exists": "duplicate",
    "invalid_bootstrap_header": "invalid",
    "bootstrap_root_mismatch": "invalid",
    "invalid_bootstrap_committee_branch": "invalid",
    "no_bootstrap": "missing_parent",
    "insufficient_participants": "invalid",
    "invalid_attested_header": "invalid",
    "attested_before_finalized": "invalid",
    "signature_not_after_attested": "invalid",
    "signature_slot_in_future": "unviable_fork",
    "period_not_covered": "missing_parent",
    "not_relevant": "duplicate",
    "unexpected_finalized_header": "invalid",
    "invalid_genesis_finality": "invalid",
    "invalid_finalized_header": "invalid",
    "invalid_finality_branch": "invalid",
    "unexpected_next_committee": "invalid",
    "conflicting_next_committee": "unviable_fork",
    "invalid_next_committee_branch": "invalid",
    "bad_signature": "unviable_fork",
    "no_progress": "duplicate",
}


def test_rules_have_the_names_and_verdicts_that_callers_rely_on_in_this_order() -> None:
    assert {rule.value: verdict_of(rule).kind.value for rule in Rule} == KINDS
    assert [rule.value for rule in Rule] == list(KINDS)


@pytest.mark.parametrize("rule", Rule)
def test_a_verdict_s_sentence_holds_every_value_that_it_names(rule: Rule) -> None:
    names = re.findall(r"{(\w+)}", _MEANING[rule][1])
    values: dict[str, object] = {name: 1000 + index for index, name in enumerate(names)}
    verdict = verdict_of(rule, **values)
    for value in values.values():
        assert str(value) in verdict.detail
    assert verdict.detail
    assert verdict.hint
    assert "{" not in verdict.detail + verdict.hint
    assert str(verdict) == f"{verdict.kind} ({rule}): {verdict.detail}"


def test_roots_are_shown_as_hex() -> None:
    verdict = verdict_of(Rule.INVALID_FINALITY_BRANCH, finalized_root=b"\xab" * 32, attested_slot=7)
    assert f"0x{'ab' * 32}" in verdict.detail
    assert verdict.values["finalized_root"] == b"\xab" * 32


def test_what_a_server_sent_is_not_taken_for_a_template() -> None:
    hostile = "{finalized_root} {0.__class__} %s {"
    assert undecodable(hostile).detail == hostile


def test_an_accepted_object_has_no_rule_and_nothing_to_say() -> None:
    assert (ACCEPTED.rule, ACCEPTED.detail, ACCEPTED.hint) == (None, "", "")
    assert str(ACCEPTED) == "accepted"
    assert Verdict(VerdictKind.ACCEPTED) == ACCEPTED


def test_only_accepted_and_duplicate_are_no_refusal() -> None:
    refusals = {kind for kind in VerdictKind if Verdict(kind).is_refusal}
    assert refusals == set(VerdictKind) - {VerdictKind.ACCEPTED, VerdictKind.DUPLICATE}
