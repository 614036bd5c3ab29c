"""The req/resp protocols that a light client speaks: names, payloads, bounds.

A protocol is a row of a table. Its bounds come from the SSZ types, for the objects of forks over
every format of the network's preset, since digests on the wire are known to be wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from lightclient.config import DATA_FORMATS, FORKS, Network
from lightclient.containers import ObjectKind, object_type
from lightclient.wire.messages import (
    BLOCKS_BY_RANGE,
    MAX_REQUEST_BLOCKS,
    MAX_REQUEST_LIGHT_CLIENT_UPDATES,
    METADATA_V2,
    METADATA_V3,
    NUMBER,
    ROOT,
    ROOTS,
    STATUS_V1,
    STATUS_V2,
    UPDATES_BY_RANGE,
    PayloadType,
    size_bounds,
)

MAX_PAYLOAD_SIZE: Final = max(fork.max_payload_size for fork in FORKS)
"""The most uncompressed bytes of a chunk or gossip message in any fork: 10 MiB."""
_LEAST_BLOCK: Final = 4 + 96
"""A signed block is an offset, a signature and a message."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """One req/resp protocol.

    Attributes:
        request: None where nothing is sent.
        response: None where chunks hold an object of some fork, told by their context bytes.
        kind: which light client object; None for blocks and for plain payloads.
        max_chunks: the most chunks of an answer.
        answers_list: an answer may have no chunk at all.
    """

    name: str
    version: int
    request: PayloadType[Any] | None
    response: PayloadType[Any] | None = None
    kind: ObjectKind | None = None
    max_chunks: int = 1
    answers_list: bool = False

    @property
    def protocol_id(self) -> str:
        """What is negotiated for a stream."""
        return f"/eth2/beacon_chain/req/{self.name}/{self.version}/ssz_snappy"

    @property
    def has_context(self) -> bool:
        """Whether successful chunks begin with a fork digest."""
        return self.response is None

    def response_bounds(self, network: Network, context: bytes) -> tuple[int, int]:
        """The least and most bytes of a chunk after the fork digest ``context``."""
        if self.response is not None:
            return self.response.min_size, self.response.max_size
        if self.kind is not None:
            return object_bounds(self.kind, network.preset.sync_committee_size)
        fork = network.forks_by_digest.get(context)
        return _LEAST_BLOCK, MAX_PAYLOAD_SIZE if fork is None else fork.max_payload_size


@lru_cache(maxsize=32)
def object_bounds(kind: ObjectKind, sync_committee_size: int) -> tuple[int, int]:
    """The least and most SSZ bytes of a light client object in any format."""
    bounds = [size_bounds(object_type(kind, form, sync_committee_size)) for form in DATA_FORMATS]
    return min(least for least, _ in bounds), max(most for _, most in bounds)


STATUS_1: Final = Protocol("status", 1, STATUS_V1, STATUS_V1)
STATUS_2: Final = Protocol("status", 2, STATUS_V2, STATUS_V2)
PING_1: Final = Protocol("ping", 1, NUMBER, NUMBER)
GOODBYE_1: Final = Protocol("goodbye", 1, NUMBER, NUMBER)
METADATA_2: Final = Protocol("metadata", 2, None, METADATA_V2)
METADATA_3: Final = Protocol("metadata", 3, None, METADATA_V3)
LIGHT_CLIENT_BOOTSTRAP_1: Final = Protocol(
    "light_client_bootstrap", 1, ROOT, kind=ObjectKind.BOOTSTRAP
)
LIGHT_CLIENT_UPDATES_BY_RANGE_1: Final = Protocol(
    "light_client_updates_by_range",
    1,
    UPDATES_BY_RANGE,
    kind=ObjectKind.UPDATE,
    max_chunks=MAX_REQUEST_LIGHT_CLIENT_UPDATES,
    answers_list=True,
)
LIGHT_CLIENT_FINALITY_UPDATE_1: Final = Protocol(
    "light_client_finality_update", 1, None, kind=ObjectKind.FINALITY_UPDATE
)
LIGHT_CLIENT_OPTIMISTIC_UPDATE_1: Final = Protocol(
    "light_client_optimistic_update", 1, None, kind=ObjectKind.OPTIMISTIC_UPDATE
)
BEACON_BLOCKS_BY_ROOT_2: Final = Protocol(
    "beacon_blocks_by_root", 2, ROOTS, max_chunks=MAX_REQUEST_BLOCKS, answers_list=True
)
BEACON_BLOCKS_BY_RANGE_2: Final = Protocol(
    "beacon_blocks_by_range", 2, BLOCKS_BY_RANGE, max_chunks=MAX_REQUEST_BLOCKS, answers_list=True
)

PROTOCOLS: Final = (
    STATUS_1,
    STATUS_2,
    PING_1,
    GOODBYE_1,
    METADATA_2,
    METADATA_3,
    LIGHT_CLIENT_BOOTSTRAP_1,
    LIGHT_CLIENT_UPDATES_BY_RANGE_1,
    LIGHT_CLIENT_FINALITY_UPDATE_1,
    LIGHT_CLIENT_OPTIMISTIC_UPDATE_1,
    BEACON_BLOCKS_BY_ROOT_2,
    BEACON_BLOCKS_BY_RANGE_2,
)
PROTOCOLS_BY_ID: Final = {protocol.protocol_id: protocol for protocol in PROTOCOLS}
