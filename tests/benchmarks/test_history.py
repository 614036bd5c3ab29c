"""Made histories are what a plain processor accepts; what is written of them is what is read."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import histories, stored
from benchmarks.history import HistoryMaker, history_network
from benchmarks.stored import FileTransport, StoredHistory, stored_history
from lightclient.config import Network
from lightclient.containers import encode_ssz
from lightclient.errors import NotServed
from lightclient.protocol import Rule, VerdictKind
from lightclient.protocol.excerpts import (
    create_light_client_finality_update,
    create_light_client_optimistic_update,
)
from lightclient.sync import Processor

_PERIODS = 21


@pytest.fixture(scope="module")
def maker() -> HistoryMaker:
    return HistoryMaker(history_network(_PERIODS, preset="minimal"), mean_absent=2.0)


@pytest.fixture
def history(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> StoredHistory:
    monkeypatch.setattr(stored, "CACHE", tmp_path / "cache")
    return stored_history(_PERIODS, "minimal")


def _started(maker: HistoryMaker) -> tuple[Processor, int]:
    network = maker.network
    bootstrap = maker.bootstrap(0)
    processor = Processor(network, bootstrap.header.beacon.hash_tree_root())
    now_ms = network.slot_start_ms(maker.update(_PERIODS - 1).signature_slot + 100)
    assert processor.process(bootstrap, now_ms).progress
    return processor, now_ms


def test_a_history_through_every_format_is_accepted_update_by_update(maker: HistoryMaker) -> None:
    processor, now_ms = _started(maker)
    formats = []
    for period in range(_PERIODS):
        update = maker.update(period)
        outcome = processor.process(update, now_ms)
        assert outcome.verdict.kind is VerdictKind.ACCEPTED, outcome.verdict
        formats.append(update.data_format.name)
    assert list(dict.fromkeys(formats)) == ["altair", "capella", "deneb", "electra", "gloas"]
    latest = maker.update(_PERIODS - 1, 5)
    assert processor.process(create_light_client_optimistic_update(latest), now_ms).progress
    later = maker.update(_PERIODS - 1, 9)
    assert processor.process(create_light_client_finality_update(later), now_ms).progress


def test_the_signatures_of_a_history_are_real_and_its_proofs_too(maker: HistoryMaker) -> None:
    processor, now_ms = _started(maker)
    update = maker.update(0)
    wrong = replace(
        update,
        sync_aggregate=replace(
            update.sync_aggregate,
            sync_committee_signature=maker.update(1).sync_aggregate.sync_committee_signature,
        ),
    )
    assert processor.process(wrong, now_ms).verdict.rule is Rule.BAD_SIGNATURE
    wrong = replace(update, next_sync_committee=maker.update(1).next_sync_committee)
    assert processor.process(wrong, now_ms).verdict.rule is Rule.INVALID_NEXT_COMMITTEE_BRANCH
    assert processor.process(update, now_ms).progress


def test_a_seed_gives_the_same_history_and_another_one_another(maker: HistoryMaker) -> None:
    again = HistoryMaker(maker.network, mean_absent=2.0)
    other = HistoryMaker(maker.network, seed=1, mean_absent=2.0)
    assert encode_ssz(again.update(3)) == encode_ssz(maker.update(3))
    assert encode_ssz(other.update(3)) != encode_ssz(maker.update(3))


def test_absent_members_are_as_many_as_wanted_on_average(maker: HistoryMaker) -> None:
    counts = [len(maker.absent_at(slot)) for slot in range(0, 64 * 600, 64)]
    assert sum(counts) / len(counts) == pytest.approx(2.0, abs=0.3)
    assert len(set(counts)) > 3


def test_what_was_written_is_read_in_pieces_and_not_made_again(history: StoredHistory) -> None:
    maker = HistoryMaker(history.network)
    assert [encode_ssz(item) for item in history.updates(4, 3)] == [
        encode_ssz(maker.update(period)) for period in (4, 5, 6)
    ]
    assert len(list(history.updates(_PERIODS, 100))) == 1  # that of the head's period
    before = (history.folder / "history.json").stat().st_mtime_ns
    assert stored_history(_PERIODS, "minimal").folder == history.folder
    assert (history.folder / "history.json").stat().st_mtime_ns == before


def test_files_are_a_provider_that_pushes_nothing(history: StoredHistory) -> None:
    async def ask(network: Network) -> None:
        transport = FileTransport(history)
        await transport.open(network)
        bootstrap = await transport.get_light_client_bootstrap(history.trusted_block_root)
        assert bootstrap.header.beacon.hash_tree_root() == history.trusted_block_root
        assert len((await transport.get_light_client_updates_by_range(2, 5)).updates) == 5
        assert (await transport.get_light_client_finality_update()).signature_slot == (
            history.head_slot
        )
        with pytest.raises(NotServed):
            await anext(transport.stream_updates())

    asyncio.run(ask(history.network))


@pytest.mark.slow
def test_every_way_through_a_history_ends_at_its_last_period(history: StoredHistory) -> None:
    with histories.served(history) as url:
        reports = [
            histories.run(history, "single", "milagro"),
            histories.run(history, "batches", "milagro"),
            histories.run(history, "client", "milagro"),
            histories.run(history, "client", "milagro", url),
        ]
    assert len({report["finalized_slot"] for report in reports}) == 1
    for report in reports:
        assert report["seconds"] > 0
        assert report["peak_mb"] > 10
    assert all(report["longest_stall_ms"] > 0 for report in reports[2:])


@pytest.mark.slow
def test_a_history_with_a_wrong_update_is_no_figure(history: StoredHistory) -> None:
    path = history.folder / "updates.ssz"
    data = bytearray(path.read_bytes())
    data[history.offsets[6] - 20] ^= 1  # the signature of period 5's update
    path.write_bytes(data)
    with pytest.raises(RuntimeError, match=r"should bring progress is .*bad_signature"):
        histories.run(history, "batches", "milagro")


def test_a_description_says_all_that_a_reader_needs(history: StoredHistory) -> None:
    description = json.loads((history.folder / "history.json").read_text())
    assert description["periods"] == _PERIODS
    assert history.network.preset.name == "minimal"
    assert history.network.slot_at_time_ms(history.now_ms) == history.head_slot
