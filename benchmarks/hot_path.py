"""Objects from bytes to applied, with each signature backend and without the signature.

Backends take turns within a round, and a bare signature check follows every update (or every pass
without signatures), so that all of them and the check they are scaled by see the same moments of a
noisy machine. The comparison of a committee's aggregate with the sum of its keys is done outside
the measured time.
"""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Sequence
from time import perf_counter

from benchmarks.figures import Figure, figure
from benchmarks.inputs import Inputs
from lightclient.bls import Backend, available_backends
from lightclient.containers import ObjectKind, decode_ssz
from lightclient.protocol import VerdictKind
from lightclient.sync import Processor

REFERENCE_MS = {"milagro": 4.66, "arkworks": 2.67, "blst": 1.39}
"""One bare signature check (one key, one message) on the reference machine, a 2.3 GHz Xeon."""

_UPDATE_TARGET_MS = {"milagro": 7.0, "blst": 3.0}
_UNSIGNED_UPDATE_TARGET_MS = 1.0
_UNSIGNED_FINALITY_TARGET_MS = 0.15
_FINALITY_REPEATS = 5
_UNSIGNED_PASSES = 4

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


class _BareCheck:
    """One valid signature of one key."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._message = bytes(32)
        self._pubkey = backend.sk_to_pk(0x5EED)
        self._signature = backend.sign(0x5EED, self._message)

    def time_ms(self) -> float:
        start = perf_counter()
        valid = self._backend.verify(self._pubkey, self._message, self._signature)
        elapsed = perf_counter() - start
        assert valid
        return elapsed * 1000


def measure(inputs: Inputs, rounds: int) -> tuple[list[Figure], dict[str, dict[str, float]]]:
    """All figures of this part, and the bare check of each backend with the scale it gives."""
    backends = available_backends()
    checks = {backend.name: _BareCheck(backend) for backend in backends}
    # The slowest check is the longest look at the machine's speed.
    yardstick = max(backends, key=lambda backend: REFERENCE_MS[backend.name])
    samples: Samples = defaultdict(list)
    for number in range(rounds + 1):
        taken: Samples = defaultdict(list)
        for backend in backends:
            _follow(inputs, backend, checks[backend.name], taken, backend.name)
        for _ in range(_UNSIGNED_PASSES):
            _follow(inputs, _Trusting(yardstick), None, taken, "unsigned")
            taken["check unsigned"] += [checks[yardstick.name].time_ms() for _ in range(5)]
        if number:  # the first round only warms up
            for name, values in taken.items():
                samples[name] += values
    bare = {}
    for backend in backends:
        check = figure("", "ms", samples[f"check {backend.name}"])
        scale = REFERENCE_MS[backend.name] / check.median
        reference = REFERENCE_MS[backend.name]
        bare[backend.name] = {
            "measured_ms": check.median,
            "low_ms": check.low,
            "high_ms": check.high,
            "reference_ms": reference,
            "scale": scale,
        }
    scale = REFERENCE_MS[yardstick.name] / figure("", "ms", samples["check unsigned"]).median
    return _figures(samples, [b.name for b in backends], bare, scale), bare


def _follow(
    inputs: Inputs,
    backend: Backend | _Trusting,
    check: _BareCheck | None,
    taken: Samples,
    name: str,
) -> None:
    """From the bootstrap through all updates, then the finality update some times over."""
    processor = Processor(inputs.network, inputs.trusted_block_root, backend=backend)  # type: ignore[arg-type]
    bootstrap = decode_ssz(ObjectKind.BOOTSTRAP, inputs.bootstrap, inputs.network)
    _accepted(processor.process(bootstrap, inputs.now_ms).verdict.kind)
    processor.audit()
    gc.collect()
    for hint, data in inputs.updates:
        start = perf_counter()
        update = decode_ssz(ObjectKind.UPDATE, data, inputs.network, (hint,))
        decoded = perf_counter()
        outcome = processor.process(update, inputs.now_ms)
        applied = perf_counter()
        _accepted(outcome.verdict.kind)
        taken[f"update {name}"].append((applied - start) * 1000)
        taken[f"decode {name}"].append((decoded - start) * 1000)
        if check is not None:
            taken[f"check {name}"].append(check.time_ms())
    assert processor.store is not None
    synced = processor.store.copy()
    hints = (inputs.finality_format,)
    for _ in range(_FINALITY_REPEATS):
        processor.store = synced.copy()
        start = perf_counter()
        finality = decode_ssz(
            ObjectKind.FINALITY_UPDATE, inputs.finality_update, inputs.network, hints
        )
        outcome = processor.process(finality, inputs.now_ms)
        applied = perf_counter()
        _accepted(outcome.verdict.kind)
        taken[f"finality {name}"].append((applied - start) * 1000)


def _accepted(kind: VerdictKind) -> None:
    if kind is not VerdictKind.ACCEPTED:
        raise AssertionError(f"an object that should be accepted is judged {kind}")


def _figures(
    samples: Samples, backends: Sequence[str], bare: dict[str, dict[str, float]], scale: float
) -> list[Figure]:
    figures = []
    for name in backends:
        factor = bare[name]["scale"]
        target = _UPDATE_TARGET_MS.get(name)
        label = f"update, bytes to applied ({name})"
        figures.append(figure(label, "ms", samples[f"update {name}"], scale=factor, target=target))
        label = f"finality update, bytes to applied ({name})"
        figures.append(figure(label, "ms", samples[f"finality {name}"], scale=factor))
    figures.append(
        figure(
            "update without the signature",
            "ms",
            samples["update unsigned"],
            scale=scale,
            target=_UNSIGNED_UPDATE_TARGET_MS,
        )
    )
    figures.append(figure("of which decoding", "ms", samples["decode unsigned"], scale=scale))
    figures.append(
        figure(
            "finality update without the signature",
            "ms",
            samples["finality unsigned"],
            scale=scale,
            target=_UNSIGNED_FINALITY_TARGET_MS,
        )
    )
    return figures
