"""What one object costs, by format, kind and backend, in parts; and what batches save.

Objects are synthetic (see ``history``) with 8 of 512 members absent on average; updates meet a
committee that is new to the backend, everything else one whose keys are parsed already.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from statistics import median
from time import perf_counter

from benchmarks.figures import Figure, figure
from benchmarks.history import HistoryMaker, history_network
from benchmarks.scale import REFERENCE_MS, BareCheck
from lightclient.bls import Backend, available_backends
from lightclient.config import DATA_FORMATS, DataFormat, Network
from lightclient.containers import (
    AnyUpdate,
    LightClientBootstrap,
    LightClientObject,
    LightClientUpdate,
    ObjectKind,
    decode_json,
    decode_ssz,
    encode_ssz,
    parse_json,
    to_json,
)
from lightclient.protocol import (
    LightClientStore,
    SignatureVerifier,
    initialize_light_client_store,
    process_validated_update,
    signing_committee,
    validate_all_but_signature,
)
from lightclient.protocol.excerpts import (
    create_light_client_finality_update,
    create_light_client_optimistic_update,
)
from lightclient.sync import Processor

PARTS = ("decode", "committee root", "proofs", "signature", "store")
BATCH_SIZES = (16, 32, 64, 128)
_FOLLOWED_SLOTS = 12


@dataclass(frozen=True)
class Chain:
    """Encoded objects of one format.

    Attributes:
        updates: of consecutive periods. followed: finality updates of the last one's next slots.
    """

    data_format: DataFormat
    network: Network
    trusted_block_root: bytes
    bootstrap: bytes
    updates: tuple[bytes, ...]
    finality_updates: tuple[bytes, ...] = ()
    optimistic_updates: tuple[bytes, ...] = ()
    now_ms: int = 0


def chain_of(
    fork: str, updates: int, *, mean_absent: float | None = None, preset: str = "mainnet"
) -> Chain:
    """A chain on which ``fork`` is in force from genesis on."""
    network = history_network(updates, {fork: 0}, preset)
    maker = HistoryMaker(network, mean_absent=mean_absent)
    bootstrap = maker.bootstrap(0)
    made = [maker.update(period) for period in range(updates)]
    followed = [maker.update(updates - 1, 1 + slot) for slot in range(_FOLLOWED_SLOTS)]
    return Chain(
        bootstrap.data_format,
        network,
        bootstrap.header.beacon.hash_tree_root(),
        encode_ssz(bootstrap),
        tuple(map(encode_ssz, made)),
        tuple(encode_ssz(create_light_client_finality_update(update)) for update in followed),
        tuple(encode_ssz(create_light_client_optimistic_update(update)) for update in followed),
        network.slot_start_ms(followed[-1].signature_slot) + 10**9,
    )


@dataclass
class Timer:
    """Milliseconds by part, one list entry for each object."""

    taken: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        start = perf_counter()
        yield
        self.taken[name].append((perf_counter() - start) * 1000)


@dataclass(frozen=True, slots=True)
class Cost:
    """Median milliseconds of one kind of object."""

    data_format: str
    kind: str
    backend: str
    parts: dict[str, float]

    @property
    def total(self) -> float:
        return sum(self.parts.values())


def measure_parts(rounds: int, updates: int = 12, preset: str = "mainnet") -> list[Cost]:
    """The parts of each object by format and backend; formats and backends take turns."""
    chains = [chain_of(item.name, updates, preset=preset) for item in DATA_FORMATS]
    timers: dict[tuple[str, str, str], Timer] = defaultdict(Timer)
    for number in range(rounds + 1):
        for chain in chains:
            for backend in available_backends():
                for kind, timer in _walk(chain, backend):
                    if number:  # the first round only warms up
                        total = timers[chain.data_format.name, kind, backend.name]
                        for name, values in timer.taken.items():
                            total.taken[name] += values
    return [
        Cost(*key, {name: median(timer.taken[name]) for name in PARTS if timer.taken[name]})
        for key, timer in timers.items()
    ]


def _walk(chain: Chain, backend: Backend) -> list[tuple[str, Timer]]:
    verifier = SignatureVerifier(backend)
    bootstraps, updates, finality, optimistic = (Timer() for _ in range(4))
    with bootstraps.part("decode"):
        bootstrap = _decoded(ObjectKind.BOOTSTRAP, chain.bootstrap, chain)
    assert isinstance(bootstrap, LightClientBootstrap)
    with bootstraps.part("committee root"):
        bootstrap.current_sync_committee.hash_tree_root()
    with bootstraps.part("proofs"):
        store, verdict = initialize_light_client_store(
            chain.trusted_block_root, bootstrap, chain.network
        )
    assert store is not None, verdict
    with bootstraps.part("signature"):  # not one, but the comparison that replaces 500 keys in it
        assert verifier.compare_aggregate(bootstrap.current_sync_committee)
    for data in chain.updates:
        _apply(ObjectKind.UPDATE, data, chain, store, verifier, updates)
    for data in chain.finality_updates:
        before = store.copy()
        _apply(ObjectKind.FINALITY_UPDATE, data, chain, store, verifier, finality)
        store.assign(before)
    for data in chain.optimistic_updates:
        before = store.copy()
        _apply(ObjectKind.OPTIMISTIC_UPDATE, data, chain, store, verifier, optimistic)
        store.assign(before)
    return [
        ("bootstrap", bootstraps),
        ("update", updates),
        ("finality_update", finality),
        ("optimistic_update", optimistic),
    ]


def _decoded(kind: ObjectKind, data: bytes, chain: Chain) -> LightClientObject:
    return decode_ssz(kind, data, chain.network, (chain.data_format,))


def _apply(
    kind: ObjectKind,
    data: bytes,
    chain: Chain,
    store: LightClientStore,
    verifier: SignatureVerifier,
    timer: Timer,
) -> None:
    """What ``process_light_client_update`` does, with a clock between its steps."""
    network, current_slot = chain.network, chain.network.slot_at_time_ms(chain.now_ms)
    with timer.part("decode"):
        decoded: AnyUpdate = _decoded(kind, data, chain)  # type: ignore[assignment]
        update = decoded.as_update(network.preset.sync_committee_size)
    if kind is ObjectKind.UPDATE:
        with timer.part("committee root"):
            update.next_sync_committee.hash_tree_root()
    with timer.part("proofs"):
        refusal = validate_all_but_signature(store, update, current_slot, network)
    assert refusal is None, refusal
    committee = signing_committee(store, update.signature_slot, network)
    assert committee is not None
    with timer.part("signature"):
        valid = verifier.is_signature_valid(committee, update, network)
    assert valid
    with timer.part("store"):
        process_validated_update(store, update, network)


def cost_table(costs: Sequence[Cost]) -> str:
    """A line for each format, kind and backend."""
    lines = [f"{'format':8} {'kind':18} {'backend':9}" + "".join(f"{p:>15}" for p in PARTS)]
    lines[0] += f"{'total':>10}  (ms)"
    for cost in costs:
        parts = "".join(f"{cost.parts.get(part, 0.0):15.3f}" for part in PARTS)
        head = f"{cost.data_format:8} {cost.kind:18} {cost.backend:9}"
        lines.append(f"{head}{parts}{cost.total:10.3f}")
    return "\n".join(lines)


# Batches ----------------------------------------------------------------------------------------


def measure_batches(
    rounds: int, updates: int = 128, preset: str = "mainnet", sizes: Sequence[int] = BATCH_SIZES
) -> tuple[list[Figure], dict[str, list[tuple[float, float]]]]:
    """Milliseconds an update, from bytes to applied, by backend and batch size (1: one by one).

    Also as points for a plot.
    """
    chain = chain_of("capella", updates, preset=preset)
    taken: dict[tuple[str, int], list[float]] = defaultdict(list)
    scaled: dict[tuple[str, int], list[float]] = defaultdict(list)
    backends = available_backends()
    checks = {backend.name: BareCheck(backend) for backend in backends}
    for number in range(rounds + 1):
        for size in (1, *sizes):
            for backend in backends:
                elapsed = _in_batches(chain, backend, size)
                if number:
                    taken[backend.name, size].append(elapsed)
                    factor = checks[backend.name].factor(20)
                    scaled[backend.name, size].append(elapsed * factor)
    figures = [
        figure(
            f"synthetic update, {'one by one' if size == 1 else f'in batches of {size}'} ({name})",
            "ms",
            values,
            scaled=median(scaled[name, size]),
        )
        for (name, size), values in taken.items()
    ]
    points = {
        backend.name: [
            (float(size), median(values))
            for (name, size), values in taken.items()
            if name == backend.name
        ]
        for backend in backends
    }
    return figures, points


def _in_batches(chain: Chain, backend: Backend, size: int) -> float:
    processor = Processor(chain.network, chain.trusted_block_root, backend=backend)
    processor.process(_decoded(ObjectKind.BOOTSTRAP, chain.bootstrap, chain), chain.now_ms)
    processor.audit()
    start = perf_counter()
    for first in range(0, len(chain.updates), size):
        updates: list[LightClientUpdate] = [
            _decoded(ObjectKind.UPDATE, data, chain)  # type: ignore[misc]
            for data in chain.updates[first : first + size]
        ]
        outcomes = (
            [processor.process(updates[0], chain.now_ms)]
            if size == 1
            else processor.process_updates(updates, chain.now_ms)
        )
        assert all(outcome.progress for outcome in outcomes)
    return (perf_counter() - start) * 1000 / len(chain.updates)


# JSON against SSZ -------------------------------------------------------------------------------


def measure_encodings(rounds: int, preset: str = "mainnet") -> list[Figure]:
    """Decoding of each kind from SSZ and from JSON text; they take turns."""
    import json

    chain = chain_of("electra", 1, preset=preset)
    kinds = {
        ObjectKind.BOOTSTRAP: chain.bootstrap,
        ObjectKind.UPDATE: chain.updates[0],
        ObjectKind.FINALITY_UPDATE: chain.finality_updates[0],
        ObjectKind.OPTIMISTIC_UPDATE: chain.optimistic_updates[0],
    }
    taken: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds + 1):
        for kind, data in kinds.items():
            value = _decoded(kind, data, chain)
            text = json.dumps(to_json(value), separators=(",", ":")).encode()
            start = perf_counter()
            from_ssz = _decoded(kind, data, chain)
            between = perf_counter()
            from_json = decode_json(kind, parse_json(text), chain.network, (chain.data_format,))
            end = perf_counter()
            assert from_ssz == from_json
            if number:
                taken[f"decode {kind} from SSZ, {len(data)} bytes"].append((between - start) * 1000)
                taken[f"decode {kind} from JSON, {len(text)} bytes"].append((end - between) * 1000)
    return [figure(name, "ms", values) for name, values in taken.items()]


# Following --------------------------------------------------------------------------------------


def measure_following(rounds: int, preset: str = "mainnet") -> list[Figure]:
    """A slot at the head: its finality and its optimistic update, from bytes to applied."""
    chain = chain_of("electra", 1, preset=preset)
    chain = replace(chain, now_ms=chain.now_ms - 10**9)  # the present: committees get compared
    taken: dict[str, list[float]] = defaultdict(list)
    scaled: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds + 1):
        for backend in available_backends():
            elapsed = _follow(chain, backend)
            factor = BareCheck(backend).factor(10)
            if number:
                taken[backend.name] += elapsed
                scaled[backend.name].append(median(elapsed) * factor)
    return [
        figure(
            f"following, a slot's finality and optimistic update ({name})",
            "ms",
            values,
            scaled=median(scaled[name]),
        )
        for name, values in taken.items()
        if name in REFERENCE_MS
    ]


def _follow(chain: Chain, backend: Backend) -> list[float]:
    processor = Processor(chain.network, chain.trusted_block_root, backend=backend)
    processor.process(_decoded(ObjectKind.BOOTSTRAP, chain.bootstrap, chain), chain.now_ms)
    processor.process(_decoded(ObjectKind.UPDATE, chain.updates[0], chain), chain.now_ms)
    processor.audit()
    elapsed = []
    for finality, optimistic in zip(chain.finality_updates, chain.optimistic_updates, strict=True):
        start = perf_counter()
        value = _decoded(ObjectKind.OPTIMISTIC_UPDATE, optimistic, chain)
        assert processor.process(value, chain.now_ms).progress
        value = _decoded(ObjectKind.FINALITY_UPDATE, finality, chain)
        processor.process(value, chain.now_ms)
        elapsed.append((perf_counter() - start) * 1000)
    return elapsed
