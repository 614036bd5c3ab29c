"""The sans-I/O engine: judges objects, plans what to fetch and when.

An embedder who does all I/O needs this room only: ask :func:`next_task` what to fetch, hand what
came to :meth:`Processor.process`, wait :func:`milliseconds_until_next_task`.
"""

from lightclient.sync.forced_update import ForcedUpdatePolicy
from lightclient.sync.planner import (
    MAX_PERIODS_PER_REQUEST,
    FetchBootstrap,
    FetchFinalityUpdate,
    FetchOptimisticUpdate,
    FetchUpdates,
    SyncPosition,
    Task,
    milliseconds_until_next_task,
    next_poll_ms,
    next_task,
    sync_position,
    usable_updates,
)
from lightclient.sync.processor import Outcome, Processor
from lightclient.sync.proofs import StoreProofs, why_not_proven
from lightclient.sync.verified import (
    Event,
    NewFinalizedHeader,
    NewOptimisticHeader,
    VerifiedHeader,
)

__all__ = [
    "MAX_PERIODS_PER_REQUEST",
    "Event",
    "FetchBootstrap",
    "FetchFinalityUpdate",
    "FetchOptimisticUpdate",
    "FetchUpdates",
    "ForcedUpdatePolicy",
    "NewFinalizedHeader",
    "NewOptimisticHeader",
    "Outcome",
    "Processor",
    "StoreProofs",
    "SyncPosition",
    "Task",
    "VerifiedHeader",
    "milliseconds_until_next_task",
    "next_poll_ms",
    "next_task",
    "sync_position",
    "usable_updates",
    "why_not_proven",
]
