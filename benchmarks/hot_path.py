"""Objects from bytes to applied, with each signature backend and without the signature.

Backends take turns within a round, and bare signature checks stand before and after every sample
(or every pass without signatures), so that all of them and the checks they are scaled by see the
same moments of a noisy machine. The comparison of a committee's aggregate with the sum of its keys
is done outside the measured time.
"""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Sequence
from statistics import median
from time import perf_counter, sleep

from benchmarks.figures import Figure, figure
from benchmarks.inputs import Inputs
from benchmarks.scale import REFERENCE_MS, BareCheck
from lightclient.bls import (
    Backend,
    available_backends,
    backend_by_name,
    best_batch_size,
)
from lightclient.client.second_process import SecondProcess
from lightclient.containers import LightClientUpdate, ObjectKind, decode_ssz
from lightclient.protocol import VerdictKind
from lightclient.sync import Processor

_UPDATE_TARGET_MS = {"milagro": 7.0, "blst": 2.3}
_BATCH_TARGET_MS = {"blst": 1.6}
_FINALITY_TARGET_MS = {"blst": 1.6}
_UNSIGNED_UPDATE_TARGET_MS = 1.0
_UNSIGNED_FINALITY_TARGET_MS = 0.15
_FINALITY_REPEATS = 20
_UNSIGNED_PASSES = 4
_BATCH_PASSES = 3

Samples = dict[str, list[float]]


class _Trusting:
    """A backend for which every signature holds: what remains is the part without it."""

    def __init__(self, backend: Backend) -> None:
        self.name = backend.name
        self._backend = backend

    def verify(self, *_arguments: object) -> bool:
        return True

    def fast_aggregate_verify(self, *_arguments: object) -> bool:
        return True

    def aggregate_pubkeys(self, pubkeys: Sequence[bytes]) -> bytes:
        return self._backend.aggregate_pubkeys(pubkeys)


def measure(inputs: Inputs, rounds: int) -> tuple[list[Figure], dict[str, dict[str, float]]]:
    """All figures of this part, and each backend's bare check.

    A figure is scaled round by round with the check of that round, and the median of that is given:
    a machine may well be twice as busy in the next one.
    """
    backends = available_backends()
    checks = {backend.name: BareCheck(backend) for backend in backends}
    # The slowest check is the longest look at the machine's speed.
    yardstick = max(backends, key=lambda backend: REFERENCE_MS[backend.name])
    seconds = {backend.name: started(backend) for backend in backends}
    taken: list[Samples] = []
    for number in range(rounds + 1):
        samples: Samples = defaultdict(list)
        for backend in backends:
            follow(inputs, backend, checks[backend.name], samples, backend.name)
            for _ in range(_BATCH_PASSES):
                follow_in_batches(inputs, backend, checks[backend.name], samples)
                follow_in_batches(
                    inputs, backend, checks[backend.name], samples, seconds[backend.name]
                )
        for _ in range(_UNSIGNED_PASSES):
            follow(inputs, _Trusting(yardstick), None, samples, "unsigned")
            samples["check unsigned"] += [checks[yardstick.name].time_ms() for _ in range(5)]
        if number:  # the first round only warms up
            taken.append(samples)
    for second in seconds.values():
        second.close()
    bare = {}
    for backend in backends:
        reference = REFERENCE_MS[backend.name]
        check = _scaled_figure("", taken, "check", backend.name, reference)
        bare[backend.name] = {
            "measured_ms": check.median,
            "low_ms": check.low,
            "high_ms": check.high,
            "reference_ms": reference,
        }
    return _figures(taken, [backend.name for backend in backends], yardstick.name), bare


def _scaled_figure(
    label: str,
    rounds: Sequence[Samples],
    what: str,
    name: str,
    reference_ms: float,
    target: float | None = None,
) -> Figure:
    every = [value for samples in rounds for value in samples[f"{what} {name}"]]
    scaled = [value for samples in rounds for value in samples[f"scaled {what} {name}"]] or [
        median(samples[f"{what} {name}"]) * reference_ms / median(samples[f"check {name}"])
        for samples in rounds
    ]
    return figure(label, "ms", every, scaled=median(scaled), target=target)


class _Scale:
    """Keeps each sample as measured and scaled by the checks just before and after it."""

    def __init__(self, check: BareCheck, taken: Samples, name: str, checks: int = 1) -> None:
        self._check = check
        self._taken = taken
        self._name = name
        self._checks = checks
        self._before = self._look()

    def _look(self) -> float:
        return median(self._check.time_ms() for _ in range(self._checks))

    def keep(self, what: str, elapsed_ms: float) -> None:
        """Call it as soon as the sample was taken."""
        after = self._look()
        factor = self._check.reference_ms * 2 / (self._before + after)
        self._before = after
        self._taken[f"check {self._name}"].append(after)
        self._taken[f"{what} {self._name}"].append(elapsed_ms)
        self._taken[f"scaled {what} {self._name}"].append(elapsed_ms * factor)


def follow(
    inputs: Inputs,
    backend: Backend | _Trusting,
    check: BareCheck | None,
    taken: Samples,
    name: str,
) -> None:
    """From the bootstrap through all updates, then the finality update.

    Without a check the signature is left out, and the finality update comes often enough to be told
    apart from what the updates before it left in the processor's caches.
    """
    processor = Processor(inputs.network, inputs.trusted_block_root, backend=backend)  # type: ignore[arg-type]
    bootstrap = decode_ssz(ObjectKind.BOOTSTRAP, inputs.bootstrap, inputs.network)
    _accepted(processor.process(bootstrap, inputs.now_ms).verdict.kind)
    processor.audit()
    gc.collect()
    scale = None if check is None else _Scale(check, taken, name)
    for hint, data in inputs.updates:
        start = perf_counter()
        update = decode_ssz(ObjectKind.UPDATE, data, inputs.network, (hint,))
        decoded = perf_counter()
        outcome = processor.process(update, inputs.now_ms)
        applied = perf_counter()
        _accepted(outcome.verdict.kind)
        if scale is not None:
            scale.keep("update", (applied - start) * 1000)
        else:
            taken[f"update {name}"].append((applied - start) * 1000)
            taken[f"decode {name}"].append((decoded - start) * 1000)
    assert processor.store is not None
    synced = processor.store.copy()
    hints = (inputs.finality_format,)
    # As at the head, where each committee's aggregate is compared before its first use: that makes
    # points of all members' keys. The first update only warms up.
    processor.audit()
    for number in range(_FINALITY_REPEATS if check is None else 4):
        processor.store = synced.copy()
        start = perf_counter()
        finality = decode_ssz(
            ObjectKind.FINALITY_UPDATE, inputs.finality_update, inputs.network, hints
        )
        outcome = processor.process(finality, inputs.now_ms)
        applied = perf_counter()
        _accepted(outcome.verdict.kind)
        if scale is not None and number:
            scale.keep("finality", (applied - start) * 1000)
        elif number:
            taken[f"finality {name}"].append((applied - start) * 1000)


def started(backend: Backend) -> SecondProcess:
    """A second process that waits for questions, if this machine can have one."""
    second = SecondProcess(backend)
    second.start()
    while second.process_id is not None and not second.is_ready:
        sleep(0.01)
    return second


def follow_in_batches(
    inputs: Inputs,
    backend: Backend,
    check: BareCheck,
    taken: Samples,
    second: SecondProcess | None = None,
) -> None:
    """The updates again, in batches as large as the backend likes; a sample is one update's."""
    processor = Processor(
        inputs.network, inputs.trusted_block_root, backend=backend, second_process=second
    )
    bootstrap = decode_ssz(ObjectKind.BOOTSTRAP, inputs.bootstrap, inputs.network)
    _accepted(processor.process(bootstrap, inputs.now_ms).verdict.kind)
    processor.audit()
    gc.collect()
    size = best_batch_size(backend)
    scale = _Scale(check, taken, backend.name, checks=5)
    start = perf_counter()
    for first in range(0, len(inputs.updates), size):
        updates: list[LightClientUpdate] = [
            decode_ssz(ObjectKind.UPDATE, data, inputs.network, (hint,))  # type: ignore[misc]
            for hint, data in inputs.updates[first : first + size]
        ]
        for outcome in processor.process_updates(updates, inputs.now_ms):
            _accepted(outcome.verdict.kind)
    elapsed = perf_counter() - start
    what = "batch" if second is None else "shared batch"
    scale.keep(what, elapsed * 1000 / len(inputs.updates))


def _accepted(kind: VerdictKind) -> None:
    if kind is not VerdictKind.ACCEPTED:
        raise AssertionError(f"an object that should be accepted is judged {kind}")


def _figures(rounds: Sequence[Samples], backends: Sequence[str], yardstick: str) -> list[Figure]:
    figures = []
    size_of = {name: best_batch_size(backend_by_name(name)) for name in backends}
    for name in backends:
        reference = REFERENCE_MS[name]
        target = _UPDATE_TARGET_MS.get(name)
        label = f"update, bytes to applied ({name})"
        figures.append(_scaled_figure(label, rounds, "update", name, reference, target))
        label = f"update, in batches of up to {size_of[name]} ({name})"
        target = _BATCH_TARGET_MS.get(name)
        figures.append(_scaled_figure(label, rounds, "batch", name, reference, target))
        label = f"the same with a second process ({name})"
        figures.append(_scaled_figure(label, rounds, "shared batch", name, reference, target))
        label = f"finality update, committee warm ({name})"
        target = _FINALITY_TARGET_MS.get(name)
        figures.append(_scaled_figure(label, rounds, "finality", name, reference, target))
    for label, what, target in (
        ("update without the signature", "update", _UNSIGNED_UPDATE_TARGET_MS),
        ("of which decoding", "decode", None),
        ("finality update without the signature", "finality", _UNSIGNED_FINALITY_TARGET_MS),
    ):
        reference = REFERENCE_MS[yardstick]
        figures.append(_scaled_figure(label, rounds, what, "unsigned", reference, target))
    return figures
