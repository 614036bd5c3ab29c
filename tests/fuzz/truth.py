"""What is true of a chain, and whether an object or a store says anything else.

A genuine object may be changed in ways that make it say less (its finality or committee left out),
the same with other words (another slot of the same committee and fork, a newer format, seats that
hold the same key) and still be valid. Anything beyond that is a forgery.
"""

from __future__ import annotations

from collections import defaultdict

from lightclient.containers import (
    LightClientBootstrap,
    LightClientHeader,
    LightClientObject,
    LightClientUpdate,
    SyncAggregate,
    SyncCommittee,
)
from lightclient.protocol import (
    LightClientStore,
    get_lc_execution_root,
    is_finality_update,
    is_sync_committee_update,
)
from tests.fuzz.histories import History


class Forged(AssertionError):
    """Something was accepted that nobody signed."""


class Truth:
    """Everything that the genuine objects of a history say."""

    def __init__(self, history: History) -> None:
        self._network = history.network
        self._root = history.trusted_block_root
        self._execution: defaultdict[bytes, set[bytes]] = defaultdict(set)
        self._signed: defaultdict[bytes, set[tuple[bytes, tuple[bytes, ...]]]] = defaultdict(set)
        self._finalized: defaultdict[bytes, set[bytes]] = defaultdict(set)
        self._next: defaultdict[bytes, set[bytes]] = defaultdict(set)
        self._committees: dict[int, SyncCommittee] = {}
        for value in history.objects:
            self._learn_committee(value)
        for value in history.objects:
            self._learn(value)

    def _period(self, slot: int) -> int:
        return self._network.compute_sync_committee_period_at_slot(slot)

    def _full(self, value: LightClientObject) -> LightClientUpdate:
        assert not isinstance(value, LightClientBootstrap)
        return value.as_update(self._network.preset.sync_committee_size)

    def _learn_committee(self, value: LightClientObject) -> None:
        period = self._period(value.main_header.beacon.slot)
        if isinstance(value, LightClientBootstrap):
            self._committees[period] = value.current_sync_committee
        elif isinstance(value, LightClientUpdate) and is_sync_committee_update(value):
            self._committees[period + 1] = value.next_sync_committee

    def _learn(self, value: LightClientObject) -> None:
        self._learn_header(value.main_header)
        if isinstance(value, LightClientBootstrap):
            return
        full = self._full(value)
        attested = full.attested_header.beacon.hash_tree_root()
        aggregate = full.sync_aggregate
        signature = aggregate.sync_committee_signature
        self._signed[attested].add((signature, self._signers(aggregate, full.signature_slot)))
        if is_finality_update(full):
            self._learn_header(full.finalized_header)
            self._finalized[attested].add(full.finalized_header.beacon.hash_tree_root())
        if is_sync_committee_update(full):
            self._next[attested].add(full.next_sync_committee.hash_tree_root())

    def _learn_header(self, header: LightClientHeader) -> None:
        root = header.beacon.hash_tree_root()
        self._execution[root].add(get_lc_execution_root(header, self._network))

    def _signers(self, aggregate: SyncAggregate, signature_slot: int) -> tuple[bytes, ...]:
        committee = self._committees.get(self._period(signature_slot))
        if committee is None:
            raise Forged(f"no committee is known that signs at slot {signature_slot}")
        bits = int.from_bytes(aggregate.sync_committee_bits, "little")
        seats = range(committee.size)
        return tuple(sorted(committee.pubkey(seat) for seat in seats if bits >> seat & 1))

    # Questions ----------------------------------------------------------------------------------

    def check_valid(self, value: LightClientObject) -> None:
        """Raises Forged if an object that was found valid says what no genuine one says."""
        self._check_header("header", value.main_header)
        root = value.main_header.beacon.hash_tree_root()
        if isinstance(value, LightClientBootstrap):
            if root != self._root:
                raise Forged("a bootstrap of another block")
            self._check_committee("current committee", value.current_sync_committee)
            return
        full = self._full(value)
        aggregate = full.sync_aggregate
        signers = self._signers(aggregate, full.signature_slot)
        if (aggregate.sync_committee_signature, signers) not in self._signed[root]:
            raise Forged("a signature that nobody made")
        if is_finality_update(full):
            self._check_header("finalized header", full.finalized_header)
            if full.finalized_header.beacon.hash_tree_root() not in self._finalized[root]:
                raise Forged("finality of another block")
        if (
            is_sync_committee_update(full)
            and full.next_sync_committee.hash_tree_root() not in self._next[root]
        ):
            raise Forged("a next committee of another state")

    def check_store(self, store: LightClientStore, *, but_current_committee: bool = False) -> None:
        """Raises Forged if the store holds anything that no genuine object says."""
        self._check_header("finalized header of the store", store.finalized_header)
        self._check_header("optimistic header of the store", store.optimistic_header)
        period = self._period(store.finalized_header.beacon.slot)
        if not but_current_committee:
            self._check_committee("current committee", store.current_sync_committee, period)
        if store.next_sync_committee is not None:
            self._check_committee("next committee", store.next_sync_committee, period + 1)
        if store.best_valid_update is not None:
            self.check_valid(store.best_valid_update)

    def _check_header(self, what: str, header: LightClientHeader) -> None:
        known = self._execution.get(header.beacon.hash_tree_root())
        if known is None:
            raise Forged(f"{what}: no such block")
        if get_lc_execution_root(header, self._network) not in known:
            raise Forged(f"{what}: another execution payload")

    def _check_committee(
        self, what: str, committee: SyncCommittee, period: int | None = None
    ) -> None:
        known = self._committees.values() if period is None else [self._committees.get(period)]
        if committee not in known:
            raise Forged(f"{what}: not the one of its period")
