"""Every rule in plain words: what it makes sure of, what it compares, and who is probably at fault.

Text only, for people who look at a refusal; nothing here decides anything. ``{names}`` stand for
the values of a verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from lightclient.protocol.verdicts import Rule


class Suspect(StrEnum):
    """Who or what makes an object be refused; the values are stable."""

    PROVIDER = "provider"
    """It lies, is broken, or what it sent was damaged on the way."""
    CLOCK = "clock"
    """This machine's clock is wrong (or the provider's)."""
    NETWORK = "network"
    """One of both is set to another network, preset or trusted block root."""
    VERSION = "version"
    """This program does not know a fork that the network has activated."""
    BEHIND = "behind"
    """The store was not far enough yet to judge it."""
    NOBODY = "nobody"
    """Nothing is wrong."""


SUSPECT_SENTENCES: dict[Suspect, str] = {
    Suspect.PROVIDER: "the provider lies or is broken, or what it sent was damaged on the way",
    Suspect.CLOCK: "this machine's clock is wrong, or the provider's",
    Suspect.NETWORK: "you and the provider are not on the same network, preset or trusted block",
    Suspect.VERSION: "the network has a fork that this program does not know as it is",
    Suspect.BEHIND: "this client was too far behind, or ahead, to judge the object",
    Suspect.NOBODY: "nobody: nothing is wrong",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """One rule for people.

    Attributes:
        checks: what the rule makes sure of, and why.
        expected, seen: what would have been right and what was there, with ``{values}``.
        suspects: who is probably at fault, the likeliest first.
        advice: what to do.
    """

    checks: str
    expected: str
    seen: str
    suspects: tuple[Suspect, ...]
    advice: str


_P, _C, _N = Suspect.PROVIDER, Suspect.CLOCK, Suspect.NETWORK
_V, _B, _NOBODY = Suspect.VERSION, Suspect.BEHIND, Suspect.NOBODY

_IGNORE = "nothing: the other providers are asked; from several of them, "
_FORK_ADVICE = "check --network and take a version of this program that knows the current fork"

EXPLANATIONS: dict[Rule, Explanation] = {
    Rule.UNDECODABLE: Explanation(
        "Bytes must be the one encoding of an object of the kind that was asked for, in some"
        " fork's format and in the network's preset.",
        "an object of that kind",
        "bytes that are none",
        (_P, _N, _V),
        f"{_IGNORE}check --network, and whether this program knows the current fork",
    ),
    Rule.BOOTSTRAP_EXISTS: Explanation(
        "A store is started once: a second bootstrap has nothing to say.",
        "no store yet",
        "a store at finalized slot {finalized_slot}",
        (_NOBODY,),
        "nothing",
    ),
    Rule.INVALID_BOOTSTRAP_HEADER: Explanation(
        "The execution part of a header must be proven by the beacon block it comes with, the way"
        " the fork of its slot has it.",
        "an execution proof that fits the beacon block of slot {slot}",
        "one that does not, or a header in another fork's format",
        (_V, _N, _P),
        _FORK_ADVICE,
    ),
    Rule.BOOTSTRAP_ROOT_MISMATCH: Explanation(
        "The bootstrap must be that of the very block that you trust: all else rests on it.",
        "block {trusted_block_root}",
        "block {block_root}",
        (_P, _N),
        "ask another provider; if all send another block, look for a slip in the trusted block"
        " root, which must be a beacon block's and not an execution block's or a state's",
    ),
    Rule.INVALID_BOOTSTRAP_COMMITTEE_BRANCH: Explanation(
        "The sync committee must be part of the trusted block's state, which its Merkle branch"
        " proves.",
        "a branch from the committee to the state root of slot {slot}",
        "a branch that does not lead there from committee {committee_root}",
        (_P, _V),
        "ask another provider for the bootstrap",
    ),
    Rule.NO_BOOTSTRAP: Explanation(
        "Without a bootstrap no committee is known, so no signature can be checked.",
        "a store that has its bootstrap",
        "none",
        (_B,),
        "nothing if it came while starting; otherwise see why no bootstrap was accepted",
    ),
    Rule.INSUFFICIENT_PARTICIPANTS: Explanation(
        "At least a minimum of committee members must have signed, or the signature says nothing.",
        "{minimum} members or more",
        "{participants}",
        (_P,),
        f"{_IGNORE}the chain itself may have stood still in that slot",
    ),
    Rule.INVALID_ATTESTED_HEADER: Explanation(
        "The execution part of the attested header must be proven by its beacon block, the way the"
        " fork of its slot has it.",
        "an execution proof that fits the beacon block of slot {attested_slot}",
        "one that does not, or a header in another fork's format",
        (_V, _P, _N),
        _FORK_ADVICE,
    ),
    Rule.ATTESTED_BEFORE_FINALIZED: Explanation(
        "The attested block's state names the finalized block, which is therefore older.",
        "a finalized slot of {attested_slot} at most",
        "finalized slot {finalized_slot}",
        (_P,),
        "nothing: the provider made this up, the others are asked",
    ),
    Rule.SIGNATURE_NOT_AFTER_ATTESTED: Explanation(
        "A committee signs the block of an earlier slot, so the signature's slot comes later.",
        "a signature slot after {attested_slot}",
        "signature slot {signature_slot}",
        (_P,),
        "nothing: the provider made this up, the others are asked",
    ),
    Rule.SIGNATURE_SLOT_IN_FUTURE: Explanation(
        "No signature is older than the moment it was made, so its slot has begun by the clock"
        " here.",
        "a signature slot of {current_slot} at most",
        "signature slot {signature_slot}",
        (_C, _P, _N),
        "compare this machine's clock with another one (NTP); if it is right, drop the provider,"
        " and check --network",
    ),
    Rule.PERIOD_NOT_COVERED: Explanation(
        "A signature can be checked only with the committee of its period, which the store must"
        " know.",
        "a period that the store covers: it is at period {store_period} and knows"
        " {known_committees}",
        "a signature of period {signature_period}",
        (_B, _P),
        "nothing while catching up: the updates of the periods between are fetched; if it stays"
        " so, add a provider that has them",
    ),
    Rule.NOT_RELEVANT: Explanation(
        "An object older than what is final already is not worth its checks.",
        "an attested slot after {store_finalized_slot}, or an unknown committee",
        "attested slot {attested_slot}",
        (_NOBODY,),
        "nothing: the provider lags, or several said the same",
    ),
    Rule.UNEXPECTED_FINALIZED_HEADER: Explanation(
        "A finalized header without a proof must be empty, so that none passes unproven.",
        "an empty finalized header, or a proof of it",
        "a finalized header at slot {finalized_slot} and an empty proof",
        (_P,),
        "nothing: the provider made this up, the others are asked",
    ),
    Rule.INVALID_GENESIS_FINALITY: Explanation(
        "Before anything is finalized, a state's finalized root is zero, and the header that goes"
        " with it empty.",
        "an empty finalized header",
        "a header of the genesis slot that is not empty",
        (_P,),
        "nothing: the provider made this up, the others are asked",
    ),
    Rule.INVALID_FINALIZED_HEADER: Explanation(
        "The execution part of the finalized header must be proven by its beacon block, the way"
        " the fork of its slot has it.",
        "an execution proof that fits the beacon block of slot {finalized_slot}",
        "one that does not, or a header in another fork's format",
        (_V, _P, _N),
        _FORK_ADVICE,
    ),
    Rule.INVALID_FINALITY_BRANCH: Explanation(
        "The finalized block must be named in the attested block's state, which its Merkle branch"
        " proves.",
        "a branch from the finalized block to the state root of slot {attested_slot}",
        "a branch that does not lead there from block {finalized_root}",
        (_P, _V),
        f"{_IGNORE}take a version of this program that knows the current fork",
    ),
    Rule.UNEXPECTED_NEXT_COMMITTEE: Explanation(
        "A next sync committee without a proof must be empty, so that none passes unproven.",
        "an empty committee, or a proof of it",
        "a committee and an empty proof",
        (_P,),
        "nothing: the provider made this up, the others are asked",
    ),
    Rule.CONFLICTING_NEXT_COMMITTEE: Explanation(
        "A period has one committee: once it is known, every update must name the same.",
        "committee {known_committee_root} of period {period}",
        "committee {committee_root}",
        (_N, _P),
        "keep this file, and compare the trusted block root with two sources that have nothing to"
        " do with each other: provider or client follow another chain",
    ),
    Rule.INVALID_NEXT_COMMITTEE_BRANCH: Explanation(
        "The next sync committee must be part of the attested block's state, which its Merkle"
        " branch proves.",
        "a branch from the committee to the state root of slot {attested_slot}",
        "a branch that does not lead there from committee {committee_root}",
        (_P, _V),
        f"{_IGNORE}take a version of this program that knows the current fork",
    ),
    Rule.BAD_SIGNATURE: Explanation(
        "The members whose bits are set must have signed the attested block, for this network and"
        " the fork in force.",
        "a signature of {participants} members of the committee of period {signature_period} over"
        " slot {attested_slot}, under fork version {fork_version}",
        "a signature that is not theirs, or over something else",
        (_P, _N, _V),
        "drop the provider; from all of them: check --network and the trusted block root, and"
        " take a version of this program that knows the current fork",
    ),
    Rule.NO_PROGRESS: Explanation(
        "A valid object may say what is known already.",
        "something new",
        "nothing new",
        (_NOBODY,),
        "nothing: several providers said the same",
    ),
}
