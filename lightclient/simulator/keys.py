"""Validators of a simulated chain: deterministic keys, committees and their signatures.

A signature of many members is one signing with the sum of their secrets, which is the same point as
the sum of their signatures. The secrets are 255-bit hashes, so that no two sets of members have the
same sum by chance. They are public by construction: nothing here must ever guard anything.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256

from lightclient.bls import Backend
from lightclient.bls.encoding import CURVE_ORDER, G2_INFINITY
from lightclient.containers import SyncAggregate, SyncCommittee


def shuffled(text: str, count: int) -> list[int]:
    """The numbers below ``count`` in an order that ``text`` decides, in every Python version."""
    return sorted(range(count), key=lambda number: sha256(f"{text} {number}".encode()).digest())


@dataclass(frozen=True)
class SimulatedCommittee:
    """A sync committee whose secrets are known, by seat."""

    members: tuple[int, ...]
    secrets: tuple[int, ...] = field(repr=False)
    public: SyncCommittee = field(repr=False)

    @property
    def size(self) -> int:
        """Number of seats."""
        return len(self.secrets)

    def sign(self, backend: Backend, message: bytes, seats: Collection[int]) -> SyncAggregate:
        """The aggregate that ``seats`` give for a signing root (32 bytes); none: empty."""
        bits = 0
        for seat in seats:
            bits |= 1 << seat
        return SyncAggregate(
            bits.to_bytes(-(-self.size // 8), "little"), self._signature(backend, message, seats)
        )

    def _signature(self, backend: Backend, message: bytes, seats: Collection[int]) -> bytes:
        secret = sum(self.secrets[seat] for seat in seats) % CURVE_ORDER
        return backend.sign(secret, message) if secret else G2_INFINITY


class ValidatorKeys:
    """The keys of all validators, and the committee of each period.

    Args:
        seed: the same seed gives the same keys and committees.
        committee_size: seats of a committee.
        count: validators; a quarter more than seats by default, so that committees differ.
    """

    def __init__(
        self, backend: Backend, seed: int, committee_size: int, count: int | None = None
    ) -> None:
        self.backend = backend
        self.seed = seed
        self.committee_size = committee_size
        self.count = committee_size + max(8, committee_size // 4) if count is None else count
        self._committees: dict[int, SimulatedCommittee] = {}

    @cached_property
    def secrets(self) -> tuple[int, ...]:
        """The secret key of each validator."""
        return tuple(
            int.from_bytes(sha256(f"validator {self.seed} {index}".encode()).digest())
            % (CURVE_ORDER - 1)
            + 1
            for index in range(self.count)
        )

    @cached_property
    def pubkeys(self) -> tuple[bytes, ...]:
        """The public key of each validator, 48 bytes."""
        return tuple(self.backend.sk_to_pk(secret) for secret in self.secrets)

    def committee(self, period: int) -> SimulatedCommittee:
        """The committee of a period. Members are distinct while there are enough validators."""
        made = self._committees.get(period)
        if made is None:
            order = shuffled(f"committee {self.seed} {period}", self.count)
            members = tuple(order[seat % self.count] for seat in range(self.committee_size))
            made = self._committees[period] = self.committee_of(members)
        return made

    def committee_of(self, members: tuple[int, ...]) -> SimulatedCommittee:
        """The committee with these validators in its seats, with the true sum of their keys."""
        secrets = tuple(self.secrets[member] for member in members)
        return SimulatedCommittee(
            members,
            secrets,
            SyncCommittee(
                b"".join(self.pubkeys[member] for member in members),
                self.backend.sk_to_pk(sum(secrets) % CURVE_ORDER),
            ),
        )
