"""The light client objects: one model for all forks, with SSZ and JSON in and out."""

from lightclient.containers.codec import encode_ssz, hash_tree_root, object_type, to_json, type_of
from lightclient.containers.committees import (
    SyncAggregate,
    SyncCommittee,
    sync_aggregate_type,
    sync_committee_type,
)
from lightclient.containers.detect import (
    decode_json,
    decode_ssz,
    format_of_digest,
    format_of_version,
    split_update_stream,
    unwrap_envelope,
)
from lightclient.containers.documents import MAX_OBJECT_BYTES, DocumentEntry, read_document
from lightclient.containers.headers import (
    BEACON_BLOCK_HEADER,
    BeaconBlockHeader,
    ExecutionPayloadHeader,
    LightClientHeader,
    execution_payload_header_type,
    light_client_header_type,
)
from lightclient.containers.json_text import parse_json
from lightclient.containers.objects import (
    AnyUpdate,
    LightClientBootstrap,
    LightClientFinalityUpdate,
    LightClientObject,
    LightClientOptimisticUpdate,
    LightClientUpdate,
    ObjectKind,
    default_sync_committee,
    zero_branch,
)
from lightclient.containers.undecoded import Undecoded

__all__ = [
    "BEACON_BLOCK_HEADER",
    "MAX_OBJECT_BYTES",
    "AnyUpdate",
    "BeaconBlockHeader",
    "DocumentEntry",
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
    "Undecoded",
    "decode_json",
    "decode_ssz",
    "default_sync_committee",
    "encode_ssz",
    "execution_payload_header_type",
    "format_of_digest",
    "format_of_version",
    "hash_tree_root",
    "light_client_header_type",
    "object_type",
    "parse_json",
    "read_document",
    "split_update_stream",
    "sync_aggregate_type",
    "sync_committee_type",
    "to_json",
    "type_of",
    "unwrap_envelope",
    "zero_branch",
]
