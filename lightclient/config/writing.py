"""A network written down: the mapping that ``network_from_config_mapping`` reads it from again."""

from __future__ import annotations

from typing import Any

from lightclient.config.network import Network


def config_mapping(network: Network) -> dict[str, Any]:
    """What ``network_from_config_mapping`` reads ``network`` from, under the specification's keys.

    Numbers are ints, versions ``0x`` hex; genesis is not part of a configuration.
    """
    preset = network.preset
    config: dict[str, Any] = {
        "PRESET_BASE": preset.name,
        "CONFIG_NAME": network.name,
        "SLOT_DURATION_MS": network.slot_duration_ms,
        "SLOTS_PER_EPOCH": preset.slots_per_epoch,
        "EPOCHS_PER_SYNC_COMMITTEE_PERIOD": preset.epochs_per_sync_committee_period,
        "SYNC_COMMITTEE_SIZE": preset.sync_committee_size,
        "MIN_SYNC_COMMITTEE_PARTICIPANTS": preset.min_sync_committee_participants,
        "UPDATE_TIMEOUT": preset.update_timeout,
        "CHURN_LIMIT_QUOTIENT": network.churn_limit_quotient,
        "MIN_VALIDATOR_WITHDRAWABILITY_DELAY": network.min_validator_withdrawability_delay,
        "MIN_EPOCHS_FOR_BLOCK_REQUESTS": network.min_epochs_for_block_requests,
        "MAX_BLOBS_PER_BLOCK_ELECTRA": network.max_blobs_per_block_electra,
        "DEPOSIT_CHAIN_ID": network.deposit_chain_id,
        "SYNC_MESSAGE_DUE_BPS": network.sync_message_due_bps,
        "SYNC_MESSAGE_DUE_BPS_GLOAS": network.sync_message_due_bps_gloas,
        "CUSTODY_REQUIREMENT": network.custody_requirement,
        "GENESIS_FORK_VERSION": "0x" + network.forks[0].version.hex(),
    }
    if network.slot_duration_ms % 1000 == 0:
        config["SECONDS_PER_SLOT"] = network.slot_duration_ms // 1000
    for scheduled in network.forks[1:]:
        upper = scheduled.fork.name.upper()
        config[f"{upper}_FORK_VERSION"] = "0x" + scheduled.version.hex()
        config[f"{upper}_FORK_EPOCH"] = scheduled.epoch
    config["BLOB_SCHEDULE"] = [
        {"EPOCH": entry.epoch, "MAX_BLOBS_PER_BLOCK": entry.max_blobs_per_block}
        for entry in network.blob_schedule
    ]
    return config
