"""Many committees' signatures in one check.

Two kinds, by what a backend offers. A **random linear combination** proves each signature valid,
to 2^-64. A **plain aggregate** over distinct messages proves that each committee signed its
message, but not each signature by itself: two of them may be off by opposite amounts. What was
verified that way may be passed through, and must not be kept or handed on as a valid signature.

Whatever the kind: True is final, False only says that single checks must decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lightclient.bls.backend import Backend
from lightclient.bls.committee import CommitteeKeys, key_less
from lightclient.bls.milagro import MilagroBackend
from lightclient.bls.points import G1Point, PointBackend


class SignatureParts(NamedTuple):
    """A committee's signature in plain bytes, as another process gets it.

    Attributes:
        aggregate, absent: 48-byte keys: the first less the sum of the others is the signers' key.
        signing_root: 32 bytes. signature: 96 bytes.
    """

    aggregate: bytes
    absent: list[bytes]
    signing_root: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class CommitteeSignature:
    """A committee's signature, not checked yet.

    Attributes:
        participation: the bitvector's SSZ bytes.
        signing_root: 32 bytes. signature: 96 bytes.
    """

    keys: CommitteeKeys
    participation: bytes
    signing_root: bytes
    signature: bytes

    def is_valid(self) -> bool:
        """The check by itself."""
        return self.keys.verify(self.participation, self.signing_root, self.signature)

    def parts(self) -> SignatureParts | None:
        """The same in plain bytes; None if the participants' keys have to be summed."""
        keys = self.keys.aggregate_and_absent(self.participation)
        return None if keys is None else SignatureParts(*keys, self.signing_root, self.signature)


def proves_each(backend: Backend) -> bool:
    """Whether a batch on this backend proves each signature valid by itself."""
    return isinstance(backend, PointBackend)


def best_batch_size(backend: Backend) -> int:
    """How many signatures are worth checking together.

    Beyond this nothing is gained, and milagro would hold the interpreter for too long.
    """
    return 32 if isinstance(backend, PointBackend) else 16


def verify_together(backend: Backend, signatures: Sequence[CommitteeSignature]) -> bool:
    """Check all at once; see the module for what True means on which backend.

    All keys must be of ``backend``. False without signatures.
    """
    keys = [item.keys.participants_key(item.participation) for item in signatures]
    messages = [item.signing_root for item in signatures]
    return _verify_together(backend, keys, messages, [item.signature for item in signatures])


def verify_parts_together(backend: Backend, parts: Sequence[SignatureParts]) -> bool:
    """The same for signatures in plain bytes."""
    keys = [key_less(backend, item.aggregate, item.absent) for item in parts]
    messages = [item.signing_root for item in parts]
    return _verify_together(backend, keys, messages, [item.signature for item in parts])


def _verify_together(
    backend: Backend,
    keys: Sequence[G1Point | None],
    messages: Sequence[bytes],
    signatures: Sequence[bytes],
) -> bool:
    known: list[G1Point] = [key for key in keys if key is not None]
    if len(known) < len(keys):
        return False
    if isinstance(backend, PointBackend):
        return backend.verify_points_together(known, messages, signatures)
    if isinstance(backend, MilagroBackend) and len(set(messages)) == len(messages):
        return backend.verify_aggregate(known, messages, signatures)
    return False
