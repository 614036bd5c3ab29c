"""The noise handshake of libp2p (XX), with what a stranger says in it bounded before it is read.

As it comes, py-libp2p takes identity keys of any kind and size from strangers: an RSA key of 8 KB
costs it most of a second of one's event loop. Here keys are of the two kinds that consensus clients
have, messages are short, and our own proof of identity is signed once, not once a stranger.
"""

from __future__ import annotations

from typing import Any, Final

from libp2p.crypto.ed25519 import Ed25519PublicKey
from libp2p.crypto.keys import KeyPair, PublicKey
from libp2p.crypto.secp256k1 import Secp256k1PublicKey
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.peer.id import ID
from libp2p.security.noise.io import (
    NoiseHandshakeReadWriter,
    NoisePacketReadWriter,
    NoiseTransportReadWriter,
)
from libp2p.security.noise.messages import SIGNED_DATA_PREFIX
from libp2p.security.noise.patterns import PatternXX
from libp2p.security.secure_session import SecureSession

from lightclient.errors import DecodeError
from lightclient.transports.libp2p.protobuf import FieldBudget, as_bytes, as_number, decode_fields

NOISE: Final = "/noise"
MAX_HANDSHAKE_MESSAGE: Final = 4096
"""A key, a signature and the names of a few multiplexers take a few hundred bytes."""
_MAX_FIELDS: Final = 64
_IDENTITY_KEY, _IDENTITY_SIGNATURE = 1, 2
_KEY_TYPE, _KEY = 1, 2
_KEYS: Final[dict[int, tuple[int, type[Ed25519PublicKey | Secp256k1PublicKey]]]] = {
    1: (32, Ed25519PublicKey),
    2: (33, Secp256k1PublicKey),
}
"""By the number of a kind of key: its size, and how it is read."""


class HandshakeError(Exception):
    """The other end does not keep to the handshake, or is not who it should be."""


class _ShortPackets(NoisePacketReadWriter):
    """Noise messages as they go over the wire, short ones only."""

    async def next_msg_len(self) -> int:
        size = await super().next_msg_len()
        if size > MAX_HANDSHAKE_MESSAGE:
            raise HandshakeError(f"a handshake message of {size} bytes")
        return size


class Noise:
    """Secures connections of one identity."""

    def __init__(self, keys: KeyPair) -> None:
        self._keys = keys
        self._id = ID.from_pubkey(keys.public_key)
        static = create_noise_key_pair()
        self._pattern = PatternXX(self._id, keys.private_key, static.private_key)
        self._payload = self._pattern.make_handshake_payload().serialize()

    async def secure(self, conn: RawConnection, expected: ID | None) -> SecureSession:
        """Shake hands; as the one who dialled if a peer is ``expected``.

        Raises:
            HandshakeError, DecodeError: the other end breaks the rules, or is somebody else.
            Exception: whatever the libraries raise.
        """
        state = self._pattern.create_noise_state()
        is_initiator = expected is not None
        if is_initiator:
            state.set_as_initiator()
        else:
            state.set_as_responder()
        state.start_handshake()
        # The state is gone once the handshake is over.
        handshake: Any = state.noise_protocol.handshake_state
        messages = NoiseHandshakeReadWriter(conn, state)
        messages.read_writer = _ShortPackets(conn)
        if is_initiator:
            await messages.write_msg(b"")
            key = _identity(await messages.read_msg(), handshake.rs.public_bytes)
            if ID.from_pubkey(key) != expected:
                raise HandshakeError(f"another peer is there: {ID.from_pubkey(key)}")
            await messages.write_msg(self._payload)
        else:
            await messages.read_msg()
            await messages.write_msg(self._payload)
            key = _identity(await messages.read_msg(), handshake.rs.public_bytes)
        return SecureSession(
            local_peer=self._id,
            local_private_key=self._keys.private_key,
            remote_peer=ID.from_pubkey(key),
            remote_permanent_pubkey=key,
            is_initiator=is_initiator,
            conn=NoiseTransportReadWriter(conn, state),
        )


def _identity(payload: bytes, static_key: bytes) -> PublicKey:
    """The identity key of a handshake's payload, once it has signed the noise key."""
    budget = FieldBudget(_MAX_FIELDS)
    raw_key, signature = b"", b""
    for number, value in decode_fields(payload, budget):
        if number == _IDENTITY_KEY:
            raw_key = as_bytes(value)
        elif number == _IDENTITY_SIGNATURE:
            signature = as_bytes(value)
    kind, content = -1, b""
    for number, value in decode_fields(raw_key, budget):
        if number == _KEY_TYPE:
            kind = as_number(value)
        elif number == _KEY:
            content = as_bytes(value)
    size, reader = _KEYS.get(kind, (0, None))
    if reader is None or len(content) != size:
        raise DecodeError(f"an identity key of kind {kind} and {len(content)} bytes")
    key = reader.from_bytes(content)
    try:
        is_right = key.verify(SIGNED_DATA_PREFIX.encode() + static_key, signature)
    except Exception:  # noqa: BLE001 - the libraries raise anything about a signature that is none
        is_right = False
    if not is_right:
        raise HandshakeError("an identity that is not proven")
    return key
