"""Batches say what single checks say, on every backend; and no forgery hides in one."""

from __future__ import annotations

import importlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightclient.bls import (
    Backend,
    CommitteeKeys,
    CommitteeSignature,
    available_backends,
    best_batch_size,
    proves_each,
    verify_together,
)
from lightclient.bls.blst import BlstBackend, weighted_sum
from lightclient.bls.points import PointBackend
from tests.bls.committees import INFINITY_SIGNATURE, keys_of, secrets_of, signed

BACKENDS = {backend.name: backend for backend in available_backends()}


def batch_of(backend: Backend, count: int) -> list[CommitteeSignature]:
    participation = (0xFF, 0xFE, 0x7E, 0x0F, 0x01, 0xF7)
    return [
        signed(backend, index, participation[index % 6], bytes([index]) * 32)
        for index in range(count)
    ]


@pytest.mark.parametrize("count", [1, 2, 5, 16])
def test_a_batch_of_valid_signatures_holds(backend: Backend, count: int) -> None:
    batch = batch_of(backend, count)
    assert all(item.is_valid() for item in batch)
    assert verify_together(backend, batch)


def test_an_empty_batch_does_not_hold(backend: Backend) -> None:
    assert not verify_together(backend, [])


@pytest.mark.parametrize("position", [0, 2, 4])
@pytest.mark.parametrize(
    "defect", ["signature", "message", "bits", "junk", "infinity", "committee"]
)
def test_one_defect_anywhere_fails_the_batch(backend: Backend, position: int, defect: str) -> None:
    batch = batch_of(backend, 5)
    good, other = batch[position], batch[(position + 1) % 5]
    batch[position] = {
        "signature": replace(good, signature=other.signature),
        "message": replace(good, signing_root=b"\xee" * 32),
        "bits": replace(good, participation=b"\x3c"),
        "junk": replace(good, signature=b"\x80" + bytes(95)),
        "infinity": replace(good, signature=INFINITY_SIGNATURE),
        "committee": replace(good, keys=other.keys),
    }[defect]
    assert not batch[position].is_valid()
    assert not verify_together(backend, batch)


@pytest.mark.parametrize("bits", [b"", b"\x00", b"\xff\x00", b"\x00\x01"])
def test_bits_that_are_no_participation_fail_the_batch(backend: Backend, bits: bytes) -> None:
    batch = batch_of(backend, 3)
    batch[1] = replace(batch[1], participation=bits)
    assert not verify_together(backend, batch)


def test_opposite_members_with_an_infinite_signature_fail_the_batch(backend: Backend) -> None:
    positive = backend.sk_to_pk(77)
    negative = bytes([positive[0] ^ 0x20]) + positive[1:]
    aggregate = backend.sk_to_pk(5)
    keys = CommitteeKeys(backend, positive + negative + aggregate, aggregate)
    hostile = CommitteeSignature(keys, b"\x03", b"m" * 32, INFINITY_SIGNATURE)
    assert not hostile.is_valid()
    assert not verify_together(backend, [*batch_of(backend, 2), hostile])


def swapped(backend: Backend) -> list[CommitteeSignature]:
    """Two signatures off by opposite amounts: their sum is that of the true ones."""
    first, second = batch_of(backend, 2)
    offset = backend.sign(4242, b"offset" * 5)
    opposite = bytes([offset[0] ^ 0x20]) + offset[1:]
    return [
        replace(first, signature=backend.aggregate([first.signature, offset])),
        replace(second, signature=backend.aggregate([second.signature, opposite])),
    ]


def test_opposite_defects_fail_a_batch_that_claims_to_prove_each(backend: Backend) -> None:
    batch = swapped(backend)
    assert not any(item.is_valid() for item in batch)
    # The plain aggregate cannot see this: hence it says so.
    assert verify_together(backend, batch) is not proves_each(backend)


def test_equal_messages_are_never_summed_up_blindly(backend: Backend) -> None:
    batch = [signed(backend, index, 0xFF, b"same" * 8) for index in range(3)]
    assert verify_together(backend, batch) is proves_each(backend)


def test_a_batch_with_an_inconsistent_aggregate_is_left_to_single_checks(
    backend: Backend,
) -> None:
    batch = batch_of(backend, 3)
    pubkeys = [backend.sk_to_pk(secret) for secret in secrets_of(1)]
    odd = CommitteeKeys(backend, b"".join(pubkeys), backend.sk_to_pk(99))
    batch[1] = replace(batch[1], keys=odd)
    assert not verify_together(backend, batch)
    assert batch[1].is_valid()  # which compares, and sums from then on
    assert verify_together(backend, batch)


def test_the_batch_size_keeps_single_calls_short(backend: Backend) -> None:
    assert 16 <= best_batch_size(backend) <= 128


@pytest.mark.skipif("blst" not in BACKENDS, reason="blst is not usable here")
@settings(max_examples=30)
@given(st.lists(st.integers(1, 2**64 - 1), min_size=1, max_size=12))
def test_weighted_sums_by_buckets_are_those_of_single_multiplications(weights: list[int]) -> None:
    backend = BACKENDS["blst"]
    assert isinstance(backend, BlstBackend)
    points = [
        backend.signature_point(backend.sign(index + 1, b"point")) for index in range(len(weights))
    ]
    expected = None
    for point, weight in zip(points, weights, strict=True):
        assert point is not None
        term = point.scalar_mul(weight)
        expected = term if expected is None else expected + term
    assert backend.compress(weighted_sum(points, weights)) == backend.compress(expected)


def off_subgroup_key() -> bytes:
    """A point on the curve that is in no key's subgroup."""
    return bytes.fromhex("80" + "00" * 46 + "04")


@pytest.mark.parametrize("absent", [0, 1, 3, 7])
def test_a_key_less_others_is_the_sum_of_the_rest(backend: Backend, absent: int) -> None:
    if not isinstance(backend, PointBackend):
        pytest.skip("works on bytes")
    keys = [backend.sk_to_pk(secret) for secret in secrets_of(0)]
    total = backend.aggregate_pubkeys(keys)
    if absent == 0:
        assert backend.key_less(total, []) is None
        return
    found = backend.key_less(total, keys[:absent])
    assert found is not None
    assert backend.compress(found) == backend.aggregate_pubkeys(keys[absent:])


@pytest.mark.parametrize(
    "member", [bytes(48), b"\xc0" + bytes(47), b"\xff" * 48, b"\x80" * 47, off_subgroup_key()]
)
def test_a_key_less_what_is_none_is_none(backend: Backend, member: bytes) -> None:
    if not isinstance(backend, PointBackend):
        pytest.skip("works on bytes")
    keys = [backend.sk_to_pk(secret) for secret in secrets_of(0)]
    assert backend.key_less(backend.aggregate_pubkeys(keys), [*keys[:3], member]) is None
    assert backend.key_less(member, keys[:3]) is None


def test_a_key_less_all_of_itself_is_none_or_infinite(backend: Backend) -> None:
    if not isinstance(backend, PointBackend):
        pytest.skip("works on bytes")
    keys = [backend.sk_to_pk(secret) for secret in secrets_of(0)]
    found = backend.key_less(backend.aggregate_pubkeys(keys), keys)
    assert found is None or backend.compress(found) == b"\xc0" + bytes(47)


def test_blst_answers_the_same_without_arkworks() -> None:
    backend = BACKENDS.get("blst")
    if not isinstance(backend, BlstBackend):
        pytest.skip("blst is not usable here")
    alone = BlstBackend(importlib.import_module("pyblst"))
    keys = [backend.sk_to_pk(secret) for secret in secrets_of(0)]
    total = backend.aggregate_pubkeys(keys)
    for members in (keys[:3], keys[2:7], [*keys[:3], off_subgroup_key()]):
        found, expected = backend.key_less(total, members), alone.key_less(total, members)
        assert (found is None) == (expected is None)
        if found is not None:
            assert backend.compress(found) == alone.compress(expected)


@pytest.mark.parametrize("bits", [0x0F, 0x1F, 0x8F, 0x7F, 0xFF, 0xF0])
def test_keys_used_once_say_what_kept_keys_say(backend: Backend, bits: int) -> None:
    item = signed(backend, 3, bits, b"m" * 32)
    kept = keys_of(backend, 3)
    assert kept.compare_aggregate()  # which keeps all points
    for message in (b"m" * 32, b"n" * 32):
        once = keys_of(backend, 3)
        participation = item.participation
        assert once.verify(participation, message, item.signature) is kept.verify(
            participation, message, item.signature
        )
