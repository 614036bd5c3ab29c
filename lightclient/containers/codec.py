"""SSZ and JSON of the light client objects in a known format.

Which format some bytes are in is found out in ``detect``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

from lightclient.config.forks import DataFormat
from lightclient.containers.committees import sync_aggregate_type, sync_committee_type
from lightclient.containers.headers import UINT64, light_client_header_type
from lightclient.containers.objects import (
    LightClientBootstrap,
    LightClientFinalityUpdate,
    LightClientObject,
    LightClientOptimisticUpdate,
    LightClientUpdate,
    ObjectKind,
)
from lightclient.ssz import Container, Json, Nodes, SSZType

_CLASSES: dict[ObjectKind, Callable[..., LightClientObject]] = {
    ObjectKind.BOOTSTRAP: LightClientBootstrap,
    ObjectKind.UPDATE: LightClientUpdate,
    ObjectKind.FINALITY_UPDATE: LightClientFinalityUpdate,
    ObjectKind.OPTIMISTIC_UPDATE: LightClientOptimisticUpdate,
}


@lru_cache(maxsize=64)
def object_type(
    kind: ObjectKind, data_format: DataFormat, sync_committee_size: int
) -> Container[LightClientObject]:
    """SSZ type of an object by kind, format and committee size."""
    header = light_client_header_type(data_format)
    committee = sync_committee_type(sync_committee_size)
    aggregate = sync_aggregate_type(sync_committee_size)
    current_branch = Nodes(data_format.current_sync_committee_branch_depth)
    next_branch = Nodes(data_format.next_sync_committee_branch_depth)
    finality_branch = Nodes(data_format.finality_branch_depth)
    signed: dict[str, SSZType[Any]] = {"sync_aggregate": aggregate, "signature_slot": UINT64}
    finality: dict[str, SSZType[Any]] = {
        "finalized_header": header,
        "finality_branch": finality_branch,
    }
    fields: dict[ObjectKind, dict[str, SSZType[Any]]] = {
        ObjectKind.BOOTSTRAP: {
            "header": header,
            "current_sync_committee": committee,
            "current_sync_committee_branch": current_branch,
        },
        ObjectKind.UPDATE: {
            "attested_header": header,
            "next_sync_committee": committee,
            "next_sync_committee_branch": next_branch,
            **finality,
            **signed,
        },
        ObjectKind.FINALITY_UPDATE: {"attested_header": header, **finality, **signed},
        ObjectKind.OPTIMISTIC_UPDATE: {"attested_header": header, **signed},
    }
    return Container(
        partial(_CLASSES[kind], data_format),
        fields[kind],
        f"{_CLASSES[kind].__name__} ({data_format.name})",
    )


def type_of(value: LightClientObject) -> Container[LightClientObject]:
    """The SSZ type of an object at hand."""
    return object_type(value.kind, value.data_format, value.sync_committee_size)


def encode_ssz(value: LightClientObject) -> bytes:
    """SSZ bytes, in the format that the object came in."""
    return type_of(value).encode(value)


def to_json(value: LightClientObject) -> dict[str, Json]:
    """The Beacon API's JSON form, without the ``{version, data}`` envelope."""
    return type_of(value).to_json(value)


def hash_tree_root(value: LightClientObject) -> bytes:
    """32-byte root of the object in its own format."""
    return type_of(value).hash_tree_root(value)
