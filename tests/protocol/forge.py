"""Light client objects made to order: sound ones in any fork and format, then broken on purpose.

States and block bodies exist only as sparse Merkle trees around the leaves that get proven, so that
anything can be proven that a test wants proven. Signatures are real.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from typing import Any

from lightclient.bls import Backend, choose_backend
from lightclient.bls.encoding import CURVE_ORDER
from lightclient.config.forks import (
    DATA_FORMATS,
    FAR_FUTURE_EPOCH,
    FORKS,
    FORKS_BY_NAME,
    DataFormat,
)
from lightclient.config.network import BlobParameters, Network, Preset, ScheduledFork
from lightclient.config.presets import MINIMAL
from lightclient.containers import (
    AnyUpdate,
    BeaconBlockHeader,
    ExecutionPayloadHeader,
    LightClientBootstrap,
    LightClientHeader,
    LightClientUpdate,
    SyncAggregate,
    SyncCommittee,
    default_sync_committee,
    execution_payload_header_type,
    light_client_header_type,
    zero_branch,
)
from lightclient.protocol import (
    LightClientStore,
    SignatureVerifier,
    initialize_light_client_store,
)
from lightclient.protocol.excerpts import (
    create_light_client_finality_update,
    create_light_client_optimistic_update,
)
from lightclient.ssz import ZERO_NODE
from tests.sparse_trees import SparseTree, hashed

FORK_NAMES = tuple(fork.name for fork in FORKS[1:])
PERIOD = MINIMAL.slots_per_sync_committee_period


def network_of(epochs: Mapping[str, int], preset: Preset = MINIMAL) -> Network:
    """A network with these forks by activation epoch; the others are not scheduled."""
    return Network(
        name="forged",
        preset=preset,
        genesis_time=1_600_000_000,
        genesis_validators_root=hashed("genesis"),
        slot_duration_ms=preset.slot_duration_ms,
        forks=tuple(
            ScheduledFork(fork, bytes([index, 0, 0, 1]), epochs.get(fork.name, FAR_FUTURE_EPOCH))
            for index, fork in enumerate(FORKS)
        ),
        blob_schedule=(BlobParameters(0, 12),),
    )


def network_from_genesis(fork_name: str, preset: Preset = MINIMAL) -> Network:
    """A network that runs ``fork_name`` from its genesis on."""
    until = FORKS_BY_NAME[fork_name].index
    return network_of({fork.name: 0 for fork in FORKS[: until + 1]}, preset)


@cache
def backend() -> Backend:
    return choose_backend()


@cache
def _public_key(secret: int) -> bytes:
    return backend().sk_to_pk(secret)


@dataclass(frozen=True)
class Members:
    """A committee together with its secrets, in seat order."""

    secrets: tuple[int, ...]
    committee: SyncCommittee


@cache
def members_of(label: object, size: int) -> Members:
    secrets = tuple(
        int.from_bytes(hashed("secret", label, seat)) % (CURVE_ORDER - 1) + 1
        for seat in range(size)
    )
    pubkeys = b"".join(map(_public_key, secrets))
    aggregate = _public_key(sum(secrets) % CURVE_ORDER)
    return Members(secrets, SyncCommittee(pubkeys, aggregate))


class Forge:
    """Makes objects of one network. Committees follow from the period alone, states from the slot.

    Args:
        data_format: of every object; default: that of the fork at its header's slot.
    """

    def __init__(self, network: Network, data_format: DataFormat | None = None) -> None:
        self.network = network
        self.data_format = data_format
        self.size = network.preset.sync_committee_size
        self.signatures = SignatureVerifier(backend())

    def members(self, period: int) -> Members:
        return members_of(period, self.size)

    def committee(self, period: int) -> SyncCommittee:
        return self.members(period).committee

    def format_at(self, slot: int) -> DataFormat:
        native = self.network.fork_at_slot(slot).data_format
        wanted = self.data_format or native
        return max(wanted, native, key=DATA_FORMATS.index)

    # Headers ----------------------------------------------------------------------------------

    def header(
        self, slot: int, state_root: bytes | None = None, data_format: DataFormat | None = None
    ) -> LightClientHeader:
        """A header whose execution is proven as its slot's fork does it."""
        data_format = data_format or self.format_at(slot)
        fork = self.network.fork_at_slot(slot)
        leaves: dict[int, bytes] = {}
        payload = make_payload(slot, with_blob_gas=fork.payload_has_blob_gas)
        if fork.proves_parent_block_hash:
            leaves = {fork.execution_block_hash_gindex: payload.block_hash}
        elif fork.execution_gindex:
            leaves = payload_nodes(payload, fork.execution_gindex, fork.payload_has_blob_gas)
        body = SparseTree(leaves, hashed("body", slot))
        state_root = state_root or hashed("state", slot)
        beacon = BeaconBlockHeader(slot, slot % 7, hashed("parent", slot), state_root, body.node(1))
        depth = data_format.execution_branch_depth
        if data_format.header == "bare":
            return LightClientHeader(data_format, beacon)
        if not leaves:
            return replace(light_client_header_type(data_format).default(), beacon=beacon)
        if data_format.header == "payload":
            branch = body.branch(fork.execution_gindex, depth)
            return LightClientHeader(data_format, beacon, payload, branch)
        branch = body.branch(fork.execution_block_hash_gindex, depth)
        return LightClientHeader(data_format, beacon, None, branch, payload.block_hash)

    def empty_header(self, data_format: DataFormat) -> LightClientHeader:
        return light_client_header_type(data_format).default()

    def state(
        self,
        slot: int,
        *,
        finalized_root: bytes | None = None,
        next_committee: SyncCommittee | None = None,
    ) -> SparseTree:
        """The state at ``slot`` with what its fork proves in it."""
        fork = self.network.fork_at_slot(slot)
        period = self.network.compute_sync_committee_period_at_slot(slot)
        following = next_committee or self.committee(period + 1)
        return SparseTree(
            {
                fork.finalized_root_gindex: finalized_root or ZERO_NODE,
                fork.current_sync_committee_gindex: self.committee(period).hash_tree_root(),
                fork.next_sync_committee_gindex: following.hash_tree_root(),
            },
            hashed("state nodes", slot),
        )

    # Objects ----------------------------------------------------------------------------------

    def bootstrap(self, slot: int) -> LightClientBootstrap:
        data_format = self.format_at(slot)
        fork = self.network.fork_at_slot(slot)
        state = self.state(slot)
        depth = data_format.current_sync_committee_branch_depth
        return LightClientBootstrap(
            data_format,
            self.header(slot, state.node(1), data_format),
            self.committee(self.network.compute_sync_committee_period_at_slot(slot)),
            state.branch(fork.current_sync_committee_gindex, depth),
        )

    def store(self, slot: int) -> LightClientStore:
        """A store that was bootstrapped at ``slot``."""
        bootstrap = self.bootstrap(slot)
        root = bootstrap.header.beacon.hash_tree_root()
        store, verdict = initialize_light_client_store(root, bootstrap, self.network)
        assert store is not None, verdict
        return store

    def update(
        self,
        attested_slot: int,
        *,
        finalized_slot: int | None = None,
        committee: bool | SyncCommittee = False,
        signature_slot: int | None = None,
        participants: int | None = None,
    ) -> LightClientUpdate:
        """A sound update.

        Args:
            finalized_slot: None for no finality, 0 for finality of genesis.
            committee: whether the next committee comes along, or which one.
            signature_slot: the slot after the attested one unless said otherwise.
            participants: how many sign, from the first seat on; all unless said otherwise.
        """
        data_format, fork = self.format_at(attested_slot), self.network.fork_at_slot(attested_slot)
        finalized = self.empty_header(data_format)
        if finalized_slot:
            finalized = self.header(finalized_slot, data_format=data_format)
        period = self.network.compute_sync_committee_period_at_slot(attested_slot)
        following = (
            committee if isinstance(committee, SyncCommittee) else self.committee(period + 1)
        )
        state = self.state(
            attested_slot,
            finalized_root=finalized.beacon.hash_tree_root() if finalized_slot else None,
            next_committee=following,
        )
        committee_depth = data_format.next_sync_committee_branch_depth
        finality_depth = data_format.finality_branch_depth
        unsigned = LightClientUpdate(
            data_format,
            self.header(attested_slot, state.node(1), data_format),
            following if committee else default_sync_committee(self.size),
            state.branch(fork.next_sync_committee_gindex, committee_depth)
            if committee
            else zero_branch(committee_depth),
            finalized,
            zero_branch(finality_depth)
            if finalized_slot is None
            else state.branch(fork.finalized_root_gindex, finality_depth),
            SyncAggregate(b"", b""),
            attested_slot + 1 if signature_slot is None else signature_slot,
        )
        return self.signed(unsigned, range(self.size if participants is None else participants))

    def signed(
        self, update: LightClientUpdate, seats: Iterable[int], period: int | None = None
    ) -> LightClientUpdate:
        """``update`` signed by these seats of the committee of its signature slot's period."""
        if period is None:
            period = self.network.compute_sync_committee_period_at_slot(update.signature_slot)
        secrets = self.members(period).secrets
        # Spelled out, so that a wrong domain of ours cannot sign what it then verifies.
        epoch = max(update.signature_slot - 1, 0) // self.network.preset.slots_per_epoch
        version = max(
            (s for s in self.network.forks if s.epoch <= epoch), key=lambda s: s.fork.index
        ).version
        fork_data_root = sha256(version + bytes(28) + self.network.genesis_validators_root).digest()
        domain = bytes([7, 0, 0, 0]) + fork_data_root[:28]
        message = sha256(update.attested_header.beacon.hash_tree_root() + domain).digest()
        seats = list(seats)
        total = sum(secrets[seat] for seat in seats) % CURVE_ORDER
        bits = sum(1 << seat for seat in seats).to_bytes((self.size + 7) // 8, "little")
        signature = backend().sign(total, message) if seats else b"\xc0" + bytes(95)
        return replace(update, sync_aggregate=SyncAggregate(bits, signature))

    def fully_signed(self, update: LightClientUpdate) -> LightClientUpdate:
        """``update`` signed anew by everybody."""
        return self.signed(update, range(self.size))


def payload_nodes(
    payload: ExecutionPayloadHeader, gindex: int, with_blob_gas: bool
) -> dict[int, bytes]:
    """The field roots of a payload as nodes of the body that holds it at ``gindex``."""
    layout = execution_payload_header_type(with_blob_gas)
    roots = [kind.hash_tree_root(getattr(payload, name)) for name, kind in layout.fields.items()]
    width = 1 << (len(roots) - 1).bit_length()
    roots += [ZERO_NODE] * (width - len(roots))
    return {gindex * width + index: root for index, root in enumerate(roots)}


def make_payload(slot: int, *, with_blob_gas: bool) -> ExecutionPayloadHeader:
    """A payload header with something in every field."""
    blob_gas: dict[str, Any] = {"blob_gas_used": 131072, "excess_blob_gas": slot + 1}
    return ExecutionPayloadHeader(
        parent_hash=hashed("parent hash", slot),
        fee_recipient=hashed("fee", slot)[:20],
        state_root=hashed("execution state", slot),
        receipts_root=hashed("receipts", slot),
        logs_bloom=hashed("bloom", slot) * 8,
        prev_randao=hashed("randao", slot),
        block_number=slot + 1000,
        gas_limit=30_000_000,
        gas_used=21_000,
        timestamp=1_600_000_000 + slot,
        extra_data=hashed("extra", slot)[: slot % 33],
        base_fee_per_gas=7 * 10**18,
        block_hash=hashed("block", slot),
        transactions_root=hashed("transactions", slot),
        withdrawals_root=hashed("withdrawals", slot),
        **(blob_gas if with_blob_gas else {}),
    )


def in_every_kind(update: LightClientUpdate) -> tuple[AnyUpdate, ...]:
    return (
        update,
        create_light_client_finality_update(update),
        create_light_client_optimistic_update(update),
    )
