"""Keys of the tests: any small number is a secret."""

from __future__ import annotations

import pytest

pytest.importorskip("coincurve", reason="needs the extra lightclient[libp2p]")
pytest.importorskip("Crypto.Hash.keccak", reason="needs the extra lightclient[libp2p]")
pytest.importorskip("cryptography", reason="needs the extra lightclient[libp2p]")

from lightclient.wire.identity import IdentityKey


def key_of(number: int) -> IdentityKey:
    return IdentityKey(number.to_bytes(32, "big"))
