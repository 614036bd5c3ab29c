"""Peers of js-libp2p, started and ordered about by a test; ``peers.mjs`` is their program.

What a peer is asked on an Ethereum protocol, the test answers, byte by byte if it likes. So the
transport is js-libp2p's and the content is of the simulated chain.
"""

from __future__ import annotations

import json
import os
import subprocess
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import pytest
import trio
from anyio.abc import TaskGroup

from lightclient.transports.libp2p.addresses import PeerAddress, parse_peer_address
from lightclient.transports.task_groups import bare_task_group
from lightclient.wire.protocols import PROTOCOLS_BY_ID
from lightclient.wire.requests import RequestReader
from tests.client.world import until

FOLDER: Final = Path(__file__).parent
PATIENCE: Final = 60.0
BOTH: Final = pytest.mark.parametrize("muxer", ["yamux", "mplex"])
OPTIMISTIC: Final = pytest.mark.parametrize(
    "optimistic", [False, True], ids=["classic", "optimistic"]
)
_LOOK_SECONDS: Final = 0.05
_READ_SIZE: Final = 2**18


@dataclass(frozen=True, slots=True)
class Script:
    """How a peer answers: pieces, a pause after each, and what comes then."""

    pieces: tuple[bytes, ...] = ()
    end: Literal["close", "reset", "disconnect", "hang"] = "close"
    pause_ms: int = 0


@dataclass(frozen=True, slots=True)
class Heard:
    """What a peer read on a stream of its own, and how that ended: "closed" or an error."""

    body: bytes
    end: str


Answers: TypeAlias = Mapping[str, Callable[[Any], bytes | Script]]
"""By protocol id: what to answer to a request."""


@dataclass(eq=False)
class JsPeer:
    """One peer.

    Attributes:
        requests: protocol ids and bodies of what it was asked.
        events: what else happened to it.
    """

    _peers: JsPeers
    name: str
    answers: Answers
    address: PeerAddress = field(init=False)
    requests: list[tuple[str, bytes]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def peer_id(self) -> str:
        return self.address.peer_id

    async def order(self, order: str, **about: Any) -> Any:
        """Have it do something; AssertionError if it cannot."""
        return await self._peers.order(order, peer=self.name, **about)

    def told(self, event: str) -> list[dict[str, Any]]:
        """The events of a kind."""
        return [item for item in self.events if item["event"] == event]

    async def hears_of(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        """The events of a kind, once there are so many."""
        await until(lambda: len(self.told(event)) >= count, PATIENCE)
        return self.told(event)

    async def dial(self, address: PeerAddress) -> None:
        await self.order("dial", address=str(address))

    async def ask(
        self,
        to: str,
        protocol_id: str,
        body: bytes = b"",
        *,
        optimistic: bool = False,
        cut: int | None = None,
    ) -> Heard:
        """Ask a connected peer.

        Args:
            optimistic: send the request along with the proposal of its protocol.
            cut: send only so much of it, then reset the stream.
        """
        about = {"to": to, "protocol": protocol_id, "body": _text(body)}
        said = await self.order("ask", **about, optimistic=optimistic, cut=cut)
        return Heard(b64decode(said["body"]), said["end"])

    async def publish(self, topic: str, data: bytes) -> int:
        """Gossip a payload; to how many peers at once."""
        return int(await self.order("publish", topic=topic, data=_text(data)))

    async def gossip(self, topic: str) -> dict[str, Any]:
        """Its mesh and subscribers of a topic, and a tally of control messages by sender."""
        return dict(await self.order("gossip", topic=topic))

    async def gossip_once(
        self, topic: str, condition: Callable[[dict[str, Any]], bool]
    ) -> dict[str, Any]:
        """What :meth:`gossip` gives, once it is as wanted."""
        with trio.fail_after(PATIENCE):
            while True:
                state = await self.gossip(topic)
                if condition(state):
                    return state
                await trio.sleep(_LOOK_SECONDS)

    def answer(self, protocol_id: str, body: bytes) -> Script:
        """What the test has it say to a request."""
        self.requests.append((protocol_id, body))
        reader = RequestReader(PROTOCOLS_BY_ID[protocol_id])
        reader.receive(body)
        reader.receive_end()
        answer = self.answers[protocol_id](reader.request)
        return answer if isinstance(answer, Script) else Script((answer,))


class JsPeers:
    """A process of node with any number of peers, which one test after another uses.

    Starting node takes a second; so a process is kept, and ended when a test fails.
    """

    def __init__(self, node_program: str) -> None:
        self._command = [node_program, str(FOLDER / "peers.mjs")]
        self._process: subprocess.Popen[bytes] | None = None
        self._lines = bytearray()
        self._count = 0
        self._peers: dict[str, JsPeer] = {}
        self._waiting: dict[int, trio.Event] = {}
        self._said: dict[int, dict[str, Any]] = {}

    @asynccontextmanager
    async def attached(self) -> AsyncIterator[JsPeers]:
        """Usable by a test; its peers are gone afterwards."""
        to_node, from_node = self._pipes()
        self._lock = trio.Lock()
        try:
            async with (
                trio.lowlevel.FdStream(os.dup(to_node)) as self._stdin,
                trio.lowlevel.FdStream(os.dup(from_node)) as self._stdout,
                bare_task_group() as tasks,
            ):
                tasks.start_soon(self._listen, tasks)
                yield self
                await self.order("stop")
        except BaseException:
            self.close()
            raise
        finally:
            self._peers.clear()
            self._waiting.clear()
            self._said.clear()

    def _pipes(self) -> tuple[int, int]:
        if self._process is None:
            # Its complaints go where pytest looks for them.
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        return self._process.stdin.fileno(), self._process.stdout.fileno()

    def close(self) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            with self._process:
                self._process.kill()
            self._process = None
            self._lines.clear()

    def _next_number(self) -> int:
        self._count += 1
        return self._count

    async def start(
        self,
        name: str,
        muxers: Sequence[str] = ("yamux",),
        answers: Answers | None = None,
        *,
        refuses_early: bool = False,
        lazy: bool = False,
        signed: bool = False,
    ) -> JsPeer:
        """A new peer on a port of its own.

        Args:
            refuses_early: resets a stream whose request comes before its protocol was agreed on.
            lazy: its gossip router wants no mesh. signed: it signs what it publishes.
        """
        # Of an earlier test's peer something may still be told.
        unique = f"{name} {self._next_number()}"
        peer = self._peers[unique] = JsPeer(self, unique, answers or {})
        address = await peer.order(
            "start",
            muxers=list(muxers),
            protocols=list(peer.answers),
            refuses_early=refuses_early,
            lazy=lazy,
            signed=signed,
        )
        peer.address = parse_peer_address(address)
        return peer

    async def order(self, order: str, **about: Any) -> Any:
        """Have something done; AssertionError with what is said if that fails."""
        number = self._next_number()
        done = self._waiting[number] = trio.Event()
        with trio.fail_after(PATIENCE):
            async with self._lock:
                message = {"id": number, "order": order, **about}
                await self._stdin.send_all(json.dumps(message).encode() + b"\n")
            await done.wait()
        said = self._said.pop(number)
        assert "error" not in said, f"{order}: {said['error']}"
        return said["result"]

    async def _listen(self, tasks: TaskGroup) -> None:
        while piece := await self._stdout.receive_some(_READ_SIZE):
            before = len(self._lines)
            self._lines += piece
            if b"\n" not in piece:
                continue
            end = before + piece.rindex(b"\n") + 1
            lines = bytes(self._lines[:end])
            del self._lines[:end]
            for line in lines.splitlines():
                self._take(json.loads(line), tasks)
        raise AssertionError("node has ended")

    def _take(self, message: dict[str, Any], tasks: TaskGroup) -> None:
        if "event" not in message:
            if message["id"] in self._waiting:
                self._said[message["id"]] = message
                self._waiting[message["id"]].set()
            return
        peer = self._peers.get(message["peer"])
        if peer is None:
            return
        if message["event"] == "request" and message["end"] == "closed":
            # Beside this: node may write no line before another is read.
            tasks.start_soon(self._serve, peer, message)
        else:
            peer.events.append(message)

    async def _serve(self, peer: JsPeer, message: dict[str, Any]) -> None:
        script = peer.answer(message["protocol"], b64decode(message["body"]))
        answer = {
            "pieces": [_text(piece) for piece in script.pieces],
            "end": script.end,
            "pause_ms": script.pause_ms,
        }
        await self.order("answer", request=message["id"], answer=answer)


def _text(data: bytes) -> str:
    return b64encode(data).decode()
