"""Lengths and limits of beacon containers per preset, by the specification's names.

minimal and gnosis list only what differs from mainnet. What the light client itself needs of a
preset is in ``config.presets`` and comes from there, overridden or not. Sources: the ``presets/``
folder of the consensus specifications, and Gnosis Chain's preset.
"""

from __future__ import annotations

from typing import Final

from lightclient.config.network import Preset
from lightclient.errors import ConfigError

_MAINNET: Final = {
    # phase0
    "SLOTS_PER_HISTORICAL_ROOT": 8192,
    "EPOCHS_PER_HISTORICAL_VECTOR": 65536,
    "EPOCHS_PER_SLASHINGS_VECTOR": 8192,
    "EPOCHS_PER_ETH1_VOTING_PERIOD": 64,
    "HISTORICAL_ROOTS_LIMIT": 2**24,
    "VALIDATOR_REGISTRY_LIMIT": 2**40,
    "MAX_VALIDATORS_PER_COMMITTEE": 2048,
    "MAX_PROPOSER_SLASHINGS": 16,
    "MAX_ATTESTER_SLASHINGS": 2,
    "MAX_ATTESTATIONS": 128,
    "MAX_DEPOSITS": 16,
    "MAX_VOLUNTARY_EXITS": 16,
    "DEPOSIT_PROOF_LENGTH": 33,
    "JUSTIFICATION_BITS_LENGTH": 4,
    # bellatrix
    "BYTES_PER_LOGS_BLOOM": 256,
    "MAX_EXTRA_DATA_BYTES": 32,
    "MAX_BYTES_PER_TRANSACTION": 2**30,
    "MAX_TRANSACTIONS_PER_PAYLOAD": 2**20,
    # capella
    "MAX_BLS_TO_EXECUTION_CHANGES": 16,
    "MAX_WITHDRAWALS_PER_PAYLOAD": 16,
    # deneb
    "MAX_BLOB_COMMITMENTS_PER_BLOCK": 4096,
    # electra
    "MAX_COMMITTEES_PER_SLOT": 64,
    "MAX_ATTESTER_SLASHINGS_ELECTRA": 1,
    "MAX_ATTESTATIONS_ELECTRA": 8,
    "MAX_DEPOSIT_REQUESTS_PER_PAYLOAD": 8192,
    "MAX_WITHDRAWAL_REQUESTS_PER_PAYLOAD": 16,
    "MAX_CONSOLIDATION_REQUESTS_PER_PAYLOAD": 2,
    "PENDING_DEPOSITS_LIMIT": 2**27,
    "PENDING_PARTIAL_WITHDRAWALS_LIMIT": 2**27,
    "PENDING_CONSOLIDATIONS_LIMIT": 2**18,
    # fulu; one more than MIN_SEED_LOOKAHEAD
    "PROPOSER_LOOKAHEAD_EPOCHS": 2,
    # gloas
    "BUILDER_PENDING_PAYMENTS_EPOCHS": 2,
    "PTC_SIZE": 512,
    "PTC_WINDOW_EPOCHS": 3,
    # heze
    "INCLUSION_LIST_COMMITTEE_SIZE": 16,
}

_MINIMAL_DIFFERS: Final = {
    "SLOTS_PER_HISTORICAL_ROOT": 64,
    "EPOCHS_PER_HISTORICAL_VECTOR": 64,
    "EPOCHS_PER_SLASHINGS_VECTOR": 64,
    "EPOCHS_PER_ETH1_VOTING_PERIOD": 4,
    "MAX_WITHDRAWALS_PER_PAYLOAD": 4,
    "MAX_COMMITTEES_PER_SLOT": 4,
    "PENDING_PARTIAL_WITHDRAWALS_LIMIT": 64,
    "PENDING_CONSOLIDATIONS_LIMIT": 64,
    "PTC_SIZE": 16,
}

_GNOSIS_DIFFERS: Final = {"MAX_WITHDRAWALS_PER_PAYLOAD": 8}

_CONSTANTS: Final = {
    "mainnet": _MAINNET,
    "minimal": _MAINNET | _MINIMAL_DIFFERS,
    "gnosis": _MAINNET | _GNOSIS_DIFFERS,
}


def constants_of(preset: Preset) -> dict[str, int]:
    """Every constant that sizes a container, by name.

    Raises:
        ConfigError: a preset of another name than mainnet, minimal and gnosis.
    """
    constants = _CONSTANTS.get(preset.name)
    if constants is None:
        known = ", ".join(_CONSTANTS)
        raise ConfigError(f"preset {preset.name!r} has no beacon containers; known: {known}")
    return constants | {
        "SLOTS_PER_EPOCH": preset.slots_per_epoch,
        "SYNC_COMMITTEE_SIZE": preset.sync_committee_size,
    }
