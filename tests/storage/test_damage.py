"""Whatever happens to the file, the same state comes back or it is set aside; never another."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lightclient.protocol import SignatureVerifier
from lightclient.storage import STATE_FILE, StateDirectory
from lightclient.storage.sealed_file import PAGE_BYTES
from tests.storage.states import ROOT, network, newest, same, states, verifier

SEED = 20260701


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a client that has saved a few times."""
    path = tmp_path_factory.mktemp("content")
    with StateDirectory(path, lambda: 0) as directory:
        for state in states()[:-1]:
            directory.save(state)
    return (path / STATE_FILE).read_bytes()


@pytest.fixture(scope="module")
def signatures() -> SignatureVerifier:
    return verifier()


class Outcomes:
    """Loads damaged files and counts what became of them."""

    def __init__(self, path: Path, signatures: SignatureVerifier) -> None:
        self.path = path
        self.signatures = signatures
        self.same = 0
        self.set_aside = 0

    def judge(self, content: bytes, journal: bytes | None = None) -> None:
        for file in self.path.glob(f"{STATE_FILE}*"):
            file.unlink()
        (self.path / STATE_FILE).write_bytes(content)
        if journal is not None:
            (self.path / f"{STATE_FILE}-journal").write_bytes(journal)
        with StateDirectory(self.path, lambda: 0) as directory:
            state = directory.load(network(), ROOT, self.signatures)
            aside = list(self.path.glob(f"{STATE_FILE}.damaged-*"))
            if state is None:
                assert len([file for file in aside if "journal" not in file.name]) == 1
                self.set_aside += 1
            else:
                assert same(state, newest())
                assert aside == []
                self.same += 1
            # In any case the client can go on saving.
            directory.save(states()[2])
            assert same(directory.load(network(), ROOT, self.signatures), states()[2])


@pytest.fixture
def outcomes(tmp_path: Path, signatures: SignatureVerifier) -> Outcomes:
    return Outcomes(tmp_path, signatures)


def _flipped(content: bytes, at: int, bit: int) -> bytes:
    changed = bytearray(content)
    changed[at] ^= 1 << bit
    return bytes(changed)


def _header_flips(content: bytes) -> Iterator[bytes]:
    """One bit of each byte of SQLite's header."""
    for at in range(100):
        yield _flipped(content, at, at % 8)


def _flips(content: bytes) -> Iterator[bytes]:
    draw = random.Random(SEED)
    for _ in range(100):
        yield _flipped(content, draw.randrange(100, len(content)), draw.randrange(8))


def _page_heads(content: bytes) -> Iterator[bytes]:
    """Where SQLite keeps the structure of each page."""
    draw = random.Random(SEED + 1)
    for page in range(len(content) // PAGE_BYTES):
        for at in draw.sample(range(12), 4):
            start = page * PAGE_BYTES + (100 if page == 0 else 0)
            yield _flipped(content, start + at, draw.randrange(8))


def _cut(content: bytes) -> Iterator[bytes]:
    draw = random.Random(SEED + 2)
    yield from (content[:length] for length in (1, 15, 16, 99, 100, 511, 512, 4095, 4096, 4097))
    yield from (content[: PAGE_BYTES * page] for page in range(1, len(content) // PAGE_BYTES))
    yield from (content[: draw.randrange(len(content))] for _ in range(20))
    yield content + b"\0" * 100
    yield content + b"x" * PAGE_BYTES


def _zeroed(content: bytes) -> Iterator[bytes]:
    """A sector or a page that never reached the disk, or one of another place."""
    for size in (512, PAGE_BYTES):
        draw = random.Random(SEED + 3)
        for _ in range(30):
            start = draw.randrange(len(content) // size) * size
            yield content[:start] + bytes(size) + content[start + size :]
    draw = random.Random(SEED + 4)
    for _ in range(30):
        one, other = (draw.randrange(len(content) // 512) * 512 for _ in range(2))
        yield content[:one] + content[other : other + 512] + content[one + 512 :]


@pytest.mark.parametrize("damage", [_header_flips, _flips, _page_heads, _cut, _zeroed])
def test_a_damaged_file_is_whole_or_set_aside(
    damage: Callable[[bytes], Iterator[bytes]], content: bytes, outcomes: Outcomes
) -> None:
    for changed in damage(content):
        outcomes.judge(changed)
    # Of a page in part unused, many bytes mean nothing.
    assert outcomes.set_aside > 10


def test_a_journal_that_is_not_ours_never_makes_another_state(
    content: bytes, outcomes: Outcomes
) -> None:
    draw = random.Random(SEED + 5)
    magic = bytes.fromhex("d9d505f920a163d7")
    pages = len(content) // PAGE_BYTES
    for number in range(30):
        journal = draw.randbytes(draw.randrange(3000))
        if number % 3:
            # A header as SQLite writes it: records, nonce, pages before, sector and page size.
            words = (1, draw.randrange(1 << 32), pages, 512, PAGE_BYTES)
            journal = magic + b"".join(word.to_bytes(4, "big") for word in words)
            journal = journal.ljust(512, b"\0") + draw.randbytes(PAGE_BYTES + 8)
        outcomes.judge(content, journal)


def test_half_of_a_real_journal_never_makes_another_state(
    tmp_path: Path, signatures: SignatureVerifier, outcomes: Outcomes
) -> None:
    # A transaction that was never finished, caught in the act.
    with StateDirectory(tmp_path / "live", lambda: 0) as directory:
        directory.save(newest())
        file = directory._file
        connection = file._connection
        assert connection is not None
        connection.execute("PRAGMA cache_size = 1")  # pages go to the file before the end
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE part SET content = zeroblob(20000)")
        torn = (tmp_path / "live" / STATE_FILE).read_bytes()
        journal = (tmp_path / "live" / f"{STATE_FILE}-journal").read_bytes()
        connection.execute("ROLLBACK")
    assert len(journal) > 512
    outcomes.judge(torn, journal)
    assert outcomes.same == 1  # undone
    draw = random.Random(SEED + 6)
    for _ in range(25):
        outcomes.judge(torn, journal[: draw.randrange(len(journal))])
        outcomes.judge(torn, _flipped(journal, draw.randrange(len(journal)), draw.randrange(8)))
