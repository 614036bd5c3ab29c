"""The light client store: everything that has been verified.

Its parts are immutable, so a copy is cheap and processing can work on one: a store is never seen
half changed.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from operator import attrgetter

from lightclient.config.forks import DATA_FORMATS, DataFormat
from lightclient.containers import LightClientHeader, LightClientUpdate, SyncCommittee


@dataclass(slots=True)
class LightClientStore:
    """Altair ``LightClientStore``.

    Attributes:
        next_sync_committee: None while unknown (the specification's all-zero committee).
        best_valid_update: the best update of a stalled period, for a forced update.
        data_format: the newest format seen. Headers keep the format that they came in.
    """

    finalized_header: LightClientHeader
    current_sync_committee: SyncCommittee
    next_sync_committee: SyncCommittee | None
    best_valid_update: LightClientUpdate | None
    optimistic_header: LightClientHeader
    previous_max_active_participants: int
    current_max_active_participants: int
    data_format: DataFormat

    def copy(self) -> LightClientStore:
        """A store of its own; the parts are shared, as nothing changes them."""
        return LightClientStore(*_VALUES(self))

    def assign(self, other: LightClientStore) -> None:
        """Take over all of ``other``'s values."""
        for name, value in zip(_NAMES, _VALUES(other), strict=True):
            setattr(self, name, value)

    def upgrade(self, data_format: DataFormat) -> None:
        """Raise the format (``upgrade_lc_store_to_*``); an older one changes nothing."""
        if DATA_FORMATS.index(data_format) > DATA_FORMATS.index(self.data_format):
            self.data_format = data_format


_NAMES = tuple(item.name for item in fields(LightClientStore))
_VALUES = attrgetter(*_NAMES)


def is_next_sync_committee_known(store: LightClientStore) -> bool:
    """Altair ``is_next_sync_committee_known``."""
    return store.next_sync_committee is not None


def get_safety_threshold(store: LightClientStore) -> int:
    """Altair ``get_safety_threshold``: participants that an optimistic header must exceed."""
    return max(store.previous_max_active_participants, store.current_max_active_participants) // 2
