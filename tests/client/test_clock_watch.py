"""The clock measured against providers and signed headers, and what a wrong one does."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightclient import LightClient
from lightclient.client.clock_watch import ClockSkew, ClockWatch
from lightclient.client.status import Health, SyncState
from lightclient.config import network_by_name
from lightclient.containers import LightClientOptimisticUpdate
from lightclient.protocol import ACCEPTED, Rule, verdict_of
from lightclient.sync import VerifiedHeader
from lightclient.transports.base import ServerTime
from tests.client.world import SLOTS_PER_EPOCH, SLOTS_PER_PERIOD, ChainTransport, World

pytestmark = pytest.mark.anyio

MAINNET = network_by_name("mainnet")
NOW = MAINNET.genesis_time_ms + 10**12
SLOT = MAINNET.slot_duration_ms
DAY = 86_400_000


@pytest.fixture
def anyio_backend() -> str:
    """One is enough: time passes by hand."""
    return "asyncio"


def date(now_ms: int, ahead_ms: int, round_trip_ms: int = 100) -> ServerTime:
    """What a server's header shows when our clock, at ``now_ms``, is ``ahead_ms`` ahead of it."""
    sent = (now_ms - ahead_ms - round_trip_ms // 2) // 1000 * 1000
    return ServerTime(sent, sent + 1000 + round_trip_ms)


def measured(*ahead_ms: int, now_ms: int = NOW) -> ClockWatch:
    watch = ClockWatch(MAINNET)
    for number, ahead in enumerate(ahead_ms):
        watch.note_server_time(number, date(now_ms, ahead), now_ms)
    return watch


# Measuring --------------------------------------------------------------------------------------


def test_without_a_measurement_nothing_is_known() -> None:
    assert ClockWatch(MAINNET).skew(NOW) is None
    assert not ClockWatch(MAINNET).is_significant(None)


@settings(max_examples=200)
@given(
    ahead=st.integers(-10 * DAY, 10 * DAY),
    offset=st.integers(0, 999),
    there=st.integers(0, 5000),
    back=st.integers(0, 5000),
)
def test_the_figure_is_as_good_as_its_precision_whatever_the_network_does(
    ahead: int, offset: int, there: int, back: int
) -> None:
    now = NOW + offset
    header = (now - ahead - back) // 1000 * 1000  # written when the answer left
    watch = ClockWatch(MAINNET)
    watch.note_server_time("a", ServerTime(header, header + 1000 + there + back), now)
    skew = watch.skew(now)
    assert skew is not None
    assert abs(1000 * skew.seconds - ahead) <= 1000 * skew.precision + 1


@pytest.mark.parametrize(
    ("ahead", "middle"),
    [
        ([5000], 5000),
        ([5000, 5000, -90_000], 5000),
        ([5000, 5000, 5000, DAY, -DAY], 5000),
        ([0, DAY], 0),  # one of two does not make us look wrong
        ([0, -DAY], 0),
        ([-DAY, -DAY], -DAY),
        ([-8000, -9000, 0, 0], 0),
    ],
)
def test_the_median_of_the_providers_counts(ahead: list[int], middle: int) -> None:
    skew = measured(*ahead).skew(NOW)
    assert skew is not None
    assert abs(1000 * skew.seconds - middle) <= 1000
    assert skew.providers == len(ahead)


def test_a_skew_matters_from_a_third_of_a_slot_and_never_for_want_of_precision() -> None:
    watch = ClockWatch(MAINNET)
    assert watch.tolerance_ms == 4000
    assert not watch.is_significant(ClockSkew(3.9, 0.0, 1))
    assert watch.is_significant(ClockSkew(4.1, 0.0, 1))
    assert watch.is_significant(ClockSkew(-4.1, 0.0, 1))
    assert not watch.is_significant(ClockSkew(5.0, 1.5, 1))
    fast_chain = ClockWatch(replace(MAINNET, slot_duration_ms=300))
    assert not fast_chain.is_significant(ClockSkew(0.5, 0.55, 1))


def test_a_provider_counts_once_with_its_latest_answer_but_not_with_a_slow_one() -> None:
    watch = measured(0)
    for second in range(1, 50):
        now = NOW + 1000 * second
        watch.note_server_time(0, date(now, 7000), now)
    skew = watch.skew(NOW + 50_000)
    assert skew is not None
    assert (round(skew.seconds), skew.providers) == (7, 1)
    watch.note_server_time(0, date(NOW + 50_000, 0, round_trip_ms=60_000), NOW + 50_000)
    assert watch.skew(NOW + 50_000) == skew


def test_old_measurements_are_forgotten() -> None:
    watch = measured(9000)
    epoch = MAINNET.preset.slots_per_epoch * SLOT
    assert watch.skew(NOW + 32 * epoch) is not None
    assert watch.skew(NOW + 33 * epoch) is None
    assert watch.skew(NOW - 1) is None  # the clock was set back behind them


# Warning ----------------------------------------------------------------------------------------


def clock_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if "clock" in r.getMessage().lower()]


def test_a_warning_is_given_once_and_again_when_the_skew_grows_or_goes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    watch = ClockWatch(MAINNET)
    now = NOW
    for ahead in [0] * 3 + [-8000] * 20 + [-9000] * 20 + [-30_000] * 20 + [0] * 3:
        now += SLOT
        watch.note_server_time("a", date(now, ahead), now)
        watch.tick(now)
    slow = "This machine's clock is slow: newer objects are refused; set it (NTP)"
    assert clock_lines(caplog) == [slow, slow, "The clock agrees with the others again"]
    figures = [vars(r)["lc"]["seconds"] for r in caplog.records]
    assert [round(figure / 10) * 10 for figure in figures] == [-10, -30, 0]


def test_a_fast_clock_is_told_from_a_slow_one(caplog: pytest.LogCaptureFixture) -> None:
    watch = measured(60_000)
    watch.tick(NOW)
    assert clock_lines(caplog) == ["This machine's clock is fast: all seems old; set it (NTP)"]


@pytest.mark.parametrize("jump", [-DAY, -SLOT, 3 * SLOT, 5 * DAY])
def test_after_a_jump_what_was_measured_before_says_nothing(
    jump: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    watch = measured(0, 0)
    assert not watch.tick(NOW)
    assert not watch.tick(NOW + SLOT)
    assert watch.tick(NOW + SLOT + jump)
    assert watch.skew(NOW + SLOT + jump) is None
    assert vars(caplog.records[-1])["lc"] == {"seconds": jump / 1000}
    assert not watch.tick(NOW + 2 * SLOT + jump)


def test_a_small_correction_and_a_late_look_are_no_jump() -> None:
    watch = ClockWatch(MAINNET)
    watch.tick(NOW)
    assert not watch.tick(NOW - 3000)
    assert not watch.tick(NOW + 20_000)


# Proof by the chain -----------------------------------------------------------------------------


class Late(World):
    """A world whose machine's clock is ``behind`` slots slow."""

    def __init__(self, slot: int, behind: float, **options: Any) -> None:
        self.behind = behind
        super().__init__(slot, **options)

    def clock(self) -> int:
        return self.now_ms - int(self.behind * self.network.slot_duration_ms)


class Honest(ChainTransport):
    """Serves the chain by the true time, whatever the client's clock shows; tells no time."""


HEAD = SLOTS_PER_PERIOD + 30


async def followed(world: World, slots: int = 4) -> LightClient:
    client = world.client(Honest(world, "a"), Honest(world, "b"))
    client._delivery = anyio.Lock()
    for _ in range(slots + 4):
        client._follower.next_sync_ms = client._follower.next_head_ms = 0
        await client._follower.step()
        await client.watch.tick()
        world.go_to(world.slot + 1)
    return client


async def test_a_header_that_the_committee_signed_in_our_future_proves_the_clock_slow() -> None:
    client = await followed(Late(HEAD, behind=5))
    skew = client.watch.skew()
    assert skew is not None
    assert skew.is_proven
    slots_behind = -1000 * skew.seconds / client.network.slot_duration_ms
    assert 3 <= slots_behind <= 5
    assert any(reason.code == "clock_slow" for reason in client.status.reasons)
    assert client.status.clock_skew == skew.seconds


async def test_a_clock_that_is_slow_by_epochs_is_not_called_ready() -> None:
    client = await followed(Late(HEAD, behind=3 * SLOTS_PER_EPOCH))
    assert client.status.health is not Health.SYNCED
    assert not client.status.is_ready


async def test_a_clock_that_is_right_proves_nothing() -> None:
    client = await followed(Late(HEAD, behind=0))
    assert client.watch.skew() is None
    assert client.status.health is Health.SYNCED
    assert client.status.reasons == ()


def test_a_signature_slot_that_anybody_can_set_proves_nothing() -> None:
    world = World(HEAD)
    update = world.chain.optimistic_update()
    assert update is not None
    watch = ClockWatch(world.network)
    verdict = verdict_of(Rule.SIGNATURE_SLOT_IN_FUTURE)
    store = _store(world)
    moved = replace(update, signature_slot=world.slot + 5)
    watch.note_refused(moved, verdict, store, world.now_ms)
    assert not watch.has_candidate()


def _store(world: World) -> Any:
    processor = world.processor(0)
    bootstrap = world.chain.bootstrap(world.root())
    assert bootstrap is not None
    processor.process(bootstrap, world.now_ms)
    for update in world.chain.updates(0, 3):
        processor.process(update, world.now_ms)
    return processor.store


def future(world: World) -> LightClientOptimisticUpdate:
    update = world.chain.optimistic_update()
    assert update is not None
    return update


@pytest.mark.parametrize("kind", ["true", "unsigned", "few", "other verdict", "bootstrap only"])
def test_only_two_thirds_of_the_committee_prove_a_slow_clock(kind: str) -> None:
    options: dict[str, Any] = {"participation": lambda slot: 0.6 if slot > HEAD - 6 else 1.0}
    world = World(HEAD, **(options if kind == "few" else {}))
    store, signatures = _store(world), world.processor(0).signatures
    update, verdict = future(world), verdict_of(Rule.SIGNATURE_SLOT_IN_FUTURE)
    now = world.network.slot_start_ms(update.attested_header.beacon.slot - 4)
    if kind == "unsigned":
        beacon = replace(update.attested_header.beacon, proposer_index=77)
        update = replace(update, attested_header=replace(update.attested_header, beacon=beacon))
    if kind == "other verdict":
        verdict = ACCEPTED
    watch = ClockWatch(world.network)
    watch.note_refused(update, verdict, None if kind == "bootstrap only" else store, now)
    watch.examine(signatures, now)
    skew = watch.skew(now)
    if kind == "true":
        slots = -1000 * skew.seconds / world.network.slot_duration_ms  # type: ignore[union-attr]
        assert slots == 4
    else:
        assert skew is None
    assert not watch.has_candidate()


def known_header(world: World) -> VerifiedHeader:
    processor = world.processor(0)
    bootstrap = world.chain.bootstrap(world.root(HEAD - 40))
    assert bootstrap is not None
    processor.trusted_block_root = bootstrap.header.beacon.hash_tree_root()
    processor.process(bootstrap, world.now_ms)
    header = processor.finalized_header
    assert header is not None
    return header


def test_what_proved_the_clock_slow_is_forgotten_when_nothing_proves_it_again() -> None:
    world = World(HEAD)
    header, watch = known_header(world), ClockWatch(world.network)
    epoch_ms = SLOTS_PER_EPOCH * world.network.slot_duration_ms
    begins = world.network.slot_start_ms(header.slot)
    start = begins - 2 * epoch_ms - 5_000
    watch.note_header(header, start)
    assert watch.slow_ms(start) == begins - start
    # Slewed so slowly that nothing looked like a jump, to where it is a bit slow still.
    assert watch.slow_ms(start + 2 * epoch_ms + 1) == 0
    assert watch.skew(start + 2 * epoch_ms + 1) is None
    watch.note_header(header, begins - 4_000)
    assert watch.slow_ms(begins - 4_000) == 4_000


def test_a_clock_set_back_is_noticed_by_the_head_that_is_known(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(HEAD)
    header = known_header(world)
    watch = ClockWatch(world.network)
    world.set_clock(header.slot - 3)
    watch.tick(world.now_ms)
    watch.note_header(header, world.now_ms)
    watch.tick(world.now_ms + world.network.slot_duration_ms)
    (line,) = clock_lines(caplog)
    assert "slow" in line
    skew = watch.skew(world.now_ms)
    assert skew == ClockSkew(-2.5 * world.network.slot_duration_ms / 1000, 0.0, 0, True)


async def test_refusal_of_what_is_far_in_the_future_stays_as_the_rules_say() -> None:
    world = Late(HEAD, behind=5)
    client = await followed(world)
    head = client.optimistic_header()
    assert head is not None
    assert head.signature_slot is None or head.signature_slot <= world.network.slot_at_time_ms(
        world.clock()
    )


async def test_dates_of_servers_reach_the_status() -> None:
    class Dated(ChainTransport):
        on_server_time: Any = None

        async def _note(self, request: str) -> None:
            await super()._note(request)
            # The server's clock is right, and the client's is fast.
            assert self.on_server_time is not None
            self.on_server_time(date(self.world.clock(), 90_000))

    world = World(HEAD)
    async with world.client(Dated(world, "a"), Dated(world, "b")) as client:
        await client.wait_until_synced()
        status = client.status
    assert status.state is SyncState.SYNCED
    assert status.clock_skew is not None
    assert 89 <= status.clock_skew <= 91
    assert [reason.code for reason in status.reasons] == ["clock_fast"]
    assert status.health is Health.SYNCED  # no rule is bent: what verifies is recent by our clock
