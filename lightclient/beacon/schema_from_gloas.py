"""The containers of gloas and heze: what each defines, and what it changes against the fork before.

One text per fork, in the notation that ``schema`` explains and reads. From gloas on, states and
bodies are progressive containers (EIP-7495 and EIP-7916, applied by EIP-7688): lists have no limit,
and generalized indices stay where they are when later forks add fields.
"""

from __future__ import annotations

from typing import Final

GLOAS: Final = """
Builder
    pubkey: BLSPubkey
    version: uint8
    execution_address: ExecutionAddress
    balance: Gwei
    deposit_epoch: Epoch
    withdrawable_epoch: Epoch
BuilderPendingWithdrawal
    fee_recipient: ExecutionAddress
    amount: Gwei
    builder_index: BuilderIndex
BuilderPendingPayment
    weight: Gwei
    withdrawal: BuilderPendingWithdrawal
    proposer_index: ValidatorIndex
BuilderDepositRequest
    pubkey: BLSPubkey
    withdrawal_credentials: Bytes32
    amount: Gwei
    signature: BLSSignature
BuilderExitRequest
    source_address: ExecutionAddress
    pubkey: BLSPubkey
PayloadAttestationData
    beacon_block_root: Root
    slot: Slot
    payload_present: boolean
    blob_data_available: boolean
progressive PayloadAttestation
    aggregation_bits: Bitvector[PTC_SIZE]
    data: PayloadAttestationData
    signature: BLSSignature
progressive ExecutionPayloadBid
    parent_block_hash: Hash32
    parent_block_root: Root
    block_hash: Hash32
    prev_randao: Bytes32
    fee_recipient: ExecutionAddress
    gas_limit: uint64
    builder_index: BuilderIndex
    slot: Slot
    value: Gwei
    execution_payment: Gwei
    blob_kzg_commitments: ProgressiveList[KZGCommitment]
    execution_requests_root: Root
SignedExecutionPayloadBid
    message: ExecutionPayloadBid
    signature: BLSSignature
progressive Attestation
    aggregation_bits: ProgressiveBitlist
progressive IndexedAttestation
    attesting_indices: ProgressiveList[ValidatorIndex]
progressive ExecutionRequests
    deposits: ProgressiveList[DepositRequest]
    withdrawals: ProgressiveList[WithdrawalRequest]
    consolidations: ProgressiveList[ConsolidationRequest]
    builder_deposits: ProgressiveList[BuilderDepositRequest]
    builder_exits: ProgressiveList[BuilderExitRequest]
- ExecutionPayloadHeader
progressive ExecutionPayload
    transactions: ProgressiveList[ProgressiveList[byte]]
    withdrawals: ProgressiveList[Withdrawal]
    block_access_list: ProgressiveList[byte]
    slot_number: uint64
progressive ExecutionPayloadEnvelope
    payload: ExecutionPayload
    execution_requests: ExecutionRequests
    builder_index: BuilderIndex
    beacon_block_root: Root
    parent_beacon_block_root: Root
SignedExecutionPayloadEnvelope
    message: ExecutionPayloadEnvelope
    signature: BLSSignature
progressive BeaconBlockBody
    proposer_slashings: ProgressiveList[ProposerSlashing]
    attester_slashings: ProgressiveList[AttesterSlashing]
    attestations: ProgressiveList[Attestation]
    deposits: ProgressiveList[Deposit]
    voluntary_exits: ProgressiveList[SignedVoluntaryExit]
    - execution_payload
    bls_to_execution_changes: ProgressiveList[SignedBLSToExecutionChange]
    - blob_kzg_commitments
    - execution_requests
    signed_execution_payload_bid: SignedExecutionPayloadBid
    payload_attestations: ProgressiveList[PayloadAttestation]
    parent_execution_requests: ExecutionRequests
progressive BeaconState
    validators: ProgressiveList[Validator]
    balances: ProgressiveList[Gwei]
    previous_epoch_participation: ProgressiveList[uint8]
    current_epoch_participation: ProgressiveList[uint8]
    inactivity_scores: ProgressiveList[uint64]
    latest_execution_payload_header -> latest_block_hash: Hash32
    pending_deposits: ProgressiveList[PendingDeposit]
    pending_partial_withdrawals: ProgressiveList[PendingPartialWithdrawal]
    pending_consolidations: ProgressiveList[PendingConsolidation]
    builders: ProgressiveList[Builder]
    next_withdrawal_builder_index: BuilderIndex
    execution_payload_availability: Bitvector[SLOTS_PER_HISTORICAL_ROOT]
    builder_pending_payments:
        Vector[BuilderPendingPayment, BUILDER_PENDING_PAYMENTS_EPOCHS * SLOTS_PER_EPOCH]
    builder_pending_withdrawals: ProgressiveList[BuilderPendingWithdrawal]
    latest_execution_payload_bid: ExecutionPayloadBid
    payload_expected_withdrawals: ProgressiveList[Withdrawal]
    ptc_window: Vector[Vector[ValidatorIndex, PTC_SIZE], PTC_WINDOW_EPOCHS * SLOTS_PER_EPOCH]
LightClientHeader
    execution -> execution_block_hash: Hash32
"""

HEZE: Final = """
ExecutionPayloadBid
    inclusion_list_bits: Bitvector[INCLUSION_LIST_COMMITTEE_SIZE]
"""
