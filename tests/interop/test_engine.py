"""The execution engine that a beacon node is given in these tests, called as the node calls it."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.interop.lodestar.engine import MAX_PAYLOADS, running_engine

NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
GENESIS = b"\x0b" * 32


@pytest.fixture
def url() -> Iterator[str]:
    with running_engine(GENESIS) as url:
        yield url


def call(url: str, method: str, *params: Any) -> Any:
    """The result of a call, or its error."""
    body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
    with NO_PROXY.open(url, json.dumps(body).encode()) as answer:
        document = json.load(answer)
    assert document["id"] == 7
    return document.get("result", document.get("error"))


def build(url: str, parent: str, timestamp: int = 12, **more: Any) -> str:
    state = dict.fromkeys(("headBlockHash", "safeBlockHash", "finalizedBlockHash"), parent)
    wanted = {
        "timestamp": hex(timestamp),
        "prevRandao": "0x" + "22" * 32,
        "suggestedFeeRecipient": "0x" + "00" * 19 + "01",
        **more,
    }
    result = call(url, "engine_forkchoiceUpdatedV2", state, wanted)
    assert result["payloadStatus"]["status"] == "VALID"
    payload_id: str = result["payloadId"]
    return payload_id


def test_payloads_that_are_built_and_shown_make_a_chain(url: str) -> None:
    parent = "0x" + GENESIS.hex()
    for number in range(1, 4):
        payload_id = build(url, parent, 12 * number, withdrawals=[])
        payload = call(url, "engine_getPayloadV2", payload_id)["executionPayload"]
        assert (payload["parentHash"], int(payload["blockNumber"], 16)) == (parent, number)
        assert payload["withdrawals"] == []
        status = call(url, "engine_newPayloadV2", payload)
        assert (status["status"], status["latestValidHash"]) == ("VALID", payload["blockHash"])
        parent = payload["blockHash"]


def test_before_capella_a_payload_has_no_withdrawals_and_stands_alone(url: str) -> None:
    payload = call(url, "engine_getPayloadV1", build(url, "0x" + GENESIS.hex()))
    assert "withdrawals" not in payload
    assert payload["blockNumber"] == "0x1"


def test_to_choose_a_head_alone_builds_nothing(url: str) -> None:
    state = {"headBlockHash": "0x" + GENESIS.hex()}
    assert call(url, "engine_forkchoiceUpdatedV1", state, None)["payloadId"] is None


def test_only_so_many_payloads_are_kept(url: str) -> None:
    built = [build(url, "0x" + GENESIS.hex(), time) for time in range(MAX_PAYLOADS + 1)]
    assert call(url, "engine_getPayloadV1", built[-1])["timestamp"] == hex(MAX_PAYLOADS)
    assert call(url, "engine_getPayloadV1", built[0])["code"] == -32000


def test_an_unknown_method_is_told_as_one(url: str) -> None:
    assert call(url, "engine_getPayloadV9", "0x00")["code"] == -32601
