"""Beacon blocks with their post-states, without a state transition.

A state is a default one in which what light clients can see is set: slot, fork, headers, roots,
checkpoints and sync committees. Successive states share all of their tree that did not change, so a
block costs about a millisecond in any preset.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from hashlib import sha256
from typing import Any

from lightclient.beacon import BeaconContainers, containers_for
from lightclient.beacon.types import View, ViewType
from lightclient.config import FAR_FUTURE_EPOCH, Fork, Network
from lightclient.containers import (
    BeaconBlockHeader,
    SyncAggregate,
    SyncCommittee,
    sync_committee_type,
)
from lightclient.protocol.derivation import beacon_block_header
from lightclient.simulator.keys import ValidatorKeys

_EFFECTIVE_BALANCE = 32 * 10**9
_GAS_LIMIT = 36_000_000


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Phase0 ``Checkpoint``: an epoch and the root of the block at or before its start."""

    epoch: int = 0
    root: bytes = bytes(32)


@dataclass(frozen=True, slots=True)
class ExecutionTip:
    """The newest execution block that a beacon block builds on, by hash and number."""

    block_hash: bytes = bytes(32)
    number: int = 0


@dataclass(frozen=True)
class SimulatedBlock:
    """A block of the simulated chain.

    Attributes:
        block, state: BeaconBlock and its post-state, as remerkleable views.
        participants: members in its sync aggregate, which signs its parent.
        finalized: the checkpoint that the post-state finalizes.
        execution: what the next block builds on.
    """

    slot: int
    root: bytes
    fork: Fork
    parent: SimulatedBlock | None
    block: View
    state: View
    participants: int
    finalized: Checkpoint
    execution: ExecutionTip

    @cached_property
    def header(self) -> BeaconBlockHeader:
        """The block's header."""
        return beacon_block_header(self.block)

    def __repr__(self) -> str:
        return f"<SimulatedBlock {self.slot} {self.fork.name} 0x{self.root.hex()[:8]}>"


@dataclass(frozen=True, slots=True)
class BlockContents:
    """What is in a block and its post-state besides what follows from its place in the chain.

    Attributes:
        payload_delivered: whether the payload of this block's bid becomes part of the execution
            chain (only where blocks hold bids).
        blob_gas_used: of the payload, where it has that field.
    """

    aggregate: SyncAggregate
    finalized: Checkpoint
    current_sync_committee: SyncCommittee
    next_sync_committee: SyncCommittee
    payload_delivered: bool = True
    blob_gas_used: int = 131_072


def _filled(container: ViewType, **values: Any) -> View:
    """A container with some fields set.

    Many times faster than calling the type, which compares each value with a typing protocol.
    """
    view = _default(container).copy()
    for name, value in values.items():
        setattr(view, name, value)
    return view


@cache
def _default(container: ViewType) -> View:
    view = container()
    view.hash_tree_root()  # once here, instead of in every copy
    return view


@cache
def _transactions(payload: ViewType) -> View:
    """The same ones in every payload of a type: making them anew would take the longest."""
    return payload.fields()["transactions"]([b"lightclient simulator"])


class BlockMaker:
    """Makes blocks on blocks. The same seed, place and contents give the same block."""

    def __init__(self, network: Network, keys: ValidatorKeys) -> None:
        self.network = network
        self.keys = keys
        self._states: dict[str, View] = {}
        self._committees: dict[bytes, View] = {}

    def make(
        self, parent: SimulatedBlock | None, slot: int, contents: BlockContents
    ) -> SimulatedBlock:
        """A block at ``slot`` on ``parent``; None makes the first block of a chain."""
        fork = self.network.fork_at_slot(slot)
        containers = containers_for(fork.name, self.network.preset)
        tip = parent.execution if parent else ExecutionTip()
        parent_root = parent.root if parent else bytes(32)
        state = self._state_on(parent, fork, containers)
        body = _filled(
            containers.BeaconBlockBody,
            graffiti=f"simulated slot {slot}".encode().ljust(32, b"\0")[:32],
            sync_aggregate=self._aggregate_view(containers, contents.aggregate),
        )
        tip = self._set_execution(containers, body, state, slot, parent_root, tip, contents)
        proposer_index = self._draw(slot, "proposer")[0] % self.keys.count
        state.slot = slot
        state.latest_block_header = _filled(
            containers.BeaconBlockHeader,
            slot=slot,
            proposer_index=proposer_index,
            parent_root=parent_root,
            body_root=body.hash_tree_root(),
        )
        self._set_consensus(containers, state, parent, contents)
        block = _filled(
            containers.BeaconBlock,
            slot=slot,
            proposer_index=proposer_index,
            parent_root=parent_root,
            state_root=state.hash_tree_root(),
            body=body,
        )
        return SimulatedBlock(
            slot,
            bytes(block.hash_tree_root()),
            fork,
            parent,
            block,
            state,
            contents.aggregate.num_active_participants,
            contents.finalized,
            tip,
        )

    # States ------------------------------------------------------------------------------------

    def _state_on(
        self, parent: SimulatedBlock | None, fork: Fork, containers: BeaconContainers
    ) -> View:
        if parent is not None and parent.fork is fork:
            return parent.state.copy()
        state = self._default_state(fork, containers).copy()
        if parent is not None:
            state.block_roots = parent.state.block_roots
            state.state_roots = parent.state.state_roots
        return state

    def _default_state(self, fork: Fork, containers: BeaconContainers) -> View:
        state = self._states.get(fork.name)
        if state is None:
            scheduled = self.network.forks[fork.index]
            previous = self.network.forks[max(fork.index - 1, 0)]
            state = containers.BeaconState(
                genesis_time=self.network.genesis_time,
                genesis_validators_root=self.network.genesis_validators_root,
                fork=containers.Fork(
                    previous_version=previous.version,
                    current_version=scheduled.version,
                    epoch=scheduled.epoch,
                ),
            )
            for validator in self._validators(containers):
                state.validators.append(validator)
                state.balances.append(_EFFECTIVE_BALANCE)
            state.hash_tree_root()
            self._states[fork.name] = state
        return state

    def _validators(self, containers: BeaconContainers) -> list[View]:
        return [
            _filled(
                containers.Validator,
                pubkey=pubkey,
                effective_balance=_EFFECTIVE_BALANCE,
                exit_epoch=FAR_FUTURE_EPOCH,
                withdrawable_epoch=FAR_FUTURE_EPOCH,
            )
            for pubkey in self.keys.pubkeys
        ]

    def genesis_validators_root(self) -> bytes:
        """Root of the validators at genesis, 32 bytes."""
        containers = containers_for(self.network.forks[0].fork.name, self.network.preset)
        list_type = containers.BeaconState.fields()["validators"]
        return bytes(list_type(*self._validators(containers)).hash_tree_root())

    def _set_consensus(
        self,
        containers: BeaconContainers,
        state: View,
        parent: SimulatedBlock | None,
        contents: BlockContents,
    ) -> None:
        same_fork = parent is not None and parent.state.__class__ is state.__class__
        checkpoint = contents.finalized
        if not (same_fork and parent is not None and parent.finalized == checkpoint):
            state.finalized_checkpoint = _filled(
                containers.Checkpoint, epoch=checkpoint.epoch, root=checkpoint.root
            )
        state.current_sync_committee = self._committee_view(
            containers, contents.current_sync_committee
        )
        state.next_sync_committee = self._committee_view(containers, contents.next_sync_committee)
        if parent is not None:
            # As process_slot leaves it, where no more than an epoch of slots was missed.
            length, missed = len(state.block_roots), self.network.preset.slots_per_epoch
            for slot in range(parent.slot, min(int(state.slot), parent.slot + missed + 1)):
                state.block_roots[slot % length] = parent.root
            state.state_roots[parent.slot % length] = parent.block.state_root

    def _committee_view(self, containers: BeaconContainers, committee: SyncCommittee) -> View:
        key = committee.hash_tree_root()
        view = self._committees.get(key)
        if view is None:
            encoded = sync_committee_type(committee.size).encode(committee)
            view = self._committees[key] = containers.SyncCommittee.decode_bytes(encoded)
        return view

    # Bodies ------------------------------------------------------------------------------------

    def _aggregate_view(self, containers: BeaconContainers, aggregate: SyncAggregate) -> View:
        bits_type = containers.SyncAggregate.fields()["sync_committee_bits"]
        return _filled(
            containers.SyncAggregate,
            sync_committee_bits=bits_type.decode_bytes(aggregate.sync_committee_bits),
            sync_committee_signature=aggregate.sync_committee_signature,
        )

    def _set_execution(
        self,
        containers: BeaconContainers,
        body: View,
        state: View,
        slot: int,
        parent_root: bytes,
        tip: ExecutionTip,
        contents: BlockContents,
    ) -> ExecutionTip:
        made = ExecutionTip(self._draw(slot, "execution block"), tip.number + 1)
        fields = body.fields()
        if "execution_payload" in fields:
            body.execution_payload = self._payload(containers, slot, tip, made, contents)
            return made
        if "signed_execution_payload_bid" not in fields:
            return tip  # before the merge
        body.signed_execution_payload_bid = _filled(
            containers.SignedExecutionPayloadBid,
            message=_filled(
                containers.ExecutionPayloadBid,
                parent_block_hash=tip.block_hash,
                parent_block_root=parent_root,
                block_hash=made.block_hash,
                prev_randao=self._draw(slot, "randao"),
                gas_limit=_GAS_LIMIT,
                slot=slot,
            ),
        )
        state.latest_block_hash = tip.block_hash
        return made if contents.payload_delivered else tip

    def _payload(
        self,
        containers: BeaconContainers,
        slot: int,
        tip: ExecutionTip,
        made: ExecutionTip,
        contents: BlockContents,
    ) -> View:
        values: dict[str, Any] = {
            "parent_hash": tip.block_hash,
            "fee_recipient": self._draw(slot, "fee recipient")[:20],
            "state_root": self._draw(slot, "execution state"),
            "receipts_root": self._draw(slot, "receipts"),
            "prev_randao": self._draw(slot, "randao"),
            "block_number": made.number,
            "gas_limit": _GAS_LIMIT,
            "gas_used": _GAS_LIMIT // 2,
            "timestamp": self.network.slot_start_ms(slot) // 1000,
            "extra_data": b"lightclient simulator",
            "base_fee_per_gas": 7,
            "block_hash": made.block_hash,
            "transactions": _transactions(containers.ExecutionPayload),
        }
        if "blob_gas_used" in containers.ExecutionPayload.fields():
            values["blob_gas_used"] = contents.blob_gas_used
        return _filled(containers.ExecutionPayload, **values)

    def _draw(self, slot: int, what: str) -> bytes:
        return sha256(f"{self.keys.seed} {slot} {what}".encode()).digest()
