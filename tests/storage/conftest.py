"""A directory in which a state was saved."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.storage.directories import opened
from tests.storage.states import newest


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A directory with the newest state."""
    with opened(tmp_path) as directory:
        directory.save(newest())
    return tmp_path
