"""A signature scheme with BLS's algebra and none of its cost: residues in place of curve points.

Keys, signatures and hashes are numbers modulo the curve order, and "pairing" is multiplication, so
everything bilinear that the client relies on holds: sums of keys, negations, batches. Discrete
logarithms are trivial here, so it must never leave a simulation; the simulated attackers do not
compute any, which leaves them as able to forge as they are with real keys: not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from lightclient.bls.encoding import (
    COMPRESSION_FLAG,
    CURVE_ORDER,
    G1_INFINITY,
    G2_INFINITY,
    PUBKEY_BYTES,
    SIGN_FLAG,
    SIGNATURE_BYTES,
    Octets,
    octets,
    secret_octets,
)
from lightclient.bls.points import PointBackend

_GENERATOR = 0x1F3D5B79
_HALF = CURVE_ORDER // 2


class _Signature:
    """A number that knows that it is a signature: it has another encoding than a key."""

    __slots__ = ("value",)

    def __init__(self, value: int) -> None:
        self.value = value

    def __add__(self, other: _Signature) -> _Signature:
        return _Signature(self.value + other.value)


class ToyBackend(PointBackend):
    """A :class:`~lightclient.bls.Backend` that runs the code paths of blst and arkworks."""

    name = "toy"

    def _g1_from(self, encoded: bytes) -> int:
        return _decoded(encoded)

    def _g2_from(self, encoded: bytes) -> _Signature:
        return _Signature(0 if encoded == G2_INFINITY else _decoded(encoded))

    def _hash_to_g2(self, message: bytes) -> int:
        return int.from_bytes(sha256(message).digest(), "big") % (CURVE_ORDER - 1) + 1

    def _is_infinity(self, point: int) -> bool:
        return point % CURVE_ORDER == 0

    def _pairings_match(
        self, keys: Sequence[int], hashes: Sequence[int], signature: _Signature
    ) -> bool:
        paired = sum(key * hashed for key, hashed in zip(keys, hashes, strict=True))
        return (paired - _GENERATOR * signature.value) % CURVE_ORDER == 0

    def _times(self, point: int, factor: int) -> int:
        return point * factor

    def _weighted_sum(self, points: Sequence[_Signature], weights: Sequence[int]) -> _Signature:
        pairs = zip(points, weights, strict=True)
        return _Signature(sum(point.value * weight for point, weight in pairs))

    def compress(self, point: int | _Signature) -> bytes:
        if isinstance(point, _Signature):
            return _encoded(point.value, SIGNATURE_BYTES) or G2_INFINITY
        return _encoded(point, PUBKEY_BYTES) or G1_INFINITY

    def sk_to_pk(self, secret: int) -> bytes:
        secret_octets(secret)
        return self.compress(secret * _GENERATOR)

    def sign(self, secret: int, message: Octets) -> bytes:
        secret_octets(secret)
        return self.compress(_Signature(secret * self._hash_to_g2(octets(message))))


def _encoded(value: int, length: int) -> bytes:
    """The smaller of a number and its negation, with the sign as BLS has it; empty for zero."""
    value %= CURVE_ORDER
    if not value:
        return b""
    sign = SIGN_FLAG if value > _HALF else 0
    encoded = min(value, CURVE_ORDER - value).to_bytes(length, "big")
    return bytes([encoded[0] | COMPRESSION_FLAG | sign]) + encoded[1:]


def _decoded(encoded: bytes) -> int:
    flags = encoded[0] & (COMPRESSION_FLAG | SIGN_FLAG)
    value = int.from_bytes(bytes([encoded[0] ^ flags]) + encoded[1:], "big")
    if not 0 < value <= _HALF:
        raise ValueError("not a canonical residue")
    return CURVE_ORDER - value if flags & SIGN_FLAG else value
