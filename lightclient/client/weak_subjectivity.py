"""How old a block may be to start from: the weak subjectivity period.

Validators who have left since a block can sign another history after it and lose nothing, so a
client that starts there cannot tell the two apart. The true period depends on the total active
balance, which a light client does not know. The configuration alone gives an upper bound: beyond
it, a block is too old on any network with that configuration; below it, it may still be.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from lightclient.config import Network
from lightclient.errors import ConfigError, StaleTrustedRoot

_logger = logging.getLogger("lightclient")

_MS_PER_MINUTE = 60_000


@dataclass(frozen=True, slots=True)
class TrustPeriod:
    """Refuses to start from what is too old.

    Args:
        epochs: how old it may be; by default the upper bound that the configuration gives.
        is_warning_only: start nevertheless, and say so.

    Raises:
        ConfigError: a period of less than one epoch.
    """

    network: Network
    epochs: int | None = None
    is_warning_only: bool = False

    def __post_init__(self) -> None:
        if self.epochs is not None and self.epochs < 1:
            raise ConfigError(f"a weak subjectivity period of {self.epochs} epochs: at least 1")

    @property
    def bound_epochs(self) -> int:
        """The period in epochs."""
        if self.epochs is not None:
            return self.epochs
        return self.network.weak_subjectivity_epochs_upper_bound

    def check(self, slot: int, now_ms: int, what: str) -> None:
        """Look at the age of the block at ``slot``, which is ``what``, at ``now_ms``.

        Raises:
            StaleTrustedRoot: it is too old.
        """
        network = self.network
        age_slots = network.slot_at_time_ms(now_ms) - slot
        if age_slots <= self.bound_epochs * network.preset.slots_per_epoch:
            return
        age = _in_words(age_slots * network.slot_duration_ms)
        epoch_ms = network.preset.slots_per_epoch * network.slot_duration_ms
        bound = _in_words(self.bound_epochs * epoch_ms)
        if self.is_warning_only:
            _logger.warning(
                "Starting from what is older than the weak subjectivity period, as you wish",
                extra={"lc": {"what": what, "slot": slot, "age": age, "period": bound}},
            )
            return
        least = "at most " if self.epochs is None else ""
        raise StaleTrustedRoot(
            f"{what} (slot {slot}) is {age} old, and the weak subjectivity period is {least}{bound}"
            f" ({self.bound_epochs} epochs): validators who have left since could have signed"
            " another history. Give the root of a newer finalized block, or"
            " --allow-stale-trusted-root (allow_stale_trusted_root=True) if you know that this"
            " one is on the right chain"
        )


def _in_words(duration_ms: int) -> str:
    minutes = duration_ms / _MS_PER_MINUTE
    if minutes < 100:
        return f"{minutes:.1f} minutes"
    hours = minutes / 60
    return f"{hours:.1f} hours" if hours < 48 else f"{hours / 24:.1f} days"
