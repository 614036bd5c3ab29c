"""The light client sync protocol, function for function: no I/O, no logging, no clock."""

from lightclient.protocol.batching import Step, signatures_hold, walk_light_client_updates
from lightclient.protocol.headers import get_lc_execution_root, is_valid_light_client_header
from lightclient.protocol.processing import (
    apply_light_client_update,
    initialize_light_client_store,
    new_light_client_store,
    process_light_client_store_force_update,
    process_light_client_update,
    process_validated_update,
)
from lightclient.protocol.ranking import (
    has_supermajority,
    is_better_update,
    is_finality_update,
    is_sync_committee_update,
)
from lightclient.protocol.signatures import (
    DOMAIN_SYNC_COMMITTEE,
    SignatureVerifier,
    compute_domain,
    compute_signature_fork_version,
    compute_signing_root,
    sync_committee_signing_root,
)
from lightclient.protocol.store import (
    LightClientStore,
    get_safety_threshold,
    is_next_sync_committee_known,
)
from lightclient.protocol.validation import (
    signing_committee,
    validate_all_but_signature,
    validate_light_client_bootstrap,
    validate_light_client_update,
)
from lightclient.protocol.verdicts import (
    ACCEPTED,
    Rule,
    Verdict,
    VerdictKind,
    undecodable,
    verdict_of,
)

__all__ = [
    "ACCEPTED",
    "DOMAIN_SYNC_COMMITTEE",
    "LightClientStore",
    "Rule",
    "SignatureVerifier",
    "Step",
    "Verdict",
    "VerdictKind",
    "apply_light_client_update",
    "compute_domain",
    "compute_signature_fork_version",
    "compute_signing_root",
    "get_lc_execution_root",
    "get_safety_threshold",
    "has_supermajority",
    "initialize_light_client_store",
    "is_better_update",
    "is_finality_update",
    "is_next_sync_committee_known",
    "is_sync_committee_update",
    "is_valid_light_client_header",
    "new_light_client_store",
    "process_light_client_store_force_update",
    "process_light_client_update",
    "process_validated_update",
    "signatures_hold",
    "signing_committee",
    "sync_committee_signing_root",
    "undecodable",
    "validate_all_but_signature",
    "validate_light_client_bootstrap",
    "validate_light_client_update",
    "verdict_of",
    "walk_light_client_updates",
]
