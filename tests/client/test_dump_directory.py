"""The directory of refused objects: bounded, each once, and never to the client's harm."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from lightclient.bls import choose_backend
from lightclient.client import LightClient, dump_directory
from lightclient.client.diagnosis import judge_again
from lightclient.client.dump_directory import DumpDirectory
from lightclient.client.dumps import RefusedObject, decode_dump
from lightclient.containers import LightClientFinalityUpdate, LightClientOptimisticUpdate
from lightclient.errors import ConfigError, MalformedAnswer
from lightclient.protocol import Rule
from tests.client import refused
from tests.client.world import ChainTransport, TickingWorld, World, until


def _kept(path: Path) -> list[RefusedObject]:
    return [decode_dump(file.read_bytes()) for file in sorted(path.glob("*.json.gz"))]


def _write(path: Path, *dumps: RefusedObject, **bounds: int) -> None:
    directory = DumpDirectory(path, **bounds)
    directory.open()
    for dump in dumps:
        directory.take(dump)
    directory.close()


def _numbered(number: int, *, seconds: int | None = None) -> RefusedObject:
    """Bytes that no other number has, and a time of their own."""
    dump = refused.undecodable(number.to_bytes(3, "big"))
    return replace(dump, time_ms=1000 * (1_700_000_000 + (number if seconds is None else seconds)))


def test_a_file_in_its_place_is_called_one(tmp_path: Path) -> None:
    path = tmp_path / "dumps"
    path.write_text("")
    with pytest.raises(ConfigError, match="dumps: is a file, not a directory; mend that"):
        DumpDirectory(path).open()


def test_a_refused_object_becomes_a_file_with_time_kind_and_rule_in_its_name(
    tmp_path: Path,
) -> None:
    _write(tmp_path / "made" / "here", refused.bad_signature())
    [file] = (tmp_path / "made" / "here").iterdir()
    assert file.name.startswith("20231114T224156Z-update-bad_signature-")
    assert _kept(file.parent)[0].refused == refused.bad_signature().refused
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_same_object_from_many_providers_is_kept_once(tmp_path: Path) -> None:
    first = refused.bad_signature()
    others = [replace(first, provider=f"https://{n}.example", time_ms=n) for n in range(9)]
    _write(tmp_path, first, *others)
    [kept] = _kept(tmp_path)
    assert kept.provider == first.provider


def test_what_an_earlier_run_kept_is_not_kept_again(tmp_path: Path) -> None:
    _write(tmp_path, refused.bad_signature())
    _write(tmp_path, replace(refused.bad_signature(), time_ms=5), refused.in_future())
    assert {dump.verdict.rule for dump in _kept(tmp_path)} == {
        Rule.BAD_SIGNATURE,
        Rule.SIGNATURE_SLOT_IN_FUTURE,
    }
    assert len(_kept(tmp_path)) == 2


def test_the_oldest_file_makes_room(tmp_path: Path) -> None:
    for number in range(6):
        _write(tmp_path, _numbered(number), max_files=3)
    assert [dump.content[-1] for dump in _kept(tmp_path)] == [3, 4, 5]


def test_a_flood_of_one_rule_leaves_the_only_file_of_another(tmp_path: Path) -> None:
    _write(tmp_path, replace(refused.bad_signature(), time_ms=0))
    for number in range(8):
        _write(tmp_path, _numbered(number), max_files=4)
    rules = [dump.verdict.rule for dump in _kept(tmp_path)]
    assert rules == [Rule.BAD_SIGNATURE, *[Rule.UNDECODABLE] * 3]


def test_the_bytes_of_all_files_are_bounded(tmp_path: Path) -> None:
    for number in range(30):
        _write(tmp_path, _numbered(number), max_bytes=20_000)
    sizes = [file.stat().st_size for file in tmp_path.iterdir()]
    assert 1 <= len(sizes) < 30
    assert sum(sizes) <= 20_000


def test_an_object_larger_than_all_files_may_be_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _write(tmp_path, refused.bad_signature(), max_bytes=100)
    assert list(tmp_path.iterdir()) == []
    assert "Refused object cannot be kept" in caplog.text


def test_files_of_other_names_and_links_are_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "20231114T224156Z-notes.txt"
    other.write_text("mine")
    target = tmp_path / "elsewhere"
    target.write_text("theirs")
    link = tmp_path / f"19700101T000000Z-update-undecodable-{'0' * 16}.json.gz"
    link.symlink_to(target)
    for number in range(4):
        _write(tmp_path, _numbered(number), max_files=2)
    assert other.read_text() == "mine"
    assert target.read_text() == "theirs"
    assert link.is_symlink()


def test_what_a_killed_process_left_behind_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".refused-12345.tmp").write_bytes(b"half")
    (tmp_path / ".refused-mine.tmp").write_bytes(b"not ours")
    _write(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [".refused-mine.tmp"]


def test_a_directory_that_cannot_be_made_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below", Path("a\0b")):
        with pytest.raises(ConfigError, match="--dump-dir"):
            DumpDirectory(path).open()


def test_a_failure_to_write_is_said_once_and_harms_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG, logger="lightclient")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    directory = DumpDirectory(tmp_path)
    directory.open()
    monkeypatch.setattr(os, "fsync", full)
    for number in range(3):
        directory.take(_numbered(number))
    directory.close()
    said = [record for record in caplog.records if "cannot be kept" in record.message]
    assert [record.levelname for record in said] == ["WARNING", "DEBUG", "DEBUG"]
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    _write(tmp_path, _numbered(1))
    assert len(_kept(tmp_path)) == 1


def test_a_flood_never_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = DumpDirectory(tmp_path)  # not open: nothing is ever taken from the queue
    for number in range(1000):
        directory.take(_numbered(number % 5))
    assert directory._waiting.qsize() == dump_directory._MAX_WAITING
    directory.close()


# With a client ------------------------------------------------------------------------------------


class _Forger(ChainTransport):
    """Signs with a signature of another update."""

    async def get_light_client_finality_update(self) -> LightClientFinalityUpdate:
        update = await super().get_light_client_finality_update()
        return replace(update, signature_slot=update.signature_slot + 1)

    async def get_light_client_optimistic_update(self) -> LightClientOptimisticUpdate:
        update = await super().get_light_client_optimistic_update()
        forged = bytes(96)
        aggregate = replace(update.sync_aggregate, sync_committee_signature=forged)
        return replace(update, sync_aggregate=aggregate)


@pytest.fixture
def world() -> World:
    return TickingWorld(3 * 64 + 20)


@pytest.mark.anyio
async def test_a_client_keeps_what_it_refuses(world: World, tmp_path: Path) -> None:
    client = world.client(_Forger(world, "forger"), dump_dir=tmp_path / "dumps")
    async with client:
        await until(lambda: list(tmp_path.glob("dumps/*.json.gz")))
    kept = _kept(tmp_path / "dumps")
    assert {dump.provider for dump in kept} == {"forger"}
    assert {dump.verdict.rule for dump in kept} <= {
        Rule.BAD_SIGNATURE,
        Rule.SIGNATURE_SLOT_IN_FUTURE,
        Rule.PERIOD_NOT_COVERED,
    }
    assert all(dump.store is not None for dump in kept)
    for dump in kept:
        assert judge_again(dump, choose_backend()).detail == dump.verdict.detail


@pytest.mark.anyio
async def test_bytes_that_are_no_object_are_kept_as_they_came(world: World, tmp_path: Path) -> None:
    transport = world.provider()
    undecoded = refused.undecodable(b"junk").refused
    transport.error = MalformedAnswer("good: no update", provider="good", undecoded=undecoded)
    async with world.client(transport, dump_dir=tmp_path):
        await until(lambda: list(tmp_path.glob("*.json.gz")))
    [kept] = _kept(tmp_path)
    assert kept.content == b"junk"
    assert kept.verdict.rule is Rule.UNDECODABLE
    assert kept.store is None


class _Babbler(ChainTransport):
    """Pushes an event that is no update."""

    async def stream_updates(
        self,
    ) -> AsyncIterator[LightClientFinalityUpdate | LightClientOptimisticUpdate]:
        await anyio.lowlevel.checkpoint()
        raise MalformedAnswer(
            "good: in its event stream", provider="good", undecoded=refused.undecodable().refused
        )
        yield


@pytest.mark.anyio
async def test_pushed_bytes_that_are_no_object_are_kept(tmp_path: Path) -> None:
    world = TickingWorld(3 * 64 + 20, slot_duration_ms=300)
    async with world.client(_Babbler(world, "good"), dump_dir=tmp_path):
        await until(lambda: list(tmp_path.glob("*.json.gz")), seconds=20)
    [kept] = _kept(tmp_path)
    assert kept.store is not None
    assert kept.content == refused.undecodable().content


@pytest.mark.anyio
async def test_a_client_says_at_once_that_the_directory_cannot_be_used(
    world: World, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    client: LightClient = world.client(dump_dir=tmp_path / "file")
    with pytest.raises(ConfigError, match="dump directory"):
        async with client:
            await anyio.lowlevel.checkpoint()
