"""``ssz_static``: light client containers and their parts, decoded, encoded again and Merkleised.

What the light client itself decodes goes through its own codec, the rest through the beacon types.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from lightclient.beacon import containers_for, decode_view, view_from_json
from lightclient.config import Fork, preset_by_name
from lightclient.containers import (
    BEACON_BLOCK_HEADER,
    ObjectKind,
    execution_payload_header_type,
    light_client_header_type,
    object_type,
    sync_aggregate_type,
    sync_committee_type,
)
from lightclient.errors import DecodeError
from lightclient.ssz import SSZType
from lightclient_cli.spec_tests.case import Case, CaseFailed, CaseSkipped, expect, octets
from lightclient_cli.spec_tests.chain import known_fork, known_preset

_OBJECTS = {
    "LightClientBootstrap": ObjectKind.BOOTSTRAP,
    "LightClientUpdate": ObjectKind.UPDATE,
    "LightClientFinalityUpdate": ObjectKind.FINALITY_UPDATE,
    "LightClientOptimisticUpdate": ObjectKind.OPTIMISTIC_UPDATE,
}
_PARTS: dict[str, Callable[[Fork, int], SSZType[Any]]] = {
    "LightClientHeader": lambda fork, _: light_client_header_type(fork.data_format),
    "BeaconBlockHeader": lambda _fork, _: BEACON_BLOCK_HEADER,
    "SyncCommittee": lambda _, size: sync_committee_type(size),
    "SyncAggregate": lambda _, size: sync_aggregate_type(size),
}
_BEACON_PARTS = ("Checkpoint", "ExecutionPayloadHeader", "Fork", "ForkData", "SigningData")


def run_ssz_static(case: Case) -> None:
    """Bytes, root and value must all be those of the vector."""
    fork, preset = known_fork(case), known_preset(case)
    own = _own_type(case.handler, fork, preset)
    if own is None and case.handler not in _BEACON_PARTS:
        raise CaseSkipped("not a light client container, nor a part of one")
    data = case.ssz("serialized")
    root = octets(case.mapping("roots.yaml"), "root", 32)
    value = case.yaml("value.yaml")
    try:
        if own is not None:
            _check_own(own, data, root, value)
        else:
            _check_beacon(case, fork, preset, data, root, value)
    except DecodeError as error:
        raise CaseFailed(str(error)) from None


def _check_own(own: SSZType[Any], data: bytes, root: bytes, value: Any) -> None:
    decoded = own.decode(data)
    expect("the encoding", own.encode(decoded), data)
    expect("the root", own.hash_tree_root(decoded), root)
    expect("the value", own.to_json(decoded), value)
    if own.from_json(value) != decoded:
        raise CaseFailed("the value, read as JSON, is another object")


def _check_beacon(
    case: Case, fork: Fork, preset: str, data: bytes, root: bytes, value: Any
) -> None:
    containers = containers_for(fork.name, preset)
    if case.handler not in containers:
        raise CaseFailed(f"{fork.name} has no {case.handler}")
    view_type = containers.type_named(case.handler)
    decoded = decode_view(view_type, data)  # which compares the encoding
    expect("the root", bytes(decoded.hash_tree_root()), root)
    if view_from_json(view_type, value) != decoded:
        raise CaseFailed("the value, read as JSON, is another object")


@cache
def _own_type(handler: str, fork: Fork, preset: str) -> SSZType[Any] | None:
    """The light client's own codec for a container, where it has one."""
    size = preset_by_name(preset).sync_committee_size
    if handler in _OBJECTS:
        return object_type(_OBJECTS[handler], fork.data_format, size)
    if handler in _PARTS:
        return _PARTS[handler](fork, size)
    if handler == "ExecutionPayloadHeader" and fork.data_format.header == "payload":
        return execution_payload_header_type(fork.data_format.blob_gas)
    return None
