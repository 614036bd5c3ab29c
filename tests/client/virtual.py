"""Virtual time: a trio clock that jumps to the next deadline, and threads that take none of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread
import pytest
import trio
import trio.testing


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Trio, whose clock jumps as soon as everybody waits."""
    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}


@pytest.fixture(autouse=True)
def threads_inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread would look like waiting: the clock would jump while it works."""

    async def run_sync(function: Callable[..., Any], *arguments: Any, **_: Any) -> Any:
        await anyio.lowlevel.checkpoint()
        return function(*arguments)

    monkeypatch.setattr(anyio.to_thread, "run_sync", run_sync)
