"""A simulated provider behind HTTP, in process: what it answers as status, headers and bytes.

So the whole REST transport takes part: it asks, bounds, decodes, and makes of a failure what it
makes of a real one. Bodies come in pieces, now and then slowly, and sometimes not to their end.
"""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Sequence
from email.utils import formatdate

import anyio
import httpx

from lightclient.config import Network
from lightclient.config.writing import config_mapping
from lightclient.containers import LightClientObject, encode_ssz, to_json
from lightclient.errors import (
    MalformedAnswer,
    NotServed,
    ProviderUnavailable,
    RateLimited,
    TransportError,
    UnknownBootstrap,
)
from lightclient.transports.rest import RestTransport
from tests.soak.providers import SimulatedProvider
from tests.soak.virtual_time import VirtualTime

_LIGHT_CLIENT = "/eth/v1/beacon/light_client/"
_SSZ = "application/octet-stream"
_PIECES = 4
_JUNK = (b"", b"{", b'{"data": null}', b"\xff" * 100, b"<html>busy</html>", b"[" * 5000)


class Body(httpx.AsyncByteStream):
    """Bytes in a few pieces, after each of which there is a pause; perhaps cut off."""

    def __init__(self, content: bytes, pause: float, *, is_cut_off: bool) -> None:
        self._content = content
        self._pause = pause
        self._is_cut_off = is_cut_off

    async def __aiter__(self) -> AsyncIterator[bytes]:
        length = max(len(self._content) // _PIECES, 1)
        for start in range(0, len(self._content), length):
            if self._is_cut_off and start >= 2 * length:
                raise httpx.ReadError("connection reset")
            yield self._content[start : start + length]
            await anyio.sleep(self._pause)


class Events(httpx.AsyncByteStream):
    """A provider's pushes as server-sent events."""

    def __init__(self, provider: SimulatedProvider, network: Network) -> None:
        self._provider = provider
        self._network = network

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for update in self._provider.stream_updates():
                content = {"version": _version(update, self._network), "data": to_json(update)}
                event = f"event: light_client_{update.kind}\ndata: {json.dumps(content)}\n\n"
                yield event.encode()
        except TransportError:
            raise httpx.ReadError("connection reset") from None


class SimulatedHttp(httpx.AsyncBaseTransport):
    """Answers requests of the Beacon API for one provider.

    Args:
        draw: decides what an answer looks like, where servers differ.
    """

    def __init__(
        self, provider: SimulatedProvider, network: Network, time: VirtualTime, draw: random.Random
    ) -> None:
        self._provider = provider
        self._network = network
        self._time = time
        self._draw = draw

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer, or fail to."""
        path = request.url.path
        try:
            if path == "/eth/v1/events":
                return self._events(request)
            if path.startswith(_LIGHT_CLIENT):
                return await self._light_client(path.removeprefix(_LIGHT_CLIENT), request)
            return self._announcement(path)
        except RateLimited as error:
            return self._refusal(429, {"Retry-After": str(int(error.retry_after))})
        except ProviderUnavailable:
            if self._draw.random() < 0.5:
                return self._refusal(self._draw.choice((500, 502, 503, 504)))
            raise httpx.ConnectError("connection refused") from None
        except (NotServed, UnknownBootstrap):
            return self._refusal(404)
        except MalformedAnswer:
            return self._answer(self._draw.choice(_JUNK), "application/json")

    async def _light_client(self, what: str, request: httpx.Request) -> httpx.Response:
        provider = self._provider
        wants_ssz = _SSZ in request.headers.get("accept", "") and self._draw.random() < 0.7
        if what == "updates":
            query = request.url.params
            answer = await provider.get_light_client_updates_by_range(
                int(query["start_period"]), int(query["count"])
            )
            if wants_ssz:
                chunks = b"".join(_chunk(update, self._network) for update in answer.updates)
                return self._answer(chunks, _SSZ)
            listed = [self._enveloped(update) for update in answer.updates]
            return self._answer(json.dumps(listed).encode(), "application/json")
        value: LightClientObject
        if what == "finality_update":
            value = await provider.get_light_client_finality_update()
        elif what == "optimistic_update":
            value = await provider.get_light_client_optimistic_update()
        else:
            root = bytes.fromhex(what.removeprefix("bootstrap/0x"))
            value = await provider.get_light_client_bootstrap(root)
        version = {"Eth-Consensus-Version": _version(value, self._network)}
        if wants_ssz:
            return self._answer(encode_ssz(value), _SSZ, version)
        content = json.dumps(self._enveloped(value)).encode()
        return self._answer(content, "application/json", version)

    def _enveloped(self, value: LightClientObject) -> dict[str, object]:
        return {"version": _version(value, self._network), "data": to_json(value)}

    def _announcement(self, path: str) -> httpx.Response:
        data: dict[str, object]
        if path == "/eth/v1/config/spec":
            data = {key: str(value) for key, value in config_mapping(self._network).items()}
            data["BLOB_SCHEDULE"] = []
        elif path == "/eth/v1/beacon/genesis":
            data = {
                "genesis_time": str(self._network.genesis_time),
                "genesis_validators_root": "0x" + self._network.genesis_validators_root.hex(),
            }
        else:
            return self._refusal(404)
        return self._answer(json.dumps({"data": data}).encode(), "application/json")

    def _events(self, request: httpx.Request) -> httpx.Response:
        if not self._provider.behaviour.pushes:
            return self._refusal(404)
        headers = {"Content-Type": "text/event-stream"}
        stream = Events(self._provider, self._network)
        return httpx.Response(200, headers=headers, stream=stream, request=request)

    # Answers -----------------------------------------------------------------------------------

    def _answer(
        self, content: bytes, content_type: str, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        behaviour = self._provider.behaviour
        is_cut_off = not behaviour.is_honest and self._draw.random() < behaviour.malformed / 2
        pause = self._draw.choice((0.0, 5.0)) if behaviour.timeout else 0.0
        return httpx.Response(
            200,
            headers={"Content-Type": content_type, **self._date(), **(headers or {})},
            stream=Body(content, pause, is_cut_off=is_cut_off),
        )

    def _refusal(self, status: int, headers: dict[str, str] | None = None) -> httpx.Response:
        content = json.dumps({"code": status, "message": "no"}).encode()
        return httpx.Response(status, headers={**self._date(), **(headers or {})}, content=content)

    def _date(self) -> dict[str, str]:
        return {"Date": formatdate(self._time.true_ms() // 1000, usegmt=True)}


def _version(value: LightClientObject, network: Network) -> str:
    return network.fork_at_slot(value.main_header.beacon.slot).name


def _chunk(update: LightClientObject, network: Network) -> bytes:
    epoch = network.compute_epoch_at_slot(update.main_header.beacon.slot)
    payload = network.compute_fork_digest(epoch) + encode_ssz(update)
    return len(payload).to_bytes(8, "little") + payload


def over_http(
    providers: Sequence[SimulatedProvider], network: Network, time: VirtualTime, draw: random.Random
) -> list[RestTransport]:
    """A REST transport for each provider; made anew for each client, which closes them."""
    return [
        RestTransport(
            f"http://{provider.name}.test",
            http_transport=SimulatedHttp(provider, network, time, draw),
        )
        for provider in providers
    ]
