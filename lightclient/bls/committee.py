"""Signatures of one sync committee, checked against its aggregate key less the absent members.

Theory of operation. The specification sums the participants' keys: some 500 decompressions for each
object. A committee carries its ``aggregate_pubkey``, so the participants' sum is also the aggregate
minus the few absent keys, which repeat from slot to slot and are kept here. The specification never
reads the aggregate, though. Where it is not the sum of the keys, or one of them is not a valid key,
the two ways differ; hence :meth:`CommitteeKeys.compare_aggregate`, once per committee: if the
aggregate is not the sum of valid keys, keys are summed from then on. A committee that was never
compared gets compared when a signature first fails, so no good signature is ever refused for a bad
aggregate. All that remains is that an aggregate differing from the sum could, before any
comparison, accept what the sum would refuse; the state transition that computes the aggregate
excludes it, and whoever wants no such trust compares first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from lightclient.bls.backend import Backend
from lightclient.bls.encoding import PUBKEY_BYTES, Octets, negated, octets, pubkey_octets
from lightclient.bls.points import G1Point, PointBackend, sum_of_points
from lightclient.errors import BlsError

_ONE_WAY_KEYS = 3
"""From so many keys on that were never used before, they are not kept as points."""


class _Keys(Protocol):
    """A committee's keys by index, in whatever form its backend works fastest with."""

    def aggregate_is_sum(self) -> bool: ...

    def all_but(self, absent: Iterator[int]) -> G1Point | bytes | None: ...

    def sum_of(self, present: Iterator[int]) -> G1Point | bytes | None: ...

    def verify_all_but(self, absent: Iterator[int], message: bytes, signature: Octets) -> bool: ...

    def verify_sum(self, present: Iterator[int], message: bytes, signature: Octets) -> bool: ...


class CommitteeKeys:
    """The keys of one sync committee, with the points that were needed so far.

    ``pubkeys`` is all members' keys concatenated (n * 48 bytes), ``aggregate_pubkey`` 48 bytes.
    Nothing is parsed before the first signature. What is kept is bounded by the committee's size.

    Raises:
        BlsError: the lengths are not those of a committee. Content never raises.
    """

    def __init__(self, backend: Backend, pubkeys: Octets, aggregate_pubkey: Octets) -> None:
        encoded, aggregate = octets(pubkeys), octets(aggregate_pubkey)
        size, remainder = divmod(len(encoded), PUBKEY_BYTES)
        if size == 0 or remainder or len(aggregate) != PUBKEY_BYTES:
            raise BlsError(
                f"{len(encoded)} bytes of keys and {len(aggregate)} of aggregate are no committee"
            )
        self.size = size
        self._encoded, self._aggregate = encoded, aggregate
        self._keys: _Keys = (
            _PointKeys(backend, encoded, aggregate)
            if isinstance(backend, PointBackend)
            else _EncodedKeys(backend, encoded, aggregate)
        )
        self._aggregate_is_sum: bool | None = None

    @property
    def aggregate_checked(self) -> bool:
        """Whether :meth:`compare_aggregate` has run."""
        return self._aggregate_is_sum is not None

    def compare_aggregate(self) -> bool:
        """Whether every key passes KeyValidate and their sum is the finite aggregate; cached.

        Costs a decompression for each key, once: for 512 keys about 40 ms (blst) to 120 (milagro).
        """
        if self._aggregate_is_sum is None:
            self._aggregate_is_sum = self._keys.aggregate_is_sum()
        return self._aggregate_is_sum

    def verify(self, participation: Octets, signing_root: Octets, signature: Octets) -> bool:
        """FastAggregateVerify over the participants' keys.

        ``participation`` is the bitvector's SSZ encoding, ``ceil(n / 8)`` bytes with the first
        member in the lowest bit. Nobody present, wrong lengths, bits beyond the last member, keys
        or signatures that are no valid points and an infinite sum are all False.
        """
        present = self._present(participation)
        if not present:
            return False
        message = octets(signing_root)
        absent = present ^ ((1 << self.size) - 1)
        if self._is_summed(absent):
            return self._keys.verify_sum(_indices(present), message, signature)
        if self._keys.verify_all_but(_indices(absent), message, signature):
            return True
        if self._aggregate_is_sum or self.compare_aggregate():
            return False
        return self._keys.verify_sum(_indices(present), message, signature)

    def participants_key(self, participation: Octets) -> G1Point | bytes | None:
        """The sum of the participants' keys as :meth:`verify` would use it, for a batch.

        A native point, or 48 bytes for a backend that takes bytes. None where there is no such key;
        then, and where the batch fails, :meth:`verify` decides.
        """
        present = self._present(participation)
        if not present:
            return None
        absent = present ^ ((1 << self.size) - 1)
        if self._is_summed(absent):
            return self._keys.sum_of(_indices(present))
        return self._keys.all_but(_indices(absent))

    def aggregate_and_absent(self, participation: Octets) -> tuple[bytes, list[bytes]] | None:
        """The 48-byte keys whose difference is :meth:`participants_key`: total, and members.

        None where that key is a sum of those present, or there is none.
        """
        present = self._present(participation)
        absent = present ^ ((1 << self.size) - 1)
        if not present or self._is_summed(absent):
            return None
        return self._aggregate, [_member(self._encoded, seat) for seat in _indices(absent)]

    def _is_summed(self, absent: int) -> bool:
        return self._aggregate_is_sum is False or 2 * absent.bit_count() > self.size

    def _present(self, participation: Octets) -> int:
        """The participants as the bits of a number; 0 for none and for what is no bitvector."""
        bits = octets(participation)
        present = int.from_bytes(bits, "little")
        return 0 if len(bits) != (self.size + 7) // 8 or present >> self.size else present


def key_less(backend: Backend, total: bytes, members: list[bytes]) -> G1Point | bytes | None:
    """``total`` less the sum of ``members`` in the form that ``backend`` works with.

    All are 48 bytes. None where there is no such key.
    """
    if isinstance(backend, PointBackend):
        return backend.key_less(total, members) if members else backend.pubkey_point(total)
    return _total(backend, [total, *map(negated, members)])


def _total(backend: Backend, keys: list[bytes]) -> bytes | None:
    try:
        return backend.aggregate_pubkeys(keys) if len(keys) > 1 else keys[0]
    except BlsError:
        return None


class _PointKeys:
    """Keys as native points, each decompressed once: additions are all that a signature costs."""

    def __init__(self, backend: PointBackend, encoded: bytes, aggregate: bytes) -> None:
        self._backend = backend
        self._encoded = encoded
        self._aggregate = aggregate
        self._points: dict[int, G1Point | None] = {}
        self._aggregate_point: Any = None

    def aggregate_is_sum(self) -> bool:
        if pubkey_octets(self._aggregate) is None:
            return False
        total = sum_of_points(map(self._point, range(len(self._encoded) // PUBKEY_BYTES)))
        return total is not None and self._backend.compress(total) == self._aggregate

    def all_but(self, absent: Iterator[int]) -> G1Point | None:
        seats = list(absent)
        if sum(seat not in self._points for seat in seats) >= _ONE_WAY_KEYS:
            # A committee that a history passes through: nothing of it is needed again. One in use
            # at the head was compared, so all its points are at hand.
            members = [_member(self._encoded, seat) for seat in seats]
            return self._backend.key_less(self._aggregate, members)
        if self._aggregate_point is None:
            self._aggregate_point = self._backend.pubkey_point(self._aggregate)
        total = self._aggregate_point
        for seat in seats:
            point = self._point(seat)
            if point is None or total is None:
                return None
            total = total + -point
        return total

    def sum_of(self, present: Iterator[int]) -> G1Point | None:
        return sum_of_points(map(self._point, present))

    def verify_all_but(self, absent: Iterator[int], message: bytes, signature: Octets) -> bool:
        total = self.all_but(absent)
        return total is not None and self._backend.verify_point(total, message, signature)

    def verify_sum(self, present: Iterator[int], message: bytes, signature: Octets) -> bool:
        total = self.sum_of(present)
        return total is not None and self._backend.verify_point(total, message, signature)

    def _point(self, index: int) -> G1Point | None:
        if index not in self._points:
            self._points[index] = self._backend.pubkey_point(_member(self._encoded, index))
        return self._points[index]


class _EncodedKeys:
    """Keys as bytes, for a backend that takes nothing else; a negation is one flipped bit."""

    def __init__(self, backend: Backend, encoded: bytes, aggregate: bytes) -> None:
        self._backend = backend
        self._encoded = encoded
        self._aggregate = aggregate
        self._negated: dict[int, bytes] = {}

    def aggregate_is_sum(self) -> bool:
        if pubkey_octets(self._aggregate) is None:
            return False
        members = range(len(self._encoded) // PUBKEY_BYTES)
        try:
            total = self._backend.aggregate_pubkeys([_member(self._encoded, i) for i in members])
        except BlsError:
            return False
        return total == self._aggregate

    def all_but(self, absent: Iterator[int]) -> bytes | None:
        return _total(self._backend, [self._aggregate, *map(self._negated_member, absent)])

    def sum_of(self, present: Iterator[int]) -> bytes | None:
        return _total(self._backend, [_member(self._encoded, index) for index in present])

    def verify_all_but(self, absent: Iterator[int], message: bytes, signature: Octets) -> bool:
        keys = [self._aggregate, *map(self._negated_member, absent)]
        return self._backend.fast_aggregate_verify(keys, message, signature)

    def verify_sum(self, present: Iterator[int], message: bytes, signature: Octets) -> bool:
        keys = [_member(self._encoded, index) for index in present]
        return self._backend.fast_aggregate_verify(keys, message, signature)

    def _negated_member(self, index: int) -> bytes:
        if index not in self._negated:
            self._negated[index] = negated(_member(self._encoded, index))
        return self._negated[index]


def _member(encoded: bytes, index: int) -> bytes:
    return encoded[index * PUBKEY_BYTES : (index + 1) * PUBKEY_BYTES]


def _indices(bits: int) -> Iterator[int]:
    """The positions of the set bits, lowest first."""
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest
