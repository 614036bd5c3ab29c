"""What a client could have reached: its own store, fed by hand with all that an honest node has."""

from __future__ import annotations

from lightclient.bls import Backend
from lightclient.client import LightClient
from lightclient.protocol import has_supermajority, is_finality_update
from lightclient.sync import Processor
from tests.soak.chain import FunctionalChain
from tests.soak.virtual_time import VirtualTime

_TOLERATED_SLOTS = 4
"""A client polls once a slot, at a time of its own, from providers that answer when they do."""


class Reach:
    """Compares a client with what there is to be had."""

    def __init__(self, chain: FunctionalChain, backend: Backend, time: VirtualTime) -> None:
        self._chain = chain
        self._backend = backend
        self._time = time

    def missing(self, client: LightClient, slot: int) -> list[str]:
        """What an honest provider has for the client's store, and the client has not taken in."""
        best = self._fed_by_hand(client.processor, slot - _TOLERATED_SLOTS)
        if best.finalized_header is None or best.optimistic_header is None:
            return ["nobody could have the bootstrap, though a provider was honest"]
        return [
            f"{kind} slot {ours and ours.slot} where {possible.slot} was to be had for long"
            for kind, ours, possible in (
                ("finalized", client.finalized_header(), best.finalized_header),
                ("optimistic", client.optimistic_header(), best.optimistic_header),
            )
            if ours is None or ours.slot < possible.slot
        ]

    def is_at_head(self, client: LightClient, slot: int) -> bool:
        """Whether the client has the head of the chain."""
        update = self._chain.optimistic_update(slot - _TOLERATED_SLOTS)
        head = client.optimistic_header()
        if update is None or head is None:
            return False
        return head.slot >= update.attested_header.beacon.slot

    def is_cut_off(self, client: LightClient, slot: int) -> bool:
        """Whether the chain itself has no way on from the client's store, whoever serves it.

        So it is after a period in which no signed block finalized another one of that period: its
        next committee was never proven final.
        """
        store = client.processor.store
        if store is None:
            return False
        period = self._chain.network.compute_sync_committee_period_at_slot
        first = period(store.finalized_header.beacon.slot)
        if store.next_sync_committee is not None:
            first += 1
        for number in range(first, period(slot)):
            best = self._chain.best_update(number, slot)
            if best is None or not (has_supermajority(best) and is_finality_update(best)):
                return True
            if period(best.finalized_header.beacon.slot) != number:
                return True
        return False

    def _fed_by_hand(self, processor: Processor, head_slot: int) -> Processor:
        """A copy that was given everything an honest provider has, in the best order."""
        chain, network, now_ms = self._chain, self._chain.network, self._time.clock_ms()
        root = processor.trusted_block_root
        assert root is not None
        copy = Processor(network, root, backend=self._backend)
        if processor.store is None:
            copy.process(chain.bootstrap(chain.slots_by_root[root]), now_ms)
        else:
            copy.store = processor.store.copy()
            copy.finalized_header = processor.finalized_header
            copy.optimistic_header = processor.optimistic_header
        assert copy.store is not None
        period = network.compute_sync_committee_period_at_slot
        for number in range(period(copy.store.finalized_header.beacon.slot), period(head_slot) + 1):
            # The present period's is asked for where a committee is missing; else finality is.
            if number < period(head_slot) or copy.store.next_sync_committee is None:
                best = chain.best_update(number, head_slot)
                if best is not None:
                    copy.process(best, now_ms)
        for newest in (chain.finality_update(head_slot), chain.optimistic_update(head_slot)):
            if newest is not None:
                copy.process(newest, now_ms)
        return copy
