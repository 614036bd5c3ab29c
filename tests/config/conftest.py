"""A network directory for the tests of configurations."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.devnet import CONFIG, GENESIS


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A devnet's directory with the habits of real files."""
    path = tmp_path / "mynet"
    path.mkdir()
    (path / "config.yaml").write_text(CONFIG)
    (path / "genesis.ssz").write_bytes(GENESIS + b"\0" * 1000)
    return path
