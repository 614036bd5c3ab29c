"""All of this runs on trio, on sockets of this machine."""

from __future__ import annotations

import pytest

from tests.client.world import World
from tests.transports.libp2p.unhurried import unhurried  # noqa: F401 - a fixture


@pytest.fixture
def anyio_backend() -> str:
    return "trio"


@pytest.fixture(scope="module")
def world() -> World:
    """A chain at slot 300, whose clock stands still."""
    return World(300)


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take longer to say goodbye than a node would wait for it."""
    monkeypatch.setattr("lightclient.transports.libp2p.acquaintance.GOODBYE_SECONDS", 4.0)
