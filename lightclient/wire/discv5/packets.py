"""Packets of discovery v5.1: masked headers, authdata of the three kinds, the message behind.

Sizes are judged before anything is unmasked or parsed. A packet's ``head`` (masking IV and unmasked
header) is what its message is authenticated with, and what a WHOAREYOU packet challenges with.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, TypeAlias

from lightclient.errors import DecodeError
from lightclient.wire.discv5.ciphers import NONCE_SIZE, mask
from lightclient.wire.enr import MAX_RECORD_SIZE

MIN_PACKET_SIZE: Final = 63
MAX_PACKET_SIZE: Final = 1280
NODE_ID_SIZE: Final = 32
MASKING_IV_SIZE: Final = 16
ID_NONCE_SIZE: Final = 16

_PROTOCOL: Final = b"discv5\x00\x01"
_STATIC: Final = struct.Struct(">8sB12sH")
_WHOAREYOU: Final = struct.Struct(">16sQ")
_HANDSHAKE: Final = struct.Struct(">32sBB")
_ORDINARY_FLAG: Final = 0
_WHOAREYOU_FLAG: Final = 1
_HANDSHAKE_FLAG: Final = 2
_HEAD_SIZE: Final = MASKING_IV_SIZE + _STATIC.size


@dataclass(frozen=True, slots=True)
class OrdinaryPacket:
    """An encrypted message, or random bytes in place of one."""

    source_id: bytes
    nonce: bytes
    head: bytes
    message: bytes


@dataclass(frozen=True, slots=True)
class WhoAreYouPacket:
    """A challenge in answer to the packet with ``request_nonce``; ``head`` is what it challenges.

    ``enr_sequence`` is that of the newest record that the challenger has of us, 0 if none.
    """

    request_nonce: bytes
    id_nonce: bytes
    enr_sequence: int
    head: bytes


@dataclass(frozen=True, slots=True)
class HandshakePacket:
    """The answer to a challenge, with a message under the new keys; ``record`` may be empty."""

    source_id: bytes
    nonce: bytes
    head: bytes
    message: bytes
    signature: bytes
    ephemeral_key: bytes
    record: bytes


Packet: TypeAlias = OrdinaryPacket | WhoAreYouPacket | HandshakePacket


def decode_packet(datagram: bytes, local_id: bytes) -> Packet:
    """The packet of a datagram that is meant for ``local_id``.

    Raises:
        DecodeError: it is none, or meant for another node.
    """
    if not MIN_PACKET_SIZE <= len(datagram) <= MAX_PACKET_SIZE:
        raise DecodeError(f"a datagram of {len(datagram)} bytes is no discovery packet")
    masking_iv, masked = datagram[:MASKING_IV_SIZE], datagram[MASKING_IV_SIZE:]
    # The whole rest at once: a counter mode unmasks a prefix alike, and datagrams are short.
    unmasked = mask(local_id, masking_iv, masked)
    protocol, flag, nonce, size = _STATIC.unpack_from(unmasked)
    if protocol != _PROTOCOL:
        raise DecodeError("a datagram that is not discovery v5.1, or not for this node")
    end = _HEAD_SIZE + size
    if end > len(datagram):
        raise DecodeError("a discovery packet shorter than its header says")
    authdata = unmasked[_STATIC.size : _STATIC.size + size]
    head, message = masking_iv + unmasked[: _STATIC.size + size], datagram[end:]
    if flag == _ORDINARY_FLAG:
        if size != NODE_ID_SIZE:
            raise DecodeError(f"a discovery message with authdata of {size} bytes")
        return OrdinaryPacket(authdata, nonce, head, message)
    if flag == _WHOAREYOU_FLAG:
        if size != _WHOAREYOU.size or message:
            raise DecodeError("a discovery challenge of another size")
        id_nonce, enr_sequence = _WHOAREYOU.unpack(authdata)
        return WhoAreYouPacket(nonce, id_nonce, enr_sequence, head)
    if flag == _HANDSHAKE_FLAG:
        return _handshake(authdata, nonce, head, message)
    raise DecodeError(f"a discovery packet of the unknown kind {flag}")


def _handshake(authdata: bytes, nonce: bytes, head: bytes, message: bytes) -> HandshakePacket:
    if len(authdata) < _HANDSHAKE.size:
        raise DecodeError("a discovery handshake too short for its sizes")
    source_id, signature_size, key_size = _HANDSHAKE.unpack_from(authdata)
    key_start = _HANDSHAKE.size + signature_size
    record_start = key_start + key_size
    if record_start > len(authdata):
        raise DecodeError("a discovery handshake shorter than its sizes say")
    record = authdata[record_start:]
    if len(record) > MAX_RECORD_SIZE:
        raise DecodeError(f"a discovery handshake with a record of {len(record)} bytes")
    signature, key = authdata[_HANDSHAKE.size : key_start], authdata[key_start:record_start]
    return HandshakePacket(source_id, nonce, head, message, signature, key, record)


def ordinary_head(masking_iv: bytes, nonce: bytes, source_id: bytes) -> bytes:
    """Head of an ordinary packet from ``source_id``."""
    return _head(masking_iv, _ORDINARY_FLAG, nonce, source_id)


def whoareyou_head(
    masking_iv: bytes, request_nonce: bytes, id_nonce: bytes, enr_sequence: int
) -> bytes:
    """Head of a challenge, which is all of it, and the challenge itself."""
    authdata = _WHOAREYOU.pack(id_nonce, enr_sequence)
    return _head(masking_iv, _WHOAREYOU_FLAG, request_nonce, authdata)


def handshake_head(
    masking_iv: bytes,
    nonce: bytes,
    source_id: bytes,
    signature: bytes,
    ephemeral_key: bytes,
    record: bytes = b"",
) -> bytes:
    """Head of a handshake packet; ``record`` is sent where the other side's is older or none."""
    sizes = _HANDSHAKE.pack(source_id, len(signature), len(ephemeral_key))
    authdata = sizes + signature + ephemeral_key + record
    return _head(masking_iv, _HANDSHAKE_FLAG, nonce, authdata)


def _head(masking_iv: bytes, flag: int, nonce: bytes, authdata: bytes) -> bytes:
    assert len(masking_iv) == MASKING_IV_SIZE
    assert len(nonce) == NONCE_SIZE
    return masking_iv + _STATIC.pack(_PROTOCOL, flag, nonce, len(authdata)) + authdata


def datagram_of(recipient_id: bytes, head: bytes, message: bytes = b"") -> bytes:
    """The datagram of a head, masked for its recipient, and an encrypted message."""
    masking_iv, header = head[:MASKING_IV_SIZE], head[MASKING_IV_SIZE:]
    datagram = masking_iv + mask(recipient_id, masking_iv, header) + message
    assert len(datagram) <= MAX_PACKET_SIZE
    return datagram
