"""Verdicts: how an object was judged, and the rule that decided.

Rule names are stable: logs, the command line, negative test vectors and callers' code rely on them.
The order in ``Rule`` is the order in which the tests run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class VerdictKind(StrEnum):
    """What became of an object."""

    ACCEPTED = "accepted"
    """Valid, and the store changed."""
    DUPLICATE = "duplicate"
    """Brings nothing that the store does not have."""
    MISSING_PARENT = "missing_parent"
    """Cannot be judged yet: something before it is missing."""
    UNVIABLE_FORK = "unviable_fork"
    """Looks like an object of another chain, fork configuration or clock."""
    INVALID = "invalid"
    """Breaks a rule of the protocol whatever the chain."""


class Rule(StrEnum):
    """The test that decided against an object."""

    UNDECODABLE = "undecodable"
    BOOTSTRAP_EXISTS = "bootstrap_exists"
    INVALID_BOOTSTRAP_HEADER = "invalid_bootstrap_header"
    BOOTSTRAP_ROOT_MISMATCH = "bootstrap_root_mismatch"
    INVALID_BOOTSTRAP_COMMITTEE_BRANCH = "invalid_bootstrap_committee_branch"
    NO_BOOTSTRAP = "no_bootstrap"
    INSUFFICIENT_PARTICIPANTS = "insufficient_participants"
    INVALID_ATTESTED_HEADER = "invalid_attested_header"
    ATTESTED_BEFORE_FINALIZED = "attested_before_finalized"
    SIGNATURE_NOT_AFTER_ATTESTED = "signature_not_after_attested"
    SIGNATURE_SLOT_IN_FUTURE = "signature_slot_in_future"
    PERIOD_NOT_COVERED = "period_not_covered"
    NOT_RELEVANT = "not_relevant"
    UNEXPECTED_FINALIZED_HEADER = "unexpected_finalized_header"
    INVALID_GENESIS_FINALITY = "invalid_genesis_finality"
    INVALID_FINALIZED_HEADER = "invalid_finalized_header"
    INVALID_FINALITY_BRANCH = "invalid_finality_branch"
    UNEXPECTED_NEXT_COMMITTEE = "unexpected_next_committee"
    CONFLICTING_NEXT_COMMITTEE = "conflicting_next_committee"
    INVALID_NEXT_COMMITTEE_BRANCH = "invalid_next_committee_branch"
    BAD_SIGNATURE = "bad_signature"
    NO_PROGRESS = "no_progress"


_INVALID, _DUPLICATE = VerdictKind.INVALID, VerdictKind.DUPLICATE
_MISSING_PARENT, _UNVIABLE = VerdictKind.MISSING_PARENT, VerdictKind.UNVIABLE_FORK

# rule: (verdict, what was wrong, what it may mean or what to do)
_MEANING: dict[Rule, tuple[VerdictKind, str, str]] = {
    Rule.UNDECODABLE: (
        _INVALID,
        "{reason}",
        "the bytes are damaged, or belong to another kind of object, fork, preset or network",
    ),
    Rule.BOOTSTRAP_EXISTS: (
        _DUPLICATE,
        "the store is already initialised (finalized slot {finalized_slot})",
        "nothing to do",
    ),
    Rule.INVALID_BOOTSTRAP_HEADER: (
        _INVALID,
        "the execution proof of the header at slot {slot} does not fit its beacon block",
        "check the network: its fork schedule decides how the header is proven",
    ),
    Rule.BOOTSTRAP_ROOT_MISMATCH: (
        _INVALID,
        "the bootstrap is of block {block_root}, not of the trusted block {trusted_block_root}",
        "the provider sent another block, or the trusted block root is not what you meant",
    ),
    Rule.INVALID_BOOTSTRAP_COMMITTEE_BRANCH: (
        _INVALID,
        "the sync committee {committee_root} is not proven by the state of slot {slot}",
        "the provider's bootstrap is forged or damaged",
    ),
    Rule.NO_BOOTSTRAP: (
        _MISSING_PARENT,
        "no bootstrap was accepted yet",
        "give the bootstrap of the trusted block root first",
    ),
    Rule.INSUFFICIENT_PARTICIPANTS: (
        _INVALID,
        "{participants} sync committee members took part, at least {minimum} must",
        "the update proves nothing",
    ),
    Rule.INVALID_ATTESTED_HEADER: (
        _INVALID,
        "the execution proof of the attested header at slot {attested_slot} does not fit its block",
        "check the network: its fork schedule decides how the header is proven",
    ),
    Rule.ATTESTED_BEFORE_FINALIZED: (
        _INVALID,
        "the attested slot {attested_slot} is before the finalized slot {finalized_slot}",
        "a state cannot finalize a later block",
    ),
    Rule.SIGNATURE_NOT_AFTER_ATTESTED: (
        _INVALID,
        "the signature slot {signature_slot} is not after the attested slot {attested_slot}",
        "a committee signs blocks of earlier slots only",
    ),
    Rule.SIGNATURE_SLOT_IN_FUTURE: (
        _UNVIABLE,
        "the signature slot {signature_slot} is after the current slot {current_slot}",
        "if several providers send this, check this machine's clock",
    ),
    Rule.PERIOD_NOT_COVERED: (
        _MISSING_PARENT,
        (
            "the signature is of sync committee period {signature_period}; the store at period"
            " {store_period} knows {known_committees}"
        ),
        "updates of the periods between are needed first",
    ),
    Rule.NOT_RELEVANT: (
        _DUPLICATE,
        (
            "the attested slot {attested_slot} is not after the finalized slot"
            " {store_finalized_slot}, and no unknown sync committee comes with it"
        ),
        "nothing to do; its proofs were not checked",
    ),
    Rule.UNEXPECTED_FINALIZED_HEADER: (
        _INVALID,
        "a finalized header at slot {finalized_slot} comes without a proof",
        "an update without finality must have an empty finalized header",
    ),
    Rule.INVALID_GENESIS_FINALITY: (
        _INVALID,
        "the finalized slot is the genesis slot but the finalized header is not empty",
        "finality of genesis is proven by an empty header and the zero root",
    ),
    Rule.INVALID_FINALIZED_HEADER: (
        _INVALID,
        (
            "the execution proof of the finalized header at slot {finalized_slot} does not fit its"
            " block"
        ),
        "check the network: its fork schedule decides how the header is proven",
    ),
    Rule.INVALID_FINALITY_BRANCH: (
        _INVALID,
        "the finalized block {finalized_root} is not proven by the state of slot {attested_slot}",
        "the update is forged or damaged",
    ),
    Rule.UNEXPECTED_NEXT_COMMITTEE: (
        _INVALID,
        "a next sync committee comes without a proof",
        "an update without a committee proof must have an empty committee",
    ),
    Rule.CONFLICTING_NEXT_COMMITTEE: (
        _UNVIABLE,
        (
            "the next sync committee {committee_root} differs from the known one"
            " {known_committee_root} of period {period}"
        ),
        "the provider follows another chain",
    ),
    Rule.INVALID_NEXT_COMMITTEE_BRANCH: (
        _INVALID,
        (
            "the next sync committee {committee_root} is not proven by the state of slot"
            " {attested_slot}"
        ),
        "the update is forged or damaged",
    ),
    Rule.BAD_SIGNATURE: (
        _UNVIABLE,
        (
            "the signature of {participants} members of the committee of period"
            " {signature_period} over slot {attested_slot} does not hold under fork version"
            " {fork_version}"
        ),
        "the provider follows another chain, network or fork schedule, or lies",
    ),
    Rule.NO_PROGRESS: (_DUPLICATE, "valid, but nothing in it is new", "nothing to do"),
}


def _shown(value: object) -> object:
    return "0x" + value.hex() if isinstance(value, bytes) else value


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement of one object.

    Attributes:
        kind: what became of it.
        rule: the test that decided; None if accepted.
        values: what that test saw, by name (roots as bytes).
    """

    kind: VerdictKind
    rule: Rule | None = None
    values: Mapping[str, object] = field(default_factory=dict)

    @property
    def detail(self) -> str:
        """One sentence with the values; empty if accepted."""
        if self.rule is None:
            return ""
        values = {name: _shown(value) for name, value in self.values.items()}
        return _MEANING[self.rule][1].format_map(values)

    @property
    def hint(self) -> str:
        """What it may mean, or what to do; empty if accepted."""
        return "" if self.rule is None else _MEANING[self.rule][2]

    @property
    def is_refusal(self) -> bool:
        """Whether the object was neither accepted nor a duplicate."""
        return self.kind not in {VerdictKind.ACCEPTED, VerdictKind.DUPLICATE}

    def __str__(self) -> str:
        return self.kind if self.rule is None else f"{self.kind} ({self.rule}): {self.detail}"


ACCEPTED = Verdict(VerdictKind.ACCEPTED)


def verdict_of(rule: Rule, **values: object) -> Verdict:
    """The verdict that ``rule`` leads to; the keyword arguments are what its sentence names."""
    return Verdict(_MEANING[rule][0], rule, values)


def undecodable(reason: str) -> Verdict:
    """The verdict on bytes or JSON that are no object at all."""
    return verdict_of(Rule.UNDECODABLE, reason=reason)
