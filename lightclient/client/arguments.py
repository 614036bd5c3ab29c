"""What a client's arguments may be, and what becomes of them."""

from __future__ import annotations

import time
from collections.abc import Sequence

from lightclient.bls import Backend, choose_backend
from lightclient.config.mapping import parse_root
from lightclient.errors import ConfigError
from lightclient.sync import ForcedUpdatePolicy
from lightclient.transports.base import Transport


def wall_clock_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


def parse_trusted_block_root(value: bytes | str) -> bytes:
    """32 bytes from bytes or hex.

    Raises:
        ConfigError: anything else.
    """
    return parse_root(value, source="trusted_block_root")


def backend_of(value: str | Backend | None) -> Backend:
    """A signature backend by name, the fastest usable one for None.

    Raises:
        BlsError: it cannot be used here.
    """
    return choose_backend(value) if value is None or isinstance(value, str) else value


def policy_of(value: ForcedUpdatePolicy | str) -> ForcedUpdatePolicy:
    """A policy by name.

    Raises:
        ConfigError: there is none of that name.
    """
    try:
        return ForcedUpdatePolicy(value)
    except ValueError:
        known = ", ".join(ForcedUpdatePolicy)
        raise ConfigError(f"unknown forced update policy {value!r}; one of: {known}") from None


def transports_of(transports: Sequence[Transport | str]) -> list[Transport]:
    """Transports, of which a string is the URL of a REST API.

    Raises:
        ConfigError: there are none, or one is no URL that can be used.
    """
    if isinstance(transports, str):
        raise ConfigError("transports is a list of transports or URLs, not a single string")
    if not transports:
        raise ConfigError("no transports: give at least one, such as a beacon node's REST URL")
    return [_rest(item) if isinstance(item, str) else item for item in transports]


def _rest(url: str) -> Transport:
    # Imports httpx: only for those who use it.
    from lightclient.transports.rest import RestTransport

    return RestTransport(url)
