"""The cryptography of discovery v5.1: header masking, message encryption, handshake keys.

Nonces are never drawn here: whoever encrypts passes one that its session never used before.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Final, NamedTuple

from lightclient.errors import ConfigError, DecodeError

KEY_SIZE: Final = 16
NONCE_SIZE: Final = 12
TAG_SIZE: Final = 16
_KEY_AGREEMENT: Final = b"discovery v5 key agreement"
_IDENTITY_PROOF: Final = b"discovery v5 identity proof"


class SessionKeys(NamedTuple):
    """Keys of a session, 16 bytes each: what each side encrypts with."""

    initiator: bytes
    recipient: bytes


def mask(node_id: bytes, masking_iv: bytes, data: bytes) -> bytes:
    """AES-CTR of a header under the recipient's node id; its own inverse."""
    try:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    except ImportError as error:
        raise _missing(error) from None
    cipher = Cipher(algorithms.AES(node_id[:KEY_SIZE]), modes.CTR(masking_iv)).encryptor()
    return cipher.update(data) + cipher.finalize()


def _missing(error: ImportError) -> ConfigError:
    return ConfigError(f"discovery needs {error.name}: install the extra lightclient[libp2p]")


def encrypt(key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
    """AES-GCM; the tag is at the end."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key).encrypt(nonce, plaintext, associated)


def decrypt(key: bytes, nonce: bytes, ciphertext: bytes, associated: bytes) -> bytes:
    """The inverse of :func:`encrypt`.

    Raises:
        DecodeError: the ciphertext was not made with this key, nonce and associated data.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if len(ciphertext) < TAG_SIZE:
        raise DecodeError("a message shorter than its authentication tag")
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, associated)
    except InvalidTag:
        raise DecodeError("a message that was not encrypted with the session's key") from None


def derive_keys(
    secret: bytes, initiator_id: bytes, recipient_id: bytes, challenge: bytes
) -> SessionKeys:
    """Session keys from a handshake's shared secret: HKDF with SHA-256, salted by the challenge."""
    extracted = hmac.digest(challenge, secret, "sha256")
    info = _KEY_AGREEMENT + initiator_id + recipient_id
    # One round gives 32 bytes, all that is needed.
    expanded = hmac.digest(extracted, info + b"\x01", "sha256")
    return SessionKeys(expanded[:KEY_SIZE], expanded[KEY_SIZE:])


def identity_digest(challenge: bytes, ephemeral_key: bytes, recipient_id: bytes) -> bytes:
    """What the initiator of a handshake signs to prove who it is."""
    return sha256(_IDENTITY_PROOF + challenge + ephemeral_key + recipient_id).digest()
