"""The ``v4`` identity scheme: secp256k1 keys, signatures of 64 bytes, node ids by Keccak-256.

The libraries come with the extra ``lightclient[libp2p]`` and are imported when first used. Keys and
signatures from outside that are none are refused, never an exception of a library.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from lightclient.errors import ConfigError, DecodeError

if TYPE_CHECKING:
    import coincurve

SIGNATURE_SIZE: Final = 64
PUBLIC_KEY_SIZE: Final = 33
SECRET_SIZE: Final = 32


def keccak256(data: bytes) -> bytes:
    """Keccak-256 as Ethereum uses it (not SHA3-256), 32 bytes."""
    try:
        from Crypto.Hash import keccak
    except ImportError as error:
        raise _missing(error) from None
    return keccak.new(digest_bits=256, data=data).digest()


def _missing(error: ImportError) -> ConfigError:
    return ConfigError(
        f"the consensus network needs {error.name}: install the extra lightclient[libp2p]"
    )


def _coincurve() -> type[coincurve.PublicKey]:
    try:
        from coincurve import PublicKey
    except ImportError as error:
        raise _missing(error) from None
    return PublicKey


@lru_cache(maxsize=512)
def _public_key(compressed: bytes) -> coincurve.PublicKey:
    kind = _coincurve()
    if len(compressed) != PUBLIC_KEY_SIZE:
        raise DecodeError(f"a public key of {len(compressed)} bytes, where {PUBLIC_KEY_SIZE} are")
    try:
        return kind(compressed)
    except ValueError:
        raise DecodeError("a public key that is no point of secp256k1") from None


def node_id_of(public_key: bytes) -> bytes:
    """Node id (32 bytes) of a compressed public key; raises DecodeError if it is none."""
    return keccak256(_public_key(public_key).format(compressed=False)[1:])


def is_valid_signature(public_key: bytes, signature: bytes, digest: bytes) -> bool:
    """Whether ``signature`` (r and s, 32 bytes each, s in the lower half) signs ``digest``.

    False also for a key or signature that is none.
    """
    from coincurve.ecdsa import cdata_to_der, deserialize_compact

    try:
        key = _public_key(public_key)
        if len(signature) != SIGNATURE_SIZE:
            return False
        der = cdata_to_der(deserialize_compact(signature))
        return key.verify(der, digest, hasher=None)
    except ValueError:  # DecodeError, too
        return False


def shared_secret(public_key: bytes, secret: bytes) -> bytes:
    """``ecdh`` of discovery v5: the product as a compressed point, 33 bytes.

    Raises:
        DecodeError: ``public_key`` is none.
    """
    return _public_key(public_key).multiply(secret).format(compressed=True)


class IdentityKey:
    """A secret key; never shown, not even by ``repr``."""

    def __init__(self, secret: bytes) -> None:
        """Take a secret of 32 bytes, from 1 to the group order less 1; ConfigError otherwise."""
        _coincurve()
        from coincurve import PrivateKey

        if len(secret) != SECRET_SIZE:
            raise ConfigError(f"an identity key has {SECRET_SIZE} bytes, not {len(secret)}")
        try:
            self._key = PrivateKey(secret)
        except ValueError:
            raise ConfigError("an identity key that is out of secp256k1's range") from None
        self.secret = secret
        self.public_key = self._key.public_key.format(compressed=True)
        self.node_id = node_id_of(self.public_key)

    def __repr__(self) -> str:
        return f"IdentityKey(node_id={self.node_id.hex()[:16]}...)"

    def sign(self, digest: bytes) -> bytes:
        """Deterministic signature (RFC 6979) of 32 bytes, as r and s: 64 bytes."""
        return self._key.sign_recoverable(digest, hasher=None)[:SIGNATURE_SIZE]

    def shared_secret(self, public_key: bytes) -> bytes:
        """:func:`shared_secret` with this key."""
        return shared_secret(public_key, self.secret)
