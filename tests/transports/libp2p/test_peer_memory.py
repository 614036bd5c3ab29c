"""What is remembered of peers beyond a run, and of ourselves; also where the files are damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lightclient.transports.libp2p.addresses import PeerAddress
from lightclient.transports.libp2p.peer_memory import (
    MAX_FILE_BYTES,
    MAX_OF_A_KIND,
    PEERS_FILE,
    PeerMemory,
    entries_of,
)
from lightclient.transports.libp2p.peers import PeerBook
from tests.transports.libp2p.peer_books import HOUR_MS, Clock, address, low


def recalled(directory: Path, clock: Clock, *direct: PeerAddress) -> PeerBook:
    book = PeerBook(direct, clock, low)
    PeerMemory(directory).load(book)
    return book


def remember(directory: Path, book: PeerBook, clock: Clock) -> None:
    PeerMemory(directory).save(entries_of(book, clock.now_ms))


def book_of(clock: Clock, count: int) -> PeerBook:
    book = PeerBook([address(0)], clock, low)
    for number in range(1, count + 1):
        book.add_candidate(address(number))
        book.known(address(number).peer_id).serves = True
    return book


def peer(number: int) -> PeerAddress:
    """An address whose peer id is one, as far as a file's reader looks."""
    from lightclient.transports.libp2p.addresses import peer_id_of
    from tests.wire.keys import key_of

    return PeerAddress("ip4", "127.0.0.1", 9000 + number, peer_id_of(key_of(number).public_key))


def test_who_served_well_is_dialled_first_after_a_restart_and_bans_go_on(tmp_path: Path) -> None:
    pytest.importorskip("coincurve")
    clock = Clock()
    book = PeerBook([peer(9)], clock, low)
    for number in (1, 2, 3):
        book.add_candidate(peer(number))
    best, bad = book.known(peer(1).peer_id), book.known(peer(2).peer_id)
    best.serves = True
    best.score.note_answer()
    best.score.note_accepted()
    bad.score.note_malformed(clock.now_ms, 12_000, low)
    book.ban(peer(2).peer_id, HOUR_MS)
    remember(tmp_path, book, clock)
    again = recalled(tmp_path, clock)
    assert again.to_dial(set(), 10) == [peer(1)], "of the third nothing was known, one is banned"
    assert again.known(peer(1).peer_id).score == best.score
    banned = again.known(peer(2).peer_id)
    assert banned.is_banned(clock.now_ms)
    clock.now_ms += HOUR_MS
    assert not banned.is_banned(clock.now_ms)


def test_what_is_written_has_a_bound(tmp_path: Path) -> None:
    clock = Clock()
    book = book_of(clock, 300)
    for number in range(1000, 1300):
        book.ban(address(number).peer_id, HOUR_MS)
    entries = entries_of(book, clock.now_ms)
    assert len(entries) == 2 * MAX_OF_A_KIND
    remember(tmp_path, book, clock)
    assert (tmp_path / PEERS_FILE).stat().st_size < MAX_FILE_BYTES
    assert recalled(tmp_path, clock).banned_count == MAX_OF_A_KIND


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"peers": 5}',
        b"[" * 50_000,
        b'{"peers": [' + b"9" * 5000 + b"]}",
        b" " * (MAX_FILE_BYTES + 1),
    ],
)
def test_a_damaged_file_is_set_aside_and_nobody_is_remembered(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / PEERS_FILE).write_bytes(content)
    book = recalled(tmp_path, Clock())
    assert list(book) == []
    assert not (tmp_path / PEERS_FILE).exists()
    assert (tmp_path / PEERS_FILE).with_suffix(".damaged").exists()


@pytest.mark.parametrize(
    "entry",
    [
        None,
        [],
        {},
        {"id": 5},
        {"id": "x" * 500},
        {"id": "a", "address": "/ip4/1.2.3.4/tcp/1/p2p/b"},
        {"id": "a", "address": "/dns/example.org/tcp/1/p2p/a"},
        {"id": "a", "address": 5, "score": {"honesty": "high", "drops": 10**30}},
        {"id": "a", "banned": ["now", "for ever"]},
        {"id": "a", "banned": [True, False]},
        {"id": "a", "banned": [0, 10**30]},
    ],
)
def test_entries_that_are_none_do_no_harm(tmp_path: Path, entry: Any) -> None:
    (tmp_path / PEERS_FILE).write_text(json.dumps({"peers": [entry]}))
    clock = Clock()
    book = recalled(tmp_path, clock)
    assert book.to_dial(set(), 10) == []
    clock.now_ms += 25 * HOUR_MS
    assert book.banned_count == 0, "no ban is for ever"


def test_a_file_does_not_change_what_the_user_said_of_a_peer(tmp_path: Path) -> None:
    pytest.importorskip("coincurve")
    clock = Clock()
    entry = {"id": peer(1).peer_id, "address": str(peer(1)).replace("127.0.0.1", "6.6.6.6")}
    (tmp_path / PEERS_FILE).write_text(json.dumps({"peers": [entry]}))
    assert recalled(tmp_path, clock, peer(1)).to_dial(set(), 0) == [peer(1)]


def test_a_named_peer_is_tried_at_once_whatever_was_remembered_of_it(tmp_path: Path) -> None:
    pytest.importorskip("coincurve")
    clock = Clock()
    book = recalled(tmp_path, clock, peer(1), peer(2))
    for number in (1, 2, 3):
        book.ban(peer(number).peer_id, HOUR_MS)
        book.known(peer(number).peer_id).score.note_malformed(clock.now_ms, 12_000, max)
    PeerMemory(tmp_path).save(entries_of(book, clock.now_ms))
    again = recalled(tmp_path, clock, peer(1))
    assert again.to_dial(set(), 0) == [peer(1)]
    assert not again.known(peer(1).peer_id).score.is_dropped(clock.now_ms)
    assert again.known(peer(2).peer_id).is_banned(clock.now_ms), "it is not named any more"
    assert again.known(peer(3).peer_id).is_banned(clock.now_ms)


def test_a_folder_that_cannot_be_written_is_no_failure(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    clock = Clock()
    remember(blocked / "data", book_of(clock, 1), clock)
    assert list(recalled(blocked / "data", clock)) == []


# Our own record ---------------------------------------------------------------------------------


def test_our_record_replaces_that_of_an_earlier_run_also_where_the_clock_went_back(
    tmp_path: Path,
) -> None:
    pytest.importorskip("coincurve")
    from lightclient.transports.libp2p.own_record import OwnRecord, RecordFile
    from tests.transports.libp2p.finders import MAINNET, NOW_MS
    from tests.wire.keys import key_of

    def own(number: int, now_ms: int) -> OwnRecord:
        return OwnRecord(key_of(number), MAINNET, "1.2.3.4", now_ms)

    first = own(1, NOW_MS)
    first.update(400_000, 9000, 9000)
    RecordFile(tmp_path).save(first.record)
    kept = RecordFile(tmp_path).load()
    assert kept == first.record
    for now_ms, expected in ((NOW_MS - 10**9, kept.sequence + 1), (NOW_MS + 10**9, None)):
        later = own(1, now_ms)
        later.replace(kept)
        assert later.record.sequence == (expected or now_ms)
        assert later.update(400_000, 9000, 9000)
        assert later.record.sequence > kept.sequence
    # Somebody else's says nothing of ours: the identity was changed.
    other = own(2, NOW_MS - 10**9)
    other.replace(kept)
    assert other.record.sequence == NOW_MS - 10**9


def test_our_record_tells_our_forks_and_as_many_custody_groups_as_our_metadata() -> None:
    pytest.importorskip("coincurve")
    from lightclient.transports.libp2p.own_record import OwnRecord
    from lightclient.wire.messages import Metadata
    from tests.transports.libp2p.finders import MAINNET, NOW_MS
    from tests.wire.keys import key_of

    own = OwnRecord(key_of(1), MAINNET, "2001:db8::1", NOW_MS)
    own.update(411_392, 9000, 9000)
    told = own.record.entries
    assert {b"eth2", b"nfd", b"ip6", b"tcp6", b"udp6"} <= told.keys()
    assert told[b"cgc"] == bytes([Metadata(seq_number=1).custody_group_count])


@pytest.mark.parametrize("content", [b"", b"enr:-nonsense", b"\xff" * 100, b"x" * 5000])
def test_a_damaged_record_of_ours_is_set_aside(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("coincurve")
    from lightclient.transports.libp2p.own_record import RECORD_FILE, RecordFile

    (tmp_path / RECORD_FILE).write_bytes(content)
    assert RecordFile(tmp_path).load() is None
    assert not (tmp_path / RECORD_FILE).exists()
