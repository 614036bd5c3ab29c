"""Programs that tests of several files talk with, started once for each file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.interop.js_libp2p.peers import JsPeers


@pytest.fixture(scope="module")
def js_peers() -> Iterator[JsPeers]:
    """A process of node for peers of js-libp2p; skips where there can be none."""
    pytest.importorskip("libp2p", reason="the extra [libp2p] is not installed")
    from tests.interop.js_libp2p.peers import FOLDER, JsPeers
    from tests.interop.npm import installed

    peers = JsPeers(installed(FOLDER))
    yield peers
    peers.close()
