"""The official test vectors of the discovery v5.1 wire protocol (devp2p specification)."""

from __future__ import annotations

import pytest

from lightclient.errors import DecodeError
from lightclient.wire.discv5.ciphers import decrypt, derive_keys, encrypt, identity_digest
from lightclient.wire.discv5.messages import Ping, decode_message, encode_message
from lightclient.wire.discv5.packets import (
    HandshakePacket,
    OrdinaryPacket,
    WhoAreYouPacket,
    datagram_of,
    decode_packet,
    handshake_head,
    ordinary_head,
    whoareyou_head,
)
from lightclient.wire.enr import decode_record
from lightclient.wire.identity import is_valid_signature, shared_secret
from tests.wire.keys import IdentityKey

KEY_A = IdentityKey(
    bytes.fromhex("eef77acb6c6a6eebc5b363a475ac583ec7eccdb42b6481424c60f59aa326547f")
)
KEY_B = IdentityKey(
    bytes.fromhex("66fb62bfbd66b9177a138c1e5cddbe4f7c30c343e94e68df8769459cb1cde628")
)
NODE_A = bytes.fromhex("aaaa8419e9f49d0083561b48287df592939a8d19947d8c0ef88f2a4856a69fbb")
NODE_B = bytes.fromhex("bbbb9d047f0488c0b5a93c1c3f2d8bafc7c8ff337024a55434a0d0555de64db9")
IV = bytes(16)
NONCE = b"\xff" * 12
REQUEST_NONCE = bytes.fromhex("0102030405060708090a0b0c")
ID_NONCE = bytes.fromhex("0102030405060708090a0b0c0d0e0f10")
CHALLENGE = bytes.fromhex(
    "000000000000000000000000000000006469736376350001010102030405060708090a0b0c0018"
    "0102030405060708090a0b0c0d0e0f100000000000000000"
)
EPHEMERAL = IdentityKey(
    bytes.fromhex("0288ef00023598499cb6c940146d050d2b1fb914198c327f76aad590bead68b6")
)
STATIC = IdentityKey(
    bytes.fromhex("fb757dc581730490a1d7a00deea65e9b1936924caaea8f44d476014856b68736")
)

PING = bytes.fromhex(
    "00000000000000000000000000000000088b3d4342774649325f313964a39e55"
    "ea96c005ad52be8c7560413a7008f16c9e6d2f43bbea8814a546b7409ce783d3"
    "4c4f53245d08dab84102ed931f66d1492acb308fa1c6715b9d139b81acbdcc"
)
WHOAREYOU = bytes.fromhex(
    "00000000000000000000000000000000088b3d434277464933a1ccc59f5967ad"
    "1d6035f15e528627dde75cd68292f9e6c27d6b66c8100a873fcbaed4e16b8d"
)
HANDSHAKE = bytes.fromhex(
    "00000000000000000000000000000000088b3d4342774649305f313964a39e55"
    "ea96c005ad521d8c7560413a7008f16c9e6d2f43bbea8814a546b7409ce783d3"
    "4c4f53245d08da4bb252012b2cba3f4f374a90a75cff91f142fa9be3e0a5f3ef"
    "268ccb9065aeecfd67a999e7fdc137e062b2ec4a0eb92947f0d9a74bfbf44dfb"
    "a776b21301f8b65efd5796706adff216ab862a9186875f9494150c4ae06fa4d1"
    "f0396c93f215fa4ef524f1eadf5f0f4126b79336671cbcf7a885b1f8bd2a5d83"
    "9cf8"
)
HANDSHAKE_WITH_RECORD = bytes.fromhex(
    "00000000000000000000000000000000088b3d4342774649305f313964a39e55"
    "ea96c005ad539c8c7560413a7008f16c9e6d2f43bbea8814a546b7409ce783d3"
    "4c4f53245d08da4bb23698868350aaad22e3ab8dd034f548a1c43cd246be9856"
    "2fafa0a1fa86d8e7a3b95ae78cc2b988ded6a5b59eb83ad58097252188b902b2"
    "1481e30e5e285f19735796706adff216ab862a9186875f9494150c4ae06fa4d1"
    "f0396c93f215fa4ef524e0ed04c3c21e39b1868e1ca8105e585ec17315e755e6"
    "cfc4dd6cb7fd8e1a1f55e49b4b5eb024221482105346f3c82b15fdaae36a3bb1"
    "2a494683b4a3c7f2ae41306252fed84785e2bbff3b022812d0882f06978df84a"
    "80d443972213342d04b9048fc3b1d5fcb1df0f822152eced6da4d3f6df27e70e"
    "4539717307a0208cd208d65093ccab5aa596a34d7511401987662d8cf62b1394"
    "71"
)


def test_the_keys_have_the_node_ids_of_the_vectors() -> None:
    assert KEY_A.node_id == NODE_A
    assert KEY_B.node_id == NODE_B


def test_an_ordinary_packet() -> None:
    packet = decode_packet(PING, NODE_B)
    assert isinstance(packet, OrdinaryPacket)
    assert (packet.source_id, packet.nonce) == (NODE_A, NONCE)
    plaintext = decrypt(bytes(16), NONCE, packet.message, packet.head)
    assert decode_message(plaintext) == Ping(b"\0\0\0\x01", 2)
    head = ordinary_head(IV, NONCE, NODE_A)
    message = encrypt(bytes(16), NONCE, encode_message(Ping(b"\0\0\0\x01", 2)), head)
    assert datagram_of(NODE_B, head, message) == PING


def test_a_challenge() -> None:
    packet = decode_packet(WHOAREYOU, NODE_B)
    assert packet == WhoAreYouPacket(REQUEST_NONCE, ID_NONCE, 0, CHALLENGE)
    head = whoareyou_head(IV, REQUEST_NONCE, ID_NONCE, 0)
    assert head == CHALLENGE
    assert datagram_of(NODE_B, head) == WHOAREYOU


@pytest.mark.parametrize(
    ("datagram", "enr_sequence", "read_key"),
    [
        (HANDSHAKE, 1, "4f9fac6de7567d1e3b1241dffe90f662"),
        (HANDSHAKE_WITH_RECORD, 0, "53b1c075f41876423154e157470c2f48"),
    ],
)
def test_a_handshake(datagram: bytes, enr_sequence: int, read_key: str) -> None:
    challenge = whoareyou_head(IV, REQUEST_NONCE, ID_NONCE, enr_sequence)
    packet = decode_packet(datagram, NODE_B)
    assert isinstance(packet, HandshakePacket)
    assert packet.ephemeral_key == EPHEMERAL.public_key
    digest = identity_digest(challenge, packet.ephemeral_key, NODE_B)
    assert is_valid_signature(KEY_A.public_key, packet.signature, digest)
    secret = KEY_B.shared_secret(packet.ephemeral_key)
    keys = derive_keys(secret, NODE_A, NODE_B, challenge)
    assert keys.initiator.hex() == read_key
    plaintext = decrypt(keys.initiator, NONCE, packet.message, packet.head)
    assert decode_message(plaintext) == Ping(b"\0\0\0\x01", 1)
    if packet.record:
        assert decode_record(packet.record).node_id == NODE_A
    # The other direction gives the same bytes: the signature is deterministic.
    initiator = derive_keys(EPHEMERAL.shared_secret(KEY_B.public_key), NODE_A, NODE_B, challenge)
    assert initiator == keys
    head = handshake_head(
        IV, NONCE, NODE_A, KEY_A.sign(digest), EPHEMERAL.public_key, packet.record
    )
    message = encrypt(keys.initiator, NONCE, plaintext, head)
    assert datagram_of(NODE_B, head, message) == datagram


def test_ecdh_key_derivation_and_the_identity_proof() -> None:
    public = bytes.fromhex("039961e4c2356d61bedb83052c115d311acb3a96f5777296dcf297351130266231")
    assert shared_secret(public, STATIC.secret).hex() == (
        "033b11a2a1f214567e1537ce5e509ffd9b21373247f2a3ff6841f4976f53165e7e"
    )
    recipient = bytes.fromhex("0317931e6e0840220642f230037d285d122bc59063221ef3226b1f403ddc69ca91")
    keys = derive_keys(STATIC.shared_secret(recipient), NODE_A, NODE_B, CHALLENGE)
    assert keys.initiator.hex() == "dccc82d81bd610f4f76d3ebe97a40571"
    assert keys.recipient.hex() == "ac74bb8773749920b0d3a8881c173ec5"
    assert STATIC.sign(identity_digest(CHALLENGE, public, NODE_B)).hex() == (
        "94852a1e2318c4e5e9d422c98eaf19d1d90d876b29cd06ca7cb7546d0fff7b48"
        "4fe86c09a064fe72bdbef73ba8e9c34df0cd2b53e9d65528c2c7f336d5dfc6e6"
    )


def test_message_encryption() -> None:
    key = bytes.fromhex("9f2d77db7004bf8a1a85107ac686990b")
    nonce = bytes.fromhex("27b5af763c446acd2749fe8e")
    associated = bytes.fromhex("93a7400fa0d6a694ebc24d5cf570f65d04215b6ac00757875e3f3a5f42107903")
    sealed = encrypt(key, nonce, bytes.fromhex("01c20101"), associated)
    assert sealed.hex() == "a5d12a2d94b8ccb3ba55558229867dc13bfa3648"
    assert decrypt(key, nonce, sealed, associated).hex() == "01c20101"
    with pytest.raises(DecodeError):
        decrypt(key, nonce, sealed, associated[1:])
