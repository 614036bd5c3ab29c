"""Histories of many sync committee periods, made fast: real signatures over sparse Merkle trees.

The simulator derives its objects from whole states and blocks, some 60 ms a period. Here only what
an update proves exists: the siblings in its branches are arbitrary hashes, the committees are drawn
from a pool of validators, and one signing with the sum of the participants' secrets stands for all
of them. Deterministic by seed, in every fork; a plain ``Processor`` accepts each object.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from hashlib import sha256

from lightclient.bls import Backend, choose_backend
from lightclient.bls.encoding import CURVE_ORDER
from lightclient.config import Network
from lightclient.containers import (
    BeaconBlockHeader,
    ExecutionPayloadHeader,
    LightClientBootstrap,
    LightClientHeader,
    LightClientUpdate,
    SyncAggregate,
    SyncCommittee,
)
from lightclient.protocol import sync_committee_signing_root
from lightclient.simulator import simulated_network

_MEMBERS_PER_ABSENT = 64
"""8 of 512 are absent on average."""
_BOOTSTRAP_EPOCH, _FINALIZED_EPOCH, _ATTESTED_EPOCH = 1, 2, 4  # within a period
_POOL_SURPLUS = 4  # a quarter more validators than seats, so that committees differ
_FORK_SHARES = {
    # Where each fork begins, as a fraction of the history: about what mainnet's was.
    "altair": 0.0,
    "bellatrix": 0.16,
    "capella": 0.28,
    "deneb": 0.46,
    "electra": 0.69,
    "fulu": 0.80,
    "gloas": 0.95,
}


def history_network(
    periods: int, forks: Mapping[str, int] | None = None, preset: str = "mainnet", seed: int = 0
) -> Network:
    """A network whose forks are spread over ``periods``, or begin at the epochs given."""
    network = simulated_network(preset, {"altair": 0})
    if forks is None:
        epochs = network.preset.epochs_per_sync_committee_period
        forks = {name: int(periods * share) * epochs for name, share in _FORK_SHARES.items()}
    network = simulated_network(preset, forks, name="history")
    return replace(
        network, genesis_validators_root=sha256(f"history validators {seed}".encode()).digest()
    )


@dataclass(frozen=True, slots=True)
class _Committee:
    secrets: tuple[int, ...] = field(repr=False)
    public: SyncCommittee = field(repr=False)


@dataclass(frozen=True)
class HistoryMaker:
    """Makes the objects of one chain.

    Args:
        mean_absent: how many members are absent on average (default: 1 of 64); each is with the
            same chance.
    """

    network: Network
    seed: int = 0
    mean_absent: float | None = None
    backend: Backend = field(default_factory=choose_backend)

    # Validators --------------------------------------------------------------------------------

    @cached_property
    def _validators(self) -> list[tuple[int, bytes]]:
        size = self.network.preset.sync_committee_size
        secrets = [
            int.from_bytes(sha256(f"{self.seed} {index}".encode()).digest()) % (CURVE_ORDER - 1) + 1
            for index in range(size + max(size // _POOL_SURPLUS, 4))
        ]
        return [(secret, self.backend.sk_to_pk(secret)) for secret in secrets]

    @cached_property
    def _committee(self) -> Callable[[int], _Committee]:
        # The update of a period needs the committee that its predecessor announced.
        return lru_cache(maxsize=4)(self._make_committee)

    def _make_committee(self, period: int) -> _Committee:
        draw = self._draw("committee", period)
        members = draw.sample(self._validators, self.network.preset.sync_committee_size)
        secrets, pubkeys = zip(*members, strict=True)
        aggregate = self.backend.sk_to_pk(sum(secrets) % CURVE_ORDER)
        return _Committee(secrets, SyncCommittee(b"".join(pubkeys), aggregate))

    def _draw(self, what: str, number: int) -> random.Random:
        return random.Random(f"{self.seed} {what} {number}")

    def absent_at(self, slot: int) -> set[int]:
        """Seats that do not sign in ``slot``. Most of them are absent in the whole period."""
        network = self.network
        size = network.preset.sync_committee_size
        mean = size / _MEMBERS_PER_ABSENT if self.mean_absent is None else self.mean_absent
        period = network.compute_sync_committee_period_at_slot(slot)
        absent: set[int] = set()
        for draw, share in ((self._draw("absent", period), 0.75), (self._draw("late", slot), 0.25)):
            limit = share * mean / size
            absent |= {seat for seat in range(size) if draw.random() < limit}
        return absent

    # Objects -----------------------------------------------------------------------------------

    def bootstrap(self, period: int) -> LightClientBootstrap:
        """The bootstrap of a block early in ``period``."""
        slot = self._slot(period, _BOOTSTRAP_EPOCH)
        fork, draw = self.network.fork_at_slot(slot), self._draw("bootstrap", period)
        committee, gindex = self._committee(period).public, fork.current_sync_committee_gindex
        state_root, (branch,) = _proven({gindex: committee.hash_tree_root()}, draw)
        header = self._header(slot, state_root, draw)
        return LightClientBootstrap(fork.data_format, header, committee, branch)

    def update(self, period: int, slots_later: int = 0) -> LightClientUpdate:
        """An update with finality and the next committee; ``slots_later`` makes other ones."""
        slot = self._slot(period, _ATTESTED_EPOCH) + slots_later
        fork, draw = self.network.fork_at_slot(slot), self._draw("update", slot)
        finalized_slot = self._slot(period, _FINALIZED_EPOCH)
        finalized_slot += slots_later - slots_later % self.network.preset.slots_per_epoch
        finalized = self._header(finalized_slot, draw.randbytes(32), draw)
        next_committee = self._committee(period + 1).public
        leaves = {
            fork.next_sync_committee_gindex: next_committee.hash_tree_root(),
            fork.finalized_root_gindex: finalized.beacon.hash_tree_root(),
        }
        state_root, (next_branch, finality_branch) = _proven(leaves, draw)
        unsigned = LightClientUpdate(
            fork.data_format,
            self._header(slot, state_root, draw),
            next_committee,
            next_branch,
            finalized,
            finality_branch,
            SyncAggregate(b"", b""),
            slot + 1,
        )
        return replace(unsigned, sync_aggregate=self._sign(unsigned, period))

    def _slot(self, period: int, epoch: int) -> int:
        start = self.network.compute_start_slot_at_sync_committee_period(period)
        return start + epoch * self.network.preset.slots_per_epoch

    def _sign(self, unsigned: LightClientUpdate, period: int) -> SyncAggregate:
        secrets, absent = self._committee(period).secrets, self.absent_at(unsigned.signature_slot)
        secret = sum(secrets) - sum(secrets[seat] for seat in absent)
        bits = (1 << len(secrets)) - 1 - sum(1 << seat for seat in absent)
        message = sync_committee_signing_root(unsigned, self.network)
        return SyncAggregate(
            bits.to_bytes(len(secrets) // 8, "little"),
            self.backend.sign(secret % CURVE_ORDER, message),
        )

    def _header(self, slot: int, state_root: bytes, draw: random.Random) -> LightClientHeader:
        fork = self.network.fork_at_slot(slot)
        data_format, parent_root = fork.data_format, draw.randbytes(32)
        if data_format.header == "bare":
            beacon = BeaconBlockHeader(slot, 1, parent_root, state_root, draw.randbytes(32))
            return LightClientHeader(data_format, beacon)
        block_hash, execution = draw.randbytes(32), None
        leaf, gindex = block_hash, fork.execution_block_hash_gindex
        if data_format.header == "payload":
            execution = _execution(slot, block_hash, draw, with_blob_gas=fork.payload_has_blob_gas)
            leaf = execution.hash_tree_root(with_blob_gas=fork.payload_has_blob_gas)
            gindex = fork.execution_gindex
        body_root, (branch,) = _proven({gindex: leaf}, draw)
        beacon = BeaconBlockHeader(slot, 1, parent_root, state_root, body_root)
        if execution is not None:
            return LightClientHeader(data_format, beacon, execution, branch)
        return LightClientHeader(data_format, beacon, None, branch, block_hash)


def update_chunk(data: bytes, slot: int, network: Network) -> bytes:
    """An SSZ object as the Beacon API's update stream frames it."""
    digest = network.compute_fork_digest(network.compute_epoch_at_slot(slot))
    return (len(data) + 4).to_bytes(8, "little") + digest + data


def _execution(
    slot: int, block_hash: bytes, draw: random.Random, *, with_blob_gas: bool
) -> ExecutionPayloadHeader:
    return ExecutionPayloadHeader(
        parent_hash=draw.randbytes(32),
        fee_recipient=draw.randbytes(20),
        state_root=draw.randbytes(32),
        receipts_root=draw.randbytes(32),
        logs_bloom=draw.randbytes(256),
        prev_randao=draw.randbytes(32),
        block_number=slot,
        gas_limit=30_000_000,
        gas_used=15_000_000,
        timestamp=slot * 12,
        extra_data=draw.randbytes(12),
        base_fee_per_gas=10**9,
        block_hash=block_hash,
        transactions_root=draw.randbytes(32),
        withdrawals_root=draw.randbytes(32),
        blob_gas_used=131072 if with_blob_gas else 0,
    )


def _proven(
    leaves: Mapping[int, bytes], draw: random.Random
) -> tuple[bytes, tuple[tuple[bytes, ...], ...]]:
    """A root above ``leaves`` (by generalized index) and a branch for each; the rest is noise."""
    nodes = dict(leaves)
    for gindex in _deepest_first(frozenset(leaves)):
        sides = [
            nodes.setdefault(side, draw.randbytes(32)) for side in (gindex * 2, gindex * 2 + 1)
        ]
        nodes[gindex] = sha256(sides[0] + sides[1]).digest()
    return nodes[1], tuple(tuple(_branch(nodes, gindex)) for gindex in leaves)


@lru_cache(maxsize=64)
def _deepest_first(leaves: frozenset[int]) -> tuple[int, ...]:
    above = {leaf >> level for leaf in leaves for level in range(1, leaf.bit_length())}
    return tuple(sorted(above, reverse=True))


def _branch(nodes: Mapping[int, bytes], gindex: int) -> Iterator[bytes]:
    while gindex > 1:
        yield nodes[gindex ^ 1]
        gindex >>= 1
