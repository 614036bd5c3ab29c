"""A committee's signatures: always the specification's answer, by the aggregate or by the sum."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lightclient.bls import (
    BACKEND_NAMES,
    Backend,
    CommitteeKeys,
    backend_by_name,
    why_unusable,
)
from lightclient.bls.encoding import CURVE_ORDER, G1_INFINITY, G2_INFINITY
from lightclient.errors import BlsError

ROOT = b"\x42" * 32
SIZE = 16
OUTSIDE_SUBGROUP = bytes([0x80]) + (4).to_bytes(47, "big")
ALL = range(SIZE)


def bits(present: Any, size: int = SIZE) -> bytes:
    return sum(1 << index for index in present).to_bytes((size + 7) // 8, "little")


class Committee:
    """Secrets 101, 102, ... unless given; ``replaced`` puts other bytes on some seats."""

    def __init__(
        self,
        backend: Backend,
        signer: Any,
        secrets: list[int] | None = None,
        replaced: dict[int, bytes] | None = None,
        aggregate: bytes | None = None,
    ) -> None:
        self.backend, self.signer = backend, signer
        self.secrets = secrets or [101 + index for index in ALL]
        self.members = [signer.key(secret) for secret in self.secrets]
        true_aggregate = backend.aggregate_pubkeys(self.members)
        for index, key in (replaced or {}).items():
            self.members[index] = key
        self.keys = CommitteeKeys(backend, b"".join(self.members), aggregate or true_aggregate)

    def sign(self, present: Any) -> bytes:
        total = sum(self.secrets[index] for index in present) % CURVE_ORDER
        return self.signer.sign(total, ROOT) if total else G2_INFINITY

    def verify(self, present: Any, signature: bytes | None = None) -> bool:
        """The committee's answer; it must be the specification's unless a test says otherwise."""
        given = self.sign(present) if signature is None else signature
        return self.keys.verify(bits(present, len(self.secrets)), ROOT, given)

    def summed(self, present: Any, signature: bytes | None = None) -> bool:
        given = self.sign(present) if signature is None else signature
        keys = [self.members[index] for index in present]
        return self.backend.fast_aggregate_verify(keys, ROOT, given)


@pytest.fixture
def committee(backend: Backend, signer: Any) -> Committee:
    return Committee(backend, signer)


@pytest.mark.parametrize("compared", [False, True])
@pytest.mark.parametrize("absent", [0, 1, 3, SIZE // 2 - 1, SIZE // 2, SIZE // 2 + 1, SIZE - 1])
def test_any_number_of_members_may_be_absent(
    committee: Committee, absent: int, compared: bool
) -> None:
    if compared:
        assert committee.keys.compare_aggregate()
    for present in (list(ALL)[absent:], list(ALL)[: SIZE - absent]):
        assert committee.verify(present)
        assert committee.verify(present)  # now from the kept points
        assert not committee.verify(present, committee.sign([*present, 0]))
        assert not committee.verify(present, committee.signer.sign(7, ROOT))
        assert committee.verify(present)  # a failure leaves nothing behind


def test_a_signature_is_bound_to_its_participants(committee: Committee) -> None:
    signature = committee.sign(range(1, SIZE))
    assert committee.verify(range(1, SIZE), signature)
    assert not committee.verify(range(SIZE), signature)
    assert not committee.verify(range(SIZE - 1), signature)
    assert not committee.verify([1], signature)


def test_a_signature_is_bound_to_its_root(committee: Committee) -> None:
    signature = committee.sign(ALL)
    assert not committee.keys.verify(bits(ALL), b"\x43" * 32, signature)
    assert not committee.keys.verify(bits(ALL), b"", signature)
    assert committee.keys.verify(bits(ALL), ROOT, signature)


def test_nobody_present_is_false_even_with_an_infinite_signature(committee: Committee) -> None:
    assert not committee.verify([], G2_INFINITY)
    assert not committee.verify([], committee.sign(ALL))
    assert not committee.verify(ALL, G2_INFINITY)


@pytest.mark.parametrize("size", [12, 13])
def test_bits_beyond_the_last_member_and_wrong_lengths_are_false(
    backend: Backend, signer: Any, size: int
) -> None:
    committee = Committee(backend, signer, secrets=list(range(1, size + 1)))
    signature = committee.sign(range(size))
    exact = bits(range(size), size)
    assert committee.keys.verify(exact, ROOT, signature)
    for wrong in (b"", exact[:-1], exact + b"\0", b"\0" + exact, bits(range(size + 1), 16)):
        assert not committee.keys.verify(wrong, ROOT, signature)


@pytest.mark.parametrize(
    "signature",
    [b"", bytes(95), bytes(96), bytes(97), b"\xff" * 96, G2_INFINITY, bytes([0xE0]) + bytes(95)],
)
def test_malformed_signatures_are_false(committee: Committee, signature: bytes) -> None:
    assert not committee.verify(ALL, signature)
    assert not committee.verify([0], signature)


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_any_kind_of_bytes_is_taken(backend: Backend, signer: Any, kind: Any) -> None:
    original = Committee(backend, signer)
    aggregate = kind(backend.aggregate_pubkeys(original.members))
    keys = CommitteeKeys(backend, kind(b"".join(original.members)), aggregate)
    present = range(2, SIZE)
    assert keys.verify(kind(bits(present)), kind(ROOT), kind(original.sign(present)))
    assert keys.compare_aggregate()


def test_members_that_hold_two_seats_count_twice(backend: Backend, signer: Any) -> None:
    committee = Committee(backend, signer, secrets=[11, 11, 11, 12, 13, 14, 15, 16])
    for present in (range(8), [0, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5, 6, 7], [0, 1], [1, 2, 3]):
        assert committee.verify(present)
    assert not committee.verify([0, 1], committee.sign([0]))
    # Which of its seats a member signed from cannot be told, and need not be.
    assert committee.verify([1, 3, 4, 5, 6, 7], committee.sign([0, 3, 4, 5, 6, 7]))


def test_the_aggregate_is_compared_when_asked_and_when_a_signature_fails(
    committee: Committee,
) -> None:
    assert not committee.keys.aggregate_checked
    assert committee.verify(ALL)
    assert not committee.keys.aggregate_checked
    assert not committee.verify(ALL, committee.sign([0]))
    assert committee.keys.aggregate_checked
    assert committee.keys.compare_aggregate()


WRONG_AGGREGATES = {
    "another key": lambda signer: signer.key(999),
    "the negation of the sum": lambda signer: signer.key(
        CURVE_ORDER - sum(101 + index for index in ALL)
    ),
    "infinity": lambda signer: G1_INFINITY,
    "outside the subgroup": lambda signer: OUTSIDE_SUBGROUP,
    "all zero": lambda signer: bytes(48),
    "all ones": lambda signer: b"\xff" * 48,
}


@pytest.mark.parametrize("make", WRONG_AGGREGATES.values(), ids=WRONG_AGGREGATES)
@pytest.mark.parametrize("compared", [False, True])
def test_a_wrong_aggregate_refuses_no_good_signature(
    backend: Backend, signer: Any, make: Any, compared: bool
) -> None:
    committee = Committee(backend, signer, aggregate=make(signer))
    if compared:
        assert not committee.keys.compare_aggregate()
    for present in (ALL, range(2, SIZE), range(SIZE - 2), [5]):
        assert committee.verify(present)
        assert not committee.verify(present, signer.sign(7, ROOT))
    assert committee.keys.aggregate_checked
    assert not committee.keys.compare_aggregate()


def test_once_compared_a_wrong_aggregate_lends_no_signature(backend: Backend, signer: Any) -> None:
    forged = signer.sign(999, ROOT)
    committee = Committee(backend, signer, aggregate=signer.key(999))
    # The one difference that is documented: before any comparison the aggregate is believed.
    assert committee.verify(ALL, forged)
    assert not committee.keys.compare_aggregate()
    assert not committee.verify(ALL, forged)
    assert not committee.summed(ALL, forged)


BAD_MEMBERS = {
    "infinity": G1_INFINITY,
    "outside the subgroup": OUTSIDE_SUBGROUP,
    "all zero": bytes(48),
    "all ones": b"\xff" * 48,
    "off the curve": bytes([0x80]) + (1).to_bytes(47, "big"),
}


@pytest.mark.parametrize("bad", BAD_MEMBERS.values(), ids=BAD_MEMBERS)
@pytest.mark.parametrize("compared", [False, True])
def test_an_invalid_member_spoils_only_what_it_takes_part_in(
    backend: Backend, signer: Any, bad: bytes, compared: bool
) -> None:
    committee = Committee(backend, signer, replaced={4: bad}, aggregate=signer.key(999))
    if compared:
        assert not committee.keys.compare_aggregate()
    without = [index for index in ALL if index != 4]
    for present in (without, without[3:], without[:3]):
        assert committee.verify(present)
    for present in ([*ALL], [4], [3, 4], [*range(8)]):
        honest_others = committee.sign([index for index in present if index != 4])
        for signature in (committee.sign(present), honest_others):
            assert not committee.verify(present, signature)
            assert not committee.summed(present, signature)
    assert not committee.keys.compare_aggregate()


def test_an_invalid_member_that_the_aggregate_leaves_out_is_found_by_comparing(
    backend: Backend, signer: Any
) -> None:
    others = [index for index in ALL if index != 4]
    aggregate = backend.aggregate_pubkeys([signer.key(101 + index) for index in others])
    committee = Committee(backend, signer, replaced={4: G1_INFINITY}, aggregate=aggregate)
    assert not committee.keys.compare_aggregate()
    assert not committee.verify(ALL, committee.sign(others))


@pytest.mark.parametrize("compared", [False, True])
def test_members_that_cancel_out_sign_nothing(
    backend: Backend, signer: Any, compared: bool
) -> None:
    secrets = [3, CURVE_ORDER - 3, 5, CURVE_ORDER - 5, 7, 9]
    committee = Committee(backend, signer, secrets=secrets)
    if compared:
        assert committee.keys.compare_aggregate()
    for present in ([0, 1], [2, 3], [0, 1, 2, 3]):
        assert not committee.verify(present, G2_INFINITY)
        assert not committee.verify(present, signer.sign(3, ROOT))
    assert committee.verify([0, 1, 4])
    assert committee.verify(range(6), signer.sign(16, ROOT))


@pytest.mark.parametrize("compared", [False, True])
def test_a_committee_whose_keys_cancel_out_is_summed(
    backend: Backend, signer: Any, compared: bool
) -> None:
    secrets = [3, CURVE_ORDER - 3, 5, CURVE_ORDER - 5]
    committee = Committee(backend, signer, secrets=secrets)  # the aggregate is infinity
    if compared:
        assert not committee.keys.compare_aggregate()
    assert not committee.verify(range(4), G2_INFINITY)
    assert committee.verify([0, 1, 2])
    assert committee.verify([0])


def test_a_committee_of_one_works(backend: Backend, signer: Any) -> None:
    committee = Committee(backend, signer, secrets=[3])
    assert committee.verify([0])
    assert not committee.verify([0], signer.sign(4, ROOT))
    assert committee.keys.compare_aggregate()
    assert committee.verify([0])


@pytest.mark.parametrize(
    ("pubkeys", "aggregate"), [(0, 48), (47, 48), (49, 48), (96, 47), (96, 49), (96, 0)]
)
def test_lengths_that_are_no_committee_are_the_callers_mistake(
    backend: Backend, pubkeys: int, aggregate: int
) -> None:
    with pytest.raises(BlsError, match="no committee"):
        CommitteeKeys(backend, bytes(pubkeys), bytes(aggregate))


def test_making_a_committee_parses_nothing(backend: Backend) -> None:
    keys = CommitteeKeys(backend, b"\xff" * 48 * 512, b"\xff" * 48)
    assert not keys.aggregate_checked
    assert not keys.verify(b"\xff" * 64, ROOT, G2_INFINITY)
    assert keys.aggregate_checked


_SECRETS = st.sampled_from([3, 5, 7, CURVE_ORDER - 3, CURVE_ORDER - 5, 11])
_SEATS = st.one_of(_SECRETS, _SECRETS, _SECRETS, st.sampled_from(sorted(BAD_MEMBERS.values())))


@st.composite
def _situations(draw: Any) -> Any:
    seats = draw(st.lists(_SEATS, min_size=1, max_size=9))
    present = draw(st.sets(st.integers(0, len(seats) - 1)))
    signers = draw(st.one_of(st.just(present), st.sets(st.integers(0, len(seats) - 1))))
    aggregate = draw(st.sampled_from(["true", "true", "wrong", "infinite", "malformed"]))
    return seats, sorted(present), sorted(signers), aggregate, draw(st.booleans())


@pytest.mark.parametrize("name", BACKEND_NAMES)
@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(situation=_situations())
def test_the_answer_is_that_of_fast_aggregate_verify(name: str, situation: Any) -> None:
    if (reason := why_unusable(name)) is not None:
        pytest.skip(reason)
    backend = backend_by_name(name)
    seats, present, signers, kind, compared = situation
    members = [backend.sk_to_pk(seat) if isinstance(seat, int) else seat for seat in seats]
    total = sum(seats[i] for i in signers if isinstance(seats[i], int)) % CURVE_ORDER
    signature = backend.sign(total, ROOT) if total else G2_INFINITY
    sound = [member for member in members if backend.key_validate(member)]
    aggregate = {
        "true": backend.aggregate_pubkeys(sound) if sound else G1_INFINITY,
        "wrong": backend.sk_to_pk(1234567),
        "infinite": G1_INFINITY,
        "malformed": bytes(48),
    }[kind]
    keys = CommitteeKeys(backend, b"".join(members), aggregate)
    if compared:
        consistent = sound == members and kind == "true" and aggregate != G1_INFINITY
        # A wrong aggregate can happen to be right only if infinity is the sum: never a finite key.
        assert keys.compare_aggregate() is consistent
    expected = backend.fast_aggregate_verify([members[i] for i in present], ROOT, signature)
    answer = keys.verify(bits(present, len(members)), ROOT, signature)
    if compared or sound == members:
        assert answer is expected
    else:  # believed until a signature fails: it may accept more, and never less
        assert answer or not expected
    assert keys.verify(bits(present, len(members)), ROOT, signature) is answer
