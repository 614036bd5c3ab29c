"""Signatures by odd committees: the keys decide, and nothing else that a committee carries."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lightclient.bls.encoding import CURVE_ORDER
from lightclient.containers import LightClientBootstrap, SyncCommittee
from lightclient.protocol import (
    LightClientStore,
    Rule,
    SignatureVerifier,
    initialize_light_client_store,
    sync_committee_signing_root,
)
from tests.protocol.forge import Forge, SparseTree, backend, network_from_genesis
from tests.protocol.judging import START, judge

FORGE = Forge(network_from_genesis("deneb"))
SIZE = FORGE.size
TRUE = FORGE.committee(1)
INFINITE_KEY = b"\xc0" + bytes(47)


def store_with(committee: SyncCommittee) -> LightClientStore:
    """A store bootstrapped with a committee that its state proves, however odd."""
    fork = FORGE.network.fork_at_slot(START)
    gindex = fork.current_sync_committee_gindex
    state = SparseTree({gindex: committee.hash_tree_root()}, b"odd")
    data_format = FORGE.format_at(START)
    bootstrap = LightClientBootstrap(
        data_format,
        FORGE.header(START, state.node(1)),
        committee,
        state.branch(gindex, data_format.current_sync_committee_branch_depth),
    )
    root = bootstrap.header.beacon.hash_tree_root()
    store, verdict = initialize_light_client_store(root, bootstrap, FORGE.network)
    assert store is not None, verdict
    return store


def with_key(seat: int, key: bytes) -> SyncCommittee:
    pubkeys = TRUE.pubkeys[: 48 * seat] + key + TRUE.pubkeys[48 * (seat + 1) :]
    return replace(TRUE, pubkeys=pubkeys)


@pytest.mark.parametrize("participants", [1, SIZE // 2, SIZE // 2 + 1, SIZE - 1, SIZE])
@pytest.mark.parametrize(
    "aggregate", [INFINITE_KEY, bytes(48), b"\xff" * 48, FORGE.committee(2).aggregate_pubkey]
)
def test_a_wrong_aggregate_changes_nothing(aggregate: bytes, participants: int) -> None:
    store = store_with(replace(TRUE, aggregate_pubkey=aggregate))
    update = FORGE.update(START + 5, participants=participants)
    assert judge(FORGE, store, update).rule is None


def test_signing_with_the_aggregate_s_own_secret_is_no_signature_of_the_members() -> None:
    """A committee whose aggregate the attacker chose: compared before, it is not believed."""
    attacker = 12345
    committee = replace(TRUE, aggregate_pubkey=backend().sk_to_pk(attacker))
    store = store_with(committee)
    update = FORGE.update(START + 5)
    forged = replace(
        update.sync_aggregate,
        sync_committee_signature=backend().sign(
            attacker, sync_committee_signing_root(update, FORGE.network)
        ),
    )
    FORGE.signatures.compare_aggregate(committee)
    changed = replace(update, sync_aggregate=forged)
    assert judge(FORGE, store, changed).rule is Rule.BAD_SIGNATURE
    assert judge(FORGE, store, update).rule is None


@pytest.mark.parametrize("key", [INFINITE_KEY, bytes(48), b"\xff" * 48, b"\x80" + b"\x01" * 47])
@pytest.mark.parametrize("compared", [False, True])
def test_a_key_that_is_no_key_spoils_only_the_signatures_it_takes_part_in(
    key: bytes, compared: bool
) -> None:
    seat = 3
    committee = with_key(seat, key)
    if compared:
        assert not FORGE.signatures.compare_aggregate(committee)
    unsigned = FORGE.update(START + 5)
    others = [index for index in range(SIZE) if index != seat]
    assert judge(FORGE, store_with(committee), FORGE.signed(unsigned, others)).rule is None
    with_it = FORGE.fully_signed(unsigned)
    assert judge(FORGE, store_with(committee), with_it).rule is Rule.BAD_SIGNATURE
    # Not even where the key would add nothing.
    claimed = replace(
        FORGE.signed(unsigned, others).sync_aggregate,
        sync_committee_bits=with_it.sync_aggregate.sync_committee_bits,
    )
    changed = replace(unsigned, sync_aggregate=claimed)
    assert judge(FORGE, store_with(committee), changed).rule is Rule.BAD_SIGNATURE


def test_a_key_that_sits_in_two_seats_counts_twice() -> None:
    committee = with_key(1, TRUE.pubkey(0))
    unsigned = FORGE.update(START + 5)
    secrets = FORGE.members(1).secrets
    message = sync_committee_signing_root(unsigned, FORGE.network)
    for times, rule in ((1, Rule.BAD_SIGNATURE), (2, None)):
        aggregate = replace(
            unsigned.sync_aggregate,
            sync_committee_bits=b"\x03" + bytes(SIZE // 8 - 1),
            sync_committee_signature=backend().sign(times * secrets[0] % CURVE_ORDER, message),
        )
        changed = replace(unsigned, sync_aggregate=aggregate)
        assert judge(FORGE, store_with(committee), changed).rule is rule


@pytest.mark.parametrize(
    "signature", [b"\xc0" + bytes(95), bytes(96), b"\xff" * 96, b"\xe0" + bytes(95)]
)
def test_signatures_that_are_no_signature_are_refused(signature: bytes) -> None:
    update = FORGE.update(START + 5)
    aggregate = replace(update.sync_aggregate, sync_committee_signature=signature)
    changed = replace(update, sync_aggregate=aggregate)
    assert judge(FORGE, FORGE.store(START), changed).rule is Rule.BAD_SIGNATURE


def test_parsed_keys_are_kept_for_few_committees_and_found_by_their_content() -> None:
    signatures = SignatureVerifier(backend())
    kept = signatures.keys_of(TRUE)
    assert signatures.keys_of(replace(TRUE)) is kept
    assert not signatures.is_compared(TRUE)
    assert signatures.compare_aggregate(TRUE)
    assert signatures.is_compared(replace(TRUE))
    assert signatures.keys_of(replace(TRUE, aggregate_pubkey=bytes(48))) is not kept
    for period in range(2, 4):
        signatures.keys_of(FORGE.committee(period))
        assert signatures.keys_of(TRUE) is kept
    for period in range(4, 12):
        signatures.keys_of(FORGE.committee(period))
    assert len(signatures._keys) == 4
    assert signatures.keys_of(TRUE) is not kept
