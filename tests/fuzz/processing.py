"""The processor under fuzz: a sequence of genuine, damaged, spliced and invented objects.

What must hold after each step: nothing was raised, a refused object changed nothing, and neither a
valid object nor the store says anything that the chain did not say.
"""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache

from lightclient.bls import choose_backend
from lightclient.config.forks import DATA_FORMATS
from lightclient.containers import (
    AnyUpdate,
    LightClientBootstrap,
    LightClientObject,
    LightClientUpdate,
    ObjectKind,
    encode_ssz,
    object_type,
    type_of,
)
from lightclient.errors import DecodeError
from lightclient.protocol import Rule, SignatureVerifier, Verdict, VerdictKind
from lightclient.protocol.excerpts import (
    create_light_client_finality_update,
    create_light_client_optimistic_update,
)
from lightclient.sync import ForcedUpdatePolicy, Processor
from tests.fuzz.consumer import Consumer
from tests.fuzz.histories import History, histories
from tests.fuzz.truth import Forged, Truth

MAX_STEPS = 16
_GENUINE, _DAMAGED, _SPLICED, _REWORDED, _INVENTED, _TOGETHER, _TIME, _TICK = range(8)
# How often each is drawn: most steps change an object a little.
_ACTIONS: tuple[int, ...] = (
    *(_GENUINE,) * 6,
    *(_DAMAGED,) * 6,
    *(_SPLICED,) * 6,
    *(_REWORDED,) * 5,
    *(_INVENTED, _TOGETHER, _TOGETHER, _TIME, _TICK),
)


@cache
def truth_of(index: int) -> Truth:
    return Truth(histories()[index])


@cache
def signatures() -> SignatureVerifier:
    # Kept from input to input: parsing the same committees' keys anew would take all the time.
    return SignatureVerifier(choose_backend())


def fuzz_processor(data: bytes) -> str:
    """Play a sequence; gives what became of its steps."""
    chosen = Consumer(data)
    index = chosen.byte() % len(histories())
    return _Play(chosen, histories()[index], truth_of(index)).run()


class _Play:
    """One sequence."""

    def __init__(self, chosen: Consumer, history: History, truth: Truth) -> None:
        self._chosen = chosen
        self._history = history
        self._truth = truth
        self._network = history.network
        self._now_ms = self._network.slot_start_ms(history.last_slot + 1)
        self._processor = Processor(
            self._network,
            history.trusted_block_root,
            backend=signatures().backend,
            forced_update=ForcedUpdatePolicy.SPEC_TIMEOUT,
        )
        self._processor.signatures = signatures()
        self._next = 1
        self._seen: list[str] = []

    def run(self) -> str:
        # Without a bootstrap, little can happen; now and then it is left out all the same.
        if self._chosen.byte() % 16:
            self._judge(self._history.bootstrap)
        for _ in range(MAX_STEPS):
            if self._chosen.is_empty:
                break
            self._step()
        return " ".join(self._seen)

    def _step(self) -> None:
        action = self._chosen.choice(_ACTIONS)
        if action == _TIME:
            slots = self._chosen.number() - 2**15
            self._now_ms = max(self._now_ms + slots * self._network.slot_duration_ms // 16, 0)
        elif action == _TICK:
            self._processor.tick(self._now_ms)
            self._check_store()
        elif action == _TOGETHER:
            drawn = [self._drawn(_SPLICED if n % 3 else _GENUINE) for n in range(5)]
            updates = [value for value in drawn if isinstance(value, LightClientUpdate)]
            outcomes = self._processor.process_updates(updates, self._now_ms)
            for update, outcome in zip(updates, outcomes, strict=True):
                self._note(update, outcome.verdict)
            self._check_store()
        else:
            value = self._drawn(action)
            if value is not None:
                self._judge(value)

    # Objects ------------------------------------------------------------------------------------

    def _any(self) -> LightClientObject:
        return self._chosen.choice(self._history.objects)

    def _drawn(self, action: int) -> LightClientObject | None:
        if action == _GENUINE:
            # Mostly in order: only then does the store move on.
            self._next = self._next + 1 if self._chosen.byte() % 4 else self._next + 2
            return self._history.objects[(self._next - 1) % len(self._history.objects)]
        if action == _DAMAGED:
            return self._damaged(self._any())
        if action == _SPLICED:
            return self._spliced(self._any(), self._any())
        if action == _REWORDED:
            return self._reworded(self._any())
        kind, data_format = self._chosen.choice(list(ObjectKind)), self._chosen.choice(DATA_FORMATS)
        layout = object_type(kind, data_format, self._network.preset.sync_committee_size)
        return _decoded(layout, self._chosen.take(self._chosen.number()))

    def _damaged(self, value: LightClientObject) -> LightClientObject | None:
        ssz = bytearray(encode_ssz(value))
        for _ in range(1 + self._chosen.byte() % 4):
            ssz[self._chosen.number() % len(ssz)] ^= 1 + self._chosen.byte() % 255
        return _decoded(type_of(value), bytes(ssz))

    def _spliced(self, value: LightClientObject, other: LightClientObject) -> LightClientObject:
        """Some fields of another object, where both have them."""
        mask = self._chosen.byte()
        changes = {
            field.name: getattr(other, field.name)
            for number, field in enumerate(fields(value))
            if mask >> number & 1 and hasattr(other, field.name)
        }
        return replace(value, **changes)

    def _reworded(self, value: LightClientObject) -> LightClientObject:
        """What may leave an object valid: less said, another kind, another slot, other seats."""
        if isinstance(value, LightClientBootstrap):
            return value
        size = self._network.preset.sync_committee_size
        full, how = value.as_update(size), self._chosen.byte()
        if how & 1:
            full = replace(full, signature_slot=full.signature_slot + self._chosen.byte() - 100)
            full = replace(full, signature_slot=max(full.signature_slot, 0))
        if how & 2:
            bits = bytearray(full.sync_aggregate.sync_committee_bits)
            for _ in range(1 + self._chosen.byte() % 3):
                seat = self._chosen.byte() % size
                bits[seat // 8] ^= 1 << seat % 8
            full = replace(
                full, sync_aggregate=replace(full.sync_aggregate, sync_committee_bits=bytes(bits))
            )
        if how & 4:
            return create_light_client_optimistic_update(full)
        if how & 8:
            return create_light_client_finality_update(full)
        return full

    # Judging ------------------------------------------------------------------------------------

    def _judge(self, value: LightClientObject) -> None:
        store = self._processor.store
        before = None if store is None else store.copy()
        verdict = self._processor.process(value, self._now_ms).verdict
        self._note(value, verdict)
        if verdict.kind is not VerdictKind.ACCEPTED and self._processor.store != before:
            raise Forged(f"{verdict.rule} changed the store")
        self._check_store()

    def _note(self, value: LightClientObject, verdict: Verdict) -> None:
        self._seen.append(f"{value.kind}:{verdict.rule or verdict.kind}")
        if verdict.rule is None or verdict.rule is Rule.NO_PROGRESS:
            self._truth.check_valid(value)
            if not isinstance(value, LightClientBootstrap):
                self._check_slots(value)

    def _check_slots(self, value: AnyUpdate) -> None:
        now = self._network.slot_at_time_ms(self._now_ms)
        if not value.attested_header.beacon.slot < value.signature_slot <= now:
            raise Forged(f"a signature of slot {value.signature_slot} at slot {now}")

    def _check_store(self) -> None:
        if self._processor.store is not None:
            self._truth.check_store(self._processor.store)


def _decoded(layout: object, data: bytes) -> LightClientObject | None:
    try:
        decoded: LightClientObject = layout.decode(data)  # type: ignore[attr-defined]
    except DecodeError:
        return None
    return decoded
