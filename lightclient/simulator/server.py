"""The simulated beacon node over real HTTP, on a free port of the loopback interface.

Needs the extra ``[demo]`` (Starlette on Hypercorn); runs on asyncio and trio. Stopping it ends open
event streams at once.
"""

from __future__ import annotations

import json
import math
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
from anyio.streams.memory import MemoryObjectSendStream
from hypercorn.config import Config
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from lightclient.containers.objects import LightClientObject
from lightclient.simulator.beacon_api import BeaconApi, Refusal, json_answer
from lightclient.simulator.blocks import SimulatedBlock
from lightclient.simulator.chain import SimulatedChain
from lightclient.simulator.habits import Answer, Received, ServerHabits

_SHUTDOWN_SECONDS = 0.2
_STREAM_BUFFER = 256
_LIGHT_CLIENT_TOPICS = ("light_client_finality_update", "light_client_optimistic_update")
_V0_SUFFIX = "_v0"


@asynccontextmanager
async def serve(
    chain: SimulatedChain,
    habits: ServerHabits | None = None,
    *,
    live: bool = False,
    port: int = 0,
) -> AsyncIterator[str]:
    """Serve a chain while the block runs; gives the base URL, without a slash at its end.

    Args:
        chain: what is served; blocks added to it by anyone are served and pushed at once.
        live: let the chain grow with the wall clock, by its network's genesis time and slots.
        port: on the loopback interface; 0 takes a free one.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = _Server(chain, ServerHabits() if habits is None else habits)
    stopped, growing = anyio.Event(), anyio.CancelScope()
    failure: Exception | None = None
    chain.listeners.append(server.publish)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_run_hypercorn, server.application(), listener.detach(), stopped)
            if live:
                tasks.start_soon(_grow, chain, growing)
            try:
                yield address
            except Exception as error:  # noqa: BLE001 - raised again below, outside of the group
                failure = error
            finally:
                growing.cancel()
                server.end_streams()
                stopped.set()
                tasks.cancel_scope.deadline = anyio.current_time() + 4 * _SHUTDOWN_SECONDS
    finally:
        chain.listeners.remove(server.publish)
    if failure is not None:
        raise failure


async def _run_hypercorn(
    application: Starlette, file_descriptor: int, stopped: anyio.Event
) -> None:
    config = Config()
    config.bind = [f"fd://{file_descriptor}"]
    config.errorlog = None
    config.accesslog = None
    config.graceful_timeout = _SHUTDOWN_SECONDS
    config.shutdown_timeout = _SHUTDOWN_SECONDS
    run: Callable[..., Awaitable[None]]
    if _is_trio():
        from hypercorn.trio import serve as run
    else:
        from hypercorn.asyncio import serve as run
    await run(application, config, shutdown_trigger=stopped.wait)


def _is_trio() -> bool:
    trio = sys.modules.get("trio")
    return trio is not None and bool(trio.lowlevel.in_trio_run())


async def _grow(chain: SimulatedChain, growing: anyio.CancelScope) -> None:
    network = chain.network
    with growing:
        while True:
            now_ms = math.floor(time.time() * 1000)
            chain.advance_to_time_ms(now_ms)
            next_slot_ms = network.slot_start_ms(network.slot_at_time_ms(now_ms) + 1)
            await anyio.sleep(max(next_slot_ms - time.time() * 1000, 1) / 1000)


class _Server:
    """Routes, event streams and what all requests have in common."""

    def __init__(self, chain: SimulatedChain, habits: ServerHabits) -> None:
        self.chain = chain
        self.habits = habits
        self.api = BeaconApi(chain, habits)
        self._subscribers: dict[MemoryObjectSendStream[bytes], frozenset[str]] = {}

    def application(self) -> Starlette:
        api = self.api
        beacon = "/eth/v1/beacon"
        routes = [
            *self._light_client_routes("v1"),
            *self._light_client_routes("v0"),
            self._route(f"{beacon}/genesis", lambda _: api.genesis()),
            self._route("/eth/v1/config/spec", lambda _: api.spec()),
            self._route("/eth/v1/config/fork_schedule", lambda _: api.fork_schedule()),
            self._route("/eth/v1/node/version", lambda _: api.node_version()),
            self._route("/eth/v1/node/syncing", lambda _: api.syncing()),
            self._route("/eth/v1/node/health", lambda _: Answer(200, {}, b"")),
            self._route(
                f"{beacon}/headers/{{block_id}}", lambda r: api.header(r.path_params["block_id"])
            ),
            self._route(
                f"{beacon}/blocks/{{block_id}}/root",
                lambda r: api.block_root(r.path_params["block_id"]),
            ),
            self._route(
                f"{beacon}/states/{{state_id}}/finality_checkpoints",
                lambda r: api.finality_checkpoints(r.path_params["state_id"]),
            ),
            Route("/eth/v1/events", self._events),
        ]
        return Starlette(routes=routes, exception_handlers={404: _not_found})

    def _light_client_routes(self, version: str) -> list[Route]:
        api, prefix = self.api, f"/eth/{version}/beacon/light_client"

        def only_here(answer: Callable[[Request], Answer]) -> Callable[[Request], Answer]:
            def checked(request: Request) -> Answer:
                if self.habits.api not in {version, "both"}:
                    raise Refusal(404, "Route not found")
                if self.habits.light_client_status is not None:
                    raise Refusal(self.habits.light_client_status, "Light client is not served")
                return answer(request)

            return checked

        def accept(request: Request) -> str | None:
            return request.headers.get("accept")

        return [
            self._route(
                f"{prefix}/bootstrap/{{block_root}}",
                only_here(lambda r: api.bootstrap(r.path_params["block_root"], accept(r))),
            ),
            self._route(
                f"{prefix}/updates",
                only_here(lambda r: api.updates(dict(r.query_params), accept(r))),
            ),
            self._route(
                f"{prefix}/finality_update", only_here(lambda r: api.finality_update(accept(r)))
            ),
            self._route(
                f"{prefix}/optimistic_update",
                only_here(lambda r: api.optimistic_update(accept(r))),
            ),
        ]

    def _route(self, path: str, answer: Callable[[Request], Answer]) -> Route:
        async def endpoint(request: Request) -> Response:
            received = self._receive(request)
            if self.habits.delay_seconds:
                await anyio.sleep(self.habits.delay_seconds)
            try:
                self._limit_rate()
                result = answer(request)
            except Refusal as refusal:
                result = refusal.answer()
                if refusal.status == 429:
                    result.headers["Retry-After"] = str(self.habits.retry_after)
            if self.habits.intercept is not None:
                result = self.habits.intercept(received, result)
            return Response(result.body, result.status, result.headers)

        return Route(path, endpoint)

    def _receive(self, request: Request) -> Received:
        received = Received(request.url.path, request.url.query, dict(request.headers))
        self.habits.received.append(received)
        return received

    def _limit_rate(self) -> None:
        every = self.habits.rate_limit_every
        if every and len(self.habits.received) % every == 0:
            raise Refusal(429, "Too many requests")

    # Events ------------------------------------------------------------------------------------

    async def _events(self, request: Request) -> Response:
        self._receive(request)
        topics = frozenset(
            topic for item in request.query_params.getlist("topics") for topic in item.split(",")
        )
        unknown = topics - self._known_topics()
        if not self.habits.events:
            return _as_response(Refusal(404, "Route not found").answer())
        if unknown or not topics:
            return _as_response(Refusal(400, f"Invalid topics: {sorted(unknown)}").answer())
        send, receive = anyio.create_memory_object_stream[bytes](_STREAM_BUFFER)
        self._subscribers[send] = topics

        async def body() -> AsyncIterator[bytes]:
            try:
                yield b":\n\n"
                async for event in receive:
                    yield event
            finally:
                self._subscribers.pop(send, None)
                send.close()
                receive.close()

        headers = {"Cache-Control": "no-cache", "Content-Type": "text/event-stream"}
        return StreamingResponse(body(), headers=headers)

    def _known_topics(self) -> frozenset[str]:
        names = {"head"}
        if self.habits.light_client_status is None:
            names.update(
                self._topic(name, v0) for name in _LIGHT_CLIENT_TOPICS for v0 in self._v0()
            )
        return frozenset(names)

    def _v0(self) -> list[bool]:
        return {"v1": [False], "v0": [True], "both": [False, True]}[self.habits.api]

    @staticmethod
    def _topic(name: str, v0: bool) -> str:
        return name + _V0_SUFFIX if v0 else name

    def publish(self, block: SimulatedBlock) -> None:
        """Push what a new block brings to all subscribers."""
        if not self._subscribers:
            return
        self._push("head", {"slot": str(block.slot), "block": "0x" + block.root.hex()})
        finality_topic, optimistic_topic = _LIGHT_CLIENT_TOPICS
        if self.chain.is_latest_finality(block):
            self._push_object(finality_topic, self.chain.finality_update())
        if self.chain.is_latest_optimistic(block):
            self._push_object(optimistic_topic, self.chain.optimistic_update())

    def _push_object(self, topic: str, value: LightClientObject | None) -> None:
        if value is not None:
            for v0 in self._v0():
                self._push(self._topic(topic, v0), self.api.json_of(value))

    def _push(self, topic: str, value: object) -> None:
        event = f"event: {topic}\ndata: {json.dumps(value, separators=(',', ':'))}\n\n".encode()
        for stream, topics in list(self._subscribers.items()):
            if topic in topics:
                try:
                    stream.send_nowait(event)
                except (anyio.WouldBlock, anyio.BrokenResourceError, anyio.ClosedResourceError):
                    # Too slow to follow: the stream ends, as a node's does.
                    self._subscribers.pop(stream, None)
                    stream.close()

    def end_streams(self) -> None:
        """End every open event stream."""
        for stream in list(self._subscribers):
            stream.close()
        self._subscribers.clear()


def _as_response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, answer.headers)


async def _not_found(_request: Request, _error: Exception) -> Response:
    return _as_response(json_answer({"code": 404, "message": "Route not found"}, status=404))
