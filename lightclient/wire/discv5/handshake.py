"""Both sides of a handshake: answer a challenge, and check such an answer. Pure functions.

The initiator proves its identity by signing the challenge, and the recipient by being able to read
what was encrypted for it: the keys come from its own key and the initiator's ephemeral one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from lightclient.errors import ConfigError, DecodeError
from lightclient.wire.discv5.challenges import Challenge
from lightclient.wire.discv5.ciphers import SessionKeys, decrypt, derive_keys, identity_digest
from lightclient.wire.discv5.packets import HandshakePacket, WhoAreYouPacket, handshake_head
from lightclient.wire.enr import NodeRecord, decode_record
from lightclient.wire.identity import SECRET_SIZE, IdentityKey, is_valid_signature


class Proven(NamedTuple):
    """What a valid handshake brings: who it is, the keys, and the message that came with it."""

    record: NodeRecord
    keys: SessionKeys
    plaintext: bytes


def ephemeral_key(random_bytes: Callable[[int], bytes]) -> IdentityKey:
    """A key for one handshake."""
    while True:
        try:
            return IdentityKey(random_bytes(SECRET_SIZE))
        except ConfigError:  # not below the group's order: once in 2**128
            continue


def answer_challenge(
    key: IdentityKey,
    own_record: NodeRecord,
    recipient: NodeRecord,
    challenge: WhoAreYouPacket,
    ephemeral: IdentityKey,
    *,
    masking_iv: bytes,
    nonce: bytes,
) -> tuple[SessionKeys, bytes]:
    """The keys of the new session, and the head of the packet that answers ``challenge``.

    Our record goes with it if the challenger says that it has none, or an older one.
    """
    secret = ephemeral.shared_secret(recipient.public_key)
    keys = derive_keys(secret, key.node_id, recipient.node_id, challenge.head)
    proof = identity_digest(challenge.head, ephemeral.public_key, recipient.node_id)
    newer = challenge.enr_sequence < own_record.sequence
    head = handshake_head(
        masking_iv,
        nonce,
        key.node_id,
        key.sign(proof),
        ephemeral.public_key,
        own_record.raw if newer else b"",
    )
    return keys, head


def check_handshake(key: IdentityKey, challenge: Challenge, packet: HandshakePacket) -> Proven:
    """What the answer to a challenge of ours proves.

    Raises:
        DecodeError: nothing: no record of the sender, not its signature, or not for our key.
    """
    record = challenge.record
    if packet.record:
        sent = decode_record(packet.record)
        if record is None or sent.sequence > record.sequence:
            record = sent
    if record is None or record.node_id != packet.source_id:
        raise DecodeError("a handshake without the sender's record")
    proof = identity_digest(challenge.head, packet.ephemeral_key, key.node_id)
    if not is_valid_signature(record.public_key, packet.signature, proof):
        raise DecodeError("a handshake that the sender did not sign")
    secret = key.shared_secret(packet.ephemeral_key)
    keys = derive_keys(secret, packet.source_id, key.node_id, challenge.head)
    plaintext = decrypt(keys.initiator, packet.nonce, packet.message, packet.head)
    return Proven(record, keys, plaintext)
