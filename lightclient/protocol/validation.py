"""The rules that an object must pass, in order: each a short test with its name.

``validate_*`` functions return None for a valid object and a verdict for the first rule broken.
They change nothing. The order is part of the interface (see ``verdicts.Rule``).
"""

from __future__ import annotations

from lightclient.config.network import GENESIS_SLOT, Network
from lightclient.containers import LightClientBootstrap, LightClientUpdate, SyncCommittee
from lightclient.protocol.headers import is_valid_light_client_header
from lightclient.protocol.ranking import is_finality_update, is_sync_committee_update
from lightclient.protocol.signatures import SignatureVerifier, compute_signature_fork_version
from lightclient.protocol.store import LightClientStore, is_next_sync_committee_known
from lightclient.protocol.verdicts import Rule, Verdict, undecodable, verdict_of
from lightclient.ssz import ZERO_NODE, is_valid_normalized_merkle_branch


def validate_light_client_bootstrap(
    bootstrap: LightClientBootstrap, trusted_block_root: bytes, network: Network
) -> Verdict | None:
    """The checks of altair ``initialize_light_client_store``."""
    wrong_size = _check_committee_size(bootstrap.sync_committee_size, network)
    if wrong_size is not None:
        return wrong_size
    header = bootstrap.header
    slot = header.beacon.slot
    if not is_valid_light_client_header(header, network):
        return verdict_of(Rule.INVALID_BOOTSTRAP_HEADER, slot=slot)
    block_root = header.beacon.hash_tree_root()
    if block_root != trusted_block_root:
        return verdict_of(
            Rule.BOOTSTRAP_ROOT_MISMATCH,
            block_root=block_root,
            trusted_block_root=trusted_block_root,
        )
    committee_root = bootstrap.current_sync_committee.hash_tree_root()
    if not is_valid_normalized_merkle_branch(
        committee_root,
        bootstrap.current_sync_committee_branch,
        network.fork_at_slot(slot).current_sync_committee_gindex,
        header.beacon.state_root,
    ):
        return verdict_of(
            Rule.INVALID_BOOTSTRAP_COMMITTEE_BRANCH, committee_root=committee_root, slot=slot
        )
    return None


def validate_light_client_update(
    store: LightClientStore,
    update: LightClientUpdate,
    current_slot: int,
    network: Network,
    signatures: SignatureVerifier,
) -> Verdict | None:
    """Altair ``validate_light_client_update`` with every later fork's changes."""
    return validate_all_but_signature(store, update, current_slot, network) or _check_signature(
        store, update, network, signatures
    )


def validate_all_but_signature(
    store: LightClientStore, update: LightClientUpdate, current_slot: int, network: Network
) -> Verdict | None:
    """Every rule but the last; the signature is still to be checked before anything is believed."""
    return (
        _check_committee_size(update.sync_committee_size, network)
        or _check_bits_size(update)
        or _check_participants(update, network)
        or _check_attested_header(update, network)
        or _check_slots(update, current_slot)
        or _check_period(store, update, network)
        or _check_relevance(store, update, network)
        or _check_finality(update, network)
        or _check_next_sync_committee(store, update, network)
    )


def _check_committee_size(size: int, network: Network) -> Verdict | None:
    # Decoding already ensures this; objects put together by an embedder may come from elsewhere.
    expected = network.preset.sync_committee_size
    if size != expected:
        return undecodable(f"a sync committee of {size} members where {expected} were expected")
    return None


def _check_bits_size(update: LightClientUpdate) -> Verdict | None:
    size, members = len(update.sync_aggregate.sync_committee_bits), update.sync_committee_size
    if size != (members + 7) // 8:
        return undecodable(f"{size} bytes of participation bits for {members} members")
    return None


def _check_participants(update: LightClientUpdate, network: Network) -> Verdict | None:
    participants = update.sync_aggregate.num_active_participants
    minimum = network.preset.min_sync_committee_participants
    if participants < minimum:
        return verdict_of(
            Rule.INSUFFICIENT_PARTICIPANTS, participants=participants, minimum=minimum
        )
    return None


def _check_attested_header(update: LightClientUpdate, network: Network) -> Verdict | None:
    if not is_valid_light_client_header(update.attested_header, network):
        slot = update.attested_header.beacon.slot
        return verdict_of(Rule.INVALID_ATTESTED_HEADER, attested_slot=slot)
    return None


def _check_slots(update: LightClientUpdate, current_slot: int) -> Verdict | None:
    attested_slot = update.attested_header.beacon.slot
    finalized_slot = update.finalized_header.beacon.slot
    signature_slot = update.signature_slot
    if attested_slot < finalized_slot:
        return verdict_of(
            Rule.ATTESTED_BEFORE_FINALIZED,
            attested_slot=attested_slot,
            finalized_slot=finalized_slot,
        )
    if signature_slot <= attested_slot:
        return verdict_of(
            Rule.SIGNATURE_NOT_AFTER_ATTESTED,
            signature_slot=signature_slot,
            attested_slot=attested_slot,
        )
    if current_slot < signature_slot:
        return verdict_of(
            Rule.SIGNATURE_SLOT_IN_FUTURE, signature_slot=signature_slot, current_slot=current_slot
        )
    return None


def _check_period(
    store: LightClientStore, update: LightClientUpdate, network: Network
) -> Verdict | None:
    period = network.compute_sync_committee_period_at_slot
    store_period = period(store.finalized_header.beacon.slot)
    signature_period = period(update.signature_slot)
    known = is_next_sync_committee_known(store)
    covered = (store_period, store_period + 1) if known else (store_period,)
    if signature_period not in covered:
        return verdict_of(
            Rule.PERIOD_NOT_COVERED,
            signature_period=signature_period,
            store_period=store_period,
            known_committees="that committee and the next" if known else "only that committee",
        )
    return None


def _check_relevance(
    store: LightClientStore, update: LightClientUpdate, network: Network
) -> Verdict | None:
    period = network.compute_sync_committee_period_at_slot
    attested_slot = update.attested_header.beacon.slot
    store_finalized_slot = store.finalized_header.beacon.slot
    if attested_slot > store_finalized_slot:
        return None
    if (
        not is_next_sync_committee_known(store)
        and is_sync_committee_update(update)
        and period(attested_slot) == period(store_finalized_slot)
    ):
        return None
    return verdict_of(
        Rule.NOT_RELEVANT, attested_slot=attested_slot, store_finalized_slot=store_finalized_slot
    )


def _check_finality(update: LightClientUpdate, network: Network) -> Verdict | None:
    header = update.finalized_header
    finalized_slot = header.beacon.slot
    if not is_finality_update(update):
        if header.is_default:
            return None
        return verdict_of(Rule.UNEXPECTED_FINALIZED_HEADER, finalized_slot=finalized_slot)
    if finalized_slot == GENESIS_SLOT:
        if not header.is_default:
            return verdict_of(Rule.INVALID_GENESIS_FINALITY)
        finalized_root = ZERO_NODE
    else:
        if not is_valid_light_client_header(header, network):
            return verdict_of(Rule.INVALID_FINALIZED_HEADER, finalized_slot=finalized_slot)
        finalized_root = header.beacon.hash_tree_root()
    attested = update.attested_header.beacon
    if not is_valid_normalized_merkle_branch(
        finalized_root,
        update.finality_branch,
        network.fork_at_slot(attested.slot).finalized_root_gindex,
        attested.state_root,
    ):
        return verdict_of(
            Rule.INVALID_FINALITY_BRANCH,
            finalized_root=finalized_root,
            attested_slot=attested.slot,
        )
    return None


def _check_next_sync_committee(
    store: LightClientStore, update: LightClientUpdate, network: Network
) -> Verdict | None:
    committee = update.next_sync_committee
    if not is_sync_committee_update(update):
        return None if committee.is_default else verdict_of(Rule.UNEXPECTED_NEXT_COMMITTEE)
    period = network.compute_sync_committee_period_at_slot
    attested = update.attested_header.beacon
    store_period = period(store.finalized_header.beacon.slot)
    known = store.next_sync_committee
    if known is not None and period(attested.slot) == store_period and committee != known:
        return verdict_of(
            Rule.CONFLICTING_NEXT_COMMITTEE,
            committee_root=committee.hash_tree_root(),
            known_committee_root=known.hash_tree_root(),
            period=store_period + 1,
        )
    # A committee already known by value keeps its root: it is not hashed again.
    same = known if known is not None and known == committee else committee
    committee_root = same.hash_tree_root()
    if not is_valid_normalized_merkle_branch(
        committee_root,
        update.next_sync_committee_branch,
        network.fork_at_slot(attested.slot).next_sync_committee_gindex,
        attested.state_root,
    ):
        return verdict_of(
            Rule.INVALID_NEXT_COMMITTEE_BRANCH,
            committee_root=committee_root,
            attested_slot=attested.slot,
        )
    return None


def signing_committee(
    store: LightClientStore, signature_slot: int, network: Network
) -> SyncCommittee | None:
    """The committee that signs at ``signature_slot``; None if the store does not know it."""
    period = network.compute_sync_committee_period_at_slot
    ahead = period(signature_slot) - period(store.finalized_header.beacon.slot)
    if ahead == 0:
        return store.current_sync_committee
    return store.next_sync_committee if ahead == 1 else None


def _check_signature(
    store: LightClientStore,
    update: LightClientUpdate,
    network: Network,
    signatures: SignatureVerifier,
) -> Verdict | None:
    committee = signing_committee(store, update.signature_slot, network)
    assert committee is not None  # _check_period saw to it
    if signatures.is_signature_valid(committee, update, network):
        return None
    return verdict_of(
        Rule.BAD_SIGNATURE,
        participants=update.sync_aggregate.num_active_participants,
        signature_period=network.compute_sync_committee_period_at_slot(update.signature_slot),
        attested_slot=update.attested_header.beacon.slot,
        fork_version=compute_signature_fork_version(update.signature_slot, network),
    )
