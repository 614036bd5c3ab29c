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

from lightclient.bls.backend import Backend
from lightclient.bls.committee import CommitteeKeys
from lightclient.bls.milagro import MilagroBackend
from lightclient.bls.points import PointBackend


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
    keys = []
    for item in signatures:
        key = item.keys.participants_key(item.participation)
        if key is None:
            return False
        keys.append(key)
    messages = [item.signing_root for item in signatures]
    encoded = [item.signature for item in signatures]
    if isinstance(backend, PointBackend):
        return backend.verify_points_together(keys, messages, encoded)
    if isinstance(backend, MilagroBackend) and len(set(messages)) == len(messages):
        return backend.verify_aggregate(keys, messages, encoded)
    return False
