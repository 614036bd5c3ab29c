"""Making light client data from beacon states and blocks: what a full node does for light clients.

The functions of every fork's ``light-client/full-node.md`` under their names; those that need no
state are in ``excerpts``. States and blocks are remerkleable views from ``lightclient.beacon``;
what comes out are the light client's own objects. The only part of the protocol that needs
``beacon``, hence not imported with the rest of it.
"""

from __future__ import annotations

from lightclient.beacon import build_proof, execution_payload_to_header, node_root
from lightclient.beacon.types import View
from lightclient.config.forks import FIRST_LIGHT_CLIENT_FORK, DataFormat, Fork
from lightclient.config.network import GENESIS_SLOT, Network
from lightclient.containers import (
    BeaconBlockHeader,
    LightClientBootstrap,
    LightClientHeader,
    LightClientUpdate,
    SyncAggregate,
    SyncCommittee,
    default_sync_committee,
    execution_payload_header_type,
    light_client_header_type,
    sync_aggregate_type,
    sync_committee_type,
    zero_branch,
)
from lightclient.errors import DeriveError
from lightclient.ssz import ZERO_NODE


def beacon_block_header(block: View) -> BeaconBlockHeader:
    """The header of a BeaconBlock (not of its SignedBeaconBlock)."""
    return BeaconBlockHeader(
        slot=int(block.slot),
        proposer_index=int(block.proposer_index),
        parent_root=bytes(block.parent_root),
        state_root=bytes(block.state_root),
        body_root=bytes(block.body.hash_tree_root()),
    )


def block_to_light_client_header(
    block: View, network: Network, data_format: DataFormat | None = None
) -> LightClientHeader:
    """``block_to_light_client_header``.

    Args:
        block: a BeaconBlock of the fork at its slot.
        data_format: the format to write it in, that of its own fork or of a later one; by default
            its own. A later format holds nothing of the execution before Capella.

    Raises:
        DeriveError: an older format, which could not hold what the block's fork proves.
    """
    fork = network.fork_at_slot(int(block.slot))
    wanted = fork.data_format if data_format is None else data_format
    beacon = beacon_block_header(block)
    if wanted.header == "bare":
        if fork.data_format.header != "bare":
            raise DeriveError(f"a header of fork {fork.name} has no format {wanted.name}")
        return LightClientHeader(wanted, beacon)
    if fork.data_format.header == "bare":
        default = light_client_header_type(wanted).default()
        return LightClientHeader(
            wanted,
            beacon,
            default.execution,
            default.execution_branch,
            default.execution_block_hash,
        )
    if wanted.header == "payload":
        return _header_with_payload(block, beacon, fork, wanted)
    gindex = fork.execution_block_hash_gindex
    branch = build_proof(block.body, gindex)
    return LightClientHeader(
        wanted,
        beacon,
        execution_branch=zero_branch(wanted.execution_branch_depth - len(branch)) + tuple(branch),
        execution_block_hash=node_root(block.body, gindex),
    )


def _header_with_payload(
    block: View, beacon: BeaconBlockHeader, fork: Fork, data_format: DataFormat
) -> LightClientHeader:
    if not fork.execution_gindex or (fork.payload_has_blob_gas and not data_format.blob_gas):
        raise DeriveError(f"a header of fork {fork.name} has no format {data_format.name}")
    header = execution_payload_to_header(block.body.execution_payload)
    layout = execution_payload_header_type(fork.payload_has_blob_gas)
    return LightClientHeader(
        data_format,
        beacon,
        layout.decode(bytes(header.encode_bytes())),
        tuple(build_proof(block.body, fork.execution_gindex)),
    )


def create_light_client_bootstrap(
    state: View, block: View, network: Network
) -> LightClientBootstrap:
    """``create_light_client_bootstrap``: of a BeaconBlock and its post-state.

    Raises:
        DeriveError: before Altair, or the state is not the block's.
    """
    fork = _fork_of_state(state, network)
    _check_post_state(state, block)
    return LightClientBootstrap(
        fork.data_format,
        block_to_light_client_header(block, network),
        sync_committee_from_view(state.current_sync_committee),
        tuple(build_proof(state, fork.current_sync_committee_gindex)),
    )


def create_light_client_update(
    state: View,
    block: View,
    attested_state: View,
    attested_block: View,
    finalized_block: View | None,
    network: Network,
) -> LightClientUpdate:
    """``create_light_client_update``: from the block that holds a sync aggregate.

    Args:
        state, block: the BeaconBlock with the aggregate, and its post-state.
        attested_state, attested_block: the same of its parent, which the aggregate signs.
        finalized_block: the block that the attested state finalizes (the genesis block while that
            is nothing yet); None if it is not at hand, and then the update has no finality.

    Raises:
        DeriveError: the parts do not belong together, nobody signed, or before Altair.
    """
    aggregate_view = block.body.sync_aggregate
    size = network.preset.sync_committee_size
    aggregate: SyncAggregate = sync_aggregate_type(size).decode(
        bytes(aggregate_view.encode_bytes())
    )
    if aggregate.num_active_participants < network.preset.min_sync_committee_participants:
        raise DeriveError(f"the aggregate of the block at slot {int(block.slot)} is nearly empty")
    fork = _fork_of_state(attested_state, network)
    data_format = fork.data_format
    _check_post_state(state, block)
    _check_post_state(attested_state, attested_block)
    if bytes(attested_block.hash_tree_root()) != bytes(block.parent_root):
        raise DeriveError(
            f"the block at slot {int(attested_block.slot)} is not the parent of the one at slot"
            f" {int(block.slot)}, whose aggregate is to attest it"
        )
    period = network.compute_sync_committee_period_at_slot
    committee = default_sync_committee(size)
    committee_branch = zero_branch(data_format.next_sync_committee_branch_depth)
    if period(int(attested_block.slot)) == period(int(block.slot)):
        committee = sync_committee_from_view(attested_state.next_sync_committee)
        committee_branch = tuple(build_proof(attested_state, fork.next_sync_committee_gindex))
    finalized_header = light_client_header_type(data_format).default()
    finality_branch = zero_branch(data_format.finality_branch_depth)
    if finalized_block is not None:
        finalized_header = _finalized_header(attested_state, finalized_block, data_format, network)
        finality_branch = tuple(build_proof(attested_state, fork.finalized_root_gindex))
    return LightClientUpdate(
        data_format,
        block_to_light_client_header(attested_block, network),
        committee,
        committee_branch,
        finalized_header,
        finality_branch,
        aggregate,
        int(block.slot),
    )


def _finalized_header(
    attested_state: View, finalized_block: View, data_format: DataFormat, network: Network
) -> LightClientHeader:
    finalized_root = bytes(attested_state.finalized_checkpoint.root)
    if int(finalized_block.slot) == GENESIS_SLOT:
        if finalized_root != ZERO_NODE:
            raise DeriveError("the attested state finalizes another block than genesis")
        return light_client_header_type(data_format).default()
    if bytes(finalized_block.hash_tree_root()) != finalized_root:
        raise DeriveError(
            f"the attested state does not finalize the block at slot {int(finalized_block.slot)}"
        )
    return block_to_light_client_header(finalized_block, network, data_format)


def sync_committee_from_view(committee: View) -> SyncCommittee:
    """The light client's own form of a state's SyncCommittee."""
    layout = sync_committee_type(len(committee.pubkeys))
    return layout.decode(bytes(committee.encode_bytes()))


def _fork_of_state(state: View, network: Network) -> Fork:
    fork = network.fork_at_slot(int(state.slot))
    if fork.index < FIRST_LIGHT_CLIENT_FORK.index:
        raise DeriveError(f"there is no light client data of fork {fork.name}")
    return fork


def _check_post_state(state: View, block: View) -> None:
    if int(state.slot) != int(block.slot) or bytes(state.hash_tree_root()) != bytes(
        block.state_root
    ):
        raise DeriveError(
            f"the state at slot {int(state.slot)} is not the post-state of the block at slot"
            f" {int(block.slot)}"
        )
