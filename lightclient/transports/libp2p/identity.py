"""Our identity on the network: a secp256k1 key, kept in the data directory or made for one run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex
from typing import Final

from lightclient.errors import DataDirError
from lightclient.transports.libp2p.kept_file import read_regular_file
from lightclient.wire.identity import SECRET_SIZE, IdentityKey

KEY_FILE: Final = "network.key"
_OPEN_FLAGS: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_MAX_FILE: Final = 256
_GROUP_ORDER: Final = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
"""Of secp256k1: a key is a number below it."""


def new_identity(random_bytes: Callable[[int], bytes] = os.urandom) -> IdentityKey:
    """A fresh key."""
    while True:
        secret = random_bytes(SECRET_SIZE)
        if 0 < int.from_bytes(secret, "big") < _GROUP_ORDER:
            return IdentityKey(secret)


def load_identity(
    directory: Path, random_bytes: Callable[[int], bytes] = os.urandom
) -> IdentityKey:
    """The key kept in ``directory``; made and kept on the first call.

    Raises:
        DataDirError: it cannot be read or written, or is damaged.
    """
    path = directory / KEY_FILE
    try:
        try:
            return _read(path)
        except FileNotFoundError:
            _make(path, random_bytes)
        # What is there now: another program may have made one at the same moment.
        return _read(path)
    except OSError as error:
        raise DataDirError(f"identity key {path}: {error.strerror or error}") from None


def _read(path: Path) -> IdentityKey:
    text = read_regular_file(path, _MAX_FILE)
    try:
        return IdentityKey(bytes.fromhex(text.decode("ascii").strip()))
    except ValueError:
        raise DataDirError(
            f"identity key {path} is damaged: delete it to have a new one made"
        ) from None


def _make(path: Path, random_bytes: Callable[[int], bytes]) -> None:
    key = new_identity(random_bytes)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Written beside and put there whole: a crash leaves no half a key. Nobody else may read it.
    beside = path.with_suffix(f".{token_hex(4)}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OPEN_FLAGS, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(key.secret.hex().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        _put(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _put(beside: Path, path: Path) -> None:
    """Move a file to ``path``, unless there is one, as far as the file system can tell."""
    try:
        os.link(beside, path)
    except FileExistsError:
        return
    except OSError:
        beside.replace(path)
