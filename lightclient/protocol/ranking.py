"""Which of two updates of a period is better.

Altair ``is_better_update``: the order of its comparisons is the order here.
"""

from __future__ import annotations

from lightclient.config.network import Network
from lightclient.containers import LightClientUpdate, zero_branch


def is_sync_committee_update(update: LightClientUpdate) -> bool:
    """Altair ``is_sync_committee_update``: whether it comes with a committee proof."""
    branch = update.next_sync_committee_branch
    return branch != zero_branch(len(branch))


def is_finality_update(update: LightClientUpdate) -> bool:
    """Altair ``is_finality_update``: whether it comes with a finality proof."""
    branch = update.finality_branch
    return branch != zero_branch(len(branch))


def has_supermajority(update: LightClientUpdate) -> bool:
    """Whether at least two thirds of the committee took part."""
    participants = update.sync_aggregate.num_active_participants
    return participants * 3 >= update.sync_committee_size * 2


def is_better_update(
    new_update: LightClientUpdate, old_update: LightClientUpdate, network: Network
) -> bool:
    """Altair ``is_better_update``: whether ``new_update`` is strictly better."""
    new_rank = _rank(new_update, network)
    return new_rank > _rank(old_update, network)


def _rank(update: LightClientUpdate, network: Network) -> tuple[int, ...]:
    """Sort key, greater is better; each element is one comparison of the specification."""
    period = network.compute_sync_committee_period_at_slot
    participants = update.sync_aggregate.num_active_participants
    supermajority = has_supermajority(update)
    attested_slot = update.attested_header.beacon.slot
    finality = is_finality_update(update)
    return (
        supermajority,
        # Below two thirds, participation decides before anything else.
        0 if supermajority else participants,
        is_sync_committee_update(update) and period(attested_slot) == period(update.signature_slot),
        finality,
        finality and period(update.finalized_header.beacon.slot) == period(attested_slot),
        participants,
        -attested_slot,
        -update.signature_slot,
    )
