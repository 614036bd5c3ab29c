"""Headers of blocks and execution payloads: the same roots with the long parts summarised."""

from __future__ import annotations

from functools import cache

from lightclient.beacon.registry import containers_for
from lightclient.beacon.types import View, ViewType
from lightclient.config.forks import FORKS
from lightclient.errors import DeriveError

_SUMMARISED = {"transactions": "transactions_root", "withdrawals": "withdrawals_root"}


def block_to_header(block: View) -> View:
    """The BeaconBlockHeader of a BeaconBlock; both have the same hash_tree_root."""
    # The same container in every fork and preset, so any will do.
    header_type = containers_for(FORKS[0].name, "mainnet").BeaconBlockHeader
    return header_type(
        slot=block.slot,
        proposer_index=block.proposer_index,
        parent_root=block.parent_root,
        state_root=block.state_root,
        body_root=block.body.hash_tree_root(),
    )


def execution_payload_to_header(payload: View) -> View:
    """The ExecutionPayloadHeader of an ExecutionPayload; both have the same hash_tree_root.

    Raises:
        DeriveError: a payload of a fork that has no payload headers (gloas and later).
    """
    header_type = _header_type(tuple(payload.fields()))
    values = {}
    for name in payload.fields():
        value = getattr(payload, name)
        root_name = _SUMMARISED.get(name)
        values[root_name or name] = value.hash_tree_root() if root_name else value
    return header_type(**values)


@cache
def _header_type(payload_fields: tuple[str, ...]) -> ViewType:
    wanted = tuple(_SUMMARISED.get(name, name) for name in payload_fields)
    for fork in FORKS:
        # Payload headers do not depend on the preset.
        containers = containers_for(fork.name, "mainnet")
        if "ExecutionPayloadHeader" in containers:
            header_type = containers.ExecutionPayloadHeader
            if tuple(header_type.fields()) == wanted:
                return header_type
    raise DeriveError("this fork's execution payloads have no header")
