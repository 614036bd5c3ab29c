"""Discovery with @chainsafe/discv5 from npm, in both directions, over real UDP."""

from __future__ import annotations

import json
import os
import time
from collections.abc import AsyncIterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import Process, UDPSocket
from anyio.streams.buffered import BufferedByteReceiveStream

from lightclient.wire.discv5.discovery import Discovery, DiscoveryEvent, LookupFinished, NodeFound
from lightclient.wire.enr import (
    NodeRecord,
    endpoint_entries,
    parse_record,
    sign_record,
    updated_record,
)
from tests.interop.npm import installed
from tests.wire.keys import IdentityKey

FOLDER = Path(__file__).with_name("discv5")
COUNT = 6


def now_ms() -> int:
    return int(time.time() * 1000)


class Node:
    """A discovery node of ours on a UDP socket."""

    def __init__(self, socket: UDPSocket, boot: NodeRecord, wanted: set[bytes]) -> None:
        port = socket.extra(anyio.abc.SocketAttribute.local_port)
        entries = endpoint_entries(IPv4Address("127.0.0.1"), udp=port)
        self.key = IdentityKey(os.urandom(32))
        given = {name: value for name, value in entries.items() if value is not None}
        record = sign_record(self.key, 1, given)
        self.discovery = Discovery(self.key, record, os.urandom, [boot])
        self.socket = socket
        self.told: list[DiscoveryEvent] = []
        self.wanted = wanted
        self.found_all = anyio.Event()

    async def send(self) -> None:
        self.told += self.discovery.events()
        for data, (ip, port) in self.discovery.datagrams():
            await self.socket.sendto(data, ip, port)
        if self.found() >= self.wanted:
            self.found_all.set()

    async def listen(self) -> None:
        async for data, (ip, port) in self.socket:
            self.discovery.receive(data, (ip, port), now_ms())
            await self.send()

    async def tick(self) -> None:
        while True:
            self.discovery.tick(now_ms())
            await self.send()
            await anyio.sleep(0.2)

    def found(self) -> set[bytes]:
        """Node ids of those that answered us."""
        return {e.record.node_id for e in self.told if isinstance(e, NodeFound) and e.answered}


async def lines(process: Process) -> AsyncIterator[dict[str, Any]]:
    assert process.stdout is not None
    stream = BufferedByteReceiveStream(process.stdout)
    while True:
        yield json.loads(await stream.receive_until(b"\n", 1 << 16))


@pytest.mark.anyio
async def test_both_find_ping_and_talk_to_each_other() -> None:
    node_program = installed(FOLDER)
    command = [node_program, str(FOLDER / "nodes.mjs"), str(COUNT)]
    async with (
        await anyio.open_process(command) as process,
        await anyio.create_udp_socket(local_host="127.0.0.1") as socket,
        anyio.create_task_group() as tasks,
    ):
        with anyio.fail_after(60):
            told = lines(process)
            first = await anext(told)
            records = [parse_record(text) for text in first["value"]]
            assert len(records) == COUNT
            ours = Node(socket, records[0], {record.node_id for record in records})
            tasks.start_soon(ours.listen)
            tasks.start_soon(ours.tick)

            # Ours: from one boot node to all of them.
            await ours.found_all.wait()

            # Ours asks in another protocol, under a record that theirs has not seen yet.
            record = updated_record(ours.key, ours.discovery.record, {b"attnets": bytes(8)})
            ours.discovery.record = record
            ours.discovery.engine.talk(records[2], b"test", b"a question", now_ms())
            await ours.send()
            assert await anext(told) == {"event": "talk request", "value": "a question"}

            # Theirs: ping, talk and look-up with us.
            assert process.stdin is not None
            await process.stdin.send(f"ask {record.text}\n".encode())
            assert await anext(told) == {"event": "pong", "value": 2}
            assert await anext(told) == {"event": "talk answer", "value": ""}
            nearest = await anext(told)
            assert record.node_id.hex() in nearest["value"]
            assert any(isinstance(event, LookupFinished) for event in ours.told)
        tasks.cancel_scope.cancel()
        process.kill()
