"""Beacon states, blocks and their parts in every fork, phase0 to heze, as remerkleable types.

For deriving light client data, following blocks, the simulator and the vectors; the light client's
own path never comes here, and importing ``lightclient`` does not import this room. The light client
containers are among the types so that our fast codec has an independent oracle.
"""

from __future__ import annotations

from lightclient.beacon.decoding import decode_view, view_from_json
from lightclient.beacon.headers import block_to_header, execution_payload_to_header
from lightclient.beacon.proofs import build_proof, get_generalized_index, node_root
from lightclient.beacon.registry import BeaconContainers, containers_for

__all__ = [
    "BeaconContainers",
    "block_to_header",
    "build_proof",
    "containers_for",
    "decode_view",
    "execution_payload_to_header",
    "get_generalized_index",
    "node_root",
    "view_from_json",
]
