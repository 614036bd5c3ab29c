"""Sync committees whose secrets are known, honest ones and all sorts of dishonest ones."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from hashlib import sha256
from random import Random

from lightclient.bls import Backend
from lightclient.bls.encoding import CURVE_ORDER, G1_INFINITY, G2_INFINITY, negated
from lightclient.containers import SyncCommittee, default_sync_committee

HOSTILE_NAMES = frozenset({"negations", "wrong aggregate", "junk aggregate", "bad keys"})
"""Committees whose aggregate may not be the finite sum of valid keys."""


def off_subgroup_pubkeys(count: int) -> list[bytes]:
    """Encodings of points of the curve that are not in its subgroup."""
    from py_arkworks_bls12381 import G1Point

    found: list[bytes] = []
    number = 0
    while len(found) < count:
        number += 1
        octets = bytearray(sha256(b"off subgroup %d" % number).digest() + bytes(16))
        octets[0] = 0x80 | (octets[0] & 0x0F)
        try:
            point = G1Point.from_compressed_bytes_unchecked(bytes(octets))
        except ValueError:  # not on the curve
            continue
        if not point.is_in_subgroup():
            found.append(bytes(octets))
    return found


def off_subgroup_signature() -> bytes:
    """The encoding of a point of the twist that is not in its subgroup."""
    from py_arkworks_bls12381 import G2Point

    number = 0
    while True:
        number += 1
        octets = bytearray(bytes(48) + sha256(b"off subgroup %d" % number).digest() + bytes(16))
        octets[0] = 0x80
        octets[48] = 0x01
        try:
            point = G2Point.from_compressed_bytes_unchecked(bytes(octets))
        except ValueError:  # not on the twist
            continue
        if not point.is_in_subgroup():
            return bytes(octets)


@dataclass(frozen=True)
class Signers:
    """A committee with the secret of each seat: None where the key has none, 0 for infinity."""

    name: str
    public: SyncCommittee
    secrets: tuple[int | None, ...]
    aggregate_secret: int | None

    @property
    def aggregate_is_sum(self) -> bool:
        """Whether the aggregate key is that of all secrets."""
        known = [secret for secret in self.secrets if secret]
        total = sum(known) % CURVE_ORDER
        return len(known) == len(self.secrets) and total != 0 and total == self.aggregate_secret

    def secret_of(self, seats: Collection[int]) -> int:
        """The sum of the seats' secrets, leaving out those without one."""
        return sum(self.secrets[seat] or 0 for seat in seats) % CURVE_ORDER

    def secret_by_aggregate(self, seats: Collection[int]) -> int:
        """What the aggregate less the absent seats would be the key of."""
        absent = set(range(len(self.secrets))) - set(seats)
        return ((self.aggregate_secret or 0) - self.secret_of(absent)) % CURVE_ORDER


def bits_of(seats: Collection[int], size: int) -> bytes:
    """The bitvector in which ``seats`` are set."""
    number = 0
    for seat in seats:
        number |= 1 << seat
    return number.to_bytes(-(-size // 8), "little")


def signed(backend: Backend, secret: int, message: bytes) -> bytes:
    """The signature of a secret; infinity for zero."""
    return backend.sign(secret, message) if secret else G2_INFINITY


class Committees:
    """Makes committees of a size; remembers each by its root."""

    def __init__(self, backend: Backend, size: int, seed: int) -> None:
        self.backend = backend
        self.size = size
        self.seed = seed
        self._secrets = [self._secret(index) for index in range(size + size // 2)]
        self._pubkeys = [backend.sk_to_pk(secret) for secret in self._secrets]
        self._off_subgroup = off_subgroup_pubkeys(3)
        self.by_root: dict[bytes, Signers] = {}
        zero = default_sync_committee(size)
        self.default = self._kept(Signers("default", zero, (None,) * size, None))

    def _secret(self, index: int) -> int:
        octets = sha256(b"oracle %d %d" % (self.seed, index)).digest()
        return int.from_bytes(octets) % (CURVE_ORDER - 1) + 1

    def _kept(self, signers: Signers) -> Signers:
        self.by_root[signers.public.hash_tree_root()] = signers
        return signers

    def of(self, committee: SyncCommittee) -> Signers | None:
        """The signers of a committee made here."""
        return self.by_root.get(committee.hash_tree_root())

    def made(self, name: str, secrets: list[int], keys: list[bytes] | None = None) -> Signers:
        """A committee of these secrets with the true aggregate."""
        if keys is None:
            keys = [self.backend.sk_to_pk(secret) for secret in secrets]
        total = sum(secrets) % CURVE_ORDER
        aggregate = self.backend.sk_to_pk(total) if total else G1_INFINITY
        return self._kept(
            Signers(name, SyncCommittee(b"".join(keys), aggregate), tuple(secrets), total)
        )

    def honest(self, period: int) -> Signers:
        """The honest committee of a period."""
        draw = Random(f"committee {self.seed} {period}")
        members = draw.sample(range(len(self._secrets)), self.size)
        secrets = [self._secrets[member] for member in members]
        return self.made("honest", secrets, [self._pubkeys[member] for member in members])

    def hostile(self, draw: Random) -> Signers:
        """A dishonest committee of any sort."""
        makers: list[Callable[[Random, Signers], Signers]] = [
            self._with_duplicates,
            self._all_the_same,
            self._with_negations,
            self._with_wrong_aggregate,
            self._with_junk_aggregate,
            self._with_bad_keys,
            self._with_bad_keys,
            lambda _draw, _base: self.default,
        ]
        return draw.choice(makers)(draw, self.honest(draw.randrange(1000, 1016)))

    def _with_duplicates(self, draw: Random, base: Signers) -> Signers:
        secrets = [secret or 0 for secret in base.secrets]
        for _ in range(draw.randrange(1, self.size)):
            secrets[draw.randrange(self.size)] = secrets[draw.randrange(self.size)]
        return self.made("duplicates", secrets)

    def _all_the_same(self, _draw: Random, base: Signers) -> Signers:
        return self.made("all the same", [base.secrets[0] or 1] * self.size)

    def _with_negations(self, draw: Random, base: Signers) -> Signers:
        secrets = [secret or 0 for secret in base.secrets]
        pairs = draw.choice([1, 2, self.size // 2])
        for pair in range(pairs):
            secrets[2 * pair + 1] = CURVE_ORDER - secrets[2 * pair]
        return self.made("negations", secrets)

    def _with_wrong_aggregate(self, draw: Random, base: Signers) -> Signers:
        known = draw.randrange(1, CURVE_ORDER)
        aggregate = self.backend.sk_to_pk(known)
        public = SyncCommittee(base.public.pubkeys, aggregate)
        return self._kept(Signers("wrong aggregate", public, base.secrets, known))

    def _with_junk_aggregate(self, draw: Random, base: Signers) -> Signers:
        public = SyncCommittee(
            base.public.pubkeys, self._junk_key(draw, base.public.aggregate_pubkey)
        )
        return self._kept(Signers("junk aggregate", public, base.secrets, None))

    def _with_bad_keys(self, draw: Random, base: Signers) -> Signers:
        secrets = list(base.secrets)
        keys = [base.public.pubkey(seat) for seat in range(self.size)]
        for _ in range(draw.choice([1, 1, 2, self.size // 2, self.size])):
            seat = draw.randrange(self.size)
            keys[seat] = self._junk_key(draw, keys[seat])
            secret = base.secrets[seat] or 0
            secrets[seat] = {
                G1_INFINITY: 0,
                base.public.pubkey(seat): secret,
                negated(base.public.pubkey(seat)): CURVE_ORDER - secret,
            }.get(keys[seat])
        # The aggregate that the good keys add up to, or the one of before.
        aggregate, total = base.public.aggregate_pubkey, base.aggregate_secret
        good = sum(secret or 0 for secret in secrets) % CURVE_ORDER
        if good and draw.random() < 0.5:
            aggregate, total = self.backend.sk_to_pk(good), good
        public = SyncCommittee(b"".join(keys), aggregate)
        return self._kept(Signers("bad keys", public, tuple(secrets), total))

    def _junk_key(self, draw: Random, key: bytes) -> bytes:
        return draw.choice(
            [
                bytes(48),
                b"\xff" * 48,
                G1_INFINITY,
                bytes([0xE0]) + bytes(47),  # infinity with a sign
                bytes([0xC0]) + bytes(46) + b"\x01",  # infinity with a stray bit
                bytes([0x80]) + bytes(47),  # x = 0
                bytes([0x9F]) + b"\xff" * 47,  # x beyond the field
                bytes([key[0] & 0x7F]) + key[1:],  # no compression flag
                draw.choice(self._off_subgroup),
                bytes([0x80 | draw.randrange(32)]) + draw.randbytes(47),
                negated(key),
            ]
        )
