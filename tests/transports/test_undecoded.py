"""Bytes that are no object travel with the error about them, unless they repeat a secret."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from lightclient.config import Network
from lightclient.containers import ObjectKind, Undecoded
from lightclient.errors import MalformedAnswer
from tests.transports.conftest import collected, provider
from tests.transports.objects import chunk, enveloped, make_object, make_update

pytestmark = pytest.mark.anyio
OCTETS = {"content-type": "application/octet-stream", "eth-consensus-version": "deneb"}
JSON = {"content-type": "application/json"}


def _answers(headers: dict[str, str], body: bytes) -> Any:
    return lambda _: httpx.Response(200, headers=headers, content=body)


async def _finality_update(network: Network, headers: dict[str, str], body: bytes) -> object:
    transport = provider(_answers(headers, body))
    await transport.open(network)
    with pytest.raises(MalformedAnswer) as raised:
        await transport.get_light_client_finality_update()
    await transport.aclose()
    return raised.value.undecoded


async def test_the_body_of_an_answer_is_kept_with_its_labels(minimal_network: Network) -> None:
    assert await _finality_update(minimal_network, OCTETS, b"junk") == Undecoded(
        ObjectKind.FINALITY_UPDATE, b"junk", "application/octet-stream", "deneb"
    )
    assert await _finality_update(minimal_network, JSON, b'{"data": 5}') == Undecoded(
        ObjectKind.FINALITY_UPDATE, b'{"data": 5}', "application/json"
    )


async def test_a_body_that_repeats_a_secret_is_not_kept(minimal_network: Network) -> None:
    async def refused(body: bytes) -> object:
        transport = provider(_answers(JSON, body), url="https://node.example/?key=s3cr3t-key")
        await transport.open(minimal_network)
        with pytest.raises(MalformedAnswer) as raised:
            await transport.get_light_client_optimistic_update()
        await transport.aclose()
        return raised.value.undecoded

    assert await refused(b'{"asked": "/eth?key=S3CR3T-key"}') is None
    assert await refused(b'{"asked": "/eth"}') is not None


async def _range(network: Network, headers: dict[str, str], body: bytes) -> tuple[int, object]:
    transport = provider(_answers(headers, body))
    await transport.open(network)
    found = await transport.get_light_client_updates_by_range(0, 3)
    await transport.aclose()
    assert isinstance(found.error, MalformedAnswer)
    return len(found.updates), found.error.undecoded


async def test_of_a_range_only_the_update_that_cannot_be_read_is_kept(
    minimal_network: Network,
) -> None:
    good = make_update(minimal_network, 0)
    bad = make_object(ObjectKind.OPTIMISTIC_UPDATE, minimal_network, 65)
    kept = await _range(minimal_network, OCTETS, chunk(good) + chunk(bad, b"\1\2\3\4"))
    expected = chunk(bad)[12:]
    labels = ("application/octet-stream", "deneb", b"\1\2\3\4")
    assert kept == (1, Undecoded(ObjectKind.UPDATE, expected, *labels))
    text = json.dumps([enveloped(good), {"data": {"x": 1}}]).encode()
    kept = await _range(minimal_network, JSON, text)
    assert kept == (1, Undecoded(ObjectKind.UPDATE, b'{"data": {"x": 1}}', "application/json"))


async def test_of_an_event_stream_the_event_that_cannot_be_read_is_kept(
    minimal_network: Network,
) -> None:
    good = json.dumps(enveloped(make_object(ObjectKind.OPTIMISTIC_UPDATE, minimal_network, 9)))
    body = (
        f"event: light_client_optimistic_update\ndata: {good}\n\n"
        "event: light_client_finality_update\ndata: []\n\n"
    )
    transport = provider(_answers({"content-type": "text/event-stream"}, body.encode()))
    await transport.open(minimal_network)
    [good_one], error = await collected(transport)
    await transport.aclose()
    assert good_one.kind is ObjectKind.OPTIMISTIC_UPDATE
    kept = Undecoded(ObjectKind.FINALITY_UPDATE, b"[]", "text/event-stream")
    assert isinstance(error, MalformedAnswer)
    assert error.undecoded == kept


async def test_a_line_beyond_its_bound_is_not_taken_for_the_event_before_it(
    minimal_network: Network,
) -> None:
    good = json.dumps(enveloped(make_object(ObjectKind.OPTIMISTIC_UPDATE, minimal_network, 9)))
    body = f"event: light_client_optimistic_update\ndata: {good}\n\ndata: {'x' * (1 << 20)}"
    transport = provider(_answers({"content-type": "text/event-stream"}, body.encode()))
    await transport.open(minimal_network)
    [_], error = await collected(transport)
    await transport.aclose()
    assert isinstance(error, MalformedAnswer)
    assert error.undecoded is None
