"""What a signature backend does: the interface that all of them share and agree on.

Semantics are those of draft-irtf-cfrg-bls-signature-04 (proof of possession, keys in G1). Verifying
never raises for bytes of any content or length; it says False.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from lightclient.bls.encoding import G2_INFINITY, Octets, octets


@runtime_checkable
class Backend(Protocol):
    """One implementation of BLS12-381 signatures. Stateless, so it may be shared freely.

    Public keys are 48 bytes, signatures 96, both compressed; messages have any length. Signing is
    not constant-time in any backend: use it for simulated chains and tests, not for real keys.
    """

    @property
    def name(self) -> str:
        """``"milagro"``, ``"arkworks"`` or ``"blst"``."""
        ...

    def sk_to_pk(self, secret: int) -> bytes:
        """The public key of a secret key; ``BlsError`` unless it is in 1..curve order - 1."""
        ...

    def sign(self, secret: int, message: Octets) -> bytes:
        """The signature of a message; ``BlsError`` unless the key is in 1..curve order - 1."""
        ...

    def key_validate(self, pubkey: Octets) -> bool:
        """KeyValidate: a canonical encoding of a finite point in the subgroup."""
        ...

    def verify(self, pubkey: Octets, message: Octets, signature: Octets) -> bool:
        """Verify: one key, one message."""
        ...

    def fast_aggregate_verify(
        self, pubkeys: Sequence[Octets], message: Octets, signature: Octets
    ) -> bool:
        """FastAggregateVerify with KeyValidate for each key and for their sum; no keys: False."""
        ...

    def aggregate_verify(
        self, pubkeys: Sequence[Octets], messages: Sequence[Octets], signature: Octets
    ) -> bool:
        """AggregateVerify: a message for each key. No keys, or unequal numbers: False."""
        ...

    def aggregate(self, signatures: Sequence[Octets]) -> bytes:
        """The sum of signatures; ``BlsError`` for none, or for one that is not a G2 point."""
        ...

    def aggregate_pubkeys(self, pubkeys: Sequence[Octets]) -> bytes:
        """eth_aggregate_pubkeys: the sum, ``BlsError`` for none or one that fails KeyValidate.

        The sum itself may be infinite, as in the specification.
        """
        ...


def eth_fast_aggregate_verify(
    backend: Backend, pubkeys: Sequence[Octets], message: Octets, signature: Octets
) -> bool:
    """eth_fast_aggregate_verify (Altair ``bls.md``): True also for no keys and infinity.

    The light client protocol does not use it; its signatures are checked by the plain
    ``fast_aggregate_verify``, where no keys are False.
    """
    if len(pubkeys) == 0 and octets(signature) == G2_INFINITY:
        return True
    return backend.fast_aggregate_verify(pubkeys, message, signature)
