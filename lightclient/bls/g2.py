"""Whether a compressed signature lies in the subgroup of G2, in plain integers.

The other libraries test this when they decompress; milagro does so when it verifies but not when it
aggregates, and offers no such test. Takes a few milliseconds, so it stays off the verifying path.
"""

from __future__ import annotations

from typing import TypeAlias

from lightclient.bls.encoding import G2_INFINITY, PUBKEY_BYTES, SIGNATURE_BYTES

# a + b u with u^2 = -1, as (a, b).
_Fp2: TypeAlias = tuple[int, int]
_Affine: TypeAlias = tuple[_Fp2, _Fp2] | None

_P = int(
    "1a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f624"
    "1eabfffeb153ffffb9feffffffffaaab",
    16,
)
_CURVE_PARAMETER = 0xD201000000010000  # the absolute value; the parameter itself is negative
_X_BITS = (1 << 381) - 1  # the first coordinate without the three flags above it


def in_subgroup(signature: bytes) -> bool:
    """Whether 96 bytes are the canonical encoding of a point of order r, or of infinity.

    The test is psi(P) = [x]P with the untwist-Frobenius-twist endomorphism psi and the curve
    parameter x (M. Scott, "A note on group membership tests for G1, G2 and GT", 2021).
    """
    if signature == G2_INFINITY:
        return True
    if len(signature) != SIGNATURE_BYTES:
        return False
    x = (
        int.from_bytes(signature[PUBKEY_BYTES:], "big"),
        int.from_bytes(signature[:PUBKEY_BYTES], "big") & _X_BITS,
    )
    if max(x) >= _P:
        return False
    cubed = _times(_times(x, x), x)
    y = _square_root(((cubed[0] + 4) % _P, (cubed[1] + 4) % _P))
    if y is None:
        return False
    # Which of the two roots is meant plays no part: P and -P are in the subgroup together.
    multiple = _multiply((x, y), _CURVE_PARAMETER)
    return multiple is not None and _psi(x, y) == (multiple[0], _minus((0, 0), multiple[1]))


def _times(left: _Fp2, right: _Fp2) -> _Fp2:
    a, b = left
    c, d = right
    return (a * c - b * d) % _P, (a * d + b * c) % _P


def _minus(left: _Fp2, right: _Fp2) -> _Fp2:
    return (left[0] - right[0]) % _P, (left[1] - right[1]) % _P


def _inverse(value: _Fp2) -> _Fp2:
    a, b = value
    norm = pow(a * a + b * b, -1, _P)
    return a * norm % _P, -b * norm % _P


def _power(value: _Fp2, exponent: int) -> _Fp2:
    result = (1, 0)
    for bit in f"{exponent:b}":
        result = _times(result, result)
        if bit == "1":
            result = _times(result, value)
    return result


def _square_root(value: _Fp2) -> _Fp2 | None:
    """A root by the complex method, or None; p is 3 modulo 4."""
    a, b = value
    norm_root = pow(a * a + b * b, (_P + 1) // 4, _P)
    for sign in (1, -1):
        half = (a + sign * norm_root) * ((_P + 1) // 2) % _P
        real = pow(half, (_P + 1) // 4, _P)
        imaginary = b * pow(2 * real, -1, _P) % _P if real else pow(-a % _P, (_P + 1) // 4, _P)
        if _times((real, imaginary), (real, imaginary)) == value:
            return real, imaginary
    return None


def _add(left: _Affine, right: _Affine) -> _Affine:
    if left is None or right is None:
        return right if left is None else left
    (x1, y1), (x2, y2) = left, right
    if x1 != x2:
        slope = _times(_minus(y2, y1), _inverse(_minus(x2, x1)))
    elif y1 == y2 and y1 != (0, 0):
        square = _times(x1, x1)
        slope = _times((3 * square[0], 3 * square[1]), _inverse((2 * y1[0], 2 * y1[1])))
    else:
        return None
    x3 = _minus(_minus(_times(slope, slope), x1), x2)
    return x3, _minus(_times(slope, _minus(x1, x3)), y1)


def _multiply(point: _Affine, scalar: int) -> _Affine:
    result: _Affine = None
    for bit in f"{scalar:b}":
        result = _add(result, result)
        if bit == "1":
            result = _add(result, point)
    return result


# The twist's constants: (1 + u) to the powers (1 - p) / 3 and (1 - p) / 2.
_PSI_X = _inverse(_power((1, 1), (_P - 1) // 3))
_PSI_Y = _inverse(_power((1, 1), (_P - 1) // 2))


def _psi(x: _Fp2, y: _Fp2) -> tuple[_Fp2, _Fp2]:
    return _times((x[0], -x[1]), _PSI_X), _times((y[0], -y[1]), _PSI_Y)
