"""Finality and optimistic updates as excerpts of full ones.

The part of derivation that needs no beacon states, so that whoever has an update may have these.
"""

from __future__ import annotations

from lightclient.containers import (
    LightClientFinalityUpdate,
    LightClientOptimisticUpdate,
    LightClientUpdate,
)


def create_light_client_finality_update(update: LightClientUpdate) -> LightClientFinalityUpdate:
    """``create_light_client_finality_update``: the update without its committee."""
    return LightClientFinalityUpdate(
        update.data_format,
        update.attested_header,
        update.finalized_header,
        update.finality_branch,
        update.sync_aggregate,
        update.signature_slot,
    )


def create_light_client_optimistic_update(
    update: LightClientUpdate,
) -> LightClientOptimisticUpdate:
    """``create_light_client_optimistic_update``: the update's attested header alone."""
    return LightClientOptimisticUpdate(
        update.data_format, update.attested_header, update.sync_aggregate, update.signature_slot
    )
