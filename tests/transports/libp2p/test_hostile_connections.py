"""Hostile peers below the protocols: TCP, noise, multiplexers, as attack on our listening side.

Everybody else is served meanwhile, memory stays bounded, and who offends is gone. The table in
``test_hostile_peers`` says where each item of the list of attacks is tested.
"""

from __future__ import annotations

import os
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress

import pytest

pytest.importorskip("libp2p", reason="the extra [libp2p] is not installed")

import trio
from Crypto.Util.asn1 import DerSequence
from libp2p.crypto.keys import KeyPair

from lightclient.errors import DecodeError
from lightclient.transports.libp2p import connections, muxers, reception
from lightclient.transports.libp2p.connections import DialError
from lightclient.transports.libp2p.muxers import (
    MAX_BUFFERED_IN_ALL,
    MAX_FRAME,
    MAX_STREAMS,
    MPLEX,
    YAMUX,
)
from lightclient.transports.libp2p.noise import MAX_HANDSHAKE_MESSAGE
from lightclient.transports.libp2p.pacing import Pace
from lightclient.transports.libp2p.protobuf import MAX_FIELDS, decode_fields, encode_fields
from lightclient.transports.libp2p.reception import Reception
from lightclient.transports.libp2p.streams import Stream
from tests.client.world import until
from tests.transports.libp2p.attackers import (
    DATA,
    PING,
    SYN,
    WINDOW_UPDATE,
    connect,
    intruder,
    is_closed,
    mplex_frame,
    right_payload,
    send_packet,
    shake_hands,
    to_noise,
    yamux_frame,
)
from tests.transports.libp2p.hosts import ECHO, Host
from tests.transports.libp2p.test_connections import ask

pytestmark = pytest.mark.anyio
BOTH = pytest.mark.parametrize("muxer", [YAMUX, MPLEX])
PATIENCE = 20
"""Seconds for what takes milliseconds where nothing else runs."""


@contextmanager
def memory(most: int) -> Iterator[None]:
    """No more than ``most`` bytes are held by this process at any time within."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= most, f"{peak / 1e6:.1f} MB"


@contextmanager
def resident_memory(most: int) -> Iterator[None]:
    """As :func:`memory` in figures of the system, which cost no time; the growth within."""
    before = _most_resident()
    yield
    grown = _most_resident() - before
    assert grown <= most, f"{grown / 1e6:.1f} MB"


def _most_resident() -> int:
    if sys.platform == "win32":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


# Before an identity is proven -------------------------------------------------------------------


def rsa_payload(keys: KeyPair, static_key: bytes) -> bytes:
    """A private RSA key of Mersenne primes: to be read it is checked to be one, for most of a
    second."""
    p, q, e = 2**4253 - 1, 2**4423 - 1, 65537
    d = pow(e, -1, (p - 1) * (q - 1))
    numbers = [0, p * q, e, d, p, q, d % (p - 1), d % (q - 1), pow(q, -1, p)]
    key = encode_fields([(1, 0), (2, DerSequence(numbers).encode())])
    return encode_fields([(1, key), (2, b"x")])


def wrong_signature(keys: KeyPair, static_key: bytes) -> bytes:
    return right_payload(keys, bytes(32))


def signature_that_is_none(keys: KeyPair, _: bytes) -> bytes:
    return encode_fields([(1, keys.public_key.serialize()), (2, os.urandom(60))])


PAYLOADS: dict[str, Callable[[KeyPair, bytes], bytes]] = {
    "an RSA key": rsa_payload,
    "a wrong signature": wrong_signature,
    "a signature that is none": signature_that_is_none,
    "a point that is none": lambda *_: encode_fields(
        [(1, encode_fields([(1, 2), (2, bytes(33))])), (2, b"x")]
    ),
    "a key of no kind": lambda *_: encode_fields(
        [(1, encode_fields([(1, 77), (2, bytes(33))])), (2, b"x")]
    ),
    "nothing": lambda *_: b"",
    "no protocol buffer": lambda *_: b"\xff" * 90,
    "a thousand fields": lambda *_: encode_fields([(9, 1)] * 1000),
}


@pytest.mark.parametrize("name", PAYLOADS)
async def test_no_proof_of_identity_but_a_right_one_opens_a_connection(name: str) -> None:
    victim = Host()
    async with victim.running():
        stream = await connect(victim.port)
        async with stream:
            raw = await to_noise(stream)
            begun = time.thread_time()
            await shake_hands(raw, PAYLOADS[name])
            assert await is_closed(stream, PATIENCE)
            assert time.thread_time() - begun < 0.6, "a stranger kept us busy"
        assert not victim.connections


@pytest.mark.parametrize(
    "packets",
    [
        [b""],
        [os.urandom(31)],
        [bytes(32)],  # a point of low order
        [os.urandom(MAX_HANDSHAKE_MESSAGE + 1)],
        [os.urandom(32), os.urandom(100)],
        [os.urandom(32), os.urandom(64)],
    ],
    ids=["none", "short", "low order", "long", "no second", "no cipher text"],
)
async def test_a_handshake_of_any_bytes_ends_its_connection_alone(packets: list[bytes]) -> None:
    victim = Host()
    async with victim.running():
        async with await connect(victim.port) as stream:
            raw = await to_noise(stream)
            for packet in packets:
                with suppress(Exception):
                    await send_packet(raw, packet)
            assert await is_closed(stream, PATIENCE)
        async with Host().running() as honest:
            assert await ask(await honest.dial(victim)) == b"echo:hello"


@pytest.mark.parametrize(
    "said",
    [
        os.urandom(400),
        b"\x04\xff\xfe\xfd\n",
        b"\xff" * 20,
        b"\x13/multistream/1.0.0\n" + b"\x03ls\n" * 100,
        b"\x13/multistream/1.0.0\n" + b"\x06/nope\n" * 100,
        b"GET / HTTP/1.1\r\n\r\n",
        b"",
    ],
)
async def test_junk_instead_of_a_negotiation_ends_its_connection_alone(said: bytes) -> None:
    victim = Host()
    async with victim.running():
        async with await connect(victim.port) as stream:
            with suppress(trio.BrokenResourceError):
                await stream.send_all(said)
                await stream.send_eof()
            assert await is_closed(stream, PATIENCE)
        async with Host().running() as honest:
            assert await ask(await honest.dial(victim)) == b"echo:hello"


async def test_who_says_nothing_is_gone_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "UPGRADE_SECONDS", 0.3)
    victim = Host()
    async with (
        victim.running(),
        await connect(victim.port) as silent,
        await connect(victim.port) as half,
    ):
        await to_noise(half)
        for stream in (silent, half):
            assert await is_closed(stream, PATIENCE)


async def test_a_drip_does_not_extend_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "UPGRADE_SECONDS", 0.5)
    victim = Host()
    async with victim.running(), await connect(victim.port) as stream:
        with trio.fail_after(PATIENCE), suppress(trio.BrokenResourceError):
            for byte in b"\x13/multistream/1.0.0\n" * 1000:
                await stream.send_all(bytes([byte]))
                await trio.sleep(0.05)
        assert await is_closed(stream, 1)


async def test_silent_strangers_take_nobody_s_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "UPGRADE_SECONDS", 60.0)
    monkeypatch.setattr(reception, "MAX_HALF_OPEN_OF_ADDRESS", 1000)
    monkeypatch.setattr(reception, "BURST_OF_ADDRESS", 1000)
    victim = Host(max_inbound=4)
    async with victim.running(), AsyncExitStack() as stack:
        silent = [
            await stack.enter_async_context(await connect(victim.port))
            for _ in range(reception.MAX_HALF_OPEN + 10)
        ]
        # They hold no place, and the oldest of them make room.
        async with Host().running() as honest:
            assert await ask(await honest.dial(victim)) == b"echo:hello"
        assert await is_closed(silent[0], PATIENCE)


async def test_one_address_shakes_few_hands_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "UPGRADE_SECONDS", 60.0)
    victim = Host()
    async with victim.running(), AsyncExitStack() as stack:
        most = reception.MAX_HALF_OPEN_OF_ADDRESS
        for _ in range(most):
            await stack.enter_async_context(await connect(victim.port))
        await until(lambda: victim.board._reception._half_open.total() == most)
        late = await stack.enter_async_context(await connect(victim.port))
        assert await is_closed(late, PATIENCE)


def test_an_address_has_half_of_the_places_and_a_router_of_ours_all() -> None:
    counts = Reception(10)
    assert [counts.take_place("45.1.1.1") for _ in range(6)] == [True] * 5 + [False]
    assert not counts.admits("45.1.1.1", 0)
    assert counts.admits("45.1.2.2", 0)
    counts.leave_place("45.1.1.1")
    assert counts.take_place("45.1.1.1")
    assert [counts.take_place("172.17.0.1") for _ in range(6)] == [True] * 5 + [False]
    assert not counts.admits("45.1.2.2", 0), "all places are taken"


@pytest.mark.parametrize("form", ["45.1.1.{}", "2a00:1450:1:{:x}::1"])
def test_whoever_owns_a_network_has_half_of_the_places(form: str) -> None:
    counts = Reception(10)
    assert [counts.take_place(form.format(number)) for number in range(9)].count(True) == 5
    assert not counts.admits(form.format(100), 0)
    assert counts.take_place("46.1.1.1")
    for number in range(5):
        counts.leave_place(form.format(number))
    assert counts.take_place(form.format(100))


def test_a_subnet_of_ipv6_is_one_address_and_a_mapped_one_is_itself() -> None:
    counts = Reception(8)
    taken = [counts.take_place(f"2a00:1450:1:2::{number:x}") for number in range(5)]
    assert taken == [True] * 4 + [False]
    assert reception.network_of("::ffff:45.1.1.1") == "45.1.1.1"
    assert reception.network_of("fe80::1%eth0") == "fe80::/64"


def test_handshakes_have_a_rate_for_each_address_and_for_all() -> None:
    counts = Reception(1000)
    admitted = sum(counts.admits("45.1.1.1", ms) for ms in range(0, 10_000, 10))
    assert admitted <= reception.BURST_OF_ADDRESS + 10 * reception.PER_SECOND_OF_ADDRESS
    everywhere = (f"45.1.{n // 250}.{n % 250}" for n in range(10_000))
    admitted = sum(counts.admits(host, 10_000 + n) for n, host in enumerate(everywhere))
    assert admitted <= reception.BURST + 11 * reception.PER_SECOND
    assert counts.admits("45.2.2.2", 60_000)
    local = [counts.admits("127.0.0.1", 120_000) for _ in range(2 * reception.BURST_OF_ADDRESS)]
    assert all(local), "this machine's programs share no rate of an address"
    # Whoever comes and goes leaves nothing.
    counts.begin("45.2.2.2")
    counts.end("45.2.2.2")
    assert not counts._half_open


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


# Multiplexers -----------------------------------------------------------------------------------


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
        at = sent
        with trio.fail_after(PATIENCE):
            for _ in range(10):
                assert await ask(kept) == b"echo:hello"
        # They wait for themselves: of thousands of frames a second hundreds are read.
        assert sent - at < 1000
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
                    await attacker.open(0, "/hold/1")
                    while True:
                        await attacker.send(yamux_frame(DATA, 0, 1, body=bytes(60_000)))
                        sent[number] += 60_000

        worst = 0
        with memory(MAX_BUFFERED_IN_ALL + places * 2 * MAX_FRAME + 40_000_000):
            for number in range(places):
                nursery.start_soon(push, number)
            with trio.move_on_after(3):
                while True:
                    worst = max(worst, victim.board.unread_bytes)
                    await trio.sleep(0.01)
            with trio.fail_after(PATIENCE):
                assert await ask(kept) == b"echo:hello"
        assert worst <= MAX_BUFFERED_IN_ALL + places * MAX_FRAME
        assert sum(sent) > 5_000_000, "that was no attack"
        nursery.cancel_scope.cancel()
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
                assert await ask(good) == b"echo:hello"
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
        assert await ask(kept) == b"echo:hello"


# When we dial -----------------------------------------------------------------------------------


async def test_whoever_answers_a_dial_with_anything_costs_its_deadline_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "DIAL_SECONDS", 0.5)
    answers = [
        os.urandom(500),
        b"\x13/multistream/1.0.0\n\x07/noise\n" + os.urandom(300),
        b"\x13/multistream/1.0.0\n\x07/noise\n" + b"\xff\xff" + bytes(70_000),
        b"\x13/multistream/1.0.0\n\x03na\n",
        b"\x13/multistream/1.0.0\n\x07/tls/1\n",
        b"\x13/multistream/1.0.0\n",
        b"",
    ]
    for answer in answers:

        async def serve(stream: trio.SocketStream, answer: bytes = answer) -> None:
            with suppress(trio.BrokenResourceError):
                await stream.send_all(answer)
                await trio.sleep(2)

        host = Host()
        async with host.running(), trio.open_nursery() as nursery:
            listeners = await nursery.start(trio.serve_tcp, serve, 0)
            other = Host()
            other.port = listeners[0].socket.getsockname()[1]
            with trio.fail_after(PATIENCE), pytest.raises(DialError):
                await host.dial(other)
            nursery.cancel_scope.cancel()


# Protocol buffers -------------------------------------------------------------------------------


def test_fields_within_fields_count_together() -> None:
    from lightclient.transports.libp2p.gossip_rpc import decode_rpc

    inner = encode_fields([(9, 1)] * 100)
    control = encode_fields([(1, inner)] * 100)
    begun = time.thread_time()
    with pytest.raises(DecodeError, match=str(MAX_FIELDS)):
        decode_rpc(encode_fields([(3, control)]))
    assert time.thread_time() - begun < 0.5
    assert len(list(decode_fields(encode_fields([(1, 1)] * MAX_FIELDS)))) == MAX_FIELDS
