"""Inputs on which the native libraries differ: every backend must give the same answer to each.

One table for keys, one for signatures, one for key lists; nothing here depends on the backend but
the fixture.
"""

from __future__ import annotations

from typing import Any

import pytest

from lightclient.bls import Backend, eth_fast_aggregate_verify
from lightclient.bls.encoding import (
    CURVE_ORDER,
    G1_INFINITY,
    G2_INFINITY,
    negated,
    octets,
)
from lightclient.bls.g2 import _P, _add, _multiply, _square_root, _times, in_subgroup
from lightclient.errors import BlsError

MESSAGE = b"\x42" * 32
OTHER_MESSAGE = b"\x43" * 32

# Curve points that are not in the subgroup: the smallest x coordinates that are on the curve.
G1_OUTSIDE_SUBGROUP = bytes([0x80]) + (4).to_bytes(47, "big")
G2_OUTSIDE_SUBGROUP = bytes([0x80]) + (2).to_bytes(95, "big")
G1_OFF_CURVE = bytes([0x80]) + (1).to_bytes(47, "big")


def _point(signature: bytes) -> tuple[tuple[int, int], tuple[int, int]]:
    x = (
        int.from_bytes(signature[48:], "big"),
        int.from_bytes(signature[:48], "big") & ((1 << 381) - 1),
    )
    cubed = _times(_times(x, x), x)
    y = _square_root((cubed[0] + 4, cubed[1] + 4))
    assert y is not None
    if _is_larger(y) != bool(signature[0] & 0x20):
        y = (-y[0] % _P, -y[1] % _P)
    return x, y


def _is_larger(y: tuple[int, int]) -> bool:
    decisive = y[1] or y[0]
    return decisive > (_P - 1) // 2


def _compressed(point: tuple[tuple[int, int], tuple[int, int]]) -> bytes:
    x, y = point
    flags = 0x80 | (0x20 if _is_larger(y) else 0)
    return (flags << 376 | x[1]).to_bytes(48, "big") + x[0].to_bytes(48, "big")


def _with_cofactor_part(signature: bytes) -> bytes:
    """The signature plus a point of cofactor order: pairings alone cannot tell the two apart."""
    cofactor_part = _multiply(_point(G2_OUTSIDE_SUBGROUP), CURVE_ORDER)
    total = _add(_point(signature), cofactor_part)
    assert total is not None
    return _compressed(total)


def _beyond_field(encoded: bytes) -> bytes | None:
    """The same point with its first coordinate raised by the field's modulus, where it fits."""
    top, rest = encoded[:48], encoded[48:]
    value = int.from_bytes(top, "big")
    flags, x = value >> 381, value & ((1 << 381) - 1)
    return None if x + _P >= 1 << 381 else (flags << 381 | x + _P).to_bytes(48, "big") + rest


BAD_KEYS = {
    "no bytes": lambda key: b"",
    "one byte short": lambda key: key[:-1],
    "one byte long": lambda key: key + b"\0",
    "a signature's length": lambda key: key + key,
    "all zero": lambda key: bytes(48),
    "all ones": lambda key: b"\xff" * 48,
    "compression flag missing": lambda key: bytes([key[0] & 0x7F]) + key[1:],
    "infinity flag set": lambda key: bytes([key[0] | 0x40]) + key[1:],
    "infinity": lambda key: G1_INFINITY,
    "infinity with sign": lambda key: bytes([0xE0]) + bytes(47),
    "infinity with junk": lambda key: G1_INFINITY[:-1] + b"\1",
    "infinity uncompressed": lambda key: bytes([0x40]) + bytes(47),
    "off the curve": lambda key: G1_OFF_CURVE,
    "outside the subgroup": lambda key: G1_OUTSIDE_SUBGROUP,
    "x is the modulus": lambda key: (0b100 << 381 | _P).to_bytes(48, "big"),
}

BAD_SIGNATURES = {
    "no bytes": lambda signature: b"",
    "one byte short": lambda signature: signature[:-1],
    "one byte long": lambda signature: signature + b"\0",
    "a key's length": lambda signature: signature[:48],
    "all zero": lambda signature: bytes(96),
    "all ones": lambda signature: b"\xff" * 96,
    "compression flag missing": lambda signature: bytes([signature[0] & 0x7F]) + signature[1:],
    "infinity flag set": lambda signature: bytes([signature[0] | 0x40]) + signature[1:],
    "infinity with sign": lambda signature: bytes([0xE0]) + bytes(95),
    "infinity with junk": lambda signature: G2_INFINITY[:-1] + b"\1",
    "infinity uncompressed": lambda signature: bytes([0x40]) + bytes(95),
    "off the curve": lambda signature: bytes([0x80]) + (1).to_bytes(95, "big"),
    "outside the subgroup": lambda signature: G2_OUTSIDE_SUBGROUP,
    "with a part of cofactor order": _with_cofactor_part,
    "second coordinate beyond the field": lambda signature: (
        signature[:48] + (int.from_bytes(signature[48:], "big") + _P).to_bytes(48, "big")
    ),
}


@pytest.mark.parametrize("mutate", BAD_KEYS.values(), ids=BAD_KEYS)
def test_a_bad_key_is_refused_alone_and_among_good_ones(
    backend: Backend, signer: Any, mutate: Any
) -> None:
    good, signature = signer.key(3), signer.sign(3, MESSAGE)
    bad = mutate(good)
    assert backend.verify(good, MESSAGE, signature)
    assert not backend.key_validate(bad)
    for attempt in (signature, G2_INFINITY):
        assert not backend.verify(bad, MESSAGE, attempt)
        assert not backend.fast_aggregate_verify([bad], MESSAGE, attempt)
        assert not backend.fast_aggregate_verify([good, bad], MESSAGE, attempt)
        assert not backend.fast_aggregate_verify([bad, good], MESSAGE, attempt)
        assert not eth_fast_aggregate_verify(backend, [good, bad], MESSAGE, attempt)
        assert not backend.aggregate_verify([bad], [MESSAGE], attempt)
        assert not backend.aggregate_verify([good, bad], [MESSAGE, OTHER_MESSAGE], attempt)
    for keys in ([bad], [good, bad], [bad, good]):
        with pytest.raises(BlsError):
            backend.aggregate_pubkeys(keys)


@pytest.mark.parametrize("mutate", BAD_SIGNATURES.values(), ids=BAD_SIGNATURES)
def test_a_bad_signature_is_refused(backend: Backend, signer: Any, mutate: Any) -> None:
    key, signature = signer.key(3), signer.sign(3, MESSAGE)
    bad = mutate(signature)
    assert not backend.verify(key, MESSAGE, bad)
    assert not backend.fast_aggregate_verify([key], MESSAGE, bad)
    assert not backend.fast_aggregate_verify([key, key], MESSAGE, bad)
    assert not backend.aggregate_verify([key, key], [MESSAGE, OTHER_MESSAGE], bad)
    assert not eth_fast_aggregate_verify(backend, [], MESSAGE, bad)
    for signatures in ([bad], [signature, bad], [bad, signature]):
        with pytest.raises(BlsError):
            backend.aggregate(signatures)


def test_coordinates_beyond_the_field_are_refused(backend: Backend, signer: Any) -> None:
    keys = [k for k in range(1, 40) if _beyond_field(signer.key(k)) is not None]
    signers = [k for k in range(1, 40) if _beyond_field(signer.sign(k, MESSAGE)) is not None]
    key = _beyond_field(signer.key(keys[0]))
    signature = _beyond_field(signer.sign(signers[0], MESSAGE))
    assert key is not None
    assert signature is not None
    assert not backend.key_validate(key)
    assert not backend.verify(key, MESSAGE, signer.sign(keys[0], MESSAGE))
    assert not backend.verify(signer.key(signers[0]), MESSAGE, signature)
    with pytest.raises(BlsError):
        backend.aggregate([signature])


def test_a_good_signature_is_accepted_by_every_way_of_checking(
    backend: Backend, signer: Any
) -> None:
    keys = [signer.key(secret) for secret in (3, 5, 5)]
    together = signer.sign_together([3, 5, 5], MESSAGE)
    assert backend.fast_aggregate_verify(keys, MESSAGE, together)
    assert eth_fast_aggregate_verify(backend, keys, MESSAGE, together)
    assert backend.aggregate_verify(keys, [MESSAGE] * 3, together)
    assert backend.verify(backend.aggregate_pubkeys(keys), MESSAGE, together)
    assert backend.aggregate([signer.sign(s, MESSAGE) for s in (3, 5, 5)]) == together
    assert not backend.fast_aggregate_verify(keys[:2], MESSAGE, together)
    assert not backend.fast_aggregate_verify(keys, OTHER_MESSAGE, together)


def test_messages_may_have_any_length(backend: Backend, signer: Any) -> None:
    for message in (b"", b"\0", bytes(1000)):
        assert backend.verify(signer.key(3), message, signer.sign(3, message))
        assert not backend.verify(signer.key(3), message + b"\0", signer.sign(3, message))


def test_no_keys_are_false_but_for_the_altair_function(backend: Backend, signer: Any) -> None:
    for signature in (G2_INFINITY, signer.sign(3, MESSAGE), bytes(96), b""):
        assert not backend.fast_aggregate_verify([], MESSAGE, signature)
        assert not backend.aggregate_verify([], [], signature)
        expected = signature == G2_INFINITY
        assert eth_fast_aggregate_verify(backend, [], MESSAGE, signature) is expected


def test_keys_that_cancel_out_verify_nothing(backend: Backend, signer: Any) -> None:
    key = signer.key(3)
    opposite = negated(key)
    assert opposite == signer.key(CURVE_ORDER - 3)
    for keys in ([key, opposite], [opposite, key], [key, key, opposite, opposite]):
        # arkworks' own decoder takes any bytes with the infinity flag for infinity.
        odd_infinities = [bytes([flags]) + b"\x07" * 95 for flags in (0xC0, 0xE0, 0xF8)]
        for signature in (G2_INFINITY, *odd_infinities, signer.sign(3, MESSAGE)):
            assert not backend.fast_aggregate_verify(keys, MESSAGE, signature)
        assert backend.aggregate_pubkeys(keys) == G1_INFINITY


def test_a_partial_sum_may_pass_through_infinity(backend: Backend, signer: Any) -> None:
    key = signer.key(3)
    keys = [key, negated(key), signer.key(5)]
    assert backend.fast_aggregate_verify(keys, MESSAGE, signer.sign(5, MESSAGE))
    assert backend.aggregate_pubkeys(keys) == signer.key(5)


def test_an_infinite_signature_verifies_nothing(backend: Backend, signer: Any) -> None:
    key = signer.key(3)
    assert not backend.verify(key, MESSAGE, G2_INFINITY)
    assert not backend.fast_aggregate_verify([key, key], MESSAGE, G2_INFINITY)
    assert not backend.aggregate_verify([key, key], [MESSAGE, OTHER_MESSAGE], G2_INFINITY)


def test_signatures_may_add_up_to_infinity(backend: Backend, signer: Any) -> None:
    signature = signer.sign(3, MESSAGE)
    assert backend.aggregate([G2_INFINITY]) == G2_INFINITY
    assert backend.aggregate([signature, G2_INFINITY]) == signature
    opposite = bytes([signature[0] ^ 0x20]) + signature[1:]
    assert backend.aggregate([signature, opposite]) == G2_INFINITY


def test_aggregate_verify_pairs_each_key_with_its_message(backend: Backend, signer: Any) -> None:
    keys, messages = [signer.key(3), signer.key(5)], [MESSAGE, OTHER_MESSAGE]
    signature = backend.aggregate([signer.sign(3, MESSAGE), signer.sign(5, OTHER_MESSAGE)])
    assert backend.aggregate_verify(keys, messages, signature)
    assert not backend.aggregate_verify(keys[::-1], messages, signature)
    assert not backend.aggregate_verify(keys, messages[:1], signature)
    assert not backend.aggregate_verify(keys[:1], messages, signature)


def test_nothing_to_aggregate_is_an_error(backend: Backend) -> None:
    with pytest.raises(BlsError):
        backend.aggregate([])
    with pytest.raises(BlsError):
        backend.aggregate_pubkeys([])


@pytest.mark.parametrize("secret", [0, -1, CURVE_ORDER, CURVE_ORDER + 1, 1 << 256])
def test_secrets_out_of_range_are_errors(backend: Backend, secret: int) -> None:
    with pytest.raises(BlsError):
        backend.sk_to_pk(secret)
    with pytest.raises(BlsError):
        backend.sign(secret, MESSAGE)


@pytest.mark.parametrize("secret", [1, 3, 1 << 200, CURVE_ORDER - 1])
def test_every_secret_in_range_signs(backend: Backend, secret: int) -> None:
    assert backend.verify(backend.sk_to_pk(secret), MESSAGE, backend.sign(secret, MESSAGE))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_kind_of_bytes_is_taken(backend: Backend, signer: Any, kind: Any) -> None:
    key, message, signature = (
        kind(octet) for octet in (signer.key(3), MESSAGE, signer.sign(3, MESSAGE))
    )
    assert backend.key_validate(key)
    assert backend.verify(key, message, signature)
    assert backend.fast_aggregate_verify([key, key], message, kind(signer.sign(6, MESSAGE)))
    assert backend.aggregate_verify([key], [message], signature)
    assert backend.aggregate([signature]) == signature
    assert backend.aggregate_pubkeys([key]) == key
    assert backend.sign(3, message) == signature
    assert eth_fast_aggregate_verify(backend, [], message, kind(G2_INFINITY))


@pytest.mark.parametrize("value", [48, "0x00", None, [0] * 48])
def test_what_is_no_bytes_at_all_is_the_callers_mistake(value: Any) -> None:
    with pytest.raises(TypeError, match="expected bytes"):
        octets(value)


def test_the_subgroup_test_in_integers_agrees_with_the_order(backend: Backend, signer: Any) -> None:
    for secret in (1, 2, 3, CURVE_ORDER - 1):
        signature = signer.sign(secret, MESSAGE)
        assert _compressed(_point(signature)) == signature
        assert _multiply(_point(signature), CURVE_ORDER) is None
        assert in_subgroup(signature)
        tainted = _with_cofactor_part(signature)
        assert _multiply(_point(tainted), CURVE_ORDER) is not None
        assert not in_subgroup(tainted)
    assert in_subgroup(G2_INFINITY)
    assert not in_subgroup(G2_INFINITY[:-1])
