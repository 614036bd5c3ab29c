"""Listeners: order, bounds, ends; whoever leaves is forgotten."""

from __future__ import annotations

import gc
from typing import Any

import anyio
import pytest

from lightclient.client.subscriptions import MAX_UNREAD_HEADERS, HeaderFeed

pytestmark = pytest.mark.anyio


def header(number: int) -> Any:
    """Nothing here looks into a header."""
    return number


async def take(headers: Any, count: int) -> list[Any]:
    return [await anext(headers) for _ in range(count)]


async def test_an_iterator_hears_all_from_the_moment_it_is_made() -> None:
    feed = HeaderFeed("finalized", None)
    headers: Any = feed.subscribe(header(1))
    feed.push(header(2))  # before anything was read
    feed.push(header(3))
    assert await take(headers, 3) == [1, 2, 3]


async def test_a_slow_listener_keeps_the_newest_headers_in_bounded_memory() -> None:
    feed = HeaderFeed("finalized", None)
    headers: Any = feed.subscribe(None)
    for number in range(3 * MAX_UNREAD_HEADERS):
        feed.push(header(number))
    feed.close()
    read = [item async for item in headers]
    assert read == list(range(2 * MAX_UNREAD_HEADERS, 3 * MAX_UNREAD_HEADERS))


async def test_what_was_pushed_is_read_before_the_end_and_before_the_failure() -> None:
    feed = HeaderFeed("finalized", None)
    headers: Any = feed.subscribe(header(1))
    feed.close(KeyError("gone"))
    assert not feed.has_raised
    assert await anext(headers) == 1
    for _ in range(2):
        with pytest.raises(KeyError):
            await anext(headers)
    assert feed.has_raised


async def test_everybody_who_waits_is_woken() -> None:
    feed = HeaderFeed("finalized", None)
    one, other = feed.subscribe(None), feed.subscribe(None)
    heard: list[Any] = []

    async def listen(headers: Any) -> None:
        async for item in headers:
            heard.append(item)  # noqa: PERF401  # what is heard before the end counts too

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for headers in (one, one, other):  # two tasks share one iterator
                tasks.start_soon(listen, headers)
            await anyio.sleep(0.01)
            feed.push(header(1))
            feed.push(header(2))
            await anyio.sleep(0.01)
            feed.close()
    assert sorted(heard) == [1, 1, 2, 2]


async def test_a_loop_that_is_left_leaves_nothing_behind() -> None:
    feed = HeaderFeed("finalized", None)
    async for _ in feed.subscribe(header(1)):
        break
    gc.collect()
    assert feed._listening() == []
    assert feed._iterators == []


async def test_closing_an_iterator_ends_it_alone() -> None:
    feed = HeaderFeed("finalized", None)
    other: Any = feed.subscribe(None)
    async with feed.subscribe(header(1)) as headers:
        pass
    feed.push(header(2))
    assert [item async for item in headers] == []
    assert await anext(other) == 2


async def test_an_iterator_lets_others_run_even_when_it_never_waits() -> None:
    feed = HeaderFeed("finalized", None)
    headers: Any = feed.subscribe(None)
    for number in range(100):
        feed.push(header(number))
    with anyio.move_on_after(5) as scope:
        scope.cancel()
        async for _ in headers:
            raise AssertionError("a cancelled task went on")
    assert scope.cancelled_caught
    assert await anext(headers) == 0  # nothing was lost with the cancelled call
