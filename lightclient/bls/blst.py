"""The backend over ``pyblst``: the fastest one, but its x86-64 build needs a recent processor.

Nothing here may be constructed before :mod:`lightclient.bls.cpu` has allowed the import.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, reduce
from operator import mul
from types import ModuleType

from lightclient.bls.arkworks import ArkworksBackend
from lightclient.bls.encoding import (
    DOMAIN_SEPARATION_TAG,
    G1_GENERATOR,
    G1_INFINITY,
    Octets,
    octets,
    secret_octets,
)
from lightclient.bls.points import G1Point, G2Point, PointBackend, sum_of_points


class BlstBackend(PointBackend):
    """``native`` is the imported package.

    ``arkworks`` gives that backend or None; it is asked once, and only for keys that are used once.
    There it saves the subgroup check, two thirds of the work, which blst's binding always makes.
    """

    name = "blst"

    def __init__(
        self, native: ModuleType, arkworks: Callable[[], ArkworksBackend | None] = lambda: None
    ) -> None:
        self._arkworks = cache(arkworks)
        self._g1 = native.BlstP1Element
        self._g2 = native.BlstP2Element
        self._miller_loop = native.miller_loop
        self._final_verify = native.final_verify
        self._infinity = self._g1.uncompress(G1_INFINITY)
        self._generator = self._g1.uncompress(G1_GENERATOR)

    def _g1_from(self, encoded: bytes) -> G1Point:
        return self._g1.uncompress(encoded)

    def _g2_from(self, encoded: bytes) -> G2Point:
        return self._g2.uncompress(encoded)

    def _hash_to_g2(self, message: bytes) -> G2Point:
        return self._g2.hash_to_group(message, DOMAIN_SEPARATION_TAG)

    def _is_infinity(self, point: G1Point) -> bool:
        return bool(point == self._infinity)

    def _pairings_match(
        self, keys: Sequence[G1Point], hashes: Sequence[G2Point], signature: G2Point
    ) -> bool:
        product = reduce(mul, map(self._miller_loop, keys, hashes))
        return bool(self._final_verify(product, self._miller_loop(self._generator, signature)))

    def key_less(self, total: Octets, members: Sequence[Octets]) -> G1Point | None:
        """See :meth:`PointBackend.key_less`."""
        helper = self._arkworks()
        if helper is None:
            return super().key_less(total, members)
        point = helper.unchecked_key_less(total, members)
        # Back through the encoding, where blst makes the subgroup check.
        return None if point is None else self.pubkey_point(helper.compress(point))

    def _times(self, point: G1Point, factor: int) -> G1Point:
        return point.scalar_mul(factor)

    def _weighted_sum(self, points: Sequence[G2Point], weights: Sequence[int]) -> G2Point:
        # The library multiplies by 255 bits whatever the factor; for 64 bits buckets are cheaper.
        return weighted_sum(points, weights)

    def compress(self, point: G1Point | G2Point) -> bytes:
        """The compressed encoding of a point."""
        return bytes(point.compress())

    def sk_to_pk(self, secret: int) -> bytes:
        """See :meth:`Backend.sk_to_pk`."""
        secret_octets(secret)
        return self.compress(self._generator.scalar_mul(secret))

    def sign(self, secret: int, message: Octets) -> bytes:
        """See :meth:`Backend.sign`."""
        secret_octets(secret)
        return self.compress(self._hash_to_g2(octets(message)).scalar_mul(secret))


_WINDOW_BITS = 4
_WEIGHT_BITS = 64


def weighted_sum(points: Sequence[G2Point], weights: Sequence[int]) -> G2Point:
    """The sum of points times weights of 1 to 64 bits, by Pippenger's buckets.

    The weights are public once used, so nothing here needs to take constant time.
    """
    total = None
    for shift in range(_WEIGHT_BITS - _WINDOW_BITS, -1, -_WINDOW_BITS):
        if total is not None:
            for _ in range(_WINDOW_BITS):
                total = total + total
        window = _window_sum(points, weights, shift)
        if window is not None:
            total = window if total is None else total + window
    assert total is not None  # no weight is zero
    return total


def _window_sum(points: Sequence[G2Point], weights: Sequence[int], shift: int) -> G2Point | None:
    """The sum of points times those bits of their weights that the window at ``shift`` shows."""
    buckets: list[list[G2Point]] = [[] for _ in range(1 << _WINDOW_BITS)]
    for point, weight in zip(points, weights, strict=True):
        buckets[weight >> shift & ((1 << _WINDOW_BITS) - 1)].append(point)
    running = total = None
    for bucket in reversed(buckets[1:]):
        bucket_sum = sum_of_points(bucket)
        if bucket_sum is not None:
            running = bucket_sum if running is None else running + bucket_sum
        if running is not None:
            total = running if total is None else total + running
    return total
