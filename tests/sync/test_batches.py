"""A batch of updates leads to exactly what one-by-one processing leads to."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightclient.bls import Backend, CommitteeSignature, available_backends
from lightclient.client.second_process import SecondProcess
from lightclient.containers import LightClientUpdate, SyncAggregate, SyncCommittee
from lightclient.protocol import Rule, VerdictKind
from lightclient.simulator import SimulatedChain, simulated_network
from lightclient.sync import ForcedUpdatePolicy, Outcome, Processor

PERIODS = 12
SLOTS = 64
BACKENDS = {backend.name: backend for backend in available_backends()}
NOW_MS = 6_000 * (PERIODS * SLOTS + 40)


@cache
def chain() -> SimulatedChain:
    forks = {"altair": 0, "capella": 16, "deneb": 32, "electra": 48, "fulu": 64, "gloas": 80}
    made = SimulatedChain(
        simulated_network("minimal", forks, slot_duration_ms=6_000),
        # Some periods are signed by so few that nothing is final in them.
        participation=lambda slot: 0.5 if slot // SLOTS == 6 else 0.9,
        dense_from_slot=PERIODS * SLOTS,
    )
    made.advance_to(PERIODS * SLOTS + 30)
    return made


@cache
def history() -> tuple[LightClientUpdate, ...]:
    return tuple(chain().updates(1, PERIODS))


@cache
def second_process(name: str) -> SecondProcess:
    """One for all tests of a backend; it ends with this process."""
    made = SecondProcess(BACKENDS[name])
    made.start()
    deadline = time.monotonic() + 60
    while not made.is_ready:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return made


def processor(backend: Backend, second: SecondProcess | None = None) -> Processor:
    root = chain().trusted_block_root(SLOTS)
    made = Processor(
        chain().network,
        root,
        backend=backend,
        forced_update=ForcedUpdatePolicy.NIMBUS,
        second_process=second,
    )
    bootstrap = chain().bootstrap(root)
    assert bootstrap is not None
    assert made.process(bootstrap, NOW_MS).verdict.kind is VerdictKind.ACCEPTED
    return made


def assert_same(
    backend: Backend,
    updates: list[LightClientUpdate],
    size: int = 100,
    second: SecondProcess | None = None,
) -> list[Outcome]:
    """Process both ways; returns the outcomes."""
    single, batched = processor(backend), processor(backend, second)
    expected = [single.process(update, NOW_MS) for update in updates]
    found: list[Outcome] = []
    for start in range(0, len(updates), size):
        found += batched.process_updates(updates[start : start + size], NOW_MS)
    assert found == expected
    assert batched.store == single.store
    assert batched.finalized_header == single.finalized_header
    assert batched.optimistic_header == single.optimistic_header
    return found


def with_signature(update: LightClientUpdate, signature: bytes) -> LightClientUpdate:
    aggregate = replace(update.sync_aggregate, sync_committee_signature=signature)
    return replace(update, sync_aggregate=aggregate)


def _other_signature(update: LightClientUpdate) -> LightClientUpdate:
    return with_signature(update, history()[0].sync_aggregate.sync_committee_signature)


def _junk_signature(update: LightClientUpdate) -> LightClientUpdate:
    return with_signature(update, b"\x80" + bytes(95))


def _fewer_bits(update: LightClientUpdate) -> LightClientUpdate:
    bits = bytearray(update.sync_aggregate.sync_committee_bits)
    bits[0] ^= 1
    signature = update.sync_aggregate.sync_committee_signature
    return replace(update, sync_aggregate=SyncAggregate(bytes(bits), signature))


def _no_bits(update: LightClientUpdate) -> LightClientUpdate:
    size = len(update.sync_aggregate.sync_committee_bits)
    signature = update.sync_aggregate.sync_committee_signature
    return replace(update, sync_aggregate=SyncAggregate(bytes(size), signature))


def _wrong_committee(update: LightClientUpdate) -> LightClientUpdate:
    keys = update.next_sync_committee.pubkeys
    committee = SyncCommittee(keys[48:] + keys[:48], update.next_sync_committee.aggregate_pubkey)
    return replace(update, next_sync_committee=committee)


def _late_signature(update: LightClientUpdate) -> LightClientUpdate:
    return replace(update, signature_slot=update.signature_slot + 1)


def _future_signature(update: LightClientUpdate) -> LightClientUpdate:
    return replace(update, signature_slot=2**40)


CORRUPTIONS: list[Callable[[LightClientUpdate], LightClientUpdate]] = [
    _other_signature,
    _junk_signature,
    _fewer_bits,
    _no_bits,
    _wrong_committee,
    _late_signature,
    _future_signature,
]

positions = st.integers(0, PERIODS - 2)
faults = st.tuples(positions, st.sampled_from(CORRUPTIONS))


@st.composite
def sequences(draw: st.DrawFn) -> list[LightClientUpdate]:
    """The history with faults, repetitions, gaps and swaps."""
    updates = list(history())
    for position, corrupt in draw(st.lists(faults, max_size=2)):
        updates[position] = corrupt(updates[position])
    for position in draw(st.lists(positions, max_size=2)):
        updates.insert(position, updates[position])
    if draw(st.booleans()):
        del updates[draw(positions)]
    if draw(st.booleans()):
        first, second = draw(positions), draw(positions)
        updates[first], updates[second] = updates[second], updates[first]
    return updates


@pytest.mark.parametrize("name", sorted(BACKENDS))
def test_a_whole_history_is_accepted_as_one_by_one(name: str) -> None:
    outcomes = assert_same(BACKENDS[name], list(history()))
    assert [outcome.verdict.kind for outcome in outcomes].count(VerdictKind.ACCEPTED) > 5
    assert any(outcome.events for outcome in outcomes)


@pytest.mark.parametrize("name", sorted(BACKENDS))
@pytest.mark.parametrize("corrupt", CORRUPTIONS)
def test_the_culprit_gets_its_verdict_and_what_came_before_it_counts(
    name: str, corrupt: Callable[[LightClientUpdate], LightClientUpdate]
) -> None:
    updates = list(history())
    updates[3] = corrupt(updates[3])
    outcomes = assert_same(BACKENDS[name], updates)
    assert all(outcome.verdict.kind is VerdictKind.ACCEPTED for outcome in outcomes[:3])
    # Nothing signs the signature slot: within its period it may be any.
    assert outcomes[3].verdict.is_refusal is (corrupt is not _late_signature)


@settings(max_examples=60)
@given(sequences(), st.sampled_from(sorted(BACKENDS)), st.integers(1, 16), st.booleans())
def test_any_sequence_ends_as_it_does_one_by_one(
    updates: list[LightClientUpdate], name: str, size: int, shared: bool
) -> None:
    assert_same(BACKENDS[name], updates, size, second_process(name) if shared else None)


@pytest.mark.parametrize("name", sorted(BACKENDS))
@pytest.mark.parametrize("culprit", range(PERIODS - 1))
def test_a_forgery_is_found_in_whichever_process_it_is_looked_for(name: str, culprit: int) -> None:
    updates = list(history())
    updates[culprit] = (
        _other_signature(updates[culprit]) if culprit else _junk_signature(updates[0])
    )
    outcomes = assert_same(BACKENDS[name], updates, second=second_process(name))
    assert outcomes[culprit].verdict.is_refusal
    assert second_process(name).is_ready


@pytest.mark.parametrize("name", sorted(BACKENDS))
def test_a_second_process_takes_its_share(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    second = second_process(name)
    asked: list[int] = []
    ask = second.ask

    def asked_for(some: list[CommitteeSignature]) -> bool:
        asked.append(len(some))
        return ask(some)

    monkeypatch.setattr(second, "ask", asked_for)
    assert_same(BACKENDS[name], list(history()), second=second)
    assert sum(asked) >= 4


@pytest.mark.parametrize("name", sorted(BACKENDS))
def test_nothing_is_applied_before_the_whole_batch_holds(name: str) -> None:
    client = processor(BACKENDS[name])
    assert client.store is not None
    before = client.store.copy()
    updates = list(history())
    walk = client.walk_updates(updates, NOW_MS)
    assert client.store == before
    assert walk.steps is not None
    updates[4] = _junk_signature(updates[4])
    assert client.walk_updates(updates, NOW_MS).steps is None
    assert client.store == before


def test_a_walk_over_a_store_that_has_moved_since_is_judged_anew() -> None:
    client = processor(next(iter(BACKENDS.values())))
    updates = list(history())
    walk = client.walk_updates(updates[:3], NOW_MS)
    client.process(updates[0], NOW_MS)
    outcomes = client.apply_updates(walk, NOW_MS)
    assert outcomes[0].verdict.rule in {Rule.NO_PROGRESS, Rule.NOT_RELEVANT, None}
    reference = processor(next(iter(BACKENDS.values())))
    for update in (updates[0], *updates[:3]):
        reference.process(update, NOW_MS)
    assert client.store == reference.store


def test_updates_before_a_bootstrap_are_missing_their_parent() -> None:
    client = Processor(chain().network, bytes(32), backend=next(iter(BACKENDS.values())))
    rules = {o.verdict.rule for o in client.process_updates(list(history())[:3], NOW_MS)}
    assert rules == {Rule.NO_BOOTSTRAP}


@pytest.mark.parametrize(
    ("count", "found"),
    [
        pytest.param(7, True, id="the last finalizes nothing and is kept as a candidate"),
        pytest.param(5, True, id="the last brings the headers and is kept to prove them"),
        pytest.param(6, False, id="both are only passed through"),
    ],
)
def test_a_signature_kept_from_a_plain_aggregate_is_checked_by_itself(
    count: int, *, found: bool
) -> None:
    """Opposite defects cancel out in milagro's aggregate: a kept update must not slip through."""
    milagro = BACKENDS.get("milagro")
    if milagro is None:
        pytest.skip("milagro is not usable here")
    updates = list(history())[:count]
    offset = milagro.sign(4242, b"offset" * 5)
    opposite = bytes([offset[0] ^ 0x20]) + offset[1:]
    for position, defect in ((2, offset), (count - 1 if found else 3, opposite)):
        signature = updates[position].sync_aggregate.sync_committee_signature
        updates[position] = with_signature(
            updates[position], milagro.aggregate([signature, defect])
        )
    client = processor(milagro)
    assert (client.walk_updates(updates, NOW_MS).steps is None) is found
