"""Every backend that works here, and points that only an attacker would make."""

from __future__ import annotations

from functools import cache

import pytest

from lightclient.bls import BACKEND_NAMES, Backend, backend_by_name, why_unusable
from lightclient.bls.encoding import CURVE_ORDER


@pytest.fixture(params=BACKEND_NAMES)
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each backend in turn; skips, with the reason, what cannot be used here."""
    reason = why_unusable(request.param)
    if reason is not None:
        pytest.skip(reason)
    return backend_by_name(request.param)


class Signer:
    """Keys and signatures of small secrets, computed once per backend."""

    def __init__(self, backend: Backend) -> None:
        self.key = cache(backend.sk_to_pk)
        self.sign = cache(backend.sign)

    def sign_together(self, secrets: list[int], message: bytes) -> bytes:
        return self.sign(sum(secrets) % CURVE_ORDER, message)


@cache
def _signer(name: str) -> Signer:
    return Signer(backend_by_name(name))


@pytest.fixture
def signer(backend: Backend) -> Signer:
    """Signs with the backend under test."""
    return _signer(backend.name)
