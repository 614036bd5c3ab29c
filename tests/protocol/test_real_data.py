"""Objects of real networks, signed and proven by nobody we know, are accepted in their order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightclient.bls import BACKEND_NAMES, backend_by_name, why_unusable
from lightclient.config import Network, network_by_name, network_from_config_mapping
from lightclient.containers import (
    LightClientBootstrap,
    LightClientObject,
    ObjectKind,
    read_document,
)
from lightclient.protocol import (
    LightClientStore,
    Rule,
    SignatureVerifier,
    Verdict,
    VerdictKind,
    get_lc_execution_root,
    initialize_light_client_store,
    process_light_client_update,
)

MAINNET = network_by_name("mainnet")
FAR_FUTURE = 2**40


@pytest.fixture(params=BACKEND_NAMES)
def signatures(request: pytest.FixtureRequest) -> SignatureVerifier:
    """With each backend in turn; skips, with the reason, what cannot be used here."""
    reason = why_unusable(request.param)
    if reason is not None:
        pytest.skip(reason)
    return SignatureVerifier(backend_by_name(request.param))


def objects(kind: ObjectKind, path: Path, network: Network) -> list[LightClientObject]:
    return [entry.decode() for entry in read_document(kind, path.read_bytes(), network)]


def bootstrapped(path: Path, root: str, network: Network) -> LightClientStore:
    [bootstrap] = objects(ObjectKind.BOOTSTRAP, path, network)
    assert isinstance(bootstrap, LightClientBootstrap)
    store, verdict = initialize_light_client_store(bytes.fromhex(root), bootstrap, network)
    assert store is not None, verdict
    return store


def follow(
    store: LightClientStore,
    kind: ObjectKind,
    path: Path,
    network: Network,
    signatures: SignatureVerifier,
) -> Iterator[Verdict]:
    for value in objects(kind, path, network):
        assert not isinstance(value, LightClientBootstrap)
        yield process_light_client_update(store, value, FAR_FUTURE, network, signatures)


def test_mainnet_in_capella(real_data: Path, signatures: SignatureVerifier) -> None:
    folder = real_data / "mainnet-capella"
    root = "15cf56ebf887ede9cf3fc10a26ec83828628932c100e42c98c84f83da710c863"
    store = bootstrapped(folder / "bootstrap.ssz", root, MAINNET)
    first_period = MAINNET.compute_sync_committee_period_at_slot(store.finalized_header.beacon.slot)
    verdicts = list(follow(store, ObjectKind.UPDATE, folder / "updates.ssz", MAINNET, signatures))
    assert [verdict.kind for verdict in verdicts] == [VerdictKind.ACCEPTED] * 21
    period = MAINNET.compute_sync_committee_period_at_slot(store.finalized_header.beacon.slot)
    assert period == first_period + 20
    for name, kind in (
        ("finUpdate.ssz", ObjectKind.FINALITY_UPDATE),
        ("optUpdate.ssz", ObjectKind.OPTIMISTIC_UPDATE),
        ("finUpdate.json", ObjectKind.FINALITY_UPDATE),
        ("optUpdate.json", ObjectKind.OPTIMISTIC_UPDATE),
    ):
        [verdict] = follow(store, kind, folder / name, MAINNET, signatures)
        assert not verdict.is_refusal, verdict
    assert store.finalized_header.beacon.slot == 6_730_848
    assert store.optimistic_header.beacon.slot == 6_730_936
    assert get_lc_execution_root(store.finalized_header, MAINNET) != bytes(32)


def test_mainnet_in_deneb(real_data: Path, signatures: SignatureVerifier) -> None:
    folder = real_data / "mainnet-deneb"
    root = "efb4338d596b9d335b2da176dc85ee97469fc80c7e2d35b9b9c1558b4602077a"
    store = bootstrapped(folder / "BootstrapDeneb.json", root, MAINNET)
    start = store.finalized_header
    # Attested before the bootstrap, and accepted for the committee that it brings.
    path = folder / "LightClientUpdateDeneb.ssz"
    [verdict] = follow(store, ObjectKind.UPDATE, path, MAINNET, signatures)
    assert verdict.kind is VerdictKind.ACCEPTED
    assert store.finalized_header == start
    assert store.next_sync_committee is not None
    [again] = follow(store, ObjectKind.UPDATE, path, MAINNET, signatures)
    assert again.rule is Rule.NOT_RELEVANT
    path = folder / "LightClientUpdateNewPeriodDeneb.ssz"
    [verdict] = follow(store, ObjectKind.UPDATE, path, MAINNET, signatures)
    assert verdict.kind is VerdictKind.ACCEPTED
    assert store.finalized_header.beacon.slot > start.beacon.slot


def test_another_network_s_objects_are_refused(
    real_data: Path, signatures: SignatureVerifier
) -> None:
    """Sepolia has the same preset: nothing but the rules tells that these are not its own."""
    sepolia = network_by_name("sepolia")
    [bootstrap] = objects(
        ObjectKind.BOOTSTRAP, real_data / "mainnet-capella" / "bootstrap.ssz", sepolia
    )
    assert isinstance(bootstrap, LightClientBootstrap)
    root = bootstrap.header.beacon.hash_tree_root()
    store, verdict = initialize_light_client_store(root, bootstrap, sepolia)
    assert store is None, "mainnet's periods would be Electra's on Sepolia"
    assert verdict.rule is not None
    # Even with Mainnet's own committees, the signatures are of another domain.
    path = real_data / "mainnet-capella" / "updates.ssz"
    store, _ = initialize_light_client_store(root, bootstrap, MAINNET)
    assert store is not None
    before = store.copy()
    forged = Network(
        name="mainnet's forks with another genesis",
        preset=MAINNET.preset,
        genesis_time=MAINNET.genesis_time,
        genesis_validators_root=sepolia.genesis_validators_root,
        slot_duration_ms=MAINNET.slot_duration_ms,
        forks=MAINNET.forks,
    )
    rules = {verdict.rule for verdict in follow(store, ObjectKind.UPDATE, path, forged, signatures)}
    assert rules == {Rule.BAD_SIGNATURE, Rule.PERIOD_NOT_COVERED}
    assert store == before


def test_a_local_chain_from_deneb_into_electra(
    real_data: Path, signatures: SignatureVerifier
) -> None:
    folder = real_data / "lodestar-minimal-electra"
    genesis = json.loads((folder / "genesis.json").read_bytes())["data"]
    network = network_from_config_mapping(
        json.loads((folder / "spec.json").read_bytes())["data"],
        genesis_validators_root=bytes.fromhex(genesis["genesis_validators_root"][2:]),
        genesis_time=int(genesis["genesis_time"]),
        name="lodestar",
    )
    [bootstrap] = objects(ObjectKind.BOOTSTRAP, folder / "bootstrap.json", network)
    assert isinstance(bootstrap, LightClientBootstrap)
    root = bootstrap.header.beacon.hash_tree_root()
    store = bootstrapped(folder / "bootstrap.json", root.hex(), network)
    for name, kind in (
        ("updates.json", ObjectKind.UPDATE),
        ("updates_ssz.ssz", ObjectKind.UPDATE),
        ("finality_update.json", ObjectKind.FINALITY_UPDATE),
        ("finality_update_ssz.ssz", ObjectKind.FINALITY_UPDATE),
        ("optimistic_update.json", ObjectKind.OPTIMISTIC_UPDATE),
        ("optimistic_update_ssz.ssz", ObjectKind.OPTIMISTIC_UPDATE),
    ):
        verdicts = list(follow(store, kind, folder / name, network, signatures))
        # The updates begin two periods before the bootstrap.
        early = [verdict for verdict in verdicts if verdict.rule is Rule.PERIOD_NOT_COVERED]
        assert len(early) == (2 if kind is ObjectKind.UPDATE else 0)
        assert not any(verdict.is_refusal for verdict in verdicts[len(early) :])
    assert store.optimistic_header.beacon.slot > bootstrap.header.beacon.slot
    assert store.data_format.name == "electra"
