"""The signature scheme on top of a library that offers points and pairings.

arkworks and blst come as such primitives; this is the one place that turns them into a scheme, so
that both make the same decisions. The points are the library's own objects, opaque here: ``Any``
is the boundary to packages without type information.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from lightclient.bls.encoding import Octets, octets, pubkey_octets, signature_octets
from lightclient.errors import BlsError

G1Point: TypeAlias = Any
G2Point: TypeAlias = Any
_Point: TypeAlias = Any

_WEIGHTS = (1 << 64) - 1


class PointBackend(ABC):
    """A :class:`~lightclient.bls.Backend` whose keys can be kept as points."""

    name: str

    @abstractmethod
    def _g1_from(self, encoded: bytes) -> G1Point:
        """Decompress with curve and subgroup check; ValueError where it fails."""

    @abstractmethod
    def _g2_from(self, encoded: bytes) -> G2Point:
        """Decompress with curve and subgroup check; ValueError where it fails."""

    @abstractmethod
    def _hash_to_g2(self, message: bytes) -> G2Point: ...

    @abstractmethod
    def _is_infinity(self, point: G1Point) -> bool: ...

    @abstractmethod
    def _pairings_match(
        self, keys: Sequence[G1Point], hashes: Sequence[G2Point], signature: G2Point
    ) -> bool:
        """Whether the product of e(key, hash) is e(generator, signature); never without keys."""

    @abstractmethod
    def _times(self, point: G1Point, factor: int) -> G1Point:
        """``point`` times a factor of at most 64 bits."""

    @abstractmethod
    def _weighted_sum(self, points: Sequence[G2Point], weights: Sequence[int]) -> G2Point:
        """The sum of points times weights of 1 to 64 bits; never without points."""

    @abstractmethod
    def compress(self, point: G1Point | G2Point) -> bytes:
        """The compressed encoding of a point."""

    @abstractmethod
    def sk_to_pk(self, secret: int) -> bytes:
        """See :meth:`Backend.sk_to_pk`."""

    @abstractmethod
    def sign(self, secret: int, message: Octets) -> bytes:
        """See :meth:`Backend.sign`."""

    def pubkey_point(self, pubkey: Octets) -> G1Point | None:
        """The point of a key that passes KeyValidate, or None."""
        encoded = pubkey_octets(pubkey)
        if encoded is None:
            return None
        try:
            return self._g1_from(encoded)
        except ValueError:
            return None

    def signature_point(self, signature: Octets) -> G2Point | None:
        """The point of a signature in the subgroup, infinity included, or None."""
        encoded = signature_octets(signature)
        if encoded is None:
            return None
        try:
            return self._g2_from(encoded)
        except ValueError:
            return None

    def verify_point(self, point: G1Point, message: Octets, signature: Octets) -> bool:
        """Verify with a key, or a sum of keys, that is a point already; infinity: False."""
        if self._is_infinity(point):
            return False
        signature_point = self.signature_point(signature)
        if signature_point is None:
            return False
        return self._pairings_match([point], [self._hash_to_g2(octets(message))], signature_point)

    def verify_points_together(
        self, keys: Sequence[G1Point], messages: Sequence[bytes], signatures: Sequence[Octets]
    ) -> bool:
        """Whether each key signed its message, as one random linear combination.

        A forged signature passes with a chance of 2^-64: the weights are unknown to whoever made
        it. False also without keys, for infinite keys and for signatures that are no valid points.
        """
        points = [self.signature_point(signature) for signature in signatures]
        if not points or any(point is None for point in points):
            return False
        if any(self._is_infinity(key) for key in keys):
            return False
        weights = [1 + secrets.randbelow(_WEIGHTS) for _ in points]
        return self._pairings_match(
            [self._times(key, weight) for key, weight in zip(keys, weights, strict=True)],
            [self._hash_to_g2(message) for message in messages],
            self._weighted_sum(points, weights),
        )

    def key_less(self, total: Octets, members: Sequence[Octets]) -> G1Point | None:
        """``total`` minus the sum of ``members``, for keys that are not worth keeping.

        The result passes KeyValidate; the members by themselves need not, as nobody relies on them.
        None where there is no such key.
        """
        point = self.pubkey_point(total)
        absent = sum_of_points(map(self.pubkey_point, members))
        if point is None or absent is None:
            return None
        return point + -absent

    def key_validate(self, pubkey: Octets) -> bool:
        """See :meth:`Backend.key_validate`."""
        return self.pubkey_point(pubkey) is not None

    def verify(self, pubkey: Octets, message: Octets, signature: Octets) -> bool:
        """See :meth:`Backend.verify`."""
        return self.fast_aggregate_verify([pubkey], message, signature)

    def fast_aggregate_verify(
        self, pubkeys: Sequence[Octets], message: Octets, signature: Octets
    ) -> bool:
        """See :meth:`Backend.fast_aggregate_verify`."""
        total = sum_of_points(map(self.pubkey_point, pubkeys))
        return total is not None and self.verify_point(total, message, signature)

    def aggregate_verify(
        self, pubkeys: Sequence[Octets], messages: Sequence[Octets], signature: Octets
    ) -> bool:
        """See :meth:`Backend.aggregate_verify`."""
        if not pubkeys or len(pubkeys) != len(messages):
            return False
        signature_point = self.signature_point(signature)
        if signature_point is None:
            return False
        keys = [self.pubkey_point(pubkey) for pubkey in pubkeys]
        if any(key is None for key in keys):
            return False
        hashes = [self._hash_to_g2(octets(message)) for message in messages]
        return self._pairings_match(keys, hashes, signature_point)

    def aggregate(self, signatures: Sequence[Octets]) -> bytes:
        """See :meth:`Backend.aggregate`."""
        total = sum_of_points(map(self.signature_point, signatures))
        if total is None:
            raise BlsError("no signatures to aggregate, or one of them is not a valid signature")
        return self.compress(total)

    def aggregate_pubkeys(self, pubkeys: Sequence[Octets]) -> bytes:
        """See :meth:`Backend.aggregate_pubkeys`."""
        total = sum_of_points(map(self.pubkey_point, pubkeys))
        if total is None:
            raise BlsError("no public keys to aggregate, or one of them is not a valid key")
        return self.compress(total)


def sum_of_points(points: Iterable[_Point | None]) -> _Point | None:
    """The sum of points; None where there are none or one of them is None."""
    total = None
    for point in points:
        if point is None:
            return None
        total = point if total is None else total + point
    return total
