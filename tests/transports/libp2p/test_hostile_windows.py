"""Windows of yamux as attack: what one stream may have us hold, and that this slows nobody down."""

from __future__ import annotations

from contextlib import suppress

import pytest

pytest.importorskip("libp2p", reason="the extra [libp2p] is not installed")

import trio

from lightclient.transports.libp2p import muxers
from lightclient.transports.libp2p.muxers import MAX_WINDOW, YAMUX
from lightclient.transports.libp2p.streams import READ_SIZE, Stream
from tests.client.world import until
from tests.transports.libp2p.attackers import DATA, PATIENCE, SYN, WINDOW_UPDATE, intruder
from tests.transports.libp2p.attackers import yamux_frame as frame
from tests.transports.libp2p.hosts import Host, ask_echo, two_hosts

pytestmark = pytest.mark.anyio

FIRST_WINDOW = 256 * 1024
HOLD = "/hold/1"


async def hold(_: Stream) -> None:
    await trio.sleep_forever()


def pushed(size: int, stream: int = 1) -> list[bytes]:
    """``size`` bytes in frames as others send them."""
    piece = 32 * 1024
    return [frame(DATA, 0, stream, body=bytes(piece))] * (size // piece)


async def test_a_stream_that_nobody_reads_cannot_have_the_whole_connections_share() -> None:
    victim = Host({HOLD: hold}, muxers=(YAMUX,))
    async with victim.running(), Host().running() as honest:
        kept = await honest.dial(victim)
        async with intruder(victim.port) as attacker:
            await attacker.open(0, HOLD)
            await attacker.send(*pushed(FIRST_WINDOW))
            await until(lambda: victim.board.unread_bytes == FIRST_WINDOW, PATIENCE)
            assert not attacker.is_cut_off
            # Reading the proposal has made the window larger, but to no more than its bound.
            with suppress(Exception):
                await attacker.send(*pushed(MAX_WINDOW))
            with trio.fail_after(PATIENCE):
                await attacker.ended.wait()
        await until(lambda: victim.board.unread_bytes == 0, PATIENCE)
        assert await ask_echo(kept) == b"echo:hello"


@pytest.mark.parametrize("kind", [DATA, WINDOW_UPDATE])
async def test_a_stream_may_not_begin_with_more_than_its_window(kind: int) -> None:
    victim = Host({HOLD: hold}, muxers=(YAMUX,))
    async with victim.running(), intruder(victim.port) as attacker:
        size = FIRST_WINDOW + 1
        with suppress(Exception):
            if kind == DATA:
                await attacker.send(frame(DATA, SYN, 1, body=bytes(size)))
            else:
                # To be given more, not to give it, is what an update of the window asks for.
                await attacker.send(frame(WINDOW_UPDATE, SYN, 1, 2**32 - 1))
                await attacker.send(frame(DATA, 0, 1, body=bytes(size)))
        with trio.fail_after(PATIENCE):
            await attacker.ended.wait()


async def test_a_window_grows_with_its_reader_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Megabytes go through at once, and what was granted by the end is one stream's share."""
    monkeypatch.setattr(muxers, "UNITS_PER_SECOND", 10**6)
    size = 12 * 2**20
    received, largest = 0, 0
    done = trio.Event()

    async def swallow(stream: Stream) -> None:
        nonlocal received, largest
        while data := await stream.read():
            received += len(data)
            largest = max(largest, stream._muxed.recv_window)  # type: ignore[attr-defined]
        done.set()

    victim, sender = Host({"/swallow/1": swallow}, muxers=(YAMUX,)), Host()
    async with two_hosts(sender, victim) as connection:
        stream = await connection.open_stream()
        await stream.write(b"\x13/multistream/1.0.0\n\x0b/swallow/1\n")
        with trio.fail_after(PATIENCE):
            await stream.write_last(bytes(size))
            await done.wait()
    assert received == size
    assert FIRST_WINDOW < largest <= MAX_WINDOW + READ_SIZE
