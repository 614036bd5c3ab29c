"""Light client data from states and blocks: the right parts yield it, others are refused."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from lightclient.beacon import containers_for, decode_view
from lightclient.config import DATA_FORMATS, FORKS, FORKS_BY_NAME
from lightclient.containers import ObjectKind, decode_ssz
from lightclient.errors import DeriveError
from lightclient.protocol import (
    initialize_light_client_store,
    is_finality_update,
    is_sync_committee_update,
    is_valid_light_client_header,
)
from lightclient.protocol.derivation import (
    block_to_light_client_header,
    create_light_client_bootstrap,
    create_light_client_update,
)
from lightclient.protocol.excerpts import (
    create_light_client_finality_update,
    create_light_client_optimistic_update,
)
from lightclient.simulator import Checkpoint, SimulatedBlock, SimulatedChain, simulated_network

LIGHT_CLIENT_FORKS = [fork.name for fork in FORKS[1:]]
FORMATS = {data_format.name: data_format for data_format in DATA_FORMATS}


@cache
def chain_of(fork: str) -> SimulatedChain:
    chain = SimulatedChain(simulated_network("minimal", {fork: 0}))
    chain.advance_to(40)
    return chain


@pytest.fixture
def chain() -> SimulatedChain:
    return chain_of("deneb")


def parts(chain: SimulatedChain) -> tuple[SimulatedBlock, SimulatedBlock, SimulatedBlock]:
    """The head, its parent, and the block that the parent's state finalizes."""
    head = chain.head
    assert head.parent is not None
    finalized = chain.finalized_block_of(head.parent)
    assert finalized is not None
    return head, head.parent, finalized


@pytest.mark.parametrize("fork", LIGHT_CLIENT_FORKS)
def test_a_bootstrap_of_any_block_starts_a_store(fork: str) -> None:
    chain = chain_of(fork)
    head = chain.head
    bootstrap = create_light_client_bootstrap(head.state, head.block, chain.network)
    assert bootstrap.data_format is FORKS_BY_NAME[fork].data_format
    store, verdict = initialize_light_client_store(head.root, bootstrap, chain.network)
    assert store is not None, verdict
    assert store.current_sync_committee == chain.keys.committee(0).public


@pytest.mark.parametrize("fork", LIGHT_CLIENT_FORKS)
def test_headers_are_valid_in_their_own_and_every_later_format(fork: str) -> None:
    chain = chain_of(fork)
    own = FORKS_BY_NAME[fork].data_format
    block = chain.head.block
    for data_format in DATA_FORMATS[DATA_FORMATS.index(own) :]:
        header = block_to_light_client_header(block, chain.network, data_format)
        assert header.data_format is data_format
        assert header.beacon.hash_tree_root() == chain.head.root
        assert is_valid_light_client_header(header, chain.network)
        assert header.has_default_execution is (own.header == "bare")
    assert block_to_light_client_header(block, chain.network).data_format is own


def test_a_real_nodes_block_has_the_execution_that_its_bootstrap_shows(real_data: Path) -> None:
    recorded = real_data / "lodestar-minimal-electra"
    network = simulated_network("minimal", {"deneb": 0, "electra": 12})
    block = decode_view(
        containers_for("electra", "minimal").SignedBeaconBlock,
        (recorded / "block_ssz.ssz").read_bytes(),
    )
    data = (recorded / "bootstrap_ssz.ssz").read_bytes()
    bootstrap = decode_ssz(ObjectKind.BOOTSTRAP, data, network)
    ours, theirs = block_to_light_client_header(block.message, network), bootstrap.main_header
    assert ours.execution == theirs.execution
    # The node is older than today's list limits of the minimal preset, on which body roots depend.
    assert replace(ours.beacon, body_root=theirs.beacon.body_root) == theirs.beacon


@pytest.mark.parametrize(
    ("fork", "data_format"),
    [
        ("capella", "altair"),
        ("deneb", "altair"),
        ("deneb", "capella"),
        ("gloas", "altair"),
        ("gloas", "electra"),
    ],
)
def test_a_format_that_cannot_hold_a_header_is_refused(fork: str, data_format: str) -> None:
    chain = chain_of(fork)
    with pytest.raises(DeriveError, match=f"fork {fork} has no format {data_format}"):
        block_to_light_client_header(chain.head.block, chain.network, FORMATS[data_format])


def test_an_update_holds_what_the_attested_state_says(chain: SimulatedChain) -> None:
    head, attested, finalized = parts(chain)
    update = create_light_client_update(
        head.state, head.block, attested.state, attested.block, finalized.block, chain.network
    )
    assert update.attested_header.beacon == attested.header
    assert update.finalized_header.beacon == finalized.header
    assert update.next_sync_committee == chain.keys.committee(1).public
    assert update.signature_slot == head.slot
    assert update.sync_aggregate.num_active_participants == head.participants
    finality_update = create_light_client_finality_update(update)
    assert finality_update.as_update().finality_branch == update.finality_branch
    optimistic_update = create_light_client_optimistic_update(update)
    assert optimistic_update.attested_header == update.attested_header
    assert optimistic_update.signature_slot == update.signature_slot


def test_an_update_without_its_finalized_block_has_no_finality(chain: SimulatedChain) -> None:
    head, attested, _ = parts(chain)
    update = create_light_client_update(
        head.state, head.block, attested.state, attested.block, None, chain.network
    )
    assert not is_finality_update(update)
    assert update.finalized_header.is_default
    assert is_sync_committee_update(update)


def test_the_finality_of_genesis_is_an_empty_header_with_a_proof() -> None:
    chain = chain_of("altair")
    head = chain.block_at(5)
    genesis, attested = chain.blocks[0], head.parent
    assert attested is not None
    update = create_light_client_update(
        head.state, head.block, attested.state, attested.block, genesis.block, chain.network
    )
    assert is_finality_update(update)
    assert update.finalized_header.is_default


def test_another_finalized_block_than_the_states_is_refused(chain: SimulatedChain) -> None:
    head, attested, _ = parts(chain)
    for other in (chain.block_at(3), chain.blocks[0]):
        with pytest.raises(DeriveError, match="finalize"):
            create_light_client_update(
                head.state, head.block, attested.state, attested.block, other.block, chain.network
            )


def test_a_state_of_another_block_is_refused(chain: SimulatedChain) -> None:
    head, attested, finalized = parts(chain)
    with pytest.raises(DeriveError, match="post-state"):
        create_light_client_bootstrap(attested.state, head.block, chain.network)
    with pytest.raises(DeriveError, match="post-state"):
        create_light_client_update(
            attested.state, head.block, attested.state, attested.block, None, chain.network
        )
    with pytest.raises(DeriveError, match="post-state"):
        create_light_client_update(
            head.state, head.block, finalized.state, attested.block, None, chain.network
        )


def test_a_state_at_the_right_slot_with_another_root_is_refused(chain: SimulatedChain) -> None:
    state = chain.head.state.copy()
    state.finalized_checkpoint.epoch = 99
    with pytest.raises(DeriveError, match="post-state"):
        create_light_client_bootstrap(state, chain.head.block, chain.network)


def test_an_aggregate_attests_only_its_parent(chain: SimulatedChain) -> None:
    head, attested, _ = parts(chain)
    grandparent = attested.parent
    assert grandparent is not None
    with pytest.raises(DeriveError, match="not the parent"):
        create_light_client_update(
            head.state, head.block, grandparent.state, grandparent.block, None, chain.network
        )


def test_an_empty_aggregate_makes_no_update(chain: SimulatedChain) -> None:
    _, attested, _ = parts(chain)
    slot = attested.slot + 1
    empty = chain.sign(attested.header, slot, [])
    block = chain.make_block(attested, slot, chain.contents_at(attested, slot, empty))
    with pytest.raises(DeriveError, match="nearly empty"):
        create_light_client_update(
            block.state, block.block, attested.state, attested.block, None, chain.network
        )


def test_there_is_no_light_client_data_before_altair(chain: SimulatedChain) -> None:
    later = simulated_network("minimal", {"altair": 100})
    head = chain.head
    with pytest.raises(DeriveError, match="phase0"):
        create_light_client_bootstrap(head.state, head.block, later)


def test_a_forged_state_derives_what_it_says() -> None:
    chain = chain_of("gloas")
    parent = chain.block_at(30)
    empty = chain.sign(parent.header, 31, [])
    contents = replace(
        chain.contents_at(parent, 31, empty), finalized=Checkpoint(3, chain.block_at(24).root)
    )
    attested = chain.make_block(parent, 31, contents)
    update = chain.update_attesting(attested, 33)
    assert update.finalized_header.beacon == chain.block_at(24).header
    assert update.attested_header.beacon == attested.header
