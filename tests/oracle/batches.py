"""Updates given to a processor many at a time, against the same updates one by one."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

from lightclient.bls import Backend, available_backends, proves_each
from lightclient.config import Network
from lightclient.containers import LightClientUpdate, ObjectKind, SyncAggregate
from lightclient.protocol import Rule
from lightclient.sync import Processor
from tests.oracle.committees import HOSTILE_NAMES
from tests.oracle.comparing import Mismatch
from tests.oracle.drawing import Step
from tests.oracle.judging import Judged, JudgedSequence, decoded_object, judged_sequence


def compare_batches(seed: str, counts: Counter[tuple[str, str]]) -> None:
    """Draw a history and have it judged in pieces, on every backend.

    Raises:
        Mismatch: a verdict or a store is not that of processing one by one.
    """
    draw = Random(seed)
    sequence = judged_sequence(draw, [ObjectKind.UPDATE], 24, _decodes)
    if sequence is None:
        return
    for backend in available_backends():
        for audit in (True, False):
            if audit or not _has_odd_committees(sequence):
                _compare(draw, sequence, backend, audit=audit)
                counts["batches", "updates judged"] += len(sequence.judged) - 1
        _compare_with_opposite_errors(draw, sequence, backend)


def _has_odd_committees(sequence: JudgedSequence) -> bool:
    """Whether it matters when an aggregate is compared with the sum of its keys."""
    names = {name for item in sequence.judged for name in item.step.names}
    return any(name.removeprefix("next: ") in HOSTILE_NAMES for name in names)


def _decodes(step: Step, network: Network) -> bool:
    # An infinite sum of keys is where the specification's package differs from all backends.
    return decoded_object(step, network) is not None and "next: negations" not in step.names


def _processor(sequence: JudgedSequence, backend: Backend, *, audit: bool) -> Processor:
    processor = Processor(
        sequence.network,
        sequence.start.trusted_block_root,
        backend=backend,
        audit_committees=audit,
    )
    bootstrap = sequence.judged[0].value
    assert bootstrap is not None
    processor.process(bootstrap, sequence.network.slot_start_ms(sequence.at_slot))
    return processor


def _updates(judged: list[Judged]) -> list[LightClientUpdate]:
    return [item.value for item in judged if isinstance(item.value, LightClientUpdate)]


def _compare(draw: Random, sequence: JudgedSequence, backend: Backend, *, audit: bool) -> None:
    processor = _processor(sequence, backend, audit=audit)
    now_ms = sequence.network.slot_start_ms(sequence.at_slot)
    left = list(sequence.judged[1:])
    while left:
        piece = left[: draw.choice([1, 2, 3, 8, len(left)])]
        outcomes = processor.process_updates(_updates(piece), now_ms)
        for item, outcome in zip(piece, outcomes, strict=True):
            wanted, got = item.verdict, outcome.verdict
            if (got.kind, got.rule) != (wanted.kind, wanted.rule):
                raise Mismatch(f"{backend.name}, {len(piece)} at once: {got}, alone: {wanted}")
        if processor.store != piece[-1].store:
            raise Mismatch(f"{backend.name}, {len(piece)} at once: another store")
        left = left[len(piece) :]


def _compare_with_opposite_errors(draw: Random, sequence: JudgedSequence, backend: Backend) -> None:
    """Two signatures that are off by opposite amounts: their sum is right, neither is valid."""
    good = [
        index
        for index, item in enumerate(sequence.judged)
        if index and item.verdict.rule in (None, Rule.NO_PROGRESS)
    ]
    if len(good) < 2 or not proves_each(backend):
        return
    one, other = sorted(draw.sample(good, 2))
    before = sequence.judged[one - 1].store
    pair = _updates([sequence.judged[one], sequence.judged[other]])
    spoilt = _off_by_opposites(pair[0], pair[1])
    processor = _processor(sequence, backend, audit=True)
    assert processor.store is not None
    processor.store.assign(before)
    now_ms = sequence.network.slot_start_ms(sequence.at_slot)
    for outcome in processor.process_updates(spoilt, now_ms):
        if not outcome.verdict.is_refusal and outcome.verdict.rule is not Rule.NOT_RELEVANT:
            raise Mismatch(f"{backend.name} takes a wrong signature: {outcome.verdict}")
    if processor.store != before:
        raise Mismatch(f"{backend.name}: wrong signatures changed the store")


def _off_by_opposites(one: LightClientUpdate, other: LightClientUpdate) -> list[LightClientUpdate]:
    from py_arkworks_bls12381 import G2Point

    amount = G2Point()

    def moved(update: LightClientUpdate, by: G2Point) -> LightClientUpdate:
        aggregate = update.sync_aggregate
        point = G2Point.from_compressed_bytes_unchecked(aggregate.sync_committee_signature)
        signature = bytes((point + by).to_compressed_bytes())
        changed = SyncAggregate(aggregate.sync_committee_bits, signature)
        return replace(update, sync_aggregate=changed)

    return [moved(one, amount), moved(other, -amount)]
