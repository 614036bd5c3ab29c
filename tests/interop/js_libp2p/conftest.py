"""Peers of js-libp2p, started once for a file, and the simulated chain that they talk about."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.client.world import World
from tests.interop.npm import HERE, installed

if TYPE_CHECKING:
    from tests.interop.js_libp2p.peers import JsPeers


@pytest.fixture
def anyio_backend() -> str:
    return "trio"


@pytest.fixture(scope="module")
def world() -> World:
    """A chain at slot 300, whose clock stands still."""
    return World(300)


@pytest.fixture(scope="module")
def js_peers() -> Iterator[JsPeers]:
    """A process of node for peers of js-libp2p; skips where there can be none."""
    program = installed(HERE / "js_libp2p")
    from tests.interop.js_libp2p.peers import JsPeers

    peers = JsPeers(program)
    yield peers
    peers.close()
