"""These play the client as a whole; that it runs on trio as well is tested room by room."""

from __future__ import annotations

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """asyncio alone."""
    return "asyncio"
