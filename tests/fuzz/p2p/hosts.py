"""Hostile peers that the victim gets acquainted with: right in most things, wrong in one or two."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio

from lightclient.containers import encode_ssz
from lightclient.transports.libp2p.connections import Connection
from lightclient.transports.libp2p.gossipsub import MESHSUB
from lightclient.transports.libp2p.identify import IDENTIFY, PING, encode_identify
from lightclient.transports.libp2p.muxers import MPLEX, YAMUX
from lightclient.transports.libp2p.streams import Stream, StreamBroken
from lightclient.wire.messages import Metadata, Status
from lightclient.wire.protocols import (
    GOODBYE_1,
    LIGHT_CLIENT_BOOTSTRAP_1,
    LIGHT_CLIENT_FINALITY_UPDATE_1,
    LIGHT_CLIENT_OPTIMISTIC_UPDATE_1,
    LIGHT_CLIENT_UPDATES_BY_RANGE_1,
    METADATA_2,
    METADATA_3,
    PING_1,
    STATUS_1,
    STATUS_2,
    Protocol,
)
from lightclient.wire.responses import encode_chunk, encode_error
from lightclient.wire.snappy_frames import STREAM_IDENTIFIER, frame
from lightclient.wire.varint import encode_varint
from tests.fuzz.mutation import mutated
from tests.fuzz.p2p.scene import SceneWorld, Target
from tests.transports.libp2p.attackers import connect
from tests.transports.libp2p.hosts import Host, Serve, read_all

_PLAIN = (STATUS_1, STATUS_2, PING_1, METADATA_2, METADATA_3, GOODBYE_1)
_OBJECTS = (
    LIGHT_CLIENT_BOOTSTRAP_1,
    LIGHT_CLIENT_UPDATES_BY_RANGE_1,
    LIGHT_CLIENT_FINALITY_UPDATE_1,
    LIGHT_CLIENT_OPTIMISTIC_UPDATE_1,
)
LIES = (
    "mutated",
    "cut",
    "endless",
    "reset",
    "drip",
    "silence",
    "length",
    "bomb",
    "digest",
    "error",
)


class Answers:
    """What an honest server would answer, as bytes."""

    def __init__(self, world: SceneWorld) -> None:
        self.world = world

    def of(self, protocol: Protocol) -> bytes:
        if protocol in (STATUS_1, STATUS_2):
            digest = self.world.network.compute_fork_digest(
                self.world.network.compute_epoch_at_slot(self.world.slot)
            )
            return self._plain(protocol, Status(digest, bytes(32), 0, bytes(32), 0))
        if protocol in (METADATA_2, METADATA_3):
            return self._plain(protocol, Metadata(seq_number=1))
        if protocol in (PING_1, GOODBYE_1):
            return self._plain(protocol, 1)
        return b"".join(
            encode_chunk(encode_ssz(item), self.digest) for item in self._objects(protocol)
        )

    @property
    def digest(self) -> bytes:
        network = self.world.network
        return network.compute_fork_digest(network.compute_epoch_at_slot(self.world.slot))

    @staticmethod
    def _plain(protocol: Protocol, value: object) -> bytes:
        assert protocol.response is not None
        return encode_chunk(protocol.response.encode(value))

    def _objects(self, protocol: Protocol) -> Sequence[Any]:
        chain = self.world.chain
        if protocol is LIGHT_CLIENT_BOOTSTRAP_1:
            return [chain.bootstrap(self.world.root())]
        if protocol is LIGHT_CLIENT_UPDATES_BY_RANGE_1:
            return chain.updates(0, 4)
        update = protocol is LIGHT_CLIENT_FINALITY_UPDATE_1
        return [chain.finality_update() if update else chain.optimistic_update()]


class HostilePeer(Host):
    """A peer that lies in answers to the protocols in ``wrong``, as often as ``share`` says."""

    def __init__(
        self,
        world: SceneWorld,
        draw: random.Random,
        *,
        wrong: Sequence[Protocol] = (),
        share: float = 1.0,
        identify: Callable[[bytes], bytes] | None = None,
    ) -> None:
        self.answers = Answers(world)
        self._draw = draw
        self._wrong = set(wrong)
        self._share = share
        self._identify = identify
        self.inputs = 0
        protocols = (*_PLAIN, *_OBJECTS)
        super().__init__(
            {
                **{item.protocol_id: self._serve_one(item) for item in protocols},
                **dict.fromkeys(MESHSUB, self._hear),
                IDENTIFY: self._say_who,
                PING: self._hear,
            },
            muxers=(draw.choice((YAMUX, MPLEX)),),
        )

    async def _hear(self, stream: Stream) -> None:
        while await stream.read():
            pass

    async def _say_who(self, stream: Stream) -> None:
        right = encode_identify(
            public_key=self.board.public_key,
            agent="hostile",
            protocols=list(self.handlers),
            listen=[],
            observed=b"",
        )
        if self._identify is not None:
            self.inputs += 1
            right = self._identify(right)
        await stream.write(right)
        await stream.close()

    def _serve_one(self, protocol: Protocol) -> Serve:
        async def serve(stream: Stream) -> None:
            with trio.move_on_after(5):
                await read_all(stream)
            right = self.answers.of(protocol)
            if protocol in self._wrong and self._draw.random() < self._share:
                self.inputs += 1
                await lie(stream, self._draw.choice(LIES), right, self.answers.digest, self._draw)
            else:
                await stream.write(right)
                await stream.close()

        return serve

    @asynccontextmanager
    async def meeting(self, target: Target, source: str) -> AsyncIterator[Connection]:
        """Connected to the victim, for as long as it wants and the body runs."""
        async with self.running():
            stream = await connect(target.peer.port, source)
            with trio.fail_after(10):
                try:
                    made = await self.board._upgrade(stream, target.peer.peer_id)
                except BaseException:
                    await trio.aclose_forcefully(stream)
                    raise
            assert self.board._nursery is not None
            self.board._nursery.start_soon(self.board._keep, made)
            yield made


async def lie(stream: Stream, how: str, right: bytes, digest: bytes, draw: random.Random) -> None:
    """An answer that is wrong in one way."""
    if how == "mutated":
        await stream.write(mutated(right, (), draw, 2 * len(right) + 64))
    elif how == "cut":
        await stream.write(right[: draw.randrange(len(right))])
    elif how == "endless":
        await stream.write(right[: draw.randrange(1, len(right))])
        with trio.move_on_after(8):
            while True:
                await stream.write(draw.choice((b"\xfe\xff\xff\x00" + bytes(65535), right)))
    elif how == "reset":
        await stream.write(right[: draw.randrange(len(right) + 1)])
        raise StreamBroken("on purpose")
    elif how == "drip":
        for byte in right[:8]:
            await stream.write(bytes([byte]))
            await trio.sleep(1)
    elif how == "silence":
        await trio.sleep(12)
    elif how == "length":
        size = draw.choice((0, 1, 2**16, 2**24, 2**32, 2**63, len(right) + draw.randrange(-9, 9)))
        await stream.write(b"\0" + digest + encode_varint(max(size, 0)) + frame(right))
    elif how == "bomb":
        await stream.write(b"\0" + digest + encode_varint(draw.choice((2**32 - 1, 2000))))
        bomb = b"\0\x10\0\0" + bytes(4) + b"\xff\xff\xff\xff\x0f" + bytes(4088)
        await stream.write(STREAM_IDENTIFIER + draw.choice((frame(bytes(10**6)), bomb)))
    elif how == "digest":
        await stream.write(right[:1] + draw.randbytes(4) + right[5:])
    else:
        await stream.write(encode_error(draw.randrange(256), "x" * draw.randrange(300)))
    await stream.close()
