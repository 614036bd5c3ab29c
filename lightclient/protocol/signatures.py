"""Signing roots and the check of a sync committee's signature.

Keys are parsed once per committee and kept while the committee is in use. How a committee's
aggregate stands in for the sum of its keys, and when the two are compared, is told in
``lightclient.bls`` and in docs/trust-model.md.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import sha256

from lightclient.bls import Backend, CommitteeKeys, CommitteeSignature
from lightclient.config.network import Network, compute_fork_data_root
from lightclient.containers import LightClientUpdate, SyncCommittee

DOMAIN_SYNC_COMMITTEE = bytes.fromhex("07000000")
_KEPT_COMMITTEES = 4


def compute_domain(
    domain_type: bytes, fork_version: bytes, genesis_validators_root: bytes
) -> bytes:
    """Phase0 ``compute_domain``: 4 + 28 bytes."""
    return domain_type + compute_fork_data_root(fork_version, genesis_validators_root)[:28]


def compute_signing_root(object_root: bytes, domain: bytes) -> bytes:
    """Phase0 ``compute_signing_root`` of an object by its root."""
    return sha256(object_root + domain).digest()


def compute_signature_fork_version(signature_slot: int, network: Network) -> bytes:
    """Fork version that a sync committee signs with: that of the slot before the signature's."""
    fork_version_slot = max(signature_slot, 1) - 1
    return network.compute_fork_version(network.compute_epoch_at_slot(fork_version_slot))


def sync_committee_signing_root(update: LightClientUpdate, network: Network) -> bytes:
    """What the committee signed, 32 bytes."""
    domain = compute_domain(
        DOMAIN_SYNC_COMMITTEE,
        compute_signature_fork_version(update.signature_slot, network),
        network.genesis_validators_root,
    )
    return compute_signing_root(update.attested_header.beacon.hash_tree_root(), domain)


class SignatureVerifier:
    """Checks committee signatures with one backend; keeps the committees' parsed keys."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._keys: OrderedDict[SyncCommittee, CommitteeKeys] = OrderedDict()

    def keys_of(self, committee: SyncCommittee) -> CommitteeKeys:
        """The parsed keys of ``committee``, from the cache if it was used lately."""
        keys = self._keys.get(committee)
        if keys is None:
            keys = CommitteeKeys(self.backend, committee.pubkeys, committee.aggregate_pubkey)
            self._keys[committee] = keys
            if len(self._keys) > _KEPT_COMMITTEES:
                self._keys.popitem(last=False)
        else:
            self._keys.move_to_end(committee)
        return keys

    def compare_aggregate(self, committee: SyncCommittee) -> bool:
        """Whether the aggregate is the sum of the keys; works once, then remembers."""
        return self.keys_of(committee).compare_aggregate()

    def is_compared(self, committee: SyncCommittee) -> bool:
        """Whether :meth:`compare_aggregate` has already been answered."""
        return self.keys_of(committee).aggregate_checked

    def signature_of(
        self, committee: SyncCommittee, update: LightClientUpdate, network: Network
    ) -> CommitteeSignature:
        """The signature of ``update`` as one of ``committee``, ready to be checked."""
        return CommitteeSignature(
            self.keys_of(committee),
            update.sync_aggregate.sync_committee_bits,
            sync_committee_signing_root(update, network),
            update.sync_aggregate.sync_committee_signature,
        )

    def is_signature_valid(
        self, committee: SyncCommittee, update: LightClientUpdate, network: Network
    ) -> bool:
        """``FastAggregateVerify`` over the participants' keys."""
        return self.signature_of(committee, update, network).is_valid()
