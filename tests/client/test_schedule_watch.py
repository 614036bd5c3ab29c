"""Providers of other networks, forks that nobody here knows, and when to give up."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import anyio
import pytest

from lightclient import LightClient
from lightclient.client.status import Health, SyncState
from lightclient.config import FORKS_BY_NAME, Network
from lightclient.config.forks import FAR_FUTURE_EPOCH
from lightclient.errors import (
    NotServed,
    ProviderUnavailable,
    TransportError,
    UnknownFork,
    WrongNetwork,
)
from lightclient.simulator import config_mapping
from lightclient.transports.base import Genesis, Spec
from tests.client.world import SLOTS_PER_EPOCH, SLOTS_PER_PERIOD, ChainTransport, World

pytestmark = pytest.mark.anyio

HEAD = SLOTS_PER_PERIOD + 30
EPOCH = HEAD // SLOTS_PER_EPOCH


@pytest.fixture
def anyio_backend() -> str:
    """One is enough: time passes by hand, and much of it."""
    return "asyncio"


class Announcing(ChainTransport):
    """A provider that serves the world's chain and announces what the test wants."""

    def __init__(self, world: World, name: str, **changes: Any) -> None:
        super().__init__(world, name)
        network = world.network
        self.spec: dict[str, Any] = {**config_mapping(network), **changes}
        self.genesis = Genesis(network.genesis_time, network.genesis_validators_root)
        self.silence: TransportError | None = None
        self.hangs = False
        self.checks = 0

    async def get_spec(self) -> Spec:
        return await self._say(self.spec)

    async def get_genesis(self) -> Genesis:
        self.checks += 1
        return await self._say(self.genesis)

    async def _say(self, what: Any) -> Any:
        if self.hangs:
            await anyio.sleep(1000)
        await anyio.lowlevel.checkpoint()
        if self.silence is not None:
            raise self.silence
        return what


def elsewhere(transport: Announcing) -> Announcing:
    """The same, on another network."""
    transport.genesis = Genesis(1, bytes([9]) * 32)
    transport.spec["CONFIG_NAME"] = "otherworld"
    return transport


async def passing(client: LightClient, world: World, slots: int, *, follows: bool = True) -> None:
    """Let slots pass, one by one, and the client do in each what is due."""
    for _ in range(slots):
        world.go_to(world.slot + 1)
        if follows:
            await client._follower.step()
        await client.watch.schedule.check_due()
        await client.watch.tick()


async def synced(world: World, *transports: Announcing, **options: Any) -> LightClient:
    """A client stepped by hand up to the head, which has asked everybody."""
    client = world.client(*transports, **options)
    client._delivery = anyio.Lock()
    await client.watch.schedule.check_networks()
    for _ in range(6):
        await client._follower.step()
        client._follower.next_sync_ms = client._follower.next_head_ms = 0
    await client.watch.schedule.check_due()
    await client.watch.tick()
    assert client.status.state is SyncState.SYNCED
    return client


def codes(client: LightClient) -> list[str]:
    return [reason.code for reason in client.status.reasons]


# Another network ----------------------------------------------------------------------------------


async def test_a_provider_of_another_network_is_named_and_never_asked(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(HEAD)
    wrong, right = elsewhere(Announcing(world, "wrong")), Announcing(world, "right")
    async with world.client(wrong, right) as client:
        await client.wait_until_synced()
        status = client.status
    assert wrong.requests == []
    assert right.requests
    assert (status.health, status.usable_providers) == (Health.SYNCED, 1)
    (reason,) = status.reasons
    assert reason.code == "wrong_network"
    assert reason.sentence.startswith("wrong serves another network (it calls it otherworld; ")
    errors = [r for r in caplog.records if "serves another network" in r.message]
    assert len(errors) == 1


async def test_with_nobody_on_our_network_it_gives_up_and_says_who_serves_what() -> None:
    world = World(HEAD)
    first = elsewhere(Announcing(world, "first"))
    second = Announcing(world, "second", PRESET_BASE="mainnet", SYNC_COMMITTEE_SIZE=512)
    with pytest.raises(WrongNetwork, match="first serves another network") as told:
        async with world.client(first, second) as client:
            await client.run()
    assert "second serves a network of mainnet preset (SYNC_COMMITTEE_SIZE" in str(told.value)
    assert first.requests == second.requests == []


async def test_a_provider_that_was_mended_is_asked_again() -> None:
    world = World(HEAD)
    mended, right = elsewhere(Announcing(world, "mended")), Announcing(world, "right")
    client = await synced(world, right, mended)
    assert client.providers[1].wrong_network is not None
    mended.genesis = right.genesis
    right.error = ProviderUnavailable("down", provider="right")
    await passing(client, world, SLOTS_PER_EPOCH)
    assert client.providers[1].wrong_network is not None  # not every slot
    await passing(client, world, 2 * SLOTS_PER_EPOCH)
    assert all(provider.wrong_network is None for provider in client.providers)
    assert mended.requests


async def test_silence_neither_accuses_nor_clears() -> None:
    world = World(HEAD)
    wrong, right = elsewhere(Announcing(world, "wrong")), Announcing(world, "right")
    client = await synced(world, right, wrong)
    wrong.silence = NotServed("no such endpoint", provider="wrong")
    right.silence = ProviderUnavailable("down", provider="right")
    await passing(client, world, 20 * SLOTS_PER_EPOCH)
    names = {p.name for p in client.providers if p.wrong_network is not None}
    assert names == {"wrong"}
    assert client.status.health is Health.SYNCED


async def test_a_provider_that_does_not_answer_holds_nobody_up() -> None:
    world = World(HEAD, slot_duration_ms=1000)
    hanging, right = Announcing(world, "hanging"), Announcing(world, "right")
    hanging.hangs = True
    with anyio.fail_after(60):
        async with world.client(right, hanging) as client:
            await client.wait_until_synced()
    assert right.requests


async def test_without_the_means_to_ask_all_goes_as_before() -> None:
    world = World(HEAD)
    client = await synced(world, world.provider())  # type: ignore[arg-type]
    await passing(client, world, 3 * SLOTS_PER_EPOCH)
    assert client.status.reasons == ()


async def test_providers_are_asked_now_and_then_and_at_once_after_a_jump() -> None:
    world = World(HEAD)
    provider = Announcing(world, "one")
    client = await synced(world, provider)
    before = provider.checks
    await passing(client, world, 15 * SLOTS_PER_EPOCH)
    assert provider.checks == before
    await passing(client, world, 2 * SLOTS_PER_EPOCH)
    assert provider.checks == before + 1
    world.go_to(world.slot + 100)  # asleep
    await client.watch.tick()
    await client.watch.schedule.check_due()
    assert provider.checks == before + 2


# Forks ahead ------------------------------------------------------------------------------------


def warnings(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [
        vars(record)["lc"]
        for record in caplog.records
        if record.levelno == logging.WARNING and "fork is announced" in record.message
    ]


async def test_an_unknown_fork_ahead_is_told_once_with_its_date_and_who_said_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(HEAD)
    ahead = EPOCH + 300
    client = await synced(world, Announcing(world, "one", GLORP_FORK_EPOCH=ahead))
    await passing(client, world, 3 * SLOTS_PER_EPOCH)
    (told,) = warnings(caplog)
    assert told["key"] == "GLORP_FORK_EPOCH"
    assert told["announced"] == f"epoch {ahead}"
    assert told["date"].startswith("2023-11-1")
    assert told["providers"] == "one"
    assert told["hint"] == "update this program before"
    assert codes(client) == ["fork_ahead"]
    assert client.status.health is Health.SYNCED
    assert client.watch.schedule.next_unknown_epoch == ahead


async def test_as_a_fork_comes_nearer_it_is_told_again(caplog: pytest.LogCaptureFixture) -> None:
    world = World(HEAD)
    provider = Announcing(world, "one", GLORP_FORK_EPOCH=EPOCH + 17)
    client = await synced(world, provider)
    await passing(client, world, 17 * SLOTS_PER_EPOCH)
    assert 3 <= len(warnings(caplog)) <= 4


async def test_a_fork_that_is_taken_back_is_forgotten() -> None:
    world = World(HEAD)
    provider = Announcing(world, "one", GLORP_FORK_EPOCH=EPOCH + 300)
    client = await synced(world, provider)
    provider.spec["GLORP_FORK_EPOCH"] = FAR_FUTURE_EPOCH
    await passing(client, world, 17 * SLOTS_PER_EPOCH)
    assert codes(client) == []


async def test_what_does_not_matter_to_signatures_is_no_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    world = World(HEAD)
    blobs = [{"EPOCH": "30", "MAX_BLOBS_PER_BLOCK": "21"}]
    client = await synced(world, Announcing(world, "one", BLOB_SCHEDULE=blobs))
    await passing(client, world, 5)
    told = [r for r in caplog.records if "another configuration" in r.message]
    assert [record.levelno for record in told] == [logging.INFO]
    assert codes(client) == []


# Forks that have begun --------------------------------------------------------------------------


async def test_liars_stop_nobody_while_signed_headers_prove_them_wrong() -> None:
    world = World(HEAD)
    liars = [Announcing(world, f"liar {n}", GLORP_FORK_EPOCH=EPOCH + 1) for n in range(2)]
    client = await synced(world, *liars)
    await passing(client, world, 5 * SLOTS_PER_EPOCH)
    assert client.status.health is Health.SYNCED
    assert codes(client) == []


def without(network: Network, fork: str) -> Network:
    """The network as somebody knows it who never heard when ``fork`` comes."""
    index = FORKS_BY_NAME[fork].index
    forks = tuple(
        replace(item, epoch=FAR_FUTURE_EPOCH) if item.fork.index >= index else item
        for item in network.forks
    )
    return replace(network, forks=forks)


async def left_behind(
    world: World, *transports: Announcing, slots: int = 6 * SLOTS_PER_EPOCH
) -> LightClient:
    """A client that does not know electra, at ``slots`` after electra began."""
    client = LightClient(
        network=without(world.network, "electra"),
        trusted_block_root=world.root(),
        transports=transports,
        clock=world.clock,
    )
    client._delivery = anyio.Lock()
    await client.watch.schedule.check_networks()
    await passing(client, world, slots)
    return client


BEFORE_ELECTRA = 24 * SLOTS_PER_EPOCH - 4


async def test_past_a_fork_that_it_does_not_know_it_fails_closed_and_says_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(BEFORE_ELECTRA)
    providers = [Announcing(world, name) for name in ("one", "two")]
    with pytest.raises(UnknownFork) as told:
        await left_behind(world, *providers)
    said = str(told.value)
    assert said.startswith("2 of 2 provider(s) announce another schedule (ELECTRA_FORK_EPOCH")
    assert "since epoch 24" in said
    assert "update" in said
    slots_since = world.slot - 24 * SLOTS_PER_EPOCH
    assert 2 * SLOTS_PER_EPOCH <= slots_since <= 4 * SLOTS_PER_EPOCH
    assert any("begun that this version does not know" in r.message for r in caplog.records)


async def test_nothing_from_after_the_fork_was_taken() -> None:
    world = World(BEFORE_ELECTRA)
    unheard = Announcing(world, "one")
    del unheard.spec["ELECTRA_FORK_EPOCH"]  # it says nothing: so nobody ends the client
    client = await left_behind(world, unheard)
    head = client.optimistic_header()
    assert head is not None
    assert head.slot < 24 * SLOTS_PER_EPOCH
    assert client.status.health is Health.STUCK


async def test_a_single_voice_against_it_keeps_the_client_running() -> None:
    world = World(BEFORE_ELECTRA)
    against = Announcing(world, "against", ELECTRA_FORK_EPOCH=FAR_FUTURE_EPOCH)
    client = await left_behind(world, Announcing(world, "one"), Announcing(world, "two"), against)
    assert client.status.health is not Health.SYNCED
    assert "unknown_fork" in codes(client)


async def test_one_of_two_providers_cannot_end_the_client_while_the_other_is_away() -> None:
    world = World(BEFORE_ELECTRA)
    away = Announcing(world, "away")
    away.silence = away.error = ProviderUnavailable("down", provider="away")
    client = await left_behind(world, Announcing(world, "one"), away)
    assert "unknown_fork" in codes(client)
    away.silence = away.error = None
    with pytest.raises(UnknownFork):
        await passing(client, world, 3 * SLOTS_PER_EPOCH)


async def test_sleep_is_no_time_in_which_nothing_verified() -> None:
    world = World(BEFORE_ELECTRA)
    client = await left_behind(world, Announcing(world, "one"), slots=6)
    world.go_to(world.slot + 20 * SLOTS_PER_EPOCH)
    await client.watch.tick()  # did not have a chance yet
    await client._follower.step()
    await client.watch.tick()
    assert "unknown_fork" in codes(client)


async def test_the_failure_reaches_whoever_waits_for_the_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise UnknownFork("update it")

    world = World(HEAD)
    client = world.client(Announcing(world, "one"))
    monkeypatch.setattr(client.watch.schedule, "tick", fail)
    with pytest.raises(UnknownFork, match="update it"):
        async with client:
            await client.run()
