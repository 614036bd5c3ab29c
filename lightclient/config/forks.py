"""The one table of forks: names, data formats and generalized indices, phase0 to heze.

A fork is data. Adding one is a row here (and a header layout in ``containers`` if the format is
new); no other hot-path module names a fork. Sources: the ``light-client/sync-protocol.md`` files of
the consensus specifications, one per fork.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FAR_FUTURE_EPOCH: Final = 2**64 - 1


@dataclass(frozen=True, slots=True)
class DataFormat:
    """The SSZ shape of light client objects. Forks that change nothing share one.

    Attributes:
        name: the fork that introduced the format.
        header: ``bare`` (beacon header only), ``payload`` (with an execution payload header) or
            ``block_hash`` (with an execution block hash).
        blob_gas: whether the payload header has blob gas fields.
        finality_branch_depth, current_sync_committee_branch_depth,
        next_sync_committee_branch_depth, execution_branch_depth: lengths in 32-byte nodes.
    """

    name: str
    header: str
    blob_gas: bool
    finality_branch_depth: int
    current_sync_committee_branch_depth: int
    next_sync_committee_branch_depth: int
    execution_branch_depth: int


@dataclass(frozen=True, slots=True)
class Fork:
    """One row: what the light client protocol needs to know of a fork.

    Generalized indices are those of the BeaconState (committees, finality) and the BeaconBlockBody
    (execution); 0 where the fork has none.

    Attributes:
        execution_gindex: of the execution payload in the body.
        execution_block_hash_gindex: of the block hash inside that payload, or of the parent's block
            hash inside the payload bid.
        payload_has_blob_gas: shape of the payload header that is proven at ``execution_gindex``.
        proves_parent_block_hash: the block hash is that of the parent's payload.
        digest_has_blob_parameters: ``compute_fork_digest`` mixes in the blob schedule.
        has_early_dues: duties are due earlier in a slot, at a share of it that has a key of its
            own in the configuration.
        max_payload_size: the most uncompressed bytes of an object of this fork on the network:
            MAX_PAYLOAD_SIZE, MAX_CHUNK_SIZE and GOSSIP_MAX_SIZE of older specifications.
    """

    index: int
    name: str
    data_format: DataFormat
    finalized_root_gindex: int
    current_sync_committee_gindex: int
    next_sync_committee_gindex: int
    execution_gindex: int = 0
    execution_block_hash_gindex: int = 0
    payload_has_blob_gas: bool = False
    proves_parent_block_hash: bool = False
    digest_has_blob_parameters: bool = False
    has_early_dues: bool = False
    max_payload_size: int = 10 * 2**20


ALTAIR_FORMAT: Final = DataFormat("altair", "bare", False, 6, 5, 5, 0)
CAPELLA_FORMAT: Final = DataFormat("capella", "payload", False, 6, 5, 5, 4)
DENEB_FORMAT: Final = DataFormat("deneb", "payload", True, 6, 5, 5, 4)
ELECTRA_FORMAT: Final = DataFormat("electra", "payload", True, 7, 6, 6, 4)
GLOAS_FORMAT: Final = DataFormat("gloas", "block_hash", False, 9, 11, 11, 11)

DATA_FORMATS: Final = (ALTAIR_FORMAT, CAPELLA_FORMAT, DENEB_FORMAT, ELECTRA_FORMAT, GLOAS_FORMAT)

PHASE0: Final = Fork(0, "phase0", ALTAIR_FORMAT, 105, 54, 55, max_payload_size=2**20)
ALTAIR: Final = Fork(1, "altair", ALTAIR_FORMAT, 105, 54, 55, max_payload_size=2**20)
BELLATRIX: Final = Fork(2, "bellatrix", ALTAIR_FORMAT, 105, 54, 55)
CAPELLA: Final = Fork(3, "capella", CAPELLA_FORMAT, 105, 54, 55, 25, 412)
DENEB: Final = Fork(4, "deneb", DENEB_FORMAT, 105, 54, 55, 25, 812, True)
ELECTRA: Final = Fork(5, "electra", ELECTRA_FORMAT, 169, 86, 87, 25, 812, True)
FULU: Final = Fork(6, "fulu", ELECTRA_FORMAT, 169, 86, 87, 25, 812, True, False, True)
GLOAS: Final = Fork(7, "gloas", GLOAS_FORMAT, 735, 2945, 2946, 0, 2856, False, True, True, True)
HEZE: Final = Fork(8, "heze", GLOAS_FORMAT, 735, 2945, 2946, 0, 2856, False, True, True, True)

FORKS: Final = (PHASE0, ALTAIR, BELLATRIX, CAPELLA, DENEB, ELECTRA, FULU, GLOAS, HEZE)
"""All forks in the order in which they activate. phase0 has no light client protocol; its row only
carries the genesis fork version of a schedule."""

FIRST_LIGHT_CLIENT_FORK: Final = ALTAIR
"""Before it there are no sync committees, hence no light client data."""

FORKS_BY_NAME: Final = {fork.name: fork for fork in FORKS}
