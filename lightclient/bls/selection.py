"""Which backend to use: a named one, or the fastest that works on this machine.

A native package is imported here and only here, on first use, after the processor was asked and
with its warnings silenced; then it must pass a self-test before anybody gets it.
"""

from __future__ import annotations

import importlib
import os
import threading
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple

from lightclient.bls.arkworks import ArkworksBackend
from lightclient.bls.backend import Backend
from lightclient.bls.blst import BlstBackend
from lightclient.bls.cpu import blst_obstacle
from lightclient.bls.milagro import MilagroBackend
from lightclient.errors import BlsError

BACKEND_VARIABLE = "LIGHTCLIENT_BLS_BACKEND"


class _Choice(NamedTuple):
    package: str
    module: str
    build: Callable[[ModuleType], Backend]
    obstacle: Callable[[], str | None]
    remedy: str


def _nothing() -> None:
    return None


def _arkworks_if_usable() -> ArkworksBackend | None:
    try:
        backend = backend_by_name("arkworks")
    except BlsError:
        return None
    return backend if isinstance(backend, ArkworksBackend) else None


def _blst_with_help(native: ModuleType) -> BlstBackend:
    return BlstBackend(native, _arkworks_if_usable)


# Fastest first: the order of the automatic choice.
_CHOICES = {
    "blst": _Choice(
        "pyblst",
        "pyblst",
        _blst_with_help,
        blst_obstacle,
        'pip install "lightclient[fast]" (there are no wheels for musl Linux such as Alpine, and '
        "for Python 3.14 only on x86-64 Linux; there use arkworks)",
    ),
    "arkworks": _Choice(
        "py-arkworks-bls12381",
        "py_arkworks_bls12381",
        ArkworksBackend,
        _nothing,
        'pip install "lightclient[fast]", or py-arkworks-bls12381 alone',
    ),
    "milagro": _Choice(
        "milagro-bls-binding",
        "milagro_bls_binding",
        MilagroBackend,
        _nothing,
        "pip install milagro-bls-binding; on musl Linux such as Alpine, where it has no wheels, "
        "pip install py-arkworks-bls12381 and use arkworks",
    ),
}
BACKEND_NAMES: tuple[str, ...] = tuple(_CHOICES)

_ready: dict[str, Backend] = {}
_lock = threading.RLock()


def choose_backend(name: str | None = None) -> Backend:
    """The backend called ``name``, else by ``LIGHTCLIENT_BLS_BACKEND``, else the fastest usable.

    The automatic choice passes over what is unusable here; a name is meant as given.

    Raises:
        BlsError: the name is unknown, or what it names (or everything) is unusable here.
    """
    if name is not None:
        return backend_by_name(name)
    from_environment = os.environ.get(BACKEND_VARIABLE, "").strip()
    if from_environment:
        try:
            return backend_by_name(from_environment)
        except BlsError as error:
            raise BlsError(f"{BACKEND_VARIABLE}: {error}") from error
    obstacles = []
    for candidate in BACKEND_NAMES:
        try:
            return backend_by_name(candidate)
        except BlsError as error:
            obstacles.append(str(error))
    raise BlsError("no signature backend is usable here: " + "; ".join(obstacles))


def available_backends() -> list[Backend]:
    """The backends usable on this machine, fastest first."""
    return [backend_by_name(name) for name in BACKEND_NAMES if why_unusable(name) is None]


def why_unusable(name: str) -> str | None:
    """Why a backend cannot be used here and what to do about it; None where it can."""
    try:
        backend_by_name(name)
    except BlsError as error:
        return str(error)
    return None


def backend_by_name(name: str) -> Backend:
    """The backend called ``name``: the same object every time, imported and tested once.

    Raises:
        BlsError: unknown, not installed, not fit for this processor, or it failed its self-test.
    """
    choice = _CHOICES.get(name)
    if choice is None:
        raise BlsError(f"unknown BLS backend {name!r}; there are {', '.join(BACKEND_NAMES)}")
    with _lock:
        if name not in _ready:
            _ready[name] = _load(name, choice)
        return _ready[name]


def _load(name: str, choice: _Choice) -> Backend:
    obstacle = choice.obstacle()
    if obstacle is not None:
        raise BlsError(f"the BLS backend {name} cannot be used: {obstacle}; choose another one")
    try:
        with warnings.catch_warnings():
            # milagro announces its deprecation on import: ours to know, not the user's.
            warnings.simplefilter("ignore")
            native = importlib.import_module(choice.module)
    except ModuleNotFoundError as error:
        raise BlsError(
            f"the BLS backend {name} needs the package {choice.package}: {choice.remedy}"
        ) from error
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic in a native module is not an Exception
        raise BlsError(f"the BLS backend {name} cannot be imported: {error}") from error
    backend = _tested(name, choice, native)
    if backend is None:
        raise BlsError(
            f"the BLS backend {name} fails its self-test; reinstall {choice.package} "
            "or choose another one"
        )
    return backend


def _tested(name: str, choice: _Choice, native: ModuleType) -> Backend | None:
    try:
        backend = choice.build(native)
        return backend if _passes_self_test(backend) else None
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        raise BlsError(f"the BLS backend {name} does not work: {error}") from error


_KNOWN_PUBKEY = bytes.fromhex(
    "9305878618d814a04849c923f115d77e0afe6868fd0f5f2c623a39f7db09c8fb"
    "5fcde6697912f0541f5f4f7a6a8294a7"
)
_KNOWN_MESSAGE = b"lightclient BLS backend self-test"
_KNOWN_SIGNATURE = bytes.fromhex(
    "a024f0d5b04fe32ee98dd95e3ea4240380ddfe5140a6b51d23594efa682bd0e8"
    "75166b1028cba37642c08f7ab50afa9003f0127eb61ac7704f2c2f08b2ba46ea"
    "a17e50e14ca321d0418e60821d1c5c944480cf39862d82aa35a3b52beb4e4de6"
)


def _passes_self_test(backend: Backend) -> bool:
    """One signature known to be good, and the same one under another message."""
    return (
        backend.verify(_KNOWN_PUBKEY, _KNOWN_MESSAGE, _KNOWN_SIGNATURE)
        and not backend.verify(_KNOWN_PUBKEY, _KNOWN_MESSAGE + b"?", _KNOWN_SIGNATURE)
        and backend.aggregate_pubkeys([_KNOWN_PUBKEY]) == _KNOWN_PUBKEY
    )
