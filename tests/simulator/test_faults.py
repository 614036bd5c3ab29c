"""Faults played in process: what each does to ranges, knowledge and answers, alone and composed."""

from __future__ import annotations

import random
from collections.abc import Callable

import anyio
import pytest

from lightclient.containers import LightClientObject
from lightclient.errors import (
    MalformedAnswer,
    NotServed,
    ProviderUnavailable,
    RateLimited,
    TransportError,
    UnknownBootstrap,
)
from lightclient.simulator import SimulatedChain
from lightclient.simulator.faults import FAULTS, faults_from_seed, make_fault
from lightclient.simulator.in_process import FaultyTransport
from lightclient.simulator.views import PastView
from tests.simulator.faulty_chain import TRUSTED_SLOT, chain, everything, faulty, following, now_ms

pytestmark = pytest.mark.anyio


def period_of(value: LightClientObject) -> int:
    slot = value.main_header.beacon.slot
    return chain().network.compute_sync_committee_period_at_slot(slot)


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
