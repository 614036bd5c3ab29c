"""Gives each step to the specification and to the light client, and compares verdict and store.

Where a sound client may differ, a difference is excused and counted; if it changed a store, the
sequence ends there. The excuses are those of :class:`Excuse` and no others.
"""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import Any

from lightclient.bls import Backend
from lightclient.bls.encoding import COMPRESSION_FLAG, INFINITY_FLAG
from lightclient.config import GENESIS_SLOT, Network
from lightclient.containers import (
    AnyUpdate,
    LightClientBootstrap,
    LightClientHeader,
    LightClientObject,
    LightClientUpdate,
    ObjectKind,
    SyncCommittee,
    encode_ssz,
    light_client_header_type,
    object_type,
    sync_committee_type,
)
from lightclient.errors import DecodeError
from lightclient.protocol import (
    LightClientStore,
    Rule,
    SignatureVerifier,
    Verdict,
    VerdictKind,
    get_lc_execution_root,
    get_safety_threshold,
    initialize_light_client_store,
    process_light_client_store_force_update,
    process_light_client_update,
    undecodable,
)
from lightclient.protocol.validation import signing_committee
from lightclient.sync import NewFinalizedHeader, NewOptimisticHeader, Outcome, Processor
from tests.oracle.drawing import Start, Step
from tests.oracle.specification import Answer, Specification, decoded, is_canonical

_INFINITY_FLAGS = COMPRESSION_FLAG | INFINITY_FLAG


class Excuse(StrEnum):
    """Why either verdict is right."""

    CONTEXT = "the format is not that of the attested slot's fork"
    DROPPED = "the upgrade drops what the object's own format would object to"
    IDENTITY = "the sum of the participants' keys is infinity"
    AGGREGATE = "signed by an aggregate key that nobody compared with the sum of the keys"


class Mismatch(Exception):
    """The light client is not of the specification's opinion."""


class Diverged(Exception):
    """An excused difference changed one of the stores: what follows cannot be compared."""


class Comparison:
    """One sequence: the specification's store, ours, and that of a processor that audits.

    ``counts`` says how many steps went which way, by fork of the attested slot.
    """

    def __init__(
        self,
        specification: Specification,
        backend: Backend,
        processor_backend: Backend,
        counts: Counter[tuple[str, str]],
    ) -> None:
        self.specification = specification
        self.network: Network = specification.network
        self.signatures = SignatureVerifier(backend)
        self.processor_backend = processor_backend
        self.counts = counts
        self.store: LightClientStore | None = None
        self.processor: Processor | None = None
        self.spec_store: Any = None
        self._compared: dict[str, object] = {}

    # Steps --------------------------------------------------------------------------------------

    def start(self, start: Start) -> bool:
        """The bootstrap; whether there is a store now."""
        step = start.step
        value, ours = self._decode(step)
        self.processor = Processor(
            self.network,
            start.trusted_block_root,
            backend=self.processor_backend,
            audit_committees=True,
        )
        if value is not None:
            assert isinstance(value, LightClientBootstrap)
            self.store, ours = initialize_light_client_store(
                start.trusted_block_root, value, self.network
            )
            processed = self.processor.process(value, self._some_time_in(step)).verdict
            self._same_verdict("processor", processed, ours)
        view, answer = self._spec_view(step)
        if view is not None:
            self.spec_store, answer = self.specification.initialize(start.trusted_block_root, view)
        self._judge(step, value, ours, answer, changed=True)
        if self.store is None or self.spec_store is None:
            return False
        self._compare_stores()
        return True

    def step(self, step: Step) -> Verdict | None:
        """One object or forced update; our verdict on an object.

        Raises:
            Mismatch: the verdicts or the stores differ.
            Diverged: they do, with an excuse.
        """
        assert self.store is not None
        assert self.processor is not None
        if step.kind is None:
            self._force_update(step.current_slot)
            return None
        value, ours = self._decode(step)
        if value is not None:
            if isinstance(value, LightClientBootstrap):
                raise TypeError("a second bootstrap is for the processor only")
            before = self.store.copy()
            ours = process_light_client_update(
                self.store, value, step.current_slot, self.network, self.signatures
            )
            self._check_own_verdict(ours, before)
            outcome = self.processor.process(value, self._some_time_in(step))
            processed = outcome.verdict
            if processed.rule is Rule.BAD_SIGNATURE and ours.rule is not Rule.BAD_SIGNATURE:
                self._check_aggregate(value, before)
                self._excused(Excuse.AGGREGATE, step, changed=before != self.store)
                ours = processed
            self._same_verdict("processor", processed, ours)
            self._check_events(outcome, before)
        view, answer = self._spec_view(step)
        changed = False
        if view is not None:
            seen = self._fingerprint()
            answer = self.specification.process(self.spec_store, step.kind, view, step.current_slot)
            changed = seen != self._fingerprint()
        self._judge(step, value, ours, answer, changed=changed)
        self._compare_stores()
        return ours

    def _force_update(self, current_slot: int) -> None:
        assert self.store is not None
        assert self.processor is not None
        assert self.processor.store is not None
        changed = process_light_client_store_force_update(self.store, current_slot, self.network)
        process_light_client_store_force_update(self.processor.store, current_slot, self.network)
        self.specification.force_update(self.spec_store, current_slot)
        fork = self.network.fork_at_slot(self.store.finalized_header.beacon.slot).name
        self.counts[fork, "forced" if changed else "forced, nothing to do"] += 1
        self._compare_stores()

    def _decode(self, step: Step) -> tuple[LightClientObject | None, Verdict]:
        assert step.kind is not None
        layout = object_type(step.kind, step.data_format, self.network.preset.sync_committee_size)
        try:
            value = layout.decode(step.data)
        except DecodeError as error:
            return None, undecodable(str(error))
        if encode_ssz(value) != step.data:
            raise Mismatch("it decodes, but encodes to other bytes")
        return value, undecodable("")

    def _spec_view(self, step: Step) -> tuple[Any, Answer]:
        assert step.kind is not None
        specification = self.specification
        view = specification.decode(step.kind, step.data_format, step.data)
        if view is None:
            return None, Answer(False, "does not decode", frozenset({Rule.UNDECODABLE}))
        if not is_canonical(view, step.data):
            # A strict decoder must refuse what is not the one encoding of the object.
            return None, Answer(False, "not canonical", frozenset({Rule.UNDECODABLE}))
        upgraded = specification.upgraded(step.kind, view, step.data_format)
        return upgraded, Answer(False)

    # Verdicts -----------------------------------------------------------------------------------

    def _judge(
        self,
        step: Step,
        value: LightClientObject | None,
        ours: Verdict,
        answer: Answer,
        *,
        changed: bool,
    ) -> None:
        slot = value.main_header.beacon.slot if value is not None else 0
        fork = self.network.fork_at_slot(slot).name if value is not None else "none"
        if _agrees(ours, answer, changed=changed):
            what = "accepted" if answer.accepted else "refused"
            self.counts[fork, f"{step.kind} {what}"] += 1
            if not answer.accepted:
                self.counts["rule", str(ours.rule)] += 1
            return
        text = f"we say {ours}; the specification: {answer}"
        if value is None:
            raise Mismatch(text)
        # Only where we are the stricter side, whatever the reason.
        stricter = answer.accepted and (ours.is_refusal or ours.rule is Rule.NOT_RELEVANT)
        other_reason = not answer.accepted and ours.kind is not VerdictKind.ACCEPTED
        for excuse in self._excuses(step, value):
            if stricter or (other_reason and ours.rule is not Rule.NO_PROGRESS):
                self._excused(excuse, step, changed=changed and answer.accepted)
                return
        raise Mismatch(text)

    def _excused(self, excuse: Excuse, step: Step, *, changed: bool) -> None:
        self.counts["excused", excuse.name.lower()] += 1
        if changed:
            raise Diverged(f"{excuse} ({', '.join(step.names)})")

    def _excuses(self, step: Step, value: LightClientObject) -> list[Excuse]:
        found = []
        if (
            self.network.fork_at_slot(value.main_header.beacon.slot).data_format
            is not step.data_format
        ):
            found.append(Excuse.CONTEXT)
        headers = [value.main_header, getattr(value, "finalized_header", value.main_header)]
        if self.specification.data_format is not step.data_format and any(
            self._is_dropped(header) for header in headers
        ):
            found.append(Excuse.DROPPED)
        aggregate = getattr(value, "sync_aggregate", None)
        # The package reads any bytes with the infinity flag as infinity.
        flags = aggregate.sync_committee_signature[0] if aggregate is not None else 0
        if flags & _INFINITY_FLAGS == _INFINITY_FLAGS:
            found.append(Excuse.IDENTITY)
        return found

    def _is_dropped(self, header: LightClientHeader) -> bool:
        """Whether upgrading to a block hash format leaves out something that is not zero."""
        if self.specification.data_format.header != "block_hash" or header.execution is None:
            return False
        fork = self.network.fork_at_slot(header.beacon.slot)
        if not (fork.execution_gindex or fork.execution_block_hash_gindex):
            return not header.has_default_execution
        return header.execution.has_blob_gas and not fork.payload_has_blob_gas

    def _check_own_verdict(self, ours: Verdict, before: LightClientStore) -> None:
        if (ours.kind is VerdictKind.ACCEPTED) != (before != self.store):
            raise Mismatch(f"{ours}, but whether the store changed says otherwise")
        assert f"{ours}{ours.hint}"

    def _check_aggregate(self, update: AnyUpdate, before: LightClientStore) -> None:
        """Only a committee whose aggregate is not the sum of its keys excuses."""
        assert self.processor is not None
        committee = signing_committee(before, update.signature_slot, self.network)
        if committee is None or self.processor.signatures.compare_aggregate(committee):
            raise Mismatch("accepted directly, though the processor finds the signature wrong")

    def _same_verdict(self, who: str, one: Verdict, other: Verdict) -> None:
        if (one.kind, one.rule) != (other.kind, other.rule):
            raise Mismatch(f"{who}: {one}; directly: {other}")

    def _some_time_in(self, step: Step) -> int:
        """Unix milliseconds at which the current slot is the step's."""
        into_it = 37 * len(step.data) % self.network.slot_duration_ms
        return self.network.slot_start_ms(step.current_slot) + into_it

    def _check_events(self, outcome: Outcome, before: LightClientStore) -> None:
        """There is an event for each header that changed, with the new one, and for no other."""
        store = self.processor.store if self.processor else None
        assert store is not None
        told: dict[type, LightClientHeader] = {
            type(event): event.header.header for event in outcome.events
        }
        changed: dict[type, LightClientHeader] = {}
        if store.finalized_header != before.finalized_header:
            changed[NewFinalizedHeader] = store.finalized_header
        if store.optimistic_header != before.optimistic_header:
            changed[NewOptimisticHeader] = store.optimistic_header
        if told != changed or len(outcome.events) != len(changed):
            raise Mismatch(f"events {outcome.events}, but what changed is {list(changed)}")

    # Stores -------------------------------------------------------------------------------------

    def _fingerprint(self) -> list[object]:
        store = self.spec_store
        return [
            None
            if part is None
            else (int(part) if isinstance(part, int) else bytes(part.hash_tree_root()))
            for part in vars(store).values()
        ]

    def _compare_stores(self) -> None:
        assert self.store is not None
        assert self.processor is not None
        ours, theirs = self.store, self.spec_store
        if self.processor.store != ours:
            raise Mismatch("the processor's store differs from the one processed directly")
        known = ours.next_sync_committee
        default = sync_committee_type(ours.current_sync_committee.size).default_value
        parts: dict[str, tuple[object, Any]] = {
            "finalized_header": (ours.finalized_header, theirs.finalized_header),
            "optimistic_header": (ours.optimistic_header, theirs.optimistic_header),
            "current_sync_committee": (ours.current_sync_committee, theirs.current_sync_committee),
            "next_sync_committee": (known or default, theirs.next_sync_committee),
            "best_valid_update": (ours.best_valid_update, theirs.best_valid_update),
        }
        for name, (mine, spec) in parts.items():
            if (self._compared.get(name), self._compared.get(f"spec {name}")) == (None, None) or (
                self._compared.get(name) is not mine
                or self._compared.get(f"spec {name}") is not spec
            ):
                self._compare_part(name, mine, spec)
                self._compared[name], self._compared[f"spec {name}"] = mine, spec
        for name in ("previous_max_active_participants", "current_max_active_participants"):
            if getattr(ours, name) != int(getattr(theirs, name)):
                raise Mismatch(f"{name}: {getattr(ours, name)}, not {getattr(theirs, name)}")
        threshold = int(self.specification.module.get_safety_threshold(theirs))
        if get_safety_threshold(ours) != threshold:
            raise Mismatch(f"get_safety_threshold: {get_safety_threshold(ours)}, not {threshold}")

    def _compare_part(self, name: str, ours: object, theirs: Any) -> None:
        if ours is None or theirs is None:
            if ours is not theirs:
                raise Mismatch(f"{name}: {ours}, where the specification has {theirs}")
            return
        if isinstance(ours, LightClientHeader):
            mine = self._header_bytes(ours)
            self._compare_execution_root(ours, theirs)
        elif isinstance(ours, LightClientUpdate):
            mine = self._update_bytes(ours)
        else:
            assert isinstance(ours, SyncCommittee)
            mine = sync_committee_type(ours.size).encode(ours)
        if mine != bytes(theirs.encode_bytes()):
            raise Mismatch(f"{name} differs: {mine.hex()}, not {theirs.encode_bytes().hex()}")

    def _header_bytes(self, header: LightClientHeader) -> bytes:
        data = light_client_header_type(header.data_format).encode(header)
        own = self.specification.modules[header.data_format.name].LightClientHeader
        view = decoded(own, data)
        upgraded = self.specification.upgraded_header(view, header.data_format)
        return bytes(upgraded.encode_bytes())

    def _update_bytes(self, update: LightClientUpdate) -> bytes:
        data_format = update.data_format
        # A forced update may have put an attested header in place of an empty finalized one.
        view = self.specification.decode(ObjectKind.UPDATE, data_format, encode_ssz(update))
        upgraded = self.specification.upgraded(ObjectKind.UPDATE, view, data_format)
        return bytes(upgraded.encode_bytes())

    def _compare_execution_root(self, ours: LightClientHeader, theirs: Any) -> None:
        module = self.specification.module
        if ours.beacon.slot == GENESIS_SLOT and ours.execution is not None:
            # A newer module forgets what an older format proves of a genesis block's execution.
            module = self.specification.modules[ours.data_format.name]
            theirs = decoded(
                module.LightClientHeader, light_client_header_type(ours.data_format).encode(ours)
            )
        if not hasattr(module, "get_lc_execution_root"):
            return
        root = bytes(module.get_lc_execution_root(theirs))
        mine = get_lc_execution_root(ours, self.network)
        if mine != root:
            slot, name = ours.beacon.slot, ours.data_format.name
            raise Mismatch(
                f"get_lc_execution_root of {name} {slot}: {mine.hex()}, not {root.hex()}"
            )


def _agrees(ours: Verdict, answer: Answer, *, changed: bool) -> bool:
    if ours.kind is VerdictKind.ACCEPTED:
        return answer.accepted and changed
    if ours.rule is Rule.NO_PROGRESS:
        return answer.accepted and not changed
    return not answer.accepted and ours.rule in answer.rules
