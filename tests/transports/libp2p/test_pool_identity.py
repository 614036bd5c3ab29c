"""Who a pool of peers is on the network: whom it is told to be, who it was, or somebody new."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("coincurve", reason="the extra [libp2p] is not installed")

from lightclient.errors import DataDirError
from lightclient.transports.libp2p.identity import KEY_FILE
from lightclient.transports.libp2p.options import Libp2pOptions
from lightclient.transports.libp2p.pool import _identified


def test_a_named_identity_stands_and_nothing_is_kept_of_it(tmp_path: Path) -> None:
    options = Libp2pOptions(secret=b"\x01" * 32, directory=tmp_path)
    assert _identified(options) is options
    assert list(tmp_path.iterdir()) == []


def test_without_one_it_is_somebody_new_at_each_start() -> None:
    first, second = (_identified(Libp2pOptions()).secret for _ in range(2))
    assert first is not None
    assert len(first) == 32
    assert first != second


def test_in_a_directory_it_is_the_same_at_each_start(tmp_path: Path) -> None:
    options = Libp2pOptions(directory=tmp_path / "kept")
    assert _identified(options) == _identified(options)
    assert _identified(options).secret is not None


def test_a_damaged_key_is_told(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_text("?")
    with pytest.raises(DataDirError, match="delete it"):
        _identified(Libp2pOptions(directory=tmp_path))
