"""An Ethereum consensus light client: verified headers from one trusted block root.

The short way, for applications::

    from lightclient import LightClient

    async with LightClient(
        network="mainnet",
        trusted_block_root="0x...",
        transports=["https://beacon.example"],
    ) as client:
        async for header in client.finalized_headers():
            print(header.slot, header.execution_block_hash)

Without ``await``: :class:`BlockingLightClient`. With I/O of your own: :class:`Processor` and
:func:`next_task`. For tests: ``lightclient.testing.MockTransport``.

Importing this package is cheap: each name is loaded when it is first used, and HTTP, signature
libraries and the event loop only when they are needed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightclient.client import (
        BlockingLightClient,
        ConflictPolicy,
        Health,
        LightClient,
        Reason,
        Status,
        SyncState,
    )
    from lightclient.config import Network, network_by_name, resolve_network
    from lightclient.containers import (
        BeaconBlockHeader,
        ExecutionPayloadHeader,
        LightClientBootstrap,
        LightClientFinalityUpdate,
        LightClientHeader,
        LightClientObject,
        LightClientOptimisticUpdate,
        LightClientUpdate,
        ObjectKind,
        SyncAggregate,
        SyncCommittee,
        decode_json,
        decode_ssz,
        encode_ssz,
        to_json,
    )
    from lightclient.errors import (
        BlsError,
        ConfigError,
        ConflictingHeaders,
        DataDirError,
        DecodeError,
        LightClientError,
        ListenError,
        MalformedAnswer,
        NotServed,
        NotSyncedError,
        ProviderRefused,
        ProviderUnavailable,
        RateLimited,
        StaleError,
        StaleTrustedRoot,
        TransportError,
        UnknownBootstrap,
        UnknownFork,
        WrongNetwork,
    )
    from lightclient.protocol import LightClientStore, Rule, Verdict, VerdictKind
    from lightclient.sync import (
        Event,
        FetchBootstrap,
        FetchFinalityUpdate,
        FetchOptimisticUpdate,
        FetchUpdates,
        ForcedUpdatePolicy,
        NewFinalizedHeader,
        NewOptimisticHeader,
        Outcome,
        Processor,
        SyncPosition,
        Task,
        VerifiedHeader,
        milliseconds_until_next_task,
        next_task,
        sync_position,
        usable_updates,
    )
    from lightclient.transports.base import Transport, UpdateRange
    from lightclient.transports.libp2p.options import DiscoveryOptions, Libp2pOptions
    from lightclient.transports.libp2p.pool import Libp2pPool
    from lightclient.transports.rest import RestTransport

__version__ = "0.1.0"

_ROOMS = {
    "lightclient.config": ("Network", "network_by_name", "resolve_network"),
    "lightclient.containers": (
        "BeaconBlockHeader",
        "ExecutionPayloadHeader",
        "LightClientBootstrap",
        "LightClientFinalityUpdate",
        "LightClientHeader",
        "LightClientObject",
        "LightClientOptimisticUpdate",
        "LightClientUpdate",
        "ObjectKind",
        "SyncAggregate",
        "SyncCommittee",
        "decode_json",
        "decode_ssz",
        "encode_ssz",
        "to_json",
    ),
    "lightclient.errors": (
        "BlsError",
        "ConfigError",
        "ConflictingHeaders",
        "DataDirError",
        "DecodeError",
        "LightClientError",
        "ListenError",
        "MalformedAnswer",
        "NotServed",
        "NotSyncedError",
        "ProviderRefused",
        "ProviderUnavailable",
        "RateLimited",
        "StaleError",
        "StaleTrustedRoot",
        "TransportError",
        "UnknownBootstrap",
        "UnknownFork",
        "WrongNetwork",
    ),
    "lightclient.protocol": ("LightClientStore", "Rule", "Verdict", "VerdictKind"),
    "lightclient.sync": (
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
        "SyncPosition",
        "Task",
        "VerifiedHeader",
        "milliseconds_until_next_task",
        "next_task",
        "sync_position",
        "usable_updates",
    ),
    "lightclient.client": (
        "BlockingLightClient",
        "ConflictPolicy",
        "Health",
        "LightClient",
        "Reason",
        "Status",
        "SyncState",
    ),
    "lightclient.transports.base": ("Transport", "UpdateRange"),
    "lightclient.transports.rest": ("RestTransport",),
    "lightclient.transports.libp2p.options": ("DiscoveryOptions", "Libp2pOptions"),
    "lightclient.transports.libp2p.pool": ("Libp2pPool",),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'lightclient' has no attribute {name!r}")
    value = getattr(import_module(_ROOM_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


__all__ = [
    "BeaconBlockHeader",
    "BlockingLightClient",
    "BlsError",
    "ConfigError",
    "ConflictPolicy",
    "ConflictingHeaders",
    "DataDirError",
    "DecodeError",
    "DiscoveryOptions",
    "Event",
    "ExecutionPayloadHeader",
    "FetchBootstrap",
    "FetchFinalityUpdate",
    "FetchOptimisticUpdate",
    "FetchUpdates",
    "ForcedUpdatePolicy",
    "Health",
    "Libp2pOptions",
    "Libp2pPool",
    "LightClient",
    "LightClientBootstrap",
    "LightClientError",
    "LightClientFinalityUpdate",
    "LightClientHeader",
    "LightClientObject",
    "LightClientOptimisticUpdate",
    "LightClientStore",
    "LightClientUpdate",
    "ListenError",
    "MalformedAnswer",
    "Network",
    "NewFinalizedHeader",
    "NewOptimisticHeader",
    "NotServed",
    "NotSyncedError",
    "ObjectKind",
    "Outcome",
    "Processor",
    "ProviderRefused",
    "ProviderUnavailable",
    "RateLimited",
    "Reason",
    "RestTransport",
    "Rule",
    "StaleError",
    "StaleTrustedRoot",
    "Status",
    "SyncAggregate",
    "SyncCommittee",
    "SyncPosition",
    "SyncState",
    "Task",
    "Transport",
    "TransportError",
    "UnknownBootstrap",
    "UnknownFork",
    "UpdateRange",
    "Verdict",
    "VerdictKind",
    "VerifiedHeader",
    "WrongNetwork",
    "__version__",
    "decode_json",
    "decode_ssz",
    "encode_ssz",
    "milliseconds_until_next_task",
    "network_by_name",
    "next_task",
    "resolve_network",
    "sync_position",
    "to_json",
    "usable_updates",
]
