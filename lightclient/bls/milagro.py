"""The backend over ``milagro_bls_binding``: the default dependency, for it runs on any processor.

The library takes and gives bytes only; it is deprecated upstream, yet complete.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

from lightclient.bls.encoding import (
    Octets,
    octets,
    pubkey_octets,
    secret_octets,
    signature_octets,
)
from lightclient.bls.g2 import in_subgroup
from lightclient.errors import BlsError


class MilagroBackend:
    """``native`` is the imported package."""

    name = "milagro"

    def __init__(self, native: ModuleType) -> None:
        self._native = native
        # There is no public one; the consensus specification itself calls this.
        self._aggregate_pubkeys = native._AggregatePKs  # noqa: SLF001

    def sk_to_pk(self, secret: int) -> bytes:
        """See :meth:`Backend.sk_to_pk`."""
        return bytes(self._native.SkToPk(secret_octets(secret)))

    def sign(self, secret: int, message: Octets) -> bytes:
        """See :meth:`Backend.sign`."""
        return bytes(self._native.Sign(secret_octets(secret), octets(message)))

    def key_validate(self, pubkey: Octets) -> bool:
        """See :meth:`Backend.key_validate`."""
        encoded = pubkey_octets(pubkey)
        return encoded is not None and self._sum_of_keys([encoded]) is not None

    def verify(self, pubkey: Octets, message: Octets, signature: Octets) -> bool:
        """See :meth:`Backend.verify`."""
        encoded, encoded_signature = pubkey_octets(pubkey), signature_octets(signature)
        if encoded is None or encoded_signature is None:
            return False
        return bool(self._native.Verify(encoded, octets(message), encoded_signature))

    def fast_aggregate_verify(
        self, pubkeys: Sequence[Octets], message: Octets, signature: Octets
    ) -> bool:
        """See :meth:`Backend.fast_aggregate_verify`."""
        if len(pubkeys) == 1:  # the same answer, a little sooner
            return self.verify(pubkeys[0], message, signature)
        keys, encoded_signature = _all_keys(pubkeys), signature_octets(signature)
        if keys is None or encoded_signature is None:
            return False
        return bool(self._native.FastAggregateVerify(keys, octets(message), encoded_signature))

    def aggregate_verify(
        self, pubkeys: Sequence[Octets], messages: Sequence[Octets], signature: Octets
    ) -> bool:
        """See :meth:`Backend.aggregate_verify`."""
        keys, encoded_signature = _all_keys(pubkeys), signature_octets(signature)
        if keys is None or encoded_signature is None or len(keys) != len(messages):
            return False
        texts = [octets(message) for message in messages]
        return bool(self._native.AggregateVerify(keys, texts, encoded_signature))

    def verify_aggregate(
        self, pubkeys: Sequence[bytes], messages: Sequence[bytes], signatures: Sequence[Octets]
    ) -> bool:
        """Whether each key signed its message, by the sum of the signatures (distinct messages).

        The sum is checked for the subgroup, the single signatures are not: see ``batch``.
        """
        encoded = [signature_octets(signature) for signature in signatures]
        present = [one for one in encoded if one is not None]
        if not present or len(present) != len(encoded):
            return False
        try:
            total = bytes(self._native.Aggregate(present))
        except ValueError:
            return False
        return self.aggregate_verify(pubkeys, messages, total)

    def aggregate(self, signatures: Sequence[Octets]) -> bytes:
        """See :meth:`Backend.aggregate`."""
        encoded = [signature_octets(signature) for signature in signatures]
        # Unlike the other libraries, this one would add up points outside the subgroup.
        valid = [one for one in encoded if one is not None and in_subgroup(one)]
        if not encoded or len(valid) != len(encoded):
            raise BlsError("no signatures to aggregate, or one of them is not a valid signature")
        return bytes(self._native.Aggregate(valid))

    def aggregate_pubkeys(self, pubkeys: Sequence[Octets]) -> bytes:
        """See :meth:`Backend.aggregate_pubkeys`."""
        keys = _all_keys(pubkeys)
        total = None if keys is None else self._sum_of_keys(keys)
        if total is None:
            raise BlsError("no public keys to aggregate, or one of them is not a valid key")
        return total

    def _sum_of_keys(self, keys: list[bytes]) -> bytes | None:
        try:
            return bytes(self._aggregate_pubkeys(keys))
        except ValueError:
            return None


def _all_keys(pubkeys: Sequence[Octets]) -> list[bytes] | None:
    """The keys' bytes; None where there are none or one of them cannot be a key."""
    keys = [encoded for pubkey in pubkeys if (encoded := pubkey_octets(pubkey)) is not None]
    return keys if keys and len(keys) == len(pubkeys) else None
