"""Faults in process: each does what its name says, composes, repeats by seed, and fools nobody."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache

import anyio
import pytest

from lightclient.containers import LightClientObject, ObjectKind
from lightclient.errors import (
    LightClientError,
    MalformedAnswer,
    NotServed,
    ProviderUnavailable,
    RateLimited,
    TransportError,
    UnknownBootstrap,
)
from lightclient.protocol import Rule, VerdictKind
from lightclient.simulator import SimulatedChain, simulated_network
from lightclient.simulator.exchange import Asked, ConnectionLost
from lightclient.simulator.faults import (
    FAULTS,
    FaultSet,
    fault_names,
    faults_from_seed,
    make_fault,
)
from lightclient.simulator.in_process import FaultyTransport
from lightclient.simulator.views import PastView, honest_objects
from lightclient.sync import Processor

pytestmark = pytest.mark.anyio

FORKS = {"altair": 0, "capella": 8, "deneb": 16, "electra": 24, "gloas": 32}
HEAD_SLOT = 340
TRUSTED_SLOT = 256  # period 4 of 64 slots: the head is in period 5


@cache
def chain() -> SimulatedChain:
    made = SimulatedChain(simulated_network("minimal", FORKS), dense_from_slot=244)
    made.advance_to(HEAD_SLOT)
    return made


def period_of(value: LightClientObject) -> int:
    slot = value.main_header.beacon.slot
    return chain().network.compute_sync_committee_period_at_slot(slot)


def faulty(*names: str, seed: int = 1, timeout: float = 0.05) -> FaultyTransport:
    rng = random.Random(seed)
    return FaultyTransport(chain(), [make_fault(name, rng) for name in names], timeout=timeout)


async def everything(transport: FaultyTransport) -> list[LightClientObject]:
    """What comes of one request of each kind."""
    values: list[LightClientObject] = []
    trusted = chain().trusted_block_root(TRUSTED_SLOT)
    requests: list[Callable[[], object]] = [
        lambda: transport.get_light_client_bootstrap(trusted),
        transport.get_light_client_finality_update,
        transport.get_light_client_optimistic_update,
    ]
    for request in requests:
        try:
            values.append(await request())  # type: ignore[misc]
        except TransportError:
            continue
    try:
        answer = await transport.get_light_client_updates_by_range(4, 2)
        values += answer.updates
    except TransportError:
        pass
    return values


# Ranges -------------------------------------------------------------------------------------------

RANGES: dict[str, Callable[[list[int]], bool]] = {
    "short_range": lambda periods: 0 < len(periods) < 4 and periods == [1, 2, 3][: len(periods)],
    "empty_range": lambda periods: periods == [],
    "gapped_range": lambda periods: periods[0] == 1 and periods[-1] == 4 and len(periods) < 4,
    "overlong_range": lambda periods: set(periods) > {1, 2, 3, 4},
    "duplicated_range": lambda periods: set(periods) == {1, 2, 3, 4} and len(periods) > 4,
    "reordered_range": lambda periods: sorted(periods) == [1, 2, 3, 4] and periods != [1, 2, 3, 4],
    "wrong_periods": lambda periods: bool(periods) and not set(periods) & {1, 2, 3, 4},
}


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("seed", range(5))
async def test_a_range_is_spoilt_as_its_fault_is_named(name: str, seed: int) -> None:
    answer = await faulty(name, seed=seed).get_light_client_updates_by_range(1, 4)
    periods = [period_of(update) for update in answer.updates]
    assert RANGES[name](periods), periods


# What a server knows ------------------------------------------------------------------------------


@pytest.mark.parametrize("slot", [250, 300, 321, 337])
def test_the_past_is_served_as_it_was(slot: int) -> None:
    then = SimulatedChain(chain().network, dense_from_slot=244, keys=chain().keys)
    then.advance_to(slot)
    past = PastView(chain(), slot)
    assert past.head.root == then.head.root
    assert past.finality_update() == then.finality_update()
    assert past.optimistic_update() == then.optimistic_update()
    assert past.updates(0, 4) == then.updates(0, 4)
    newest = then.network.compute_sync_committee_period_at_slot(slot)
    assert [period_of(update) for update in past.updates(0, 9)] == [
        period_of(update) for update in then.updates(0, 9)
    ]
    assert past.updates(newest + 1, 3) == []
    for root in chain().trusted_block_roots():
        assert past.bootstrap(root) == then.bootstrap(root)


async def test_who_lags_serves_less_and_who_is_frozen_never_more() -> None:
    growing = SimulatedChain(chain().network, dense_from_slot=244, keys=chain().keys)
    growing.advance_to(300)
    lagging = FaultyTransport(growing, [make_fault("lagging", random.Random(3))])
    frozen = FaultyTransport(growing, [make_fault("frozen", random.Random(3))])

    async def heads() -> tuple[int, int]:
        found = [
            (await transport.get_light_client_optimistic_update()).attested_header.beacon.slot
            for transport in (lagging, frozen)
        ]
        return found[0], found[1]

    before = await heads()
    growing.advance_to(320)
    after = await heads()
    assert before[0] < before[1] == 299
    assert before[0] < after[0] < 319
    assert after[1] == 299


async def test_another_network_has_neither_the_block_nor_the_signatures() -> None:
    transport = faulty("wrong_network")
    trusted = chain().trusted_block_root(TRUSTED_SLOT)
    with pytest.raises(UnknownBootstrap):
        await transport.get_light_client_bootstrap(trusted)
    update = await transport.get_light_client_optimistic_update()
    processor = following(chain())
    outcome = processor.process(update, now_ms())
    assert outcome.verdict.is_refusal
    assert chain().block_of_root(update.attested_header.beacon.hash_tree_root()) is None


async def test_stale_finality_leaves_the_head_alone() -> None:
    transport = faulty("stale_finality")
    finality = await transport.get_light_client_finality_update()
    optimistic = await transport.get_light_client_optimistic_update()
    honest = chain().finality_update()
    assert honest is not None
    assert finality.finalized_header.beacon.slot < honest.finalized_header.beacon.slot
    assert optimistic == chain().optimistic_update()


# Answers that do not come -------------------------------------------------------------------------

FAILURES: dict[str, tuple[type[TransportError], str]] = {
    "refusing": (ProviderUnavailable, "cannot be reached"),
    "resetting": (ProviderUnavailable, "closed the connection"),
    "silent": (ProviderUnavailable, "no complete answer"),
    "stalling_mid_body": (ProviderUnavailable, "no complete answer"),
    "dripping": (ProviderUnavailable, "no complete answer"),
    "slow_first_byte": (ProviderUnavailable, "no complete answer"),
    "server_error": (ProviderUnavailable, "500"),
    "service_unavailable": (ProviderUnavailable, "503"),
    "rate_limiting": (RateLimited, "429"),
    "rate_limiting_without_retry_after": (RateLimited, "429"),
    "light_client_off": (NotServed, "501"),
    "junk_body": (MalformedAnswer, "unreadable"),
    "wrong_preset": (MalformedAnswer, "unreadable"),
    "gzip_bomb": (MalformedAnswer, "unreadable"),
    "redirect_circle": (MalformedAnswer, "unreadable"),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_a_failure_is_the_error_that_the_real_transport_has(name: str) -> None:
    kind, words = FAILURES[name]
    with pytest.raises(kind, match=words) as raised:
        await faulty(name).get_light_client_finality_update()
    assert raised.value.provider == "simulated"
    if isinstance(raised.value, RateLimited):
        assert bool(raised.value.retry_after) == (name == "rate_limiting")


@pytest.mark.parametrize("name", ["truncated_body", "cut_object", "resetting_mid_body"])
async def test_of_a_range_cut_short_the_first_updates_remain_with_the_reason(name: str) -> None:
    kept = set()
    for seed in range(12):
        try:
            answer = await faulty(name, seed=seed).get_light_client_updates_by_range(1, 4)
        except TransportError:
            kept.add(0)
            continue
        assert answer.error is not None
        periods = [period_of(update) for update in answer.updates]
        assert periods == [1, 2, 3][: len(periods)]
        kept.add(len(periods))
    assert len(kept) > 2


async def test_flapping_follows_a_schedule_that_the_seed_decides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr(anyio, "current_time", lambda: now)

    def schedule(seed: int) -> list[bool]:
        nonlocal now
        now = 1000.0
        fault = make_fault("flapping", random.Random(seed))
        seen = []
        for _ in range(200):
            seen.append(fault.is_down(chain()))
            now += chain().network.slot_duration_ms / 1000 / 2
        return seen

    first = schedule(1)
    assert first == schedule(1)
    assert first != schedule(2)
    assert 20 < sum(first) < 180


# Forgeries ----------------------------------------------------------------------------------------


def now_ms() -> int:
    return chain().network.slot_start_ms(HEAD_SLOT + 1)


def following(of: SimulatedChain, *, knows_next: bool = True) -> Processor:
    """A processor that can judge objects of the head."""
    root = of.trusted_block_root(TRUSTED_SLOT)
    processor = Processor(of.network, root, backend=of.backend)
    bootstrap = of.bootstrap(root)
    assert bootstrap is not None
    steps: list[LightClientObject | None] = [bootstrap, of.best_update(4)]
    for value in steps if knows_next else steps[:1]:
        assert value is not None
        assert processor.process(value, now_ms()).verdict.kind is VerdictKind.ACCEPTED
    return processor


FORGED = [name for name in FAULTS if name.startswith("forged_")]
HEAD_PERIOD = 5


FORGED_KINDS = [
    (name, kind)
    for name in FORGED
    for kind in ObjectKind
    if make_fault(name, random.Random(0)).applies_to(Asked(kind))
]


@pytest.mark.parametrize(("name", "kind"), FORGED_KINDS)
def test_a_forged_answer_breaks_its_rule(name: str, kind: ObjectKind) -> None:
    fault = make_fault(name, random.Random(1))
    root = chain().trusted_block_root(TRUSTED_SLOT)
    asked = Asked(kind, block_root=root, start_period=HEAD_PERIOD, count=1)
    honest = honest_objects(chain(), asked)
    forged = fault.objects(asked, honest, chain())
    assert len(forged) == len(honest) == 1
    assert forged != honest
    rules = set()
    for _ in range(4):
        (value,) = fault.objects(asked, honest, chain())
        is_bootstrap = kind is ObjectKind.BOOTSTRAP
        judge = (
            Processor(chain().network, root, backend=chain().backend)
            if is_bootstrap
            else following(chain())
        )
        before = judge.store
        outcome = judge.process(value, now_ms())
        assert outcome.verdict.is_refusal, outcome.verdict
        assert not outcome.progress
        assert (judge.store is None) == (before is None)
        rules.add(outcome.verdict.rule)
    wanted = {Rule(name.removeprefix("forged_"))}
    if wanted == {Rule.CONFLICTING_NEXT_COMMITTEE}:
        # The head's period has no known next committee, so that only its proof can be wrong.
        wanted = {Rule.INVALID_NEXT_COMMITTEE_BRANCH}
    assert rules == wanted


@pytest.mark.parametrize("name", sorted(set(fault_names())))
def test_no_fault_that_spares_the_committee_makes_a_false_header_believed(name: str) -> None:
    processors = [following(chain(), knows_next=knows_next) for knows_next in (False, True)]
    for seed in range(2):
        values = anyio.run(everything, faulty(name, seed=seed, timeout=0.01))
        for processor in processors:
            for value in values:
                processor.process(value, now_ms())
            for header in (processor.finalized_header, processor.optimistic_header):
                assert header is not None
                assert chain().block_of_root(header.root) is not None


async def test_equivocation_is_signed_and_false_and_drawn_on_request_alone() -> None:
    transport = faulty("equivocating")
    honest = await faulty().get_light_client_optimistic_update()
    other = await transport.get_light_client_optimistic_update()
    assert other.attested_header.beacon.slot == honest.attested_header.beacon.slot
    assert other.attested_header != honest.attested_header
    for value in (honest, other):
        outcome = following(chain()).process(value, now_ms())
        assert outcome.verdict.kind is VerdictKind.ACCEPTED
    assert "equivocating" not in fault_names()
    assert "equivocating" in fault_names(with_dishonest_committee=True)


# Composition --------------------------------------------------------------------------------------


def test_names_are_plain_and_every_fault_is_described() -> None:
    for name, kind in FAULTS.items():
        assert name == kind.name
        assert name.replace("_", "").isalpha()
        assert name.islower()
        assert (kind.__doc__ or "").endswith(".")


async def _trace(seed: int) -> list[object]:
    rng = random.Random(seed)
    transport = FaultyTransport(chain(), faults_from_seed(rng, 6), rng, timeout=0.01)
    trace: list[object] = [transport.faults.names]
    trace += [repr(await everything(transport)) for _ in range(6)]
    trace.append(dict(transport.faults.injected))
    return trace


async def test_the_same_seed_composes_the_same_faults_that_act_alike() -> None:
    assert await _trace(7) == await _trace(7)
    assert (await _trace(7))[0] != (await _trace(8))[0]


def test_a_composition_has_as_many_faults_as_asked_for_and_no_more_than_there_are() -> None:
    assert len(faults_from_seed(random.Random(1), 4)) == 4
    offered = ("lagging", "silent")
    assert {f.name for f in faults_from_seed(random.Random(1), 9, names=offered)} == set(offered)
    assert faults_from_seed(random.Random(1), 0) == []


async def test_faults_compose_act_by_chance_and_are_switched_while_in_use() -> None:
    transport = faulty("overlong_range", "reordered_range", "duplicated_range")
    periods = [
        period_of(update)
        for update in (await transport.get_light_client_updates_by_range(2, 2)).updates
    ]
    assert set(periods) > {2, 3}
    assert len(periods) > len(set(periods))
    assert periods != sorted(periods)
    assert transport.faults.injected.total() == 3
    transport.faults.faults = ()
    assert await transport.get_light_client_optimistic_update() == chain().optimistic_update()
    transport.faults.faults = (make_fault("server_error", random.Random(1), 0.5),)
    failed = 0
    for _ in range(100):
        try:
            await transport.get_light_client_optimistic_update()
        except ProviderUnavailable:
            failed += 1
    assert 30 < failed < 70
    assert transport.faults.injected["server_error"] == failed
    assert transport.faults.requests == 102


# Events -------------------------------------------------------------------------------------------


async def pushed(*names: str, slots: int = 6) -> tuple[list[LightClientObject], str]:
    """What arrives while a chain grows by some slots, and how the stream ended."""
    growing = SimulatedChain(chain().network, dense_from_slot=244, keys=chain().keys)
    growing.advance_to(299)
    faults = [make_fault(name, random.Random(2)) for name in names]
    transport = FaultyTransport(growing, faults)
    values: list[LightClientObject] = []
    ending = ""

    async def grow() -> None:
        for slot in range(300, 300 + slots):
            growing.advance_to(slot)
            await anyio.wait_all_tasks_blocked()

    async def listen() -> None:
        nonlocal ending
        stream = transport.stream_updates()
        try:
            async for value in stream:
                values.append(value)  # noqa: PERF401 - the stream raises in the middle
        except LightClientError as error:
            ending = str(error)
        finally:
            await stream.aclose()

    listeners = len(growing.listeners)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen)
        await anyio.wait_all_tasks_blocked()
        await grow()
        tasks.cancel_scope.cancel()
    assert len(growing.listeners) == listeners
    return values, ending


async def test_an_honest_provider_pushes_each_new_update() -> None:
    values, ending = await pushed()
    assert [value.kind for value in values].count(ObjectKind.OPTIMISTIC_UPDATE) == 6
    assert ending == ""


@pytest.mark.parametrize(
    ("name", "count", "words"),
    [
        ("silent_events", 0, ""),
        ("no_events", 0, "404"),
        ("junk_events", 0, "unreadable"),
        ("oversize_event", 0, "unreadable"),
        ("flooding_events", 240, ""),
        ("ending_events", 1, "closed the connection early"),
        ("refusing", 0, "cannot be reached"),
    ],
)
async def test_a_faulty_stream_is_played_in_process(name: str, count: int, words: str) -> None:
    values, ending = await pushed(name)
    assert len(values) >= count
    assert bool(values) == bool(count)
    assert words in ending
    assert bool(words) == bool(ending)


async def test_lies_are_pushed_as_well() -> None:
    values, _ = await pushed("forged_bad_signature")
    assert values
    assert all(following(chain()).process(v, now_ms()).verdict.is_refusal for v in values)


async def test_a_lost_connection_says_how() -> None:
    assert str(ConnectionLost()) == "reset"
    assert FaultSet().names == ()
