"""Frames and streams as attack, from peers that have proven who they are.

Everybody else is served meanwhile, memory stays bounded, and who offends is gone. The table in
``test_hostile_peers`` says where each item of the list of attacks is tested.
"""

from __future__ import annotations

from contextlib import suppress

import pytest

pytest.importorskip("libp2p", reason="the extra [libp2p] is not installed")

import trio

from lightclient.transports.libp2p import connections, muxers
from lightclient.transports.libp2p.muxers import (
    MAX_BUFFERED_IN_ALL,
    MAX_FRAME,
    MAX_STREAMS,
    MPLEX,
    YAMUX,
)
from lightclient.transports.libp2p.pacing import Pace
from lightclient.transports.libp2p.streams import Stream
from tests.client.world import until
from tests.transports.libp2p.attackers import (
    DATA,
    PATIENCE,
    PING,
    SYN,
    WINDOW_UPDATE,
    intruder,
    mplex_frame,
    yamux_frame,
)
from tests.transports.libp2p.hosts import ECHO, Host, ask_echo
from tests.transports.libp2p.memory import memory

pytestmark = pytest.mark.anyio
BOTH = pytest.mark.parametrize("muxer", [YAMUX, MPLEX])


async def test_what_was_paced_goes_on_and_holds_up_nobody_else() -> None:
    slow, begun = Pace(100, 5), trio.current_time()
    turns = 0

    async def another() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(another)
        for _ in range(25):
            await slow.wait()
        nursery.cancel_scope.cancel()
    assert trio.current_time() - begun >= 0.19
    assert turns > 25


def empty_frames(muxer: str) -> list[bytes]:
    """Frames that mean nothing, to be sent without end."""
    if muxer == YAMUX:
        return [
            yamux_frame(PING, SYN, 0, 7) * 1000,
            yamux_frame(9, 0xFFFF, 3, 0) * 1000,
            yamux_frame(WINDOW_UPDATE, 0, 77, 1) * 1000,
            yamux_frame(DATA, 0, 77, 0) * 1000,
        ]
    return [mplex_frame(2, 77, b"") * 3000, mplex_frame(4, 77) * 3000, mplex_frame(6, 78) * 3000]


@BOTH
async def test_frames_at_line_rate_leave_others_their_turn(
    muxer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(muxers, "UNIT_BURST", 100)
    victim, honest = Host(muxers=(muxer,)), Host()
    async with victim.running(), honest.running(), trio.open_nursery() as nursery:
        kept = await honest.dial(victim)
        sent = 0

        async def flood(frames: bytes) -> None:
            nonlocal sent
            with suppress(Exception):
                async with intruder(victim.port, muxer) as attacker:
                    while True:
                        await attacker.send(frames)
                        sent += 1

        for frames in empty_frames(muxer):
            nursery.start_soon(flood, frames)
        await trio.sleep(0.5)
        at, begun = sent, trio.current_time()
        with trio.fail_after(PATIENCE):
            for _ in range(10):
                assert await ask_echo(kept) == b"echo:hello"
        # They wait for themselves: of thousands of frames a second hundreds are read.
        assert sent - at < 1000 * max(1.0, trio.current_time() - begun)
        nursery.cancel_scope.cancel()


async def test_a_frame_may_not_be_larger_than_others_send() -> None:
    victim = Host(muxers=(YAMUX,))
    async with victim.running():
        for length in (MAX_FRAME + 1, 2**24, 2**32 - 1):
            async with intruder(victim.port) as attacker:
                with suppress(Exception):
                    await attacker.send(yamux_frame(DATA, SYN, 1, length))
                with trio.fail_after(PATIENCE):
                    await attacker.ended.wait()


async def test_frames_that_never_come_whole_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    victim = Host(muxers=(YAMUX,))
    async with victim.running():
        async with intruder(victim.port) as attacker:
            await attacker.send(yamux_frame(DATA, SYN, 1, MAX_FRAME), bytes(300_000))
            await until(lambda: victim.board.unread_bytes >= 250_000, PATIENCE)
        await until(lambda: victim.board.unread_bytes == 0, PATIENCE)
        monkeypatch.setattr(muxers, "FRAME_SECONDS", 0.2)
        async with intruder(victim.port) as attacker:
            await attacker.send(yamux_frame(DATA, SYN, 1, MAX_FRAME), bytes(100))
            with trio.fail_after(PATIENCE):
                await attacker.ended.wait()


async def test_many_connections_that_fill_their_windows_stay_within_one_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The worst: every place is taken by somebody who fills streams that nobody reads."""

    async def hold(_: Stream) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(muxers, "UNITS_PER_SECOND", 10**6)
    places = 12
    victim = Host({"/hold/1": hold}, muxers=(YAMUX,), max_inbound=places + 1)
    async with victim.running(), Host().running() as honest, trio.open_nursery() as nursery:
        kept = await honest.dial(victim)
        sent = [0] * places

        async def push(number: int) -> None:
            with suppress(Exception):
                async with intruder(victim.port) as attacker:
                    # A window full for each: by more a stream would end the connection.
                    for stream in range(MAX_STREAMS):
                        await attacker.open(stream, "/hold/1")
                        for _ in range(4):
                            frame = yamux_frame(DATA, 0, 2 * stream + 1, body=bytes(60_000))
                            await attacker.send(frame)
                            sent[number] += 60_000
                    await trio.sleep_forever()

        worst = 0
        with memory(MAX_BUFFERED_IN_ALL + places * 2 * MAX_FRAME + 40_000_000):
            for number in range(places):
                nursery.start_soon(push, number)
            ends = trio.current_time() + 3
            with trio.move_on_after(PATIENCE):
                while trio.current_time() < ends or sum(sent) <= 5_000_000:
                    worst = max(worst, victim.board.unread_bytes)
                    await trio.sleep(0.01)
            with trio.fail_after(PATIENCE):
                assert await ask_echo(kept) == b"echo:hello"
        assert worst <= MAX_BUFFERED_IN_ALL + places * MAX_FRAME
        assert sum(sent) > 5_000_000, "that was no attack"
        nursery.cancel_scope.cancel()
    assert victim.board.unread_bytes == 0


async def test_what_a_connection_that_cannot_be_closed_left_unread_counts_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def hold(_: Stream) -> None:
        await trio.sleep_forever()

    async def wait(_: object) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(connections, "_CLOSE_SECONDS", 0.05)
    monkeypatch.setattr(muxers.GuardedYamux, "close", wait)
    victim = Host({"/hold/1": hold}, muxers=(YAMUX,))
    async with victim.running(), intruder(victim.port) as attacker:
        await attacker.open(0, "/hold/1")
        await attacker.send(yamux_frame(DATA, 0, 1, body=bytes(60_000)))
        await until(lambda: victim.board.unread_bytes >= 60_000, PATIENCE)
        (connection,) = victim.connections
        connection.close()
        await connection.closed.wait()
        assert victim.board.unread_bytes == 0


@BOTH
async def test_ten_thousand_streams_opened_at_us_while_we_ask(muxer: str) -> None:
    """As above in test_connections, but at us who dialled: the one we ask opens them."""

    async def open_streams(stream: Stream) -> None:
        muxed = stream._muxed
        session = muxed.muxed_conn.secured_conn  # type: ignore[attr-defined]
        with suppress(Exception):
            for number in range(10_000):
                frame = (
                    yamux_frame(WINDOW_UPDATE, SYN, 2 * number + 1002)
                    if muxer == YAMUX
                    else mplex_frame(0, number + 1000)
                )
                await session.write(frame)

    hostile, server = Host({"/x/1": open_streams}, muxers=(muxer,)), Host()
    async with hostile.running(), server.running(), Host().running() as us:
        good = await us.dial(server)
        bad = await us.dial(hostile)
        with memory(30_000_000):
            stream = await bad.open_stream()
            await stream.write(b"\x13/multistream/1.0.0\n\x05/x/1\n")
            most = 0
            for _ in range(50):
                most = max(most, len(bad._muxed.streams))
                await trio.sleep(0.01)
            with trio.fail_after(PATIENCE):
                assert await ask_echo(good) == b"echo:hello"
        assert most <= MAX_STREAMS + 16


@BOTH
async def test_names_and_ids_of_streams_may_be_anything(muxer: str) -> None:
    frames = {
        YAMUX: [
            yamux_frame(DATA, SYN, 0, 0),
            yamux_frame(DATA, SYN, 2**32 - 1, 3, b"abc"),
            yamux_frame(WINDOW_UPDATE, SYN, 3, 2**32 - 1),
            yamux_frame(WINDOW_UPDATE, 0xFFFF, 5, 2**32 - 1),
            yamux_frame(DATA, 0xFFFF, 7, 1, b"x"),
            yamux_frame(DATA, SYN, 9) * 2,
        ],
        MPLEX: [
            mplex_frame(0, 1, b"\xff\xfe\xfd"),
            mplex_frame(0, 2**60, b"\x00" * 1000),
            mplex_frame(7, 1),
            mplex_frame(0, 5) * 2,
            mplex_frame(1, 9, b"for nobody"),
            mplex_frame(3, 9) + mplex_frame(5, 9),
        ],
    }[muxer]
    victim = Host(muxers=(muxer,))
    async with victim.running(), Host().running() as honest:
        kept = await honest.dial(victim)
        for frame in frames:
            with suppress(Exception):
                async with intruder(victim.port, muxer) as attacker:
                    await attacker.send(frame)
                    await attacker.open(40, ECHO, b"x")
                    await trio.sleep(0.05)
        assert await ask_echo(kept) == b"echo:hello"
