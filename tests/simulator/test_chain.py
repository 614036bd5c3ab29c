"""What the simulated chain makes is what the protocol accepts, in every fork and preset."""

from __future__ import annotations

from typing import Any

import pytest

from lightclient.bls import choose_backend
from lightclient.config import FORKS, Network
from lightclient.containers import LightClientUpdate, decode_ssz, encode_ssz
from lightclient.protocol import (
    LightClientStore,
    Rule,
    SignatureVerifier,
    VerdictKind,
    get_lc_execution_root,
    has_supermajority,
    initialize_light_client_store,
    is_better_update,
    is_finality_update,
    is_sync_committee_update,
    process_light_client_update,
)
from lightclient.simulator import SimulatedChain, config_mapping, simulated_network

LIGHT_CLIENT_FORKS = [fork.name for fork in FORKS[1:]]
SPARSE = 10**9
ALL_FORKS_EPOCHS = {name: 4 * index for index, name in enumerate(LIGHT_CLIENT_FORKS)}


def store_from(chain: SimulatedChain, slot: int = 1) -> LightClientStore:
    root = chain.trusted_block_root(slot)
    bootstrap = chain.bootstrap(root)
    assert bootstrap is not None
    store, verdict = initialize_light_client_store(root, bootstrap, chain.network)
    assert store is not None, verdict
    assert chain.backend is not None
    return store


def process(chain: SimulatedChain, store: LightClientStore, update: Any) -> str:
    verifier = SignatureVerifier(choose_backend())
    verdict = process_light_client_update(
        store, update, chain.head.slot + 1, chain.network, verifier
    )
    return verdict.kind if verdict.rule is None else verdict.rule


def follow(chain: SimulatedChain) -> LightClientStore:
    """Bootstrap at the first root and accept every update until the head."""
    store = store_from(chain)
    network = chain.network
    first = network.compute_sync_committee_period_at_slot(store.finalized_header.beacon.slot)
    updates = chain.updates(first, 128)
    head_period = network.compute_sync_committee_period_at_slot(chain.head.slot)
    assert len(updates) == head_period - first + 1
    for update in updates:
        assert decode_ssz(update.kind, encode_ssz(update), network) == update
        assert process(chain, store, update) == VerdictKind.ACCEPTED
    return store


@pytest.mark.parametrize("fork", LIGHT_CLIENT_FORKS)
def test_every_object_is_accepted_in_every_fork(fork: str) -> None:
    chain = SimulatedChain(simulated_network("minimal", {fork: 0}), seed=1, dense_from_slot=SPARSE)
    spp = chain.network.preset.slots_per_sync_committee_period
    chain.advance_to(4 * spp - 1)
    store = follow(chain)
    assert store.finalized_header.beacon.slot == 3 * spp
    assert store.optimistic_header.beacon == chain.blocks[-2].header
    assert chain.update_signed_by(chain.head).data_format.name == chain.head.fork.data_format.name


@pytest.mark.parametrize("preset", ["mainnet", "gnosis"])
@pytest.mark.parametrize("fork", ["altair", "gloas"])
def test_every_object_is_accepted_in_the_large_presets(preset: str, fork: str) -> None:
    chain = SimulatedChain(simulated_network(preset, {fork: 0}), dense_from_slot=SPARSE)
    chain.advance_to(3 * chain.network.preset.slots_per_sync_committee_period - 1)
    store = follow(chain)
    assert store.current_sync_committee.size == 512


def test_a_dense_chain_of_all_forks_is_followed_slot_by_slot() -> None:
    chain = SimulatedChain(simulated_network("minimal", ALL_FORKS_EPOCHS), seed=2)
    spp = chain.network.preset.slots_per_sync_committee_period
    chain.advance_to(5 * 8)
    store = store_from(chain)
    assert process(chain, store, chain.best_update(0)) == VerdictKind.ACCEPTED
    verifier = SignatureVerifier(choose_backend())
    verdicts = []
    for slot in range(5 * 8 + 1, spp * len(ALL_FORKS_EPOCHS) // 2):
        for block in chain.advance_to(slot):
            verdict = process_light_client_update(
                store, chain.update_signed_by(block), slot, chain.network, verifier
            )
            verdicts.append(verdict.rule or verdict.kind)
    assert set(verdicts) == {VerdictKind.ACCEPTED}
    assert store.data_format.name == "gloas"
    assert store.finalized_header.beacon.slot == spp * len(ALL_FORKS_EPOCHS) // 2 - 3 * 8


def test_more_periods_than_fit_a_request_are_accepted() -> None:
    chain = SimulatedChain(simulated_network("minimal", {"deneb": 0}), dense_from_slot=SPARSE)
    chain.advance_to(64 * 160 - 1)
    store = store_from(chain)
    verifier = SignatureVerifier(choose_backend())
    for update in [*chain.updates(1, 128), *chain.updates(129, 128)]:
        verdict = process_light_client_update(
            store, update, chain.head.slot, chain.network, verifier
        )
        assert verdict.kind is VerdictKind.ACCEPTED
    assert store.finalized_header.beacon.slot == 159 * 64


def test_the_same_seed_gives_the_same_chain_and_another_seed_another() -> None:
    def roots(seed: int) -> list[bytes]:
        chain = SimulatedChain(simulated_network("minimal", {"capella": 1}), seed=seed)
        chain.advance_to(40)
        return [block.root for block in chain.blocks]

    assert roots(5) == roots(5)
    assert set(roots(5)).isdisjoint(roots(6))


def test_growing_in_steps_makes_the_same_blocks_as_growing_at_once() -> None:
    network = simulated_network("minimal", {"deneb": 0})
    at_once = SimulatedChain(network, dense_from_slot=150)
    at_once.advance_to(200)
    in_steps = SimulatedChain(network, dense_from_slot=150, keys=at_once.keys)
    for slot in range(201):
        in_steps.advance_to(slot)
    assert [b.root for b in in_steps.blocks] == [b.root for b in at_once.blocks]
    assert [b.slot for b in at_once.blocks[-52:]] == [146, *range(150, 201)]


def test_every_block_names_its_parent_and_every_state_its_block() -> None:
    chain = SimulatedChain(simulated_network("minimal", ALL_FORKS_EPOCHS), dense_from_slot=500)
    chain.advance_to(540)
    for parent, block in zip(chain.blocks, chain.blocks[1:], strict=False):
        assert bytes(block.block.parent_root) == parent.root == block.header.parent_root
        assert bytes(block.state.hash_tree_root()) == block.header.state_root
        assert bytes(block.state.latest_block_header.body_root) == block.header.body_root
        version = chain.network.compute_fork_version(block.slot // 8)
        assert bytes(block.state.fork.current_version) == version


def test_states_remember_the_roots_of_earlier_blocks() -> None:
    chain = SimulatedChain(simulated_network("minimal", {"fulu": 0, "gloas": 2}), missed_slots={9})
    chain.advance_to(20)
    for slot in range(20):
        assert bytes(chain.head.state.block_roots[slot]) == chain.block_at(slot).root


def test_missed_slots_have_no_blocks_and_signatures_skip_them() -> None:
    network = simulated_network("minimal", {"deneb": 0})
    chain = SimulatedChain(network, missed_slots={9, 16, *range(20, 30)})
    chain.advance_to(63)
    assert {block.slot for block in chain.blocks}.isdisjoint({9, 16, *range(20, 30)})
    update = chain.update_signed_by(chain.block_at(30))
    assert (update.attested_header.beacon.slot, update.signature_slot) == (19, 30)
    # The checkpoint of an epoch whose first slot is empty is an earlier block: no bootstrap.
    assert chain.block_at(32).finalized.root == chain.block_at(15).root
    assert chain.bootstrap(chain.block_at(15).root) is None
    assert len(follow_live(chain)) > 20


def follow_live(chain: SimulatedChain) -> list[LightClientUpdate]:
    store = store_from(chain)
    updates = [chain.update_signed_by(b) for b in chain.blocks if b.slot > 30]
    for update in updates:
        assert process(chain, store, update) == VerdictKind.ACCEPTED
    return updates


def test_participation_is_as_asked_for() -> None:
    network = simulated_network("minimal", {"altair": 0})
    chain = SimulatedChain(network, participation=lambda slot: 0.5 if slot % 2 else 1.0)
    chain.advance_to(40)
    assert [block.participants for block in chain.blocks[1:5]] == [16, 32, 16, 32]
    assert has_supermajority(chain.update_signed_by(chain.blocks[2]))
    assert not has_supermajority(chain.update_signed_by(chain.blocks[3]))


def test_a_chain_that_nobody_signs_has_no_light_client_data() -> None:
    chain = SimulatedChain(simulated_network("minimal"), participation=0.0)
    chain.advance_to(40)
    assert chain.updates(0, 1) == []
    assert chain.finality_update() is None
    assert chain.optimistic_update() is None


def test_nothing_is_finalized_while_finality_is_lost() -> None:
    network = simulated_network("minimal", {"electra": 0})
    chain = SimulatedChain(network, non_final_epochs=range(5, 20))
    chain.advance_to(19 * 8)
    assert chain.finalized is chain.block_at(2 * 8)
    latest = chain.finality_update()
    assert latest is not None
    assert latest.attested_header.beacon.slot == 4 * 8
    best = chain.best_update(1)
    assert best is not None
    assert is_finality_update(best)
    assert best.finalized_header.beacon.slot < 64
    chain.advance_to(20 * 8)
    assert chain.finalized is chain.block_at(18 * 8)


def test_an_undelivered_payload_is_no_parent_of_the_next() -> None:
    network = simulated_network("minimal", {"gloas": 0})
    chain = SimulatedChain(network, empty_payload_slots={5})
    chain.advance_to(8)
    headers = [chain.update_signed_by(b).attested_header for b in chain.blocks[1:]]
    proven = [get_lc_execution_root(header, network) for header in headers]
    assert proven[0] == bytes(32)
    # Block 6 builds on the payload of block 4, as block 5 did.
    assert proven[6] == proven[5] != proven[4]
    assert len(set(proven)) == len(proven) - 1


def test_before_finality_updates_prove_the_genesis_finality() -> None:
    chain = SimulatedChain(simulated_network("minimal", {"capella": 0}))
    chain.advance_to(10)
    update = chain.update_signed_by(chain.head)
    assert is_finality_update(update)
    assert update.finalized_header.is_default
    assert is_sync_committee_update(update)
    assert chain.finality_update() is None
    assert chain.finalized is None


def test_an_update_signed_in_the_next_period_has_no_committee() -> None:
    chain = SimulatedChain(simulated_network("minimal", {"capella": 0}))
    chain.advance_to(64)
    update = chain.update_signed_by(chain.head)
    assert not is_sync_committee_update(update)
    best = chain.best_update(0)
    assert best is not None
    assert best.signature_slot < 64


def test_the_best_update_of_a_period_is_the_best() -> None:
    # 70 % from slot 70 on, 85 % from slot 110 on.
    network = simulated_network("minimal", {"capella": 0})
    chain = SimulatedChain(
        network, participation=lambda slot: 0.5 + 0.2 * (slot > 70) + 0.15 * (slot > 110)
    )
    chain.advance_to(100)
    early = chain.best_update(1)
    chain.advance_to(140)
    best = chain.best_update(1)
    assert best is not None
    assert early is not None
    assert is_better_update(best, early, chain.network)
    others = [chain.update_signed_by(b) for b in chain.blocks if 65 < b.slot < 128]
    assert not any(is_better_update(other, best, chain.network) for other in others)


def test_only_finalized_blocks_at_epoch_starts_have_a_bootstrap() -> None:
    chain = SimulatedChain(simulated_network("minimal", {"capella": 0}))
    chain.advance_to(40)
    assert [chain.blocks_by_root[root].slot for root in chain.trusted_block_roots()] == [
        0,
        8,
        16,
        24,
    ]
    assert chain.bootstrap(chain.block_at(9).root) is None
    assert chain.bootstrap(chain.block_at(32).root) is None
    assert chain.bootstrap(bytes(32)) is None
    with pytest.raises(LookupError, match="slot 25"):
        chain.trusted_block_root(25)


def test_a_chain_may_start_at_a_later_altair() -> None:
    network = simulated_network("minimal", {"altair": 4, "capella": 6})
    chain = SimulatedChain(network)
    assert chain.first_slot == 32
    chain.advance_to(120)
    assert chain.finalized is chain.block_at(13 * 8)
    store = store_from(chain, 40)
    assert process(chain, store, chain.best_update(0)) in (VerdictKind.ACCEPTED, Rule.NO_PROGRESS)
    assert process(chain, store, chain.best_update(1)) == VerdictKind.ACCEPTED


def test_listeners_hear_of_every_new_block() -> None:
    chain = SimulatedChain(simulated_network("minimal"))
    heard: list[int] = []
    chain.listeners.append(lambda block: heard.append(block.slot))
    chain.advance_to(3)
    assert heard == [1, 2, 3]


def test_the_configuration_text_describes_the_same_network() -> None:
    from lightclient.config import network_from_config_mapping

    network: Network = SimulatedChain(
        simulated_network(
            "gnosis", {"fulu": 3, "gloas": 5}, slot_duration_ms=250, blob_schedule=[(4, 7)]
        )
    ).network
    again = network_from_config_mapping(
        config_mapping(network),
        genesis_time=network.genesis_time,
        genesis_validators_root=network.genesis_validators_root,
    )
    assert again == network
