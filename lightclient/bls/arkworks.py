"""The backend over ``py_arkworks_bls12381``: wheels for every platform, half milagro's time."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

from lightclient.bls.encoding import (
    DOMAIN_SEPARATION_TAG,
    Octets,
    octets,
    pubkey_octets,
    secret_octets,
)
from lightclient.bls.points import G1Point, G2Point, PointBackend, sum_of_points


class ArkworksBackend(PointBackend):
    """``native`` is the imported package."""

    name = "arkworks"

    def __init__(self, native: ModuleType) -> None:
        self._g1 = native.G1Point
        self._g2 = native.G2Point
        self._scalar = native.Scalar
        self._pairing_check = native.GT.pairing_check
        self._infinity = native.G1Point.identity()
        self._negated_generator = -native.G1Point()

    def _g1_from(self, encoded: bytes) -> G1Point:
        return self._g1.from_compressed_bytes(encoded)

    def _g2_from(self, encoded: bytes) -> G2Point:
        return self._g2.from_compressed_bytes(encoded)

    def _hash_to_g2(self, message: bytes) -> G2Point:
        return self._g2.hash_to_curve(message, DOMAIN_SEPARATION_TAG)

    def _is_infinity(self, point: G1Point) -> bool:
        return bool(point == self._infinity)

    def _pairings_match(
        self, keys: Sequence[G1Point], hashes: Sequence[G2Point], signature: G2Point
    ) -> bool:
        return bool(self._pairing_check([*keys, self._negated_generator], [*hashes, signature]))

    def key_less(self, total: Octets, members: Sequence[Octets]) -> G1Point | None:
        """See :meth:`PointBackend.key_less`: one subgroup check, on the result."""
        point = self.unchecked_key_less(total, members)
        valid = point is not None and point.is_in_subgroup() and not self._is_infinity(point)
        return point if valid else None

    def unchecked_key_less(self, total: Octets, members: Sequence[Octets]) -> G1Point | None:
        """The same on the curve, perhaps outside of the subgroup: half the time of checked keys."""
        encoded = [pubkey_octets(key) for key in (total, *members)]
        try:
            points = [self._g1.from_compressed_bytes_unchecked(one) for one in encoded if one]
        except ValueError:
            return None
        absent = sum_of_points(points[1:])
        return None if absent is None or len(points) < len(encoded) else points[0] + -absent

    def _times(self, point: G1Point, factor: int) -> G1Point:
        return point * self._scalar.from_be_bytes(factor.to_bytes(32, "big"))

    def _weighted_sum(self, points: Sequence[G2Point], weights: Sequence[int]) -> G2Point:
        scalars = [self._scalar.from_be_bytes(weight.to_bytes(32, "big")) for weight in weights]
        return self._g2.multiexp_unchecked(points, scalars)

    def compress(self, point: G1Point | G2Point) -> bytes:
        """The compressed encoding of a point."""
        return bytes(point.to_compressed_bytes())

    def sk_to_pk(self, secret: int) -> bytes:
        """See :meth:`Backend.sk_to_pk`."""
        scalar = self._scalar.from_be_bytes(secret_octets(secret))
        return self.compress(self._g1() * scalar)

    def sign(self, secret: int, message: Octets) -> bytes:
        """See :meth:`Backend.sign`."""
        scalar = self._scalar.from_be_bytes(secret_octets(secret))
        return self.compress(self._hash_to_g2(octets(message)) * scalar)
