"""What a client's arguments may be, and what becomes of them."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Final, Required, TypedDict

from lightclient.bls import Backend, choose_backend
from lightclient.config.mapping import parse_root
from lightclient.errors import ConfigError
from lightclient.sync import ForcedUpdatePolicy
from lightclient.transports.base import Transport

if TYPE_CHECKING:
    from lightclient.client.conflicts import ConflictPolicy
    from lightclient.client.subscriptions import HeaderCallback
    from lightclient.config import Network
    from lightclient.storage import StateStorage
    from lightclient.transports.pools import TransportPool


class ClientArguments(TypedDict, total=False):
    """The arguments of :class:`LightClient`, for who passes them on."""

    network: str | PathLike[str] | Network
    trusted_block_root: Required[bytes | str]
    transports: Sequence[Transport | str]
    pools: Sequence[TransportPool]
    on_finalized_header: HeaderCallback | None
    on_optimistic_header: HeaderCallback | None
    bls_backend: str | Backend | None
    forced_update: ForcedUpdatePolicy | str
    audit_committees: bool
    second_process: bool
    dump_dir: str | PathLike[str] | None
    data_dir: str | PathLike[str] | StateStorage | None
    weak_subjectivity_epochs: int | None
    allow_stale_trusted_root: bool
    min_providers: int
    conflict_policy: ConflictPolicy | str
    evidence_dir: str | PathLike[str] | None
    clock: Callable[[], int]
    rng: random.Random | None


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
        ConfigError: there are none, or one is neither a transport nor a URL that can be used.
    """
    if isinstance(transports, str):
        raise ConfigError("transports is a list of transports or URLs, not a single string")
    if not transports:
        raise ConfigError("no transports: give at least one, such as a beacon node's REST URL")
    return [_rest(item) if isinstance(item, str) else _transport(item) for item in transports]


_ASKED: Final = (
    "name",
    "open",
    "aclose",
    "get_light_client_bootstrap",
    "get_light_client_updates_by_range",
    "get_light_client_finality_update",
    "get_light_client_optimistic_update",
    "stream_updates",
)


def _transport(item: Transport) -> Transport:
    missing = [name for name in _ASKED if not hasattr(item, name)]
    if not missing and not isinstance(item, type):
        return item
    why = f", which lacks {', '.join(missing)}" if 0 < len(missing) < len(_ASKED) else ""
    if _is_made(item, "figures"):
        why = ": a pool is given in pools"
    raise ConfigError(f"a transport is a URL or a Transport, not {_kind(item)}{why}")


def pools_of(pools: Sequence[TransportPool]) -> tuple[TransportPool, ...]:
    """Pools, as they are.

    Raises:
        ConfigError: one is none, or they are no sequence.
    """
    if _is_made(pools, "figures"):
        raise ConfigError("pools is a list of pools, not a single one")
    for pool in pools:
        if not _is_made(pool, "figures"):
            raise ConfigError(f"a pool is an object such as Libp2pPool(), not {_kind(pool)}")
    return tuple(pools)


def check_callbacks(**callbacks: object) -> None:
    """Say now, and not at each header, that something cannot be called.

    Raises:
        ConfigError: that is so of one that is not None.
    """
    for name, value in callbacks.items():
        if value is not None and not callable(value):
            raise ConfigError(f"{name} is called with each header: a function, not {_kind(value)}")


def check_numbers(**numbers: object) -> None:
    """Say now what a comparison would stumble over later.

    Raises:
        ConfigError: one that is not None is no whole number.
    """
    for name, value in numbers.items():
        if value is not None and not isinstance(value, int):
            raise ConfigError(f"{name} is a whole number, not {_kind(value)}")


def check_directories(**directories: object) -> None:
    """Take an empty name for what it is: as a path it would mean the current directory.

    Raises:
        ConfigError: one is empty.
    """
    for name, value in directories.items():
        if isinstance(value, str | os.PathLike) and not os.fspath(value):
            raise ConfigError(f"{name} is empty: name a directory, or leave it out")


def _is_made(value: object, method: str) -> bool:
    """Whether ``value`` has the method and is no class, for which parentheses were forgotten."""
    return hasattr(value, method) and not isinstance(value, type)


def _kind(value: object) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__} itself"
    return f"of type {type(value).__name__}"


def _rest(url: str) -> Transport:
    # Imports httpx: only for those who use it.
    from lightclient.transports.rest import RestTransport

    return RestTransport(url)
