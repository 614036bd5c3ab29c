"""Programs that the tests talk with: installed before the first test, started once for a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.interop.npm import HERE, installed, why_not_installed

if TYPE_CHECKING:
    from tests.interop.js_libp2p.peers import JsPeers


def pytest_collection_finish(session: pytest.Session) -> None:
    """Install what the tests to come need, outside of their time limits.

    Those of a folder are in files ``test_FOLDER*.py``.
    """
    names = {item.path.stem for item in session.items if item.path.parent == HERE}
    for package in sorted(HERE.glob("*/package.json")):
        if any(name.startswith(f"test_{package.parent.name}") for name in names):
            why_not_installed(package.parent)


@pytest.fixture(scope="module")
def js_peers() -> Iterator[JsPeers]:
    """A process of node for peers of js-libp2p; skips where there can be none."""
    folder = HERE / "js_libp2p"
    program = installed(folder)
    from tests.interop.js_libp2p.peers import JsPeers

    peers = JsPeers(program)
    yield peers
    peers.close()
