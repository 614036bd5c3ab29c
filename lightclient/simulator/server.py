"""The simulated beacon node over real HTTP, on a free port of the loopback interface.

Runs on asyncio and trio. Stopping it ends open event streams at once. What goes wrong on purpose is
in ``ServerHabits.faults`` and may change while it runs.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate

import anyio

from lightclient.simulator.beacon_api import refusal_answer
from lightclient.simulator.chain import SimulatedChain
from lightclient.simulator.event_streams import EventStreams
from lightclient.simulator.exchange import EVENTS_PATH, Answer, Received, Refusal
from lightclient.simulator.faults import Episode
from lightclient.simulator.habits import ServerHabits
from lightclient.simulator.http_wire import Response, listen, run_server
from lightclient.simulator.routes import answer_to, asked_by
from lightclient.transports.task_groups import bare_task_group


def wall_clock_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def serve(
    chain: SimulatedChain,
    habits: ServerHabits | None = None,
    *,
    live: bool = False,
    port: int = 0,
    clock: Callable[[], int] = wall_clock_ms,
) -> AsyncIterator[str]:
    """Serve a chain while the block runs; gives the base URL, without a slash at its end.

    Args:
        chain: what is served; blocks added to it by anyone are served and pushed at once.
        live: let the chain grow with the clock, by its network's genesis time and slots.
        port: on the loopback interface; 0 takes a free one.
        clock: Unix milliseconds.
    """
    listener = listen(port)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = SimulatedNode(chain, ServerHabits() if habits is None else habits, clock)
    try:
        async with bare_task_group() as tasks:
            tasks.start_soon(run_server, listener, server.respond, server.is_down)
            if live:
                tasks.start_soon(grow, chain, clock)
            yield address
    finally:
        server.streams.close()


async def grow(chain: SimulatedChain, clock: Callable[[], int] = wall_clock_ms) -> None:
    """Let a chain grow with the clock (Unix milliseconds) until cancelled."""
    network = chain.network
    while True:
        now_ms = clock()
        chain.advance_to_time_ms(now_ms)
        next_slot_ms = network.slot_start_ms(network.slot_at_time_ms(now_ms) + 1)
        await anyio.sleep(max(next_slot_ms - clock(), 1) / 1000)


class SimulatedNode:
    """A beacon node that answers requests, whatever way they come.

    Args:
        clock: of the node, Unix milliseconds; it shows in the Date header.
    """

    def __init__(
        self,
        chain: SimulatedChain,
        habits: ServerHabits,
        clock: Callable[[], int] = wall_clock_ms,
    ) -> None:
        self.chain = chain
        self.habits = habits
        self.streams = EventStreams(chain, habits)
        self._clock = clock

    def is_down(self) -> bool:
        """Whether connections are refused now."""
        return self.habits.faults.is_down(self.chain)

    async def respond(self, request: Received) -> Response:
        """Answer a request. Raises ConnectionLost where there is no answer."""
        self.habits.received.append(request)
        episode = self.habits.faults.begin(asked_by(request, self.habits), self.chain)
        if self.habits.delay_seconds:
            await anyio.sleep(self.habits.delay_seconds)
        try:
            self._limit_rate()
            await episode.before()
            if request.path == EVENTS_PATH:
                return self._event_stream(request, episode)
            answer = answer_to(request, episode, self.habits)
        except Refusal as refusal:
            answer = refusal_answer(refusal)
        if self.habits.intercept is not None:
            answer = self.habits.intercept(request, answer)
        answer.headers["Date"] = self._date()
        answer = episode.answer(answer)
        return Response(answer.status, _framed(answer), episode.body(_whole(answer.body)))

    def _date(self) -> str:
        return formatdate(self._clock() / 1000, usegmt=True)

    def _limit_rate(self) -> None:
        every = self.habits.rate_limit_every
        if every and len(self.habits.received) % every == 0:
            headers = {"Retry-After": str(self.habits.retry_after)}
            raise Refusal(429, "Too many requests", headers)

    def _event_stream(self, request: Received, episode: Episode) -> Response:
        events = self.streams.subscribe(request)
        headers = {
            "Cache-Control": "no-cache",
            "Content-Type": "text/event-stream",
            "Transfer-Encoding": "chunked",
            "Date": self._date(),
        }
        answer = episode.answer(Answer(200, headers, b""))
        return Response(answer.status, answer.headers, episode.body(events))


async def _whole(content: bytes) -> AsyncIterator[bytes]:
    if content:
        yield content


def _framed(answer: Answer) -> dict[str, str]:
    """The headers, with a length if they have none: that of the body before any fault."""
    names = {name.lower() for name in answer.headers}
    if names & {"content-length", "transfer-encoding", "connection"}:
        return answer.headers
    return answer.headers | {"Content-Length": str(len(answer.body))}
