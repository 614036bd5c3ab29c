"""The only place where trust is made: one object in, a verdict and perhaps events out.

Sans I/O. The caller brings the objects and the time (Unix milliseconds), one call at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lightclient.bls import Backend, OtherProcess, SharedCheck, choose_backend
from lightclient.config.network import GENESIS_SLOT, Network
from lightclient.containers import (
    AnyUpdate,
    LightClientBootstrap,
    LightClientHeader,
    LightClientObject,
    LightClientUpdate,
    SyncCommittee,
)
from lightclient.errors import ConfigError
from lightclient.protocol import (
    ACCEPTED,
    LightClientStore,
    Rule,
    SignatureVerifier,
    Step,
    Verdict,
    VerdictKind,
    initialize_light_client_store,
    is_valid_light_client_header,
    new_light_client_store,
    process_light_client_store_force_update,
    process_light_client_update,
    signatures_hold,
    signing_committee,
    verdict_of,
    walk_light_client_updates,
)
from lightclient.sync.forced_update import ForcedUpdatePolicy, ForcedUpdateWatch
from lightclient.sync.proofs import StoreProofs
from lightclient.sync.verified import (
    Clock,
    Event,
    NewFinalizedHeader,
    NewOptimisticHeader,
    VerifiedHeader,
    verified_by,
)

_LONG_HISTORY = 16
"""Periods for which a second process is worth its start."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What processing one object led to.

    Attributes:
        verdict: how it was judged.
        events: significant progress, finalized before optimistic; often empty.
        progress: whether a header or a sync committee is new. Learning only a committee is
            progress for whoever plans requests, but no event.
    """

    verdict: Verdict
    events: tuple[Event, ...] = ()
    progress: bool = False


@dataclass(frozen=True, slots=True)
class UpdatesWalk:
    """What a walk over several updates found, not applied yet.

    Attributes:
        base: the store it started from.
        steps: None if the updates must be judged one by one.
    """

    base: LightClientStore | None
    updates: tuple[LightClientUpdate, ...]
    steps: list[Step] | None


class Processor:
    """Judges light client objects and keeps the store.

    Args:
        trusted_block_root: 32 bytes; None if the store will come from
            :meth:`reset_to_finalized_header`.
        backend: signature backend; the fastest usable one by default.
        forced_update: when a forced update may run, see :class:`ForcedUpdatePolicy`.
        audit_committees: compare each committee's aggregate with the sum of its keys before its
            first use. Otherwise that is done for the bootstrap's committee and for those in use at
            the head; a committee that history only passes through is compared when a signature
            first fails.
        second_process: checks a part of a long history's signatures; it is started when one
            begins, and ended when the head is reached or by :meth:`close`.
        clock: for the headers' :meth:`VerifiedHeader.age` alone; judging takes its time as an
            argument.

    Raises:
        ConfigError: the root is not 32 bytes.
    """

    def __init__(
        self,
        network: Network,
        trusted_block_root: bytes | None,
        *,
        backend: Backend | None = None,
        forced_update: ForcedUpdatePolicy = ForcedUpdatePolicy.NEVER,
        audit_committees: bool = False,
        clock: Clock | None = None,
        second_process: OtherProcess | None = None,
    ) -> None:
        if trusted_block_root is not None and len(trusted_block_root) != 32:
            raise ConfigError(
                f"trusted_block_root has {len(trusted_block_root)} bytes where 32 were expected"
            )
        self.network = network
        self.trusted_block_root = trusted_block_root
        self.signatures = SignatureVerifier(backend or choose_backend())
        self.audit_committees = audit_committees
        self.store: LightClientStore | None = None
        self.finalized_header: VerifiedHeader | None = None
        self.optimistic_header: VerifiedHeader | None = None
        self.proofs = StoreProofs()
        self._clock = clock
        self._second = second_process
        self._forced_updates = ForcedUpdateWatch(forced_update, network)
        self._audit_first: SyncCommittee | None = None

    # Objects ----------------------------------------------------------------------------------

    def process(self, value: LightClientObject, now_ms: int) -> Outcome:
        """Judge one object at time ``now_ms`` and apply it if it is valid.

        Whatever the verdict, the store is either unchanged or wholly updated. Nothing raises for
        anything an object holds.
        """
        if isinstance(value, LightClientBootstrap):
            return self._process_bootstrap(value, now_ms)
        return self._process_update(value, now_ms)

    def _process_bootstrap(self, bootstrap: LightClientBootstrap, now_ms: int) -> Outcome:
        if self.store is not None:
            slot = self.store.finalized_header.beacon.slot
            return Outcome(verdict_of(Rule.BOOTSTRAP_EXISTS, finalized_slot=slot))
        if self.trusted_block_root is None:
            return Outcome(verdict_of(Rule.NO_BOOTSTRAP))
        slot = bootstrap.header.beacon.slot
        if self.network.is_before_genesis_ms(now_ms) and slot != GENESIS_SLOT:
            return Outcome(
                verdict_of(Rule.SIGNATURE_SLOT_IN_FUTURE, signature_slot=slot, current_slot=0)
            )
        store, verdict = initialize_light_client_store(
            self.trusted_block_root, bootstrap, self.network
        )
        if store is None:
            return Outcome(verdict)
        outcome = Outcome(verdict, self._adopt(store, now_ms), progress=True)
        self._make_ready(now_ms)
        return outcome

    def _make_ready(self, now_ms: int) -> None:
        """Start the second process while the first updates are still under way."""
        if self._second is not None and self.store is not None:
            period = self.network.compute_sync_committee_period_at_slot
            current_period = period(self.network.slot_at_time_ms(now_ms))
            if current_period - period(self.store.finalized_header.beacon.slot) >= _LONG_HISTORY:
                self._second.start()

    def _adopt(self, store: LightClientStore, now_ms: int | None) -> tuple[Event, ...]:
        self.store = store
        self.proofs = StoreProofs()
        self._audit_first = store.current_sync_committee
        self._forced_updates.note_progress(now_ms)
        header = VerifiedHeader(store.finalized_header, self.network, clock=self._clock)
        self.finalized_header = self.optimistic_header = header
        return (NewFinalizedHeader(header), NewOptimisticHeader(header))

    def _process_update(self, update: AnyUpdate, now_ms: int) -> Outcome:
        if self.store is None:
            return Outcome(verdict_of(Rule.NO_BOOTSTRAP))
        current_slot = self.network.slot_at_time_ms(now_ms)
        committee = signing_committee(self.store, update.signature_slot, self.network)
        if committee is not None:
            self._audit_before_use(update, committee, current_slot)
        before = self.store.copy()
        verdict = process_light_client_update(
            self.store, update, current_slot, self.network, self.signatures
        )
        self._forced_updates.note_update(update, verdict, self.store, now_ms)
        if verdict.kind is not VerdictKind.ACCEPTED:
            return Outcome(verdict)
        if not isinstance(update, LightClientUpdate):  # the head is reached: no more history
            self.close()
        return self._outcome(verdict, before, update, now_ms)

    def _outcome(
        self, verdict: Verdict, before: LightClientStore, update: AnyUpdate, now_ms: int
    ) -> Outcome:
        store = self.store
        assert store is not None
        events: list[Event] = []
        by = (self.network, update.sync_aggregate, update.signature_slot, self._clock)
        if store.finalized_header is not before.finalized_header:
            self.finalized_header = verified_by(store.finalized_header, *by)
            events.append(NewFinalizedHeader(self.finalized_header))
        if store.optimistic_header is not before.optimistic_header:
            self.optimistic_header = verified_by(store.optimistic_header, *by)
            events.append(NewOptimisticHeader(self.optimistic_header))
        self.proofs = self.proofs.after(before, store, update)
        progress = bool(events) or store.next_sync_committee is not before.next_sync_committee
        if progress:
            self._forced_updates.note_progress(now_ms)
        return Outcome(verdict, tuple(events), progress)

    # Histories --------------------------------------------------------------------------------

    def process_updates(self, updates: Sequence[LightClientUpdate], now_ms: int) -> list[Outcome]:
        """Judge several updates in order, as :meth:`process` would one by one, but faster.

        Signatures are checked together. Nothing is applied before all of them hold; if one does
        not, the updates are judged one by one. With milagro that proves what each committee
        signed, but not each signature: two that are off by opposite amounts pass together.
        """
        return self.apply_updates(self.walk_updates(updates, now_ms), now_ms)

    def walk_updates(self, updates: Sequence[LightClientUpdate], now_ms: int) -> UpdatesWalk:
        """The long part of :meth:`process_updates`; changes no store, so it may run in a thread.

        Nothing else may use the processor until it is done.
        """
        base = None if self.store is None else self.store.copy()
        if base is None or len(updates) < 2:
            return UpdatesWalk(base, tuple(updates), None)
        current_slot = self.network.slot_at_time_ms(now_ms)
        self._make_ready(now_ms)
        with SharedCheck(self.signatures.backend, self._second) as check:
            steps = walk_light_client_updates(
                base,
                updates,
                current_slot,
                self.network,
                self.signatures,
                check,
                lambda update, committee: self._audit_before_use(update, committee, current_slot),
            )
            hold = signatures_hold(steps, self.signatures, check)
        return UpdatesWalk(base, tuple(updates), steps if hold else None)

    def apply_updates(self, walk: UpdatesWalk, now_ms: int) -> list[Outcome]:
        """Apply what :meth:`walk_updates` found, or judge one by one if it does not stand."""
        if walk.steps is None or self.store is None or self.store != walk.base:
            return [self.process(update, now_ms) for update in walk.updates]
        return [self._apply_step(step, now_ms) for step in walk.steps]

    def _apply_step(self, step: Step, now_ms: int) -> Outcome:
        assert self.store is not None
        before = self.store.copy()
        self.store.assign(step.store)
        self._forced_updates.note_update(step.update, step.verdict, self.store, now_ms)
        if step.verdict.kind is not VerdictKind.ACCEPTED:
            return Outcome(step.verdict)
        return self._outcome(step.verdict, before, step.update, now_ms)

    def close(self) -> None:
        """End the second process, if there is one; the next history may start another."""
        if self._second is not None:
            self._second.close()

    # Committees -------------------------------------------------------------------------------

    def _audit_before_use(
        self, update: AnyUpdate, committee: SyncCommittee, current_slot: int
    ) -> None:
        if self._is_audited_first(update, committee, current_slot):
            self.signatures.compare_aggregate(committee)

    def _is_audited_first(
        self, update: AnyUpdate, committee: SyncCommittee, current_slot: int
    ) -> bool:
        period = self.network.compute_sync_committee_period_at_slot
        is_following = period(update.signature_slot) >= period(current_slot)
        return self.audit_committees or is_following or committee is self._audit_first

    def must_audit(self, value: LightClientObject, now_ms: int) -> bool:
        """Whether :meth:`process` would compare a committee's aggregate for ``value``.

        Whoever must not wait for that calls :meth:`audit` elsewhere first, such as in a thread.
        """
        if self.store is None or isinstance(value, LightClientBootstrap):
            return False
        committee = signing_committee(self.store, value.signature_slot, self.network)
        return (
            committee is not None
            and self._is_audited_first(value, committee, self.network.slot_at_time_ms(now_ms))
            and not self.signatures.is_compared(committee)
        )

    def audit(self) -> None:
        """Compare the aggregates of the store's committees now, if that was not done yet.

        :meth:`process` then finds the answer ready. Takes some 40 to 120 ms a committee.
        """
        if self.store is not None:
            self.signatures.compare_aggregate(self.store.current_sync_committee)
            if self.store.next_sync_committee is not None:
                self.signatures.compare_aggregate(self.store.next_sync_committee)

    # Other ways in ----------------------------------------------------------------------------

    def tick(self, now_ms: int) -> Outcome | None:
        """Run a forced update if the policy and the protocol both say it is time.

        None if nothing happened. Call it now and then; once a slot is plenty.
        """
        store = self.store
        if store is None or not self._forced_updates.is_due(store, now_ms):
            return None
        best, before = store.best_valid_update, store.copy()
        current_slot = self.network.slot_at_time_ms(now_ms)
        if not process_light_client_store_force_update(store, current_slot, self.network):
            return None
        assert best is not None  # or it would not have been due
        # Whatever the update brought: the next forced one waits as long as this one did.
        self._forced_updates.note_progress(now_ms)
        return replace(self._outcome(ACCEPTED, before, best, now_ms), progress=True)

    def reset_to_finalized_header(
        self,
        header: LightClientHeader,
        sync_committee: SyncCommittee,
        now_ms: int | None = None,
    ) -> tuple[Event, ...]:
        """Start over at a header the caller trusts, with the sync committee of its period.

        The next committee is unknown afterwards. The caller vouches for both values: only their
        form is checked. Without ``now_ms``, the time without progress (see
        :class:`ForcedUpdatePolicy`) is counted from the next object on.

        Raises:
            ConfigError: the committee is of another size, or the header proves a wrong payload.
        """
        size = self.network.preset.sync_committee_size
        if sync_committee.size != size:
            raise ConfigError(f"a committee of {sync_committee.size} where {size} were expected")
        if not is_valid_light_client_header(header, self.network):
            raise ConfigError(f"the header at slot {header.beacon.slot} proves no valid payload")
        return self._adopt(new_light_client_store(header, sync_committee), now_ms)

    def resume(
        self, store: LightClientStore, proofs: StoreProofs, now_ms: int
    ) -> tuple[Event, ...]:
        """Go on from a store that was kept, with what had proven it.

        The caller has checked both with :func:`why_not_proven`.
        """
        self._adopt(store, now_ms)
        self.proofs = proofs
        self.finalized_header = self._proven(store.finalized_header, proofs.finalized)
        self.optimistic_header = self._proven(store.optimistic_header, proofs.optimistic)
        return (
            NewFinalizedHeader(self.finalized_header),
            NewOptimisticHeader(self.optimistic_header),
        )

    def _proven(self, header: LightClientHeader, by: LightClientUpdate | None) -> VerifiedHeader:
        if by is None:
            return VerifiedHeader(header, self.network, clock=self._clock)
        return verified_by(header, self.network, by.sync_aggregate, by.signature_slot, self._clock)

    def forget(self) -> None:
        """Drop the store, as if there never had been one."""
        self.store = self.finalized_header = self.optimistic_header = None
        self.proofs = StoreProofs()
