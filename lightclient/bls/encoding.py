"""Sizes, flags and constants of the signature scheme, and the checks that all backends share.

The native libraries differ in what they make of odd encodings, so none of them is asked: only bytes
that pass here reach one.
"""

from __future__ import annotations

from typing import TypeAlias

from lightclient.errors import BlsError

Octets: TypeAlias = bytes | bytearray | memoryview

PUBKEY_BYTES = 48
SIGNATURE_BYTES = 96
SECRET_BYTES = 32

# draft-irtf-cfrg-bls-signature-04, section 4.2.3: the proof-of-possession scheme over G2.
DOMAIN_SEPARATION_TAG = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_"
CURVE_ORDER = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001

# The first byte's top bits: compressed, infinity, and which of the two roots y is.
COMPRESSION_FLAG = 0x80
INFINITY_FLAG = 0x40
SIGN_FLAG = 0x20

G1_INFINITY = bytes([COMPRESSION_FLAG | INFINITY_FLAG]) + bytes(PUBKEY_BYTES - 1)
G2_INFINITY = bytes([COMPRESSION_FLAG | INFINITY_FLAG]) + bytes(SIGNATURE_BYTES - 1)
G1_GENERATOR = bytes.fromhex(
    "97f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac58"
    "6c55e83ff97a1aeffb3af00adb22c6bb"
)


def octets(value: Octets) -> bytes:
    """``value`` as ``bytes``, which is the one type that every native library takes."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    # bytes(5) would be five zero bytes, bytes("x") a confusing error.
    raise TypeError(f"expected bytes, not {type(value).__name__}")


def pubkey_octets(value: Octets) -> bytes | None:
    """The bytes of a compressed, finite public key, or None where they cannot be one.

    Whether they are a point of the curve and of its subgroup is left to the backend.
    """
    encoded = octets(value)
    if len(encoded) != PUBKEY_BYTES:
        return None
    if encoded[0] & (COMPRESSION_FLAG | INFINITY_FLAG) != COMPRESSION_FLAG:
        return None
    return encoded


def signature_octets(value: Octets) -> bytes | None:
    """The bytes of a compressed signature, infinity in its one encoding included, or None."""
    encoded = octets(value)
    if len(encoded) != SIGNATURE_BYTES or not encoded[0] & COMPRESSION_FLAG:
        return None
    if encoded[0] & INFINITY_FLAG and encoded != G2_INFINITY:
        return None
    return encoded


def negated(pubkey: bytes) -> bytes:
    """The compressed negation of a compressed, finite point."""
    return bytes([pubkey[0] ^ SIGN_FLAG]) + pubkey[1:]


def secret_octets(secret: int) -> bytes:
    """A secret key as 32 bytes, big endian.

    Raises:
        BlsError: the key is zero, negative or not below the curve order.
    """
    if not 0 < secret < CURVE_ORDER:
        raise BlsError("a secret key must be above zero and below the curve order")
    return secret.to_bytes(SECRET_BYTES, "big")
