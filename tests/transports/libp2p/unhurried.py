"""Deadlines of the network that a busy machine keeps as well: for tests of something else."""

from __future__ import annotations

import sys
from typing import Any

import pytest

_ROOM = "lightclient.transports.libp2p"
_DEADLINES = {
    "acquaintance": ("_IDENTIFY_SECONDS",),
    "connections": ("DIAL_SECONDS", "UPGRADE_SECONDS", "NEGOTIATION_SECONDS"),
    "gossip": ("NEGOTIATION_SECONDS",),
    "requests": ("_SHORT",),
    "serving": ("REQUEST_SECONDS",),
}


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ends may be late on a busy machine; a test of a deadline sets its own."""
    for name, constants in _DEADLINES.items():
        module: Any = sys.modules.get(f"{_ROOM}.{name}")
        for constant in constants if module else ():
            value = 60.0 if constant != "_SHORT" else type(module._SHORT)(60.0, 60.0)
            monkeypatch.setattr(module, constant, value)
