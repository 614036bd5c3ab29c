"""An execution engine that says yes: enough of the Engine API for a beacon node to make blocks.

It executes nothing. Each payload it builds is empty and named by a hash of its content, and each
payload it is shown is valid. Served on loopback, to whoever asks.
"""

from __future__ import annotations

import json
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any, Final

MAX_PAYLOADS: Final = 64
"""Payloads that were built and may still be asked for."""
_MAX_BODY: Final = 2**22
_ZERO_HASH: Final = "0x" + bytes(32).hex()
_METHOD_NOT_FOUND: Final = -32601
_SERVER_ERROR: Final = -32000


class Engine:
    """The chain of payloads, as far as it matters: which block has which number.

    Args:
        genesis_hash: hash of block 0.
    """

    def __init__(self, genesis_hash: bytes) -> None:
        self._numbers = {"0x" + genesis_hash.hex(): 0, _ZERO_HASH: 0}
        self._payloads: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._lock = Lock()
        self._methods: dict[str, Callable[..., Any]] = {
            "engine_forkchoiceUpdatedV1": self._choose_fork,
            "engine_forkchoiceUpdatedV2": self._choose_fork,
            "engine_getPayloadV1": self._payload,
            "engine_getPayloadV2": self._payload_with_value,
            "engine_newPayloadV1": self._take_payload,
            "engine_newPayloadV2": self._take_payload,
            "engine_exchangeTransitionConfigurationV1": lambda configuration: configuration,
            "engine_exchangeCapabilities": lambda methods: sorted(set(methods) & {*self._methods}),
        }

    def call(self, method: str, params: list[Any]) -> Any:
        """Answer a call. Raises KeyError for a method or payload that is not known."""
        with self._lock:
            return self._methods[method](*params)

    def _choose_fork(self, state: dict[str, str], wanted: dict[str, Any] | None = None) -> Any:
        head = state["headBlockHash"]
        return {
            "payloadStatus": _valid(head),
            "payloadId": None if wanted is None else self._build(head, wanted),
        }

    def _build(self, parent: str, wanted: dict[str, Any]) -> str:
        payload = {
            "parentHash": parent,
            "feeRecipient": wanted["suggestedFeeRecipient"],
            "stateRoot": _ZERO_HASH,
            "receiptsRoot": _ZERO_HASH,
            "logsBloom": "0x" + bytes(256).hex(),
            "prevRandao": wanted["prevRandao"],
            "blockNumber": hex(self._numbers.get(parent, 0) + 1),
            "gasLimit": hex(30_000_000),
            "gasUsed": "0x0",
            "timestamp": wanted["timestamp"],
            "extraData": "0x",
            "baseFeePerGas": "0x7",
            "transactions": [],
        }
        if wanted.get("withdrawals") is not None:
            payload["withdrawals"] = wanted["withdrawals"]
        name = sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()
        payload["blockHash"] = "0x" + name
        payload_id = "0x" + name[:16]
        self._payloads[payload_id] = payload
        while len(self._payloads) > MAX_PAYLOADS:
            self._payloads.popitem(last=False)
        return payload_id

    def _payload(self, payload_id: str) -> dict[str, Any]:
        return self._payloads[payload_id]

    def _payload_with_value(self, payload_id: str) -> dict[str, Any]:
        return {"executionPayload": self._payload(payload_id), "blockValue": "0x0"}

    def _take_payload(self, payload: dict[str, Any]) -> dict[str, Any]:
        self._numbers[payload["blockHash"]] = int(payload["blockNumber"], 16)
        return _valid(payload["blockHash"])


def _valid(block_hash: str) -> dict[str, Any]:
    return {"status": "VALID", "latestValidHash": block_hash, "validationError": None}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, engine: Engine) -> None:
        super().__init__(("127.0.0.1", 0), _Call)
        self.engine = engine

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a beacon node that was killed in the midst of a call."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Call(BaseHTTPRequestHandler):
    """A JSON-RPC call over HTTP."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        length = int(self.headers["content-length"])
        if length > _MAX_BODY:
            self.send_error(413)
            return
        call = json.loads(self.rfile.read(length))
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": call["id"]}
        try:
            answer["result"] = self.server.engine.call(call["method"], call["params"])
        except KeyError as error:
            is_unknown = error.args[0] == call["method"]
            code = _METHOD_NOT_FOUND if is_unknown else _SERVER_ERROR
            answer["error"] = {"code": code, "message": f"nothing is known of {error}"}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def running_engine(genesis_hash: bytes) -> Iterator[str]:
    """The URL of an engine that answers while the block runs."""
    with _Server(Engine(genesis_hash)) as server:
        thread = Thread(target=server.serve_forever, name="execution engine", daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
