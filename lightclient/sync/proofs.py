"""What the parts of a store were proven by, so that whoever keeps it can have it proven again.

All but the current sync committee can be: the committee's signatures stand under both headers and
under the state that names the next committee. Pure, like all of this room.
"""

from __future__ import annotations

from dataclasses import dataclass

from lightclient.config.forks import DATA_FORMATS
from lightclient.config.network import Network
from lightclient.containers import AnyUpdate, LightClientUpdate
from lightclient.protocol import LightClientStore, SignatureVerifier, signing_committee
from lightclient.protocol.headers import is_valid_light_client_header
from lightclient.protocol.validation import validate_light_client_update
from lightclient.ssz import is_valid_normalized_merkle_branch


@dataclass(frozen=True, slots=True)
class StoreProofs:
    """The updates that brought a store's headers and next committee.

    Attributes:
        finalized: None while the finalized header is the trusted block's.
        optimistic: None while the optimistic header is the trusted block's.
        next_sync_committee: None while that committee is unknown.
    """

    finalized: LightClientUpdate | None = None
    optimistic: LightClientUpdate | None = None
    next_sync_committee: LightClientUpdate | None = None

    def after(
        self, before: LightClientStore, store: LightClientStore, update: AnyUpdate
    ) -> StoreProofs:
        """The proofs of ``store``, to which ``update`` has led from ``before``."""
        full = update.as_update(store.current_sync_committee.size)
        finalized, optimistic = self.finalized, self.optimistic
        if store.finalized_header is not before.finalized_header:
            finalized = full
        if store.optimistic_header is not before.optimistic_header:
            optimistic = full
        next_sync_committee = self.next_sync_committee
        if store.next_sync_committee is None:
            next_sync_committee = None
        elif store.next_sync_committee is not before.next_sync_committee:
            next_sync_committee = full
        return StoreProofs(finalized, optimistic, next_sync_committee)


def why_not_proven(
    store: LightClientStore,
    proofs: StoreProofs,
    trusted_block_root: bytes,
    network: Network,
    signatures: SignatureVerifier,
) -> str | None:
    """What is wrong with a store that was kept elsewhere; None if all of it holds.

    Everything is checked that can be without the history: the form, the order of slots and
    periods, the execution proofs, each proof and its signature, the aggregate of the current
    committee's keys before it is relied on. That this committee is the one which the history led
    to is taken on trust. Takes some 50 to 150 ms.
    """
    return (
        _why_not_consistent(store, network)
        or _why_finalized_is_not_proven(store, proofs, trusted_block_root, network)
        or _why_optimistic_is_not_proven(store, proofs)
        or _why_next_committee_is_not_proven(store, proofs, network)
        or _why_not_signed(store, proofs, network, signatures)
        or _why_candidate_is_not_valid(store, network, signatures)
    )


def _why_not_consistent(store: LightClientStore, network: Network) -> str | None:
    period = network.compute_sync_committee_period_at_slot
    size = network.preset.sync_committee_size
    finalized, optimistic = store.finalized_header, store.optimistic_header
    committees = [store.current_sync_committee, store.next_sync_committee]
    if any(committee is not None and committee.size != size for committee in committees):
        return "a sync committee is of another size"
    for header in (finalized, optimistic):
        if not is_valid_light_client_header(header, network):
            return f"the header at slot {header.beacon.slot} proves no valid payload"
    ahead = period(optimistic.beacon.slot) - period(finalized.beacon.slot)
    if optimistic.beacon.slot < finalized.beacon.slot or ahead > (committees[1] is not None):
        return "the optimistic header is out of the finalized header's reach"
    formats = {header.data_format for header in (finalized, optimistic)}
    if any(DATA_FORMATS.index(store.data_format) < DATA_FORMATS.index(item) for item in formats):
        return "a header is of a newer format than the store"
    maxima = (store.previous_max_active_participants, store.current_max_active_participants)
    if not all(0 <= participants <= size for participants in maxima):
        return "more participants than a committee has members"
    return None


def _why_finalized_is_not_proven(
    store: LightClientStore, proofs: StoreProofs, trusted_block_root: bytes, network: Network
) -> str | None:
    header, proof = store.finalized_header, proofs.finalized
    if proof is None:
        is_trusted = header.beacon.hash_tree_root() == trusted_block_root
        return None if is_trusted else "the finalized header is not the trusted block's"
    if proof.attested_header == header:
        return None  # by a forced update
    attested = proof.attested_header.beacon
    if proof.finalized_header == header and is_valid_normalized_merkle_branch(
        header.beacon.hash_tree_root(),
        proof.finality_branch,
        network.fork_at_slot(attested.slot).finalized_root_gindex,
        attested.state_root,
    ):
        return None
    return "the finalized header is not proven"


def _why_optimistic_is_not_proven(store: LightClientStore, proofs: StoreProofs) -> str | None:
    header, proof = store.optimistic_header, proofs.optimistic
    if header == store.finalized_header or (proof is not None and proof.attested_header == header):
        return None
    return "the optimistic header is not proven"


def _why_next_committee_is_not_proven(
    store: LightClientStore, proofs: StoreProofs, network: Network
) -> str | None:
    committee, proof = store.next_sync_committee, proofs.next_sync_committee
    if committee is None:
        return None if proof is None else "the next sync committee is missing"
    period = network.compute_sync_committee_period_at_slot
    if proof is not None:
        attested = proof.attested_header.beacon
        if period(attested.slot) == period(
            store.finalized_header.beacon.slot
        ) and is_valid_normalized_merkle_branch(
            committee.hash_tree_root(),
            proof.next_sync_committee_branch,
            network.fork_at_slot(attested.slot).next_sync_committee_gindex,
            attested.state_root,
        ):
            return None
    return "the next sync committee is not proven"


def _why_not_signed(
    store: LightClientStore, proofs: StoreProofs, network: Network, signatures: SignatureVerifier
) -> str | None:
    # As for a bootstrap. The next committee's come before its first use, as always at the head.
    signatures.compare_aggregate(store.current_sync_committee)
    checked: list[LightClientUpdate] = []
    for proof in (proofs.finalized, proofs.optimistic, proofs.next_sync_committee):
        if proof is None or any(_have_one_signature(proof, other) for other in checked):
            continue
        slot = proof.attested_header.beacon.slot
        committee = signing_committee(store, proof.signature_slot, network)
        if committee is None or proof.signature_slot <= slot:
            return f"no known committee can have signed the header at slot {slot}"
        if not signatures.is_signature_valid(committee, proof, network):
            return f"the signature of the header at slot {slot} is not its committee's"
        checked.append(proof)
    return None


def _have_one_signature(one: LightClientUpdate, other: LightClientUpdate) -> bool:
    return (
        one.attested_header.beacon == other.attested_header.beacon
        and one.sync_aggregate == other.sync_aggregate
        and one.signature_slot == other.signature_slot
    )


def _why_candidate_is_not_valid(
    store: LightClientStore, network: Network, signatures: SignatureVerifier
) -> str | None:
    # What it was judged by has not changed since, or it would not be kept any more.
    best = store.best_valid_update
    if best is None:
        return None
    refusal = validate_light_client_update(store, best, best.signature_slot, network, signatures)
    return None if refusal is None else f"the best valid update is not valid: {refusal.detail}"
