"""What follows when two signed headers contradict each other: it is told, kept, perhaps the end."""

from __future__ import annotations

import logging
from collections import deque
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Final

import anyio.to_thread

from lightclient.client.conflicts import Conflict, ConflictPolicy
from lightclient.errors import ConfigError, ConflictingHeaders
from lightclient.sync import Processor

_logger = logging.getLogger("lightclient")

MAX_CONFLICTS: Final = 16


def evidence_directory(evidence_dir: str | PathLike[str] | None, data_dir: object) -> Path | None:
    """Where to keep evidence: as named, or beside what else is kept; None if nothing is."""
    if evidence_dir is not None:
        return Path(evidence_dir)
    return Path(data_dir) / "evidence" if isinstance(data_dir, str | PathLike) else None


def _policy(value: ConflictPolicy | str) -> ConflictPolicy:
    try:
        return ConflictPolicy(value)
    except ValueError:
        known = ", ".join(ConflictPolicy)
        raise ConfigError(f"unknown conflict policy {value!r}; one of: {known}") from None


class ConflictReporter:
    """Keeps and tells of conflicts, and does what the policy says.

    Args:
        directory: where evidence is written; None keeps it in memory only.

    Attributes:
        conflicts: the latest ones, oldest first.

    Raises:
        ConfigError: no such policy.
    """

    def __init__(
        self, processor: Processor, policy: ConflictPolicy | str, directory: Path | None
    ) -> None:
        self.policy = _policy(policy)
        self.directory = directory
        self.conflicts: deque[Conflict] = deque(maxlen=MAX_CONFLICTS)
        self._processor = processor

    async def refuse_known(self) -> None:
        """Let no supervisor's restart go on where the client has halted.

        Raises:
            ConflictingHeaders: the policy is to halt, and there is evidence from before of a
                conflict on the way from the same trusted block.
        """
        if self.policy is not ConflictPolicy.HALT or self.directory is None:
            return
        folder = await anyio.to_thread.run_sync(self._find)
        if folder is not None:
            raise ConflictingHeaders(
                f"the sync committee has signed headers that contradict each other, of which there"
                f" is evidence in {folder}; find out which chain is the true one, then start from"
                " a block of it (--trusted-block-root), move the evidence away, or go on by the"
                " protocol's rules (--conflict-policy continue)",
                evidence=folder,
            )

    def _find(self) -> Path | None:
        assert self.directory is not None
        if not self.directory.is_dir():
            return None
        from lightclient.client.evidence import find_evidence  # as below

        try:
            return find_evidence(self.directory, self._processor)
        except OSError as error:
            fields = {"directory": self.directory, "reason": error.strerror or error}
            _logger.warning("Evidence cannot be looked for", extra={"lc": fields})
            return None

    async def report(self, conflict: Conflict) -> None:
        """Take note of a conflict.

        Raises:
            ConflictingHeaders: the policy is to halt.
        """
        self.conflicts.append(conflict)
        folder = await self._keep(conflict)
        kept = f"the evidence is in {folder}" if folder else "no evidence could be kept on disk"
        _logger.critical(
            "Conflicting headers",
            extra={
                "lc": {"conflict": conflict, "evidence": folder or "none", "policy": self.policy}
            },
        )
        if self.policy is ConflictPolicy.HALT:
            raise ConflictingHeaders(
                f"{conflict}; {kept}; find out which chain is the true one before going on"
                " (--conflict-policy continue goes on by the protocol's rules)",
                evidence=folder,
            )

    async def _keep(self, conflict: Conflict) -> Path | None:
        if self.directory is None:
            return None
        # Imported when there is something to write: it takes a part of the room with it.
        from lightclient.client.evidence import write_evidence

        write = partial(write_evidence, self.directory, conflict, self._processor)
        try:
            return await anyio.to_thread.run_sync(write)
        except (OSError, ValueError) as error:
            fields = {"directory": self.directory, "reason": error}
            _logger.error("Evidence cannot be written", extra={"lc": fields})
            return None
