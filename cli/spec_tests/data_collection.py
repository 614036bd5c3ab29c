"""``light_client/data_collection``: what a full node should serve, checked as a client would.

The serving side does not exist yet, so blocks are not processed: every object is decoded, checked
and encoded again, then the case is skipped. An object that does not hold fails the case.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lightclient.bls import Backend
from lightclient.config import GENESIS_SLOT, Network
from lightclient.containers import (
    LightClientBootstrap,
    LightClientObject,
    LightClientUpdate,
    ObjectKind,
    SyncCommittee,
    encode_ssz,
)
from lightclient.errors import DecodeError
from lightclient.protocol import (
    SignatureVerifier,
    is_finality_update,
    is_sync_committee_update,
    is_valid_light_client_header,
    validate_light_client_bootstrap,
)
from lightclient.ssz import ZERO_NODE, is_valid_normalized_merkle_branch
from lightclient_cli.spec_tests.case import (
    Case,
    CaseFailed,
    CaseSkipped,
    as_list,
    as_mapping,
    expect,
    octets,
    shown,
    text,
)
from lightclient_cli.spec_tests.chain import decode_object, fork_of_digest, network_of

# Where each kind stands in the steps.
_KINDS = {
    "bootstrap": ObjectKind.BOOTSTRAP,
    "update": ObjectKind.UPDATE,
    "latest_finality_update": ObjectKind.FINALITY_UPDATE,
    "latest_optimistic_update": ObjectKind.OPTIMISTIC_UPDATE,
}
# genesis_time (8 bytes) and genesis_validators_root open every BeaconState.
_ROOT_START, _ROOT_END = 8, 40


def run_data_collection(case: Case, backend: Backend) -> None:
    """CaseFailed for an object that does not hold, CaseSkipped if all do."""
    state = case.ssz("initial_state")
    if len(state) < _ROOT_END:
        raise CaseFailed("initial_state is no state")
    network = network_of(case, state[_ROOT_START:_ROOT_END])
    objects = _decode_all(case, network)
    committees: dict[int, list[SyncCommittee]] = {}
    for value in objects:
        if isinstance(value, LightClientBootstrap):
            period = network.compute_sync_committee_period_at_slot(value.header.beacon.slot)
            committees.setdefault(period, []).append(value.current_sync_committee)
    signatures = SignatureVerifier(backend)
    for value in objects:
        if not isinstance(value, LightClientBootstrap):
            _check_update(value.as_update(), network, committees, signatures)
    raise CaseSkipped(
        f"{len(objects)} objects hold; whether they are the right ones to serve is not judged yet:"
        " the serving side comes later"
    )


def _decode_all(case: Case, network: Network) -> list[LightClientObject]:
    """Every object that the steps name, once, in their order."""
    objects: dict[tuple[ObjectKind, str, bytes], LightClientObject] = {}
    for step in as_list(case.yaml("steps.yaml"), "steps.yaml"):
        for key, entry, block_root in _references(as_mapping(step, "a step")):
            kind, name, digest = _KINDS[key], text(entry, "data"), octets(entry, "fork_digest", 4)
            value = objects.get((kind, name, digest))
            if value is None:
                value = _decode(case, network, kind, name, digest)
                objects[kind, name, digest] = value
            if isinstance(value, LightClientBootstrap) and block_root is not None:
                refusal = validate_light_client_bootstrap(value, block_root, network)
                if refusal is not None:
                    raise CaseFailed(f"{name}: {refusal}")
    if not objects:
        raise CaseFailed("steps.yaml names no light client object")
    return list(objects.values())


def _references(
    value: Any, block_root: bytes | None = None
) -> Iterator[tuple[str, Mapping[str, Any], bytes | None]]:
    """Key and reference of each object below ``value``, with the block root beside a bootstrap."""
    if isinstance(value, list):
        for item in value:
            yield from _references(item)
    elif isinstance(value, dict):
        if "block_root" in value:
            block_root = octets(value, "block_root", 32)
        for key, item in value.items():
            if key in _KINDS and isinstance(item, dict) and "data" in item:
                yield key, item, block_root
            else:
                yield from _references(item)


def _decode(
    case: Case, network: Network, kind: ObjectKind, name: str, digest: bytes
) -> LightClientObject:
    data = case.ssz(name)
    fork = fork_of_digest(digest, network)
    try:
        value = decode_object(kind, data, fork, network)
    except DecodeError as error:
        raise CaseFailed(f"{name}: {error}") from None
    expect(f"{name}, encoded again,", encode_ssz(value), data)
    attested_slot = value.main_header.beacon.slot
    attested_digest = network.compute_fork_digest(network.compute_epoch_at_slot(attested_slot))
    expect(f"the digest of {name}", attested_digest, digest)
    return value


def _check_update(
    update: LightClientUpdate,
    network: Network,
    committees: Mapping[int, list[SyncCommittee]],
    signatures: SignatureVerifier,
) -> None:
    attested = update.attested_header.beacon
    where = f"the update attested at slot {attested.slot}"
    if not is_valid_light_client_header(update.attested_header, network):
        raise CaseFailed(f"{where}: the attested header does not hold")
    if not _is_finality_proven(update, network):
        raise CaseFailed(f"{where}: the finalized header does not hold")
    if not _is_next_sync_committee_proven(update, network):
        raise CaseFailed(f"{where}: the next sync committee does not hold")
    period = network.compute_sync_committee_period_at_slot(update.signature_slot)
    known = committees.get(period, [])
    # Branches of a reorganised chain may have committees of their own.
    if known and not any(signatures.is_signature_valid(each, update, network) for each in known):
        signature = shown(update.sync_aggregate.sync_committee_signature)
        raise CaseFailed(f"{where}: the signature {signature[:20]}... does not hold")


def _is_finality_proven(update: LightClientUpdate, network: Network) -> bool:
    attested, finalized = update.attested_header.beacon, update.finalized_header
    if not is_finality_update(update):
        return finalized.is_default
    if finalized.beacon.slot == GENESIS_SLOT:
        if not finalized.is_default:
            return False
        leaf = ZERO_NODE
    else:
        if not is_valid_light_client_header(finalized, network):
            return False
        leaf = finalized.beacon.hash_tree_root()
    gindex = network.fork_at_slot(attested.slot).finalized_root_gindex
    return is_valid_normalized_merkle_branch(
        leaf, update.finality_branch, gindex, attested.state_root
    )


def _is_next_sync_committee_proven(update: LightClientUpdate, network: Network) -> bool:
    attested, committee = update.attested_header.beacon, update.next_sync_committee
    if not is_sync_committee_update(update):
        return committee.is_default
    gindex = network.fork_at_slot(attested.slot).next_sync_committee_gindex
    branch = update.next_sync_committee_branch
    return is_valid_normalized_merkle_branch(
        committee.hash_tree_root(), branch, gindex, attested.state_root
    )
