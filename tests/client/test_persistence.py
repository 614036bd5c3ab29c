"""A client goes on where it was, saves as it follows, and lives on when its disk does not."""

from __future__ import annotations

import logging
import random
import threading
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from lightclient.client.status import Health, SyncState
from lightclient.config import Network
from lightclient.containers import LightClientBootstrap
from lightclient.errors import DataDirError
from lightclient.protocol import SignatureVerifier
from lightclient.storage import STATE_FILE, DataDirectory, StateDirectory, StateStorage, StoredState
from lightclient.sync import VerifiedHeader
from lightclient.transports.base import UpdateRange
from tests.client.world import (
    SLOTS_PER_EPOCH,
    SLOTS_PER_PERIOD,
    ChainTransport,
    TickingWorld,
    World,
    until,
)

pytestmark = pytest.mark.anyio
HEAD = 3 * SLOTS_PER_PERIOD + 30


class Memory:
    """A storage without a disk, whose saves can be made to fail."""

    def __init__(self, state: StoredState | None = None) -> None:
        self.state = state
        self.saves = 0
        self.error: Exception | None = None

    def load(
        self, network: Network, trusted_block_root: bytes, signatures: SignatureVerifier
    ) -> StoredState | None:
        return self.state

    def save(self, state: StoredState) -> None:
        self.saves += 1
        if self.error is not None:
            raise self.error
        self.state = state

    def size_bytes(self) -> int:
        return 0

    def slot(self) -> int:
        """Of the finalized header that is saved."""
        return -1 if self.state is None else self.state.store.finalized_header.beacon.slot


class NoBootstrap(ChainTransport):
    """A provider that must not be asked to begin from the beginning."""

    async def get_light_client_bootstrap(self, block_root: bytes) -> LightClientBootstrap:
        raise AssertionError

    async def get_light_client_updates_by_range(self, start_period: int, count: int) -> UpdateRange:
        assert start_period >= HEAD // SLOTS_PER_PERIOD
        return await super().get_light_client_updates_by_range(start_period, count)


async def synced(world: World, data_dir: Path | StateStorage) -> VerifiedHeader:
    """Follow until synced, then stop."""
    async with world.client(data_dir=data_dir) as client:
        with anyio.fail_after(60):
            return await client.wait_until_synced()


async def test_it_goes_on_where_it_was_without_a_bootstrap(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(HEAD)
    first = await synced(world, tmp_path)
    told: list[VerifiedHeader] = []
    client = world.client(
        NoBootstrap(world, "later"), data_dir=tmp_path, on_finalized_header=told.append
    )
    with caplog.at_level(logging.INFO):
        async with client:
            assert client.finalized_header() == first
            headers = client.finalized_headers()
            with anyio.fail_after(60):
                assert await anext(headers) == first
                await client.wait_until_synced()
            await until(lambda: told)
    assert told[0] == first
    assert told[0].participants is not None
    assert "Going on from the stored state" in caplog.text


async def test_by_a_clock_that_was_set_far_back_a_stored_head_is_not_the_head_of_the_chain(
    tmp_path: Path,
) -> None:
    world = World(HEAD)
    await synced(world, tmp_path)
    world.set_clock(HEAD - 2 * SLOTS_PER_EPOCH - 8)
    async with world.client(data_dir=tmp_path) as client:
        assert client.status.state is not SyncState.SYNCED
        with pytest.raises(TimeoutError), anyio.fail_after(0.1):
            await client.wait_until_synced()


async def test_it_goes_on_after_periods_away(tmp_path: Path) -> None:
    world = World(HEAD)
    first = await synced(world, tmp_path)
    world.go_to(HEAD + 3 * SLOTS_PER_PERIOD)
    provider = NoBootstrap(world, "later")
    client = world.client(provider, data_dir=tmp_path)
    async with client:
        assert client.status.start_period == HEAD // SLOTS_PER_PERIOD
        with anyio.fail_after(60):
            later = await client.wait_until_synced()
    assert later.slot > first.slot + 2 * SLOTS_PER_PERIOD
    assert any(request.startswith("updates") for request in provider.requests)


async def test_what_comes_after_a_resume_is_saved(tmp_path: Path) -> None:
    world = World(HEAD)
    first = await synced(world, tmp_path)
    world.go_to(HEAD + 3 * SLOTS_PER_EPOCH)
    second = await synced(world, tmp_path)
    assert second.slot > first.slot
    world.go_to(HEAD + 3 * SLOTS_PER_EPOCH + 1)
    async with world.client(data_dir=tmp_path) as client:
        assert client.finalized_header() == second


async def test_a_callback_that_never_returns_from_the_stored_header_is_seen_in_the_health() -> None:
    memory = Memory()
    # While time stands still: a busy machine does not get to the head of so fast a chain.
    await synced(World(HEAD, slot_duration_ms=20), memory)
    world = TickingWorld(HEAD, slot_duration_ms=20)

    async def hang(_: VerifiedHeader) -> None:
        await anyio.sleep_forever()

    async with world.client(data_dir=memory, on_finalized_header=hang) as client:
        await until(lambda: client.status.health is Health.STUCK)


async def test_each_finalized_header_is_saved_as_it_comes() -> None:
    world = TickingWorld(SLOTS_PER_PERIOD + 30, slot_duration_ms=80)
    memory = Memory()
    late: list[int] = []

    async def on_finalized(header: VerifiedHeader) -> None:
        # Callbacks are waited for, so nothing newer comes meanwhile.
        try:
            await until(lambda: memory.slot() >= header.slot, seconds=2)
        except AssertionError:
            late.append(header.slot)

    client = world.client(data_dir=memory, on_finalized_header=on_finalized, rng=random.Random(1))
    async with client:
        with anyio.fail_after(60):
            first = await client.wait_until_synced()
            await until(lambda: memory.slot() >= first.slot + 3 * SLOTS_PER_EPOCH)
    assert late == []


async def test_what_was_learnt_between_finalized_headers_is_saved_at_the_end() -> None:
    world = World(HEAD)
    memory = Memory()
    client = world.client(data_dir=memory)
    async with client:
        with anyio.fail_after(60):
            await client.wait_until_synced()
        header = client.finalized_header()
        assert header is not None
        await until(lambda: memory.slot() == header.slot)
    assert memory.state is not None
    assert memory.state.store == client.processor.store
    assert memory.state.saved_at_ms == world.now_ms


async def test_a_history_is_not_saved_step_by_step() -> None:
    world = World(12 * SLOTS_PER_PERIOD + 30)
    memory = Memory()
    headers: list[VerifiedHeader] = []
    client = world.client(data_dir=memory, on_finalized_header=headers.append)
    async with client:
        with anyio.fail_after(60):
            await client.wait_until_synced()
    assert len(headers) > 10
    assert memory.saves <= 4


async def test_a_head_alone_is_not_worth_a_save() -> None:
    world = World(HEAD)
    memory = Memory()
    client = world.client(data_dir=memory)
    async with client:
        with anyio.fail_after(60):
            await client.wait_until_synced()
            header = client.finalized_header()
            assert header is not None
            await until(lambda: memory.slot() == header.slot)
        saves = memory.saves
        store = client.processor.store
        assert store is not None
        assert client.persistence is not None
        store.optimistic_header = replace(
            store.optimistic_header, beacon=replace(store.optimistic_header.beacon, slot=HEAD + 1)
        )
        client.persistence.note()
        await anyio.sleep(0.05)
        assert memory.saves == saves
    assert memory.saves == saves + 1  # but at the end


async def test_nothing_is_saved_twice() -> None:
    world = World(HEAD)
    memory = Memory()
    await synced(world, memory)
    saves = memory.saves
    client = world.client(data_dir=memory)
    async with client:
        assert client.persistence is not None
        for _ in range(3):
            await client.persistence.save()
        assert client.persistence.saved_at_ms == world.now_ms
    assert memory.saves == saves


async def test_scores_of_providers_are_kept() -> None:
    world = World(HEAD)
    memory = Memory()
    client = world.client(world.provider("one"), world.provider("two"), data_dir=memory)
    async with client:
        with anyio.fail_after(60):
            await client.wait_until_synced()
    score = next(item.score for item in client.providers if item.name == "one")
    assert memory.state is not None
    assert memory.state.scores["one"]["honesty"] == score.honesty > 300
    memory.state = replace(memory.state, scores={"two": {"availability": 700}, "gone": {}})
    again = world.client(world.provider("one"), world.provider("two"), data_dir=memory)
    async with again:
        found = {item.name: item.score.availability for item in again.providers}
    assert found["two"] >= 700


# Disks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [DataDirError("disk is full"), ZeroDivisionError("a fault")])
async def test_a_disk_that_fails_is_told_once_and_tried_again(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(HEAD, slot_duration_ms=20)
    memory = Memory()
    memory.error = error
    client = world.client(data_dir=memory)
    async with client:
        with anyio.fail_after(60):
            await client.wait_until_synced()  # it lives on
            await until(lambda: memory.saves > 2)
            (reason,) = [item for item in client.status.reasons if item.code == "state_not_saved"]
            assert "further back" in reason.sentence
            assert sum("cannot be saved: going on" in text for text in caplog.messages) == 1
            memory.error = None
            with caplog.at_level(logging.INFO):
                await until(lambda: memory.state is not None)
                await until(lambda: "State is saved again" in caplog.text)
        assert client.persistence is not None
        assert client.persistence.problem is None
        assert not [item for item in client.status.reasons if item.code == "state_not_saved"]


async def test_a_second_client_is_refused(tmp_path: Path) -> None:
    world = World(HEAD)
    async with world.client(data_dir=tmp_path):
        with pytest.raises(DataDirError, match="in use by another process"):
            await world.client(data_dir=tmp_path).__aenter__()
    # Given back at the end.
    await synced(world, tmp_path)


@pytest.mark.parametrize("fault", ["network", "path"])
async def test_a_directory_that_cannot_be_used_stops_the_client_before_it_asks_anybody(
    tmp_path: Path, fault: str
) -> None:
    world = World(HEAD)
    path = tmp_path / "data"
    if fault == "path":
        path.write_text("a file")
    else:
        await synced(world, path)
        world.network = replace(world.network, genesis_validators_root=bytes(range(32)))
    provider = world.provider()
    with pytest.raises(DataDirError):
        await world.client(provider, data_dir=path).__aenter__()
    assert provider.network is None
    if fault == "network":
        with DataDirectory(path):
            pass


async def test_a_damaged_state_costs_a_bootstrap_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(HEAD)
    first = await synced(world, tmp_path)
    (tmp_path / STATE_FILE).write_bytes(b"junk" * 5000)
    provider = world.provider()
    client = world.client(provider, data_dir=tmp_path)
    async with client:
        assert client.finalized_header() is None
        with anyio.fail_after(60):
            assert await client.wait_until_synced() == first
    assert "bootstrap" in provider.requests
    assert "Stored state cannot be used: starting from the trusted block root" in caplog.text
    assert await synced(world, tmp_path) == first


async def test_another_trusted_root_begins_anew(tmp_path: Path) -> None:
    world = World(HEAD)
    first = await synced(world, tmp_path)
    provider = world.provider()
    client = world.client(provider, slot=SLOTS_PER_PERIOD, data_dir=tmp_path)
    async with client:
        with anyio.fail_after(60):
            assert (await client.wait_until_synced()).root == first.root
    assert "bootstrap" in provider.requests
    names = [path.name for path in sorted(Path.iterdir(tmp_path))]
    assert sum(name.startswith(f"{STATE_FILE}.other-root-") for name in names) == 1


async def test_a_storage_of_ones_own_is_left_open(tmp_path: Path) -> None:
    world = World(HEAD)
    with StateDirectory(tmp_path, world.clock) as directory:
        header = await synced(world, directory)
        state = directory.load(world.network, world.root(), world.processor().signatures)
        assert state is not None
        assert state.store.finalized_header.beacon.hash_tree_root() == header.root


async def test_a_client_that_never_got_anything_saves_nothing(tmp_path: Path) -> None:
    world = World(HEAD)

    class Silent(ChainTransport):
        async def get_light_client_bootstrap(self, block_root: bytes) -> LightClientBootstrap:
            await anyio.sleep_forever()
            raise AssertionError

    async with world.client(Silent(world, "silent"), data_dir=tmp_path):
        await anyio.sleep(0.05)
    assert not (tmp_path / STATE_FILE).exists()


async def test_saving_does_not_hold_up_the_event_loop() -> None:
    world = World(HEAD)
    may_go_on = threading.Event()

    class Slow(Memory):
        def save(self, state: StoredState) -> None:
            assert may_go_on.wait(60)
            super().save(state)

    memory = Slow()
    client = world.client(data_dir=memory)
    async with client:
        with anyio.fail_after(60):
            await client.wait_until_synced()
            assert memory.state is None
            may_go_on.set()
            await until(lambda: memory.state)
