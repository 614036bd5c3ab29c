"""A client's state in a data directory: one file, and what to do when it is not what it should be.

A damaged file is set aside under another name and the client starts from its trusted root; a state
of another network, or of a newer version, is refused and left as it is; one that descends from
another trusted root is kept until the new one has something to be saved, and then set aside.
"""

from __future__ import annotations

import logging
import os
import re
import stat
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol, Self

from lightclient.config.network import Network
from lightclient.errors import DataDirError, DecodeError
from lightclient.protocol import SignatureVerifier
from lightclient.storage.data_directory import DataDirectory
from lightclient.storage.sealed_file import DamagedFile, FullDisk, NewerSchema, SealedFile
from lightclient.storage.state import (
    SCHEMA_VERSION,
    NetworkIdentity,
    StoredState,
    Summary,
    decode_state,
    decode_summary,
    encode_state,
)
from lightclient.sync import why_not_proven

_logger = logging.getLogger("lightclient")

STATE_FILE: Final = "lightclient.sqlite"
MAX_SET_ASIDE: Final = 3
"""So many files that could not be used are kept, the newest ones."""
_SET_ASIDE_NAME: Final = re.compile(
    re.escape(STATE_FILE) + r"\.(?:damaged|other-root)-([0-9]{8}T[0-9]{6}Z)(?:-([0-9]{1,3}))?",
    re.ASCII,
)


class StateStorage(Protocol):
    """Where a client's state is kept; calls come one at a time, from any thread."""

    def load(
        self, network: Network, trusted_block_root: bytes, signatures: SignatureVerifier
    ) -> StoredState | None:
        """The state that was saved last, proven anew; None if there is none to go on from.

        Raises:
            DataDirError: there is one that must not be replaced, or the disk is at fault.
        """

    def save(self, state: StoredState) -> None:
        """Replace what was saved, all or none of it.

        Raises:
            DataDirError: not now; what was saved before is still there.
        """

    def size_bytes(self) -> int:
        """How much room it takes; 0 if nothing is kept."""


class StateDirectory(DataDirectory):
    """:class:`StateStorage` in a data directory, which is locked while the context lasts.

    Args:
        path: made when missing.
        clock: Unix milliseconds, for the names of files that are set aside.
    """

    def __init__(self, path: str | os.PathLike[str], clock: Callable[[], int]) -> None:
        super().__init__(path)
        self._clock = clock
        self._file = SealedFile(self.path / STATE_FILE, SCHEMA_VERSION)
        self._is_anothers = False

    def __enter__(self) -> Self:
        super().__enter__()
        _warn_if_shared(self.path)
        return self

    def release(self) -> None:
        self._file.close()
        super().release()

    def size_bytes(self) -> int:
        return self._file.file_bytes()

    def load(
        self, network: Network, trusted_block_root: bytes, signatures: SignatureVerifier
    ) -> StoredState | None:
        try:
            parts = self._file.read()
            if parts is None:
                return None
            summary = decode_summary(parts)
            self._refuse_another_network(summary, network)
            with suppress(FullDisk):  # it is read all the same, and the first save will tell
                self._file.check_writing()
            if summary.trusted_block_root != trusted_block_root:
                self._is_anothers = True
                _log_another_root(summary, trusted_block_root)
                return None
            state = decode_state(parts, summary, network)
            reason = why_not_proven(
                state.store, state.proofs, trusted_block_root, network, signatures
            )
            if reason is not None:
                raise DamagedFile(reason)
        except NewerSchema as error:
            raise self._newer(error) from None
        except (DamagedFile, DecodeError) as error:
            self._set_aside("damaged", str(error))
            return None
        return state

    def save(self, state: StoredState) -> None:
        parts = encode_state(state)
        if self._is_anothers:
            self._set_aside("other-root", "another trusted block root was given")
            self._is_anothers = False
        try:
            self._file.write(parts)
        except NewerSchema as error:
            raise self._newer(error) from None
        except DamagedFile as error:
            # Damaged since it was read. What is in memory is whole: it goes into a new file.
            self._set_aside("damaged", str(error))
            try:
                self._file.write(parts)
            except (DamagedFile, NewerSchema) as again:
                raise DataDirError(f"{self._file.path}: {again}") from None

    def _newer(self, error: NewerSchema) -> DataDirError:
        return DataDirError(
            f"{self._file.path} was written by a newer version of this program (schema"
            f" {error.version}, this one knows {SCHEMA_VERSION}): use that version, or choose"
            " another directory with --data-dir"
        )

    def _refuse_another_network(self, summary: Summary, network: Network) -> None:
        epoch = network.compute_epoch_at_slot(summary.newest_slot)
        expected, found = NetworkIdentity.of(network, epoch), summary.network
        if found.is_that_of(expected):
            return
        if found.genesis_validators_root != expected.genesis_validators_root:
            difference = (
                f"(genesis validators root 0x{found.genesis_validators_root.hex()}), not of"
                f" {expected.name} (0x{expected.genesis_validators_root.hex()})"
            )
        else:
            difference = (
                f"with another genesis time, preset or fork schedule than that of {expected.name}"
                " now"
            )
        raise DataDirError(
            f"{self._file.path} holds the state of network {found.name} {difference}: choose"
            " another directory with --data-dir, or remove that file"
        )

    # Setting aside ------------------------------------------------------------------------------

    def _set_aside(self, why: str, reason: str) -> None:
        """Give the file another name, so that the next save makes a new one."""
        self._file.close()
        try:
            target = self._free_name(why)
            # The journal first: alone, it undoes nothing.
            with suppress(FileNotFoundError):
                self._file.journal_path.rename(target.with_name(target.name + "-journal"))
            with suppress(FileNotFoundError):
                self._file.path.rename(target)
            self._forget_oldest(target)
        except OSError as error:
            raise DataDirError(
                f"{self._file.path} cannot be used ({reason}) nor set aside: {error.strerror};"
                " move it out of the way"
            ) from None
        if why == "damaged":
            _logger.warning(
                "Stored state cannot be used: starting from the trusted block root",
                extra={"lc": {"reason": reason, "set_aside_as": target.name}},
            )
        else:
            _logger.info("Stored state set aside", extra={"lc": {"set_aside_as": target.name}})

    def _free_name(self, why: str) -> Path:
        time = datetime.fromtimestamp(self._clock() / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
        stem = f"{STATE_FILE}.{why}-{time}"
        return next(
            path
            for number in range(1000)
            if not (path := self.path / (f"{stem}-{number}" if number else stem)).exists()
        )

    def _forget_oldest(self, newest: Path) -> None:
        found = [
            (match[1], int(match[2] or 0), path)
            for path in self.path.glob(f"{STATE_FILE}.*")
            if path != newest and (match := _SET_ASIDE_NAME.fullmatch(path.name))
        ]
        for _, _, path in sorted(found)[: -(MAX_SET_ASIDE - 1)]:
            path.unlink()
            path.with_name(path.name + "-journal").unlink(missing_ok=True)


def _log_another_root(summary: Summary, trusted_block_root: bytes) -> None:
    _logger.warning(
        "Stored state descends from another trusted block root: starting from the one given",
        extra={
            "lc": {
                "given": trusted_block_root,
                "stored": summary.trusted_block_root,
                "stored_finalized_slot": summary.finalized_slot,
            }
        },
    )


def _warn_if_shared(path: Path) -> None:
    """Whoever can write the directory can change what the client believes."""
    if os.name != "posix":
        return
    try:
        found = path.stat()
    except OSError:
        return
    if found.st_uid not in {os.geteuid(), 0}:
        problem = f"it belongs to another user (uid {found.st_uid})"
    elif found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        problem = f"other users may write to it (mode {stat.S_IMODE(found.st_mode):03o})"
    else:
        return
    _logger.warning(
        "Others can change what is stored, and with it what this client believes",
        extra={"lc": {"directory": str(path), "reason": problem}},
    )
