"""What only some systems do, for the tests that need it."""

from __future__ import annotations

import sys

import pytest

sorted_by_sender = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux sorts datagrams by sender between sockets"
)
