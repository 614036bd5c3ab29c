"""Updates of a history, judged one by one but for their signatures, which are checked together.

All else about an update depends only on the store that its predecessors leave. So the sequence is
walked on copies as if every signature held; if they do hold together, the walk was the truth, and
if not, nothing has happened yet and single processing decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lightclient.bls import CommitteeSignature, SharedCheck, proves_each
from lightclient.config.network import Network
from lightclient.containers import LightClientUpdate, SyncCommittee
from lightclient.protocol.processing import process_validated_update
from lightclient.protocol.signatures import SignatureVerifier
from lightclient.protocol.store import LightClientStore
from lightclient.protocol.validation import signing_committee, validate_all_but_signature
from lightclient.protocol.verdicts import Verdict


@dataclass(frozen=True, slots=True)
class Step:
    """One update of a walk.

    Attributes:
        verdict: its judgement if all signatures of the walk hold.
        store: the store after it.
        signature: what the verdict relies on; None if another rule refused the update.
    """

    update: LightClientUpdate
    verdict: Verdict
    store: LightClientStore
    signature: CommitteeSignature | None


def walk_light_client_updates(
    store: LightClientStore,
    updates: Sequence[LightClientUpdate],
    current_slot: int,
    network: Network,
    verifier: SignatureVerifier,
    check: SharedCheck,
    before_use: Callable[[LightClientUpdate, SyncCommittee], None],
) -> list[Step]:
    """Judge ``updates`` in order as if their signatures held; ``store`` stays as it is.

    Args:
        check: gets all signatures that the walk relies on.
        before_use: told of each committee before a signature of it is relied on.
    """
    steps: list[Step] = []
    for update in updates:
        signature = None
        after = store
        verdict = validate_all_but_signature(store, update, current_slot, network)
        if verdict is None:
            committee = signing_committee(store, update.signature_slot, network)
            assert committee is not None  # its period was checked
            before_use(update, committee)
            signature = verifier.signature_of(committee, update, network)
            check.add(signature)
            after = store.copy()
            verdict = process_validated_update(after, update, network)
        steps.append(Step(update, verdict, after, signature))
        store = after
    return steps


def signatures_hold(steps: Sequence[Step], verifier: SignatureVerifier, check: SharedCheck) -> bool:
    """Whether all signatures of a walk hold; False says only that single processing must decide.

    Where a batch cannot prove each signature by itself, those of updates that the store is left
    with are checked singly as well: a candidate for a forced update, and whatever brought a header
    or the next committee, as who keeps the store keeps those to prove it by.
    """
    if not check.all_hold():
        return False
    if proves_each(verifier.backend) or not steps:
        return True
    left = steps[-1].store
    return all(
        step.signature.is_valid()
        for step in steps
        if step.signature is not None and _is_left_with(left, step.update)
    )


def _is_left_with(store: LightClientStore, update: LightClientUpdate) -> bool:
    return (
        update is store.best_valid_update
        or update.finalized_header is store.finalized_header
        or update.attested_header is store.optimistic_header
        or update.next_sync_committee is store.next_sync_committee
    )
