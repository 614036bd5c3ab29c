"""What a valid object does to the store.

Each function works on a copy and hands it over whole, so no object is ever partly applied.
"""

from __future__ import annotations

from dataclasses import replace

from lightclient.config.network import Network
from lightclient.containers import (
    AnyUpdate,
    LightClientBootstrap,
    LightClientHeader,
    LightClientUpdate,
    SyncCommittee,
)
from lightclient.protocol.ranking import (
    has_supermajority,
    is_better_update,
    is_finality_update,
    is_sync_committee_update,
)
from lightclient.protocol.signatures import SignatureVerifier
from lightclient.protocol.store import (
    LightClientStore,
    get_safety_threshold,
    is_next_sync_committee_known,
)
from lightclient.protocol.validation import (
    validate_light_client_bootstrap,
    validate_light_client_update,
)
from lightclient.protocol.verdicts import ACCEPTED, Rule, Verdict, verdict_of


def new_light_client_store(
    header: LightClientHeader, sync_committee: SyncCommittee
) -> LightClientStore:
    """A store at a header that is already trusted, with the committee of its period."""
    return LightClientStore(
        finalized_header=header,
        current_sync_committee=sync_committee,
        next_sync_committee=None,
        best_valid_update=None,
        optimistic_header=header,
        previous_max_active_participants=0,
        current_max_active_participants=0,
        data_format=header.data_format,
    )


def initialize_light_client_store(
    trusted_block_root: bytes, bootstrap: LightClientBootstrap, network: Network
) -> tuple[LightClientStore | None, Verdict]:
    """Altair ``initialize_light_client_store``; the store is None unless accepted."""
    refusal = validate_light_client_bootstrap(bootstrap, trusted_block_root, network)
    if refusal is not None:
        return None, refusal
    return new_light_client_store(bootstrap.header, bootstrap.current_sync_committee), ACCEPTED


def process_light_client_update(
    store: LightClientStore,
    update: AnyUpdate,
    current_slot: int,
    network: Network,
    signatures: SignatureVerifier,
) -> Verdict:
    """Altair ``process_light_client_{,finality_,optimistic_}update``.

    Accepted if the store changed, a duplicate if the object is valid but changes nothing.
    """
    full_update = update.as_update(network.preset.sync_committee_size)
    refusal = validate_light_client_update(store, full_update, current_slot, network, signatures)
    return refusal or process_validated_update(store, full_update, network)


def process_validated_update(
    store: LightClientStore, update: LightClientUpdate, network: Network
) -> Verdict:
    """What follows once ``validate_light_client_update`` has nothing against ``update``."""
    after = store.copy()
    _process_valid_update(after, update, network)
    if after == store:
        return verdict_of(Rule.NO_PROGRESS)
    after.upgrade(update.data_format)
    store.assign(after)
    return ACCEPTED


def _process_valid_update(
    store: LightClientStore, update: LightClientUpdate, network: Network
) -> None:
    participants = update.sync_aggregate.num_active_participants
    best = store.best_valid_update
    if best is None or is_better_update(update, best, network):
        store.best_valid_update = update
    store.current_max_active_participants = max(store.current_max_active_participants, participants)
    if (
        participants > get_safety_threshold(store)
        and update.attested_header.beacon.slot > store.optimistic_header.beacon.slot
    ):
        store.optimistic_header = update.attested_header
    if has_supermajority(update) and (
        update.finalized_header.beacon.slot > store.finalized_header.beacon.slot
        or _has_finalized_next_sync_committee(store, update, network)
    ):
        apply_light_client_update(store, update, network)
        store.best_valid_update = None


def _has_finalized_next_sync_committee(
    store: LightClientStore, update: LightClientUpdate, network: Network
) -> bool:
    period = network.compute_sync_committee_period_at_slot
    return (
        not is_next_sync_committee_known(store)
        and is_sync_committee_update(update)
        and is_finality_update(update)
        and period(update.finalized_header.beacon.slot)
        == period(update.attested_header.beacon.slot)
    )


def apply_light_client_update(
    store: LightClientStore, update: LightClientUpdate, network: Network
) -> None:
    """Altair ``apply_light_client_update``.

    Raises:
        ValueError: the update finalizes another period than the one whose next committee is
            missing. No validated update does; the store is then to be thrown away.
    """
    period = network.compute_sync_committee_period_at_slot
    store_period = period(store.finalized_header.beacon.slot)
    update_finalized_period = period(update.finalized_header.beacon.slot)
    if not is_next_sync_committee_known(store):
        if update_finalized_period != store_period:
            raise ValueError(
                f"update finalizes period {update_finalized_period} but the next sync committee of"
                f" period {store_period} is unknown"
            )
        store.next_sync_committee = _known(update.next_sync_committee)
    elif update_finalized_period == store_period + 1:
        assert store.next_sync_committee is not None
        store.current_sync_committee = store.next_sync_committee
        store.next_sync_committee = _known(update.next_sync_committee)
        store.previous_max_active_participants = store.current_max_active_participants
        store.current_max_active_participants = 0
    if update.finalized_header.beacon.slot > store.finalized_header.beacon.slot:
        store.finalized_header = update.finalized_header
        if store.finalized_header.beacon.slot > store.optimistic_header.beacon.slot:
            store.optimistic_header = store.finalized_header


def _known(committee: SyncCommittee) -> SyncCommittee | None:
    return None if committee.is_default else committee


def process_light_client_store_force_update(
    store: LightClientStore, current_slot: int, network: Network
) -> bool:
    """Altair ``process_light_client_store_force_update``; True if it changed the store.

    When no finality came for UPDATE_TIMEOUT slots, the best valid update is applied, with its
    attested header standing in for a finalized one.
    """
    best = store.best_valid_update
    finalized_slot = store.finalized_header.beacon.slot
    if best is None or current_slot <= finalized_slot + network.preset.update_timeout:
        return False
    if best.finalized_header.beacon.slot <= finalized_slot:
        best = replace(best, finalized_header=best.attested_header)
    after = store.copy()
    apply_light_client_update(after, best, network)
    after.best_valid_update = None
    after.upgrade(best.data_format)
    store.assign(after)
    return True
