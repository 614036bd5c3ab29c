"""The containers of phase0 to fulu: what each fork defines, and what it changes.

One text per fork, in the notation that ``schema`` explains and reads.
"""

from __future__ import annotations

from typing import Final

PHASE0: Final = """
Fork
    previous_version: Version
    current_version: Version
    epoch: Epoch
ForkData
    current_version: Version
    genesis_validators_root: Root
SigningData
    object_root: Root
    domain: Domain
Checkpoint
    epoch: Epoch
    root: Root
Validator
    pubkey: BLSPubkey
    withdrawal_credentials: Bytes32
    effective_balance: Gwei
    slashed: boolean
    activation_eligibility_epoch: Epoch
    activation_epoch: Epoch
    exit_epoch: Epoch
    withdrawable_epoch: Epoch
BeaconBlockHeader
    slot: Slot
    proposer_index: ValidatorIndex
    parent_root: Root
    state_root: Root
    body_root: Root
SignedBeaconBlockHeader
    message: BeaconBlockHeader
    signature: BLSSignature
Eth1Data
    deposit_root: Root
    deposit_count: uint64
    block_hash: Hash32
AttestationData
    slot: Slot
    index: uint64
    beacon_block_root: Root
    source: Checkpoint
    target: Checkpoint
PendingAttestation
    aggregation_bits: Bitlist[MAX_VALIDATORS_PER_COMMITTEE]
    data: AttestationData
    inclusion_delay: Slot
    proposer_index: ValidatorIndex
Attestation
    aggregation_bits: Bitlist[MAX_VALIDATORS_PER_COMMITTEE]
    data: AttestationData
    signature: BLSSignature
IndexedAttestation
    attesting_indices: List[ValidatorIndex, MAX_VALIDATORS_PER_COMMITTEE]
    data: AttestationData
    signature: BLSSignature
ProposerSlashing
    signed_header_1: SignedBeaconBlockHeader
    signed_header_2: SignedBeaconBlockHeader
AttesterSlashing
    attestation_1: IndexedAttestation
    attestation_2: IndexedAttestation
DepositMessage
    pubkey: BLSPubkey
    withdrawal_credentials: Bytes32
    amount: Gwei
DepositData
    pubkey: BLSPubkey
    withdrawal_credentials: Bytes32
    amount: Gwei
    signature: BLSSignature
Deposit
    proof: Vector[Bytes32, DEPOSIT_PROOF_LENGTH]
    data: DepositData
VoluntaryExit
    epoch: Epoch
    validator_index: ValidatorIndex
SignedVoluntaryExit
    message: VoluntaryExit
    signature: BLSSignature
BeaconBlockBody
    randao_reveal: BLSSignature
    eth1_data: Eth1Data
    graffiti: Bytes32
    proposer_slashings: List[ProposerSlashing, MAX_PROPOSER_SLASHINGS]
    attester_slashings: List[AttesterSlashing, MAX_ATTESTER_SLASHINGS]
    attestations: List[Attestation, MAX_ATTESTATIONS]
    deposits: List[Deposit, MAX_DEPOSITS]
    voluntary_exits: List[SignedVoluntaryExit, MAX_VOLUNTARY_EXITS]
BeaconBlock
    slot: Slot
    proposer_index: ValidatorIndex
    parent_root: Root
    state_root: Root
    body: BeaconBlockBody
SignedBeaconBlock
    message: BeaconBlock
    signature: BLSSignature
BeaconState
    genesis_time: uint64
    genesis_validators_root: Root
    slot: Slot
    fork: Fork
    latest_block_header: BeaconBlockHeader
    block_roots: Vector[Root, SLOTS_PER_HISTORICAL_ROOT]
    state_roots: Vector[Root, SLOTS_PER_HISTORICAL_ROOT]
    historical_roots: List[Root, HISTORICAL_ROOTS_LIMIT]
    eth1_data: Eth1Data
    eth1_data_votes: List[Eth1Data, EPOCHS_PER_ETH1_VOTING_PERIOD * SLOTS_PER_EPOCH]
    eth1_deposit_index: uint64
    validators: List[Validator, VALIDATOR_REGISTRY_LIMIT]
    balances: List[Gwei, VALIDATOR_REGISTRY_LIMIT]
    randao_mixes: Vector[Bytes32, EPOCHS_PER_HISTORICAL_VECTOR]
    slashings: Vector[Gwei, EPOCHS_PER_SLASHINGS_VECTOR]
    previous_epoch_attestations: List[PendingAttestation, MAX_ATTESTATIONS * SLOTS_PER_EPOCH]
    current_epoch_attestations: List[PendingAttestation, MAX_ATTESTATIONS * SLOTS_PER_EPOCH]
    justification_bits: Bitvector[JUSTIFICATION_BITS_LENGTH]
    previous_justified_checkpoint: Checkpoint
    current_justified_checkpoint: Checkpoint
    finalized_checkpoint: Checkpoint
"""

ALTAIR: Final = """
SyncCommittee
    pubkeys: Vector[BLSPubkey, SYNC_COMMITTEE_SIZE]
    aggregate_pubkey: BLSPubkey
SyncAggregate
    sync_committee_bits: Bitvector[SYNC_COMMITTEE_SIZE]
    sync_committee_signature: BLSSignature
BeaconBlockBody
    sync_aggregate: SyncAggregate
BeaconState
    previous_epoch_attestations -> previous_epoch_participation:
        List[uint8, VALIDATOR_REGISTRY_LIMIT]
    current_epoch_attestations -> current_epoch_participation:
        List[uint8, VALIDATOR_REGISTRY_LIMIT]
    inactivity_scores: List[uint64, VALIDATOR_REGISTRY_LIMIT]
    current_sync_committee: SyncCommittee
    next_sync_committee: SyncCommittee
LightClientHeader
    beacon: BeaconBlockHeader
LightClientBootstrap
    header: LightClientHeader
    current_sync_committee: SyncCommittee
    current_sync_committee_branch: Vector[Bytes32, CURRENT_SYNC_COMMITTEE_BRANCH_DEPTH]
LightClientUpdate
    attested_header: LightClientHeader
    next_sync_committee: SyncCommittee
    next_sync_committee_branch: Vector[Bytes32, NEXT_SYNC_COMMITTEE_BRANCH_DEPTH]
    finalized_header: LightClientHeader
    finality_branch: Vector[Bytes32, FINALITY_BRANCH_DEPTH]
    sync_aggregate: SyncAggregate
    signature_slot: Slot
LightClientFinalityUpdate
    attested_header: LightClientHeader
    finalized_header: LightClientHeader
    finality_branch: Vector[Bytes32, FINALITY_BRANCH_DEPTH]
    sync_aggregate: SyncAggregate
    signature_slot: Slot
LightClientOptimisticUpdate
    attested_header: LightClientHeader
    sync_aggregate: SyncAggregate
    signature_slot: Slot
"""

BELLATRIX: Final = """
ExecutionPayloadHeader
    parent_hash: Hash32
    fee_recipient: ExecutionAddress
    state_root: Bytes32
    receipts_root: Bytes32
    logs_bloom: ByteVector[BYTES_PER_LOGS_BLOOM]
    prev_randao: Bytes32
    block_number: uint64
    gas_limit: uint64
    gas_used: uint64
    timestamp: uint64
    extra_data: ByteList[MAX_EXTRA_DATA_BYTES]
    base_fee_per_gas: uint256
    block_hash: Hash32
    transactions_root: Root
ExecutionPayload
    parent_hash: Hash32
    fee_recipient: ExecutionAddress
    state_root: Bytes32
    receipts_root: Bytes32
    logs_bloom: ByteVector[BYTES_PER_LOGS_BLOOM]
    prev_randao: Bytes32
    block_number: uint64
    gas_limit: uint64
    gas_used: uint64
    timestamp: uint64
    extra_data: ByteList[MAX_EXTRA_DATA_BYTES]
    base_fee_per_gas: uint256
    block_hash: Hash32
    transactions: List[ByteList[MAX_BYTES_PER_TRANSACTION], MAX_TRANSACTIONS_PER_PAYLOAD]
BeaconBlockBody
    execution_payload: ExecutionPayload
BeaconState
    latest_execution_payload_header: ExecutionPayloadHeader
"""

CAPELLA: Final = """
Withdrawal
    index: uint64
    validator_index: ValidatorIndex
    address: ExecutionAddress
    amount: Gwei
BLSToExecutionChange
    validator_index: ValidatorIndex
    from_bls_pubkey: BLSPubkey
    to_execution_address: ExecutionAddress
SignedBLSToExecutionChange
    message: BLSToExecutionChange
    signature: BLSSignature
HistoricalSummary
    block_summary_root: Root
    state_summary_root: Root
ExecutionPayloadHeader
    withdrawals_root: Root
ExecutionPayload
    withdrawals: List[Withdrawal, MAX_WITHDRAWALS_PER_PAYLOAD]
BeaconBlockBody
    bls_to_execution_changes: List[SignedBLSToExecutionChange, MAX_BLS_TO_EXECUTION_CHANGES]
BeaconState
    next_withdrawal_index: uint64
    next_withdrawal_validator_index: ValidatorIndex
    historical_summaries: List[HistoricalSummary, HISTORICAL_ROOTS_LIMIT]
LightClientHeader
    execution: ExecutionPayloadHeader
    execution_branch: Vector[Bytes32, EXECUTION_BRANCH_DEPTH]
"""

DENEB: Final = """
ExecutionPayloadHeader
    blob_gas_used: uint64
    excess_blob_gas: uint64
ExecutionPayload
    blob_gas_used: uint64
    excess_blob_gas: uint64
BeaconBlockBody
    blob_kzg_commitments: List[KZGCommitment, MAX_BLOB_COMMITMENTS_PER_BLOCK]
"""

ELECTRA: Final = """
PendingDeposit
    pubkey: BLSPubkey
    withdrawal_credentials: Bytes32
    amount: Gwei
    signature: BLSSignature
    slot: Slot
PendingPartialWithdrawal
    validator_index: ValidatorIndex
    amount: Gwei
    withdrawable_epoch: Epoch
PendingConsolidation
    source_index: ValidatorIndex
    target_index: ValidatorIndex
DepositRequest
    pubkey: BLSPubkey
    withdrawal_credentials: Bytes32
    amount: Gwei
    signature: BLSSignature
    index: uint64
WithdrawalRequest
    source_address: ExecutionAddress
    validator_pubkey: BLSPubkey
    amount: Gwei
ConsolidationRequest
    source_address: ExecutionAddress
    source_pubkey: BLSPubkey
    target_pubkey: BLSPubkey
ExecutionRequests
    deposits: List[DepositRequest, MAX_DEPOSIT_REQUESTS_PER_PAYLOAD]
    withdrawals: List[WithdrawalRequest, MAX_WITHDRAWAL_REQUESTS_PER_PAYLOAD]
    consolidations: List[ConsolidationRequest, MAX_CONSOLIDATION_REQUESTS_PER_PAYLOAD]
Attestation
    aggregation_bits: Bitlist[MAX_VALIDATORS_PER_COMMITTEE * MAX_COMMITTEES_PER_SLOT]
    committee_bits: Bitvector[MAX_COMMITTEES_PER_SLOT]
IndexedAttestation
    attesting_indices: List[ValidatorIndex, MAX_VALIDATORS_PER_COMMITTEE * MAX_COMMITTEES_PER_SLOT]
BeaconBlockBody
    attester_slashings: List[AttesterSlashing, MAX_ATTESTER_SLASHINGS_ELECTRA]
    attestations: List[Attestation, MAX_ATTESTATIONS_ELECTRA]
    execution_requests: ExecutionRequests
BeaconState
    deposit_requests_start_index: uint64
    deposit_balance_to_consume: Gwei
    exit_balance_to_consume: Gwei
    earliest_exit_epoch: Epoch
    consolidation_balance_to_consume: Gwei
    earliest_consolidation_epoch: Epoch
    pending_deposits: List[PendingDeposit, PENDING_DEPOSITS_LIMIT]
    pending_partial_withdrawals: List[PendingPartialWithdrawal, PENDING_PARTIAL_WITHDRAWALS_LIMIT]
    pending_consolidations: List[PendingConsolidation, PENDING_CONSOLIDATIONS_LIMIT]
"""

FULU: Final = """
BeaconState
    proposer_lookahead: Vector[ValidatorIndex, PROPOSER_LOOKAHEAD_EPOCHS * SLOTS_PER_EPOCH]
"""
