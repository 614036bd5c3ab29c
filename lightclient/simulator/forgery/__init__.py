"""Objects that break exactly one rule, in every fork: one function per rule of the protocol.

Each forgery is as honest as it can be apart from what its rule forbids: proofs are made from states
that say the forged thing, and signatures are true, so that no other test would catch it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lightclient.protocol import Rule
from lightclient.simulator.forgery import bootstraps, encodings, proofs, updates
from lightclient.simulator.scenes import Forgery, Scene, Stage

__all__ = ["FORGERS", "Forgery", "Scene", "Stage", "all_forgeries"]

FORGERS: dict[Rule, Callable[[Scene], Iterator[Forgery]]] = {
    Rule.UNDECODABLE: encodings.undecodable_bytes,
    Rule.BOOTSTRAP_EXISTS: bootstraps.bootstrap_exists,
    Rule.INVALID_BOOTSTRAP_HEADER: bootstraps.invalid_bootstrap_header,
    Rule.BOOTSTRAP_ROOT_MISMATCH: bootstraps.bootstrap_root_mismatch,
    Rule.INVALID_BOOTSTRAP_COMMITTEE_BRANCH: bootstraps.invalid_bootstrap_committee_branch,
    Rule.NO_BOOTSTRAP: updates.no_bootstrap,
    Rule.INSUFFICIENT_PARTICIPANTS: updates.insufficient_participants,
    Rule.INVALID_ATTESTED_HEADER: updates.invalid_attested_header,
    Rule.ATTESTED_BEFORE_FINALIZED: updates.attested_before_finalized,
    Rule.SIGNATURE_NOT_AFTER_ATTESTED: updates.signature_not_after_attested,
    Rule.SIGNATURE_SLOT_IN_FUTURE: updates.signature_slot_in_future,
    Rule.PERIOD_NOT_COVERED: updates.period_not_covered,
    Rule.NOT_RELEVANT: updates.not_relevant,
    Rule.UNEXPECTED_FINALIZED_HEADER: proofs.unexpected_finalized_header,
    Rule.INVALID_GENESIS_FINALITY: proofs.invalid_genesis_finality,
    Rule.INVALID_FINALIZED_HEADER: proofs.invalid_finalized_header,
    Rule.INVALID_FINALITY_BRANCH: proofs.invalid_finality_branch,
    Rule.UNEXPECTED_NEXT_COMMITTEE: proofs.unexpected_next_committee,
    Rule.CONFLICTING_NEXT_COMMITTEE: proofs.conflicting_next_committee,
    Rule.INVALID_NEXT_COMMITTEE_BRANCH: proofs.invalid_next_committee_branch,
    Rule.BAD_SIGNATURE: updates.bad_signature,
    Rule.NO_PROGRESS: updates.no_progress,
}
"""The function that forges for each rule. Some yield nothing in a fork where nothing can break."""


def all_forgeries(scene: Scene) -> Iterator[Forgery]:
    """Every forgery that there is in the scene's fork."""
    for maker in FORGERS.values():
        yield from maker(scene)
