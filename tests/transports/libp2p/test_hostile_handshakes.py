"""Strangers at the door: TCP, noise and negotiations as attack, before an identity is proven.

Everybody else is served meanwhile, and who offends is gone. The table in ``test_hostile_peers``
says where each item of the list of attacks is tested.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress

import pytest

pytest.importorskip("libp2p", reason="the extra [libp2p] is not installed")

import trio
from Crypto.Util.asn1 import DerSequence
from libp2p.crypto.keys import KeyPair

from lightclient.transports.libp2p import connections, reception
from lightclient.transports.libp2p.connections import DialError
from lightclient.transports.libp2p.noise import MAX_HANDSHAKE_MESSAGE
from lightclient.transports.libp2p.protobuf import encode_fields
from tests.client.world import until
from tests.transports.libp2p.attackers import (
    PATIENCE,
    connect,
    is_closed,
    right_payload,
    send_packet,
    shake_hands,
    to_noise,
)
from tests.transports.libp2p.hosts import Host, ask_echo

pytestmark = pytest.mark.anyio


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
    costs: list[float] = []
    async with victim.running():
        while min(costs, default=1.0) >= 0.6 and len(costs) < 3:  # once it may be the machine
            async with await connect(victim.port) as stream:
                raw = await to_noise(stream)
                begun = time.thread_time()
                await shake_hands(raw, PAYLOADS[name])
                assert await is_closed(stream, PATIENCE)
                costs.append(time.thread_time() - begun)
            assert not victim.connections
    assert min(costs) < 0.6, "a stranger kept us busy"


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
            assert await ask_echo(await honest.dial(victim)) == b"echo:hello"


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
            assert await ask_echo(await honest.dial(victim)) == b"echo:hello"


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
        assert await is_closed(stream, PATIENCE)


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
            assert await ask_echo(await honest.dial(victim)) == b"echo:hello"
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
