"""A stored history over HTTP/1.1, as fast as Python can: ``python -m benchmarks.history_server``.

Takes the history's folder, listens on a free port of the loopback interface and prints its URL. A
server of its own instead of the simulated node's, whose time would be measured with the client's.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from benchmarks.stored import StoredHistory
from lightclient.containers import ObjectKind, decode_ssz, encode_ssz
from lightclient.containers.objects import LightClientOptimisticUpdate

_PREFIX = "/eth/v1/beacon/light_client/"
_SSZ = "application/octet-stream"


class _Answers:
    def __init__(self, history: StoredHistory) -> None:
        self._history = history
        network = history.network
        self._head_version = network.fork_at_slot(history.head_slot).name
        self._first_version = network.fork_at_slot(0).name
        *_, self._finality = history.head()
        hint = network.fork_at_slot(history.head_slot).data_format
        update = decode_ssz(ObjectKind.FINALITY_UPDATE, self._finality, network, (hint,))
        self._optimistic = encode_ssz(
            LightClientOptimisticUpdate(
                update.data_format,
                update.main_header,
                update.sync_aggregate,  # type: ignore[union-attr]
                update.signature_slot,  # type: ignore[union-attr]
            )
        )

    def to(self, target: str) -> tuple[str, bytes] | None:
        """Version header and body for a request's target."""
        url = urlsplit(target)
        if not url.path.startswith(_PREFIX):
            return None
        what, _, _argument = url.path.removeprefix(_PREFIX).partition("/")
        if what == "updates":
            query = parse_qs(url.query)
            start, count = int(query["start_period"][0]), int(query["count"][0])
            return "", self._history.range_bytes(start, min(count, 128))
        if what == "bootstrap":
            return self._first_version, self._history.bootstrap_bytes()
        known = {"finality_update": self._finality, "optimistic_update": self._optimistic}
        return (self._head_version, known[what]) if what in known else None


async def _serve(folder: Path) -> None:
    answers = _Answers(StoredHistory(folder))

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                answer = answers.to(request.split(b" ", 2)[1].decode())
                if answer is None:
                    writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                    continue
                version, body = answer
                head = f"HTTP/1.1 200 OK\r\nContent-Type: {_SSZ}\r\n"
                if version:
                    head += f"Eth-Consensus-Version: {version}\r\n"
                writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    print(f"http://127.0.0.1:{port}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(_serve(Path(sys.argv[1])))
    except KeyboardInterrupt:
        sys.exit(130)
