"""The blocking face: results, failures and ends, without a thread left behind."""

from __future__ import annotations

import inspect
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from functools import cache
from typing import Any

import anyio
import pytest

from lightclient.client import BlockingLightClient, LightClient, SyncState
from lightclient.client.arguments import ClientArguments
from lightclient.containers import LightClientBootstrap
from lightclient.errors import NotSyncedError, UnknownBootstrap
from lightclient.sync import VerifiedHeader
from lightclient.testing import MockTransport
from tests.client.world import SLOTS_PER_PERIOD, ChainTransport, TickingWorld, World


@cache
def still_world() -> World:
    return World(2 * SLOTS_PER_PERIOD + 30)


def blocking(*transports: MockTransport, **options: Any) -> BlockingLightClient:
    place = still_world()
    return BlockingLightClient(
        network=place.network,
        trusted_block_root=place.root(),
        transports=transports or [place.provider()],
        **{"clock": place.clock, **options},
    )


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    # An event loop's worker threads end by themselves once it is closed, a moment later.
    deadline = time.monotonic() + 60
    while (left := set(threading.enumerate()) - before) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert left == set()


class Boom(Exception):
    """Nothing the library knows."""


class Faulty(ChainTransport):
    async def get_light_client_bootstrap(self, block_root: bytes) -> LightClientBootstrap:
        raise Boom("a fault in the transport")


class Hanging(ChainTransport):
    async def get_light_client_bootstrap(self, block_root: bytes) -> LightClientBootstrap:
        await anyio.sleep_forever()
        raise AssertionError


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for something that another thread brings about."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.005)


def noted(client: BlockingLightClient, *names: str) -> list[threading.Event]:
    """An event for each of these methods of the client, set when its own thread calls it."""

    def note(name: str) -> threading.Event:
        called, method = threading.Event(), getattr(client.light_client, name)

        def call() -> object:
            called.set()
            return method()

        setattr(client.light_client, name, call)
        return called

    return [note(name) for name in names]


def test_it_syncs_and_reads_like_a_plain_object() -> None:
    client = blocking()
    states = [client.status.state]
    assert client.finalized_header() is None
    with client:
        finalized = client.wait_until_synced(timeout=60)
        states.append(client.status.state)
        assert client.finalized_header() == finalized
        assert states == [SyncState.BOOTSTRAPPING, SyncState.SYNCED]
        assert client.age(finalized) > 0
        assert [provider.name for provider in client.providers] == ["good"]
        assert client.wait_until_synced() == finalized
    assert client.finalized_header() == finalized  # still there when all is over
    assert client.optimistic_header() is not None


def test_callbacks_are_called_in_the_clients_thread() -> None:
    called: list[tuple[str, int]] = []
    with blocking(
        on_finalized_header=lambda header: called.append(
            (threading.current_thread().name, header.slot)
        )
    ) as client:
        slot = client.wait_until_synced(timeout=60).slot
    assert {name for name, _ in called} == {"lightclient"}
    assert called[-1][1] >= slot


def test_waiting_ends_after_the_time_given() -> None:
    started = time.monotonic()
    waiting = blocking(Hanging(still_world(), "hanging"))  # for ever
    with waiting as client, pytest.raises(NotSyncedError, match=r"0\.05 seconds"):
        client.wait_until_synced(timeout=0.05)
    assert time.monotonic() - started < 60


def test_waiting_in_vain_says_what_went_wrong() -> None:
    place = still_world()
    nothing = MockTransport(name="empty")
    with blocking(nothing, clock=place.clock) as client:
        wait_until(lambda: client.providers[0].last_error)
        with pytest.raises(NotSyncedError, match=r"still bootstrapping; the last .* no bootstrap"):
            client.wait_until_synced(timeout=0.3)


def test_a_timeout_of_the_callers_own_code_is_left_as_it_is() -> None:
    with pytest.raises(TimeoutError, match="mine"), blocking():
        raise TimeoutError("mine")


@pytest.mark.parametrize("error", [Boom("mine"), KeyboardInterrupt(), SystemExit(3)])
def test_what_the_body_raises_comes_out_as_it_is(error: BaseException) -> None:
    def body() -> None:
        with blocking():
            raise error

    with pytest.raises(type(error)) as caught:
        body()
    assert caught.value is error


@pytest.mark.parametrize(
    "wait",
    [
        lambda client: client.run(),
        lambda client: client.wait_until_synced(),
        lambda client: list(client.finalized_headers()),
        # Seen at the latest on leaving.
        lambda client: wait_until(lambda: client.light_client._failure),
    ],
)
def test_a_fault_in_the_client_reaches_the_caller_as_it_is(
    wait: Callable[[BlockingLightClient], object],
) -> None:
    def body() -> None:
        with blocking(Faulty(still_world(), "faulty")) as client:
            wait(client)

    with pytest.raises(Boom, match="a fault in the transport"):
        body()


def test_a_root_that_nobody_knows_is_an_error_with_a_reason() -> None:
    place = TickingWorld(SLOTS_PER_PERIOD, slot_duration_ms=30)
    client = BlockingLightClient(
        network=place.network,
        trusted_block_root=bytes(32),
        transports=[place.provider()],
        clock=place.clock,
    )
    with client, pytest.raises(UnknownBootstrap):
        client.wait_until_synced(timeout=60)


def test_iterators_block_until_a_header_comes() -> None:
    with blocking() as client:
        slots = []
        for header in client.finalized_headers():
            slots.append(header.slot)
            if header.slot >= 2 * SLOTS_PER_PERIOD:
                break
        assert slots == sorted(set(slots))


def test_iterators_and_run_end_when_the_client_is_closed_elsewhere() -> None:
    ended = []
    client = blocking()
    client.__enter__()
    client.wait_until_synced(timeout=60)

    def iterate() -> None:
        for _ in client.optimistic_headers():
            pass
        ended.append("iterator")

    def run() -> None:
        client.run()
        ended.append("run")

    begun = noted(client, "optimistic_headers", "run")
    threads = [in_thread(iterate), in_thread(run)]
    assert all(event.wait(60) for event in begun)
    client.close()
    for thread in threads:
        thread.join(60)
    assert sorted(ended) == ["iterator", "run"]


def test_an_iterator_taken_up_again_after_closing_is_at_its_end() -> None:
    with blocking() as client:
        client.wait_until_synced(timeout=60)
        headers = client.finalized_headers()
        assert next(headers) is not None
    assert list(headers) == []


def test_closing_is_no_obstacle_while_another_thread_waits() -> None:
    raised: list[BaseException] = []
    client = blocking(Hanging(still_world(), "hanging"))

    def wait() -> None:
        try:
            client.wait_until_synced()
        except NotSyncedError as error:
            raised.append(error)

    with client:
        [begun] = noted(client, "wait_until_synced")
        thread = in_thread(wait)
        assert begun.wait(60)
    thread.join(60)
    assert len(raised) == 1


def test_a_callback_may_stop_it_and_the_headers_stay() -> None:
    def stop(_: VerifiedHeader) -> None:
        client.stop()

    client = blocking(on_finalized_header=stop)
    with client:
        client.run()
        assert client.finalized_header() is not None


def test_another_thread_may_stop_it() -> None:
    def stop() -> None:
        time.sleep(0.1)
        client.stop()

    with blocking() as client:
        thread = in_thread(stop)
        client.run()
        thread.join(60)


def test_outside_of_its_context_it_says_so() -> None:
    client = blocking()
    for wait in (client.run, client.wait_until_synced, client.finalized_headers, client.stop):
        with pytest.raises(RuntimeError, match="context manager"):
            wait()
    with client, pytest.raises(RuntimeError, match="already running"):
        client.__enter__()
    client.close()  # once more is harmless
    with pytest.raises(RuntimeError, match="make another"):
        client.__enter__()


def test_a_transport_that_cannot_be_opened_leaves_no_thread() -> None:
    class Shut(ChainTransport):
        async def open(self, network: object) -> None:
            raise Boom("cannot be opened")

    client = blocking(Shut(still_world(), "shut"))
    with pytest.raises(Boom):
        client.__enter__()
    with pytest.raises(RuntimeError, match="context manager"):
        client.run()


@pytest.mark.parametrize("error", [RuntimeError("not running"), CancelledError()])
def test_closing_in_the_very_moment_of_a_call_ends_the_iterator(error: Exception) -> None:
    class Portal:
        """Refuses, as a portal that is being stopped does."""

        closes = True

        def call(self, *_: object) -> object:
            if self.closes:
                client._portal = None
            raise error

    client, portal = blocking(), Portal()
    client._portal = portal  # type: ignore[assignment]
    assert list(client._headers(portal, None)) == []  # type: ignore[arg-type]
    portal.closes = False
    client._portal = portal  # type: ignore[assignment]
    with pytest.raises(type(error)):
        list(client._headers(portal, None))  # type: ignore[arg-type]


def test_its_typed_arguments_are_those_of_the_client() -> None:
    typed = {
        name: re.sub(r"^Required\[(.*)\]$", r"\1", str(getattr(kind, "__forward_arg__", kind)))
        for name, kind in ClientArguments.__annotations__.items()
    }
    parameters = inspect.signature(LightClient).parameters
    assert typed == {name: parameter.annotation for name, parameter in parameters.items()}
