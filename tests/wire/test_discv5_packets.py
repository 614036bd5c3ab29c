"""Discovery packets and messages: what is written reads back, anything else is a DecodeError."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightclient.errors import DecodeError
from lightclient.wire.discv5.messages import (
    FindNode,
    Message,
    Nodes,
    Ping,
    Pong,
    TalkRequest,
    TalkResponse,
    decode_message,
    encode_message,
    log_distance,
)
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
from lightclient.wire.rlp import encode_rlp
from tests.wire.keys import key_of

ME = key_of(1).node_id
YOU = key_of(2).node_id
IV = bytes(range(16))
NONCE = bytes(range(12))
ids = st.binary(max_size=8)
sequences = st.integers(0, 2**64 - 1)
MESSAGES: list[Message] = [
    Ping(b"\x01", 1),
    Pong(b"\x01", 1, "127.0.0.1", 5000),
    Pong(b"", 0, "2001:db8::1", 0),
    FindNode(b"\x01", (256, 0)),
    FindNode(b"12345678", ()),
    Nodes(b"\x01", 1, ()),
    Nodes(b"\x01", 2, ((b"sig", b"\x01"), b"junk")),
    TalkRequest(b"\x01", b"eth2", b"question"),
    TalkResponse(b"\x01", b""),
]


@pytest.mark.parametrize("message", MESSAGES)
def test_every_message_reads_back(message: Message) -> None:
    assert decode_message(encode_message(message)) == message


def test_the_published_encodings() -> None:
    assert encode_message(Ping(b"\x01", 1)).hex() == "01c20101"
    pong = Pong(b"\x01", 1, "127.0.0.1", 5000)
    assert encode_message(pong).hex() == "02ca0101847f000001821388"
    assert encode_message(Nodes(b"\x01", 1, ())).hex() == "04c30101c0"


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (0, [b"\x01", 1]),
        (7, [b"\x01", 1]),
        (255, []),
        (1, [b"\x01"]),
        (1, [b"\x01", 1, 1]),
        (1, [b"123456789", 1]),
        (1, [[], 1]),
        (1, [b"\x01", b"\0\x01"]),
        (1, [b"\x01", 2**64]),
        (1, [b"\x01", []]),
        (2, [b"\x01", 1, b"\x7f\0\0", 1]),
        (2, [b"\x01", 1, b"\x7f\0\0\x01", 2**16]),
        (3, [b"\x01", 256]),
        (3, [b"\x01", [257]]),
        (3, [b"\x01", [[]]]),
        (3, [b"\x01", [1] * 258]),
        (4, [b"\x01", 256, []]),
        (4, [b"\x01", 1, b""]),
        (5, [b"\x01", [], b""]),
        (6, [b"\x01", []]),
    ],
)
def test_messages_that_are_none_are_refused(kind: int, fields: list[object]) -> None:
    with pytest.raises(DecodeError):
        decode_message(bytes([kind]) + encode_rlp(fields))  # type: ignore[arg-type]


def test_an_empty_or_string_message_is_refused() -> None:
    for plaintext in (b"", b"\x01", b"\x01\x80", b"\x01\xc2\x01\x01\x00"):
        with pytest.raises(DecodeError):
            decode_message(plaintext)


def test_packets_of_every_kind_read_back() -> None:
    head = ordinary_head(IV, NONCE, YOU)
    assert decode_packet(datagram_of(ME, head, b"m" * 20), ME) == OrdinaryPacket(
        YOU, NONCE, head, b"m" * 20
    )
    head = whoareyou_head(IV, NONCE, b"n" * 16, 7)
    assert decode_packet(datagram_of(ME, head), ME) == WhoAreYouPacket(NONCE, b"n" * 16, 7, head)
    head = handshake_head(IV, NONCE, YOU, b"s" * 64, b"k" * 33, b"r" * 200)
    assert decode_packet(datagram_of(ME, head, b"m"), ME) == HandshakePacket(
        YOU, NONCE, head, b"m", b"s" * 64, b"k" * 33, b"r" * 200
    )


def test_a_packet_for_another_node_is_refused() -> None:
    datagram = datagram_of(ME, ordinary_head(IV, NONCE, YOU), bytes(20))
    with pytest.raises(DecodeError, match="not for this node"):
        decode_packet(datagram, YOU)


@pytest.mark.parametrize("size", [0, 1, 62, 1281, 65507])
def test_a_datagram_of_another_size_is_refused_unread(size: int) -> None:
    with pytest.raises(DecodeError, match=f"of {size} bytes"):
        decode_packet(bytes(size), ME)


def patched(head: bytes, at: int, value: bytes) -> bytes:
    return head[:at] + value + head[at + len(value) :]


def test_headers_that_lie_are_refused() -> None:
    ordinary = ordinary_head(IV, NONCE, YOU)
    handshake = handshake_head(IV, NONCE, YOU, b"s" * 64, b"k" * 33)
    challenge = whoareyou_head(IV, NONCE, b"n" * 16, 7)
    for head, message in [
        (patched(ordinary, 16, b"discv4"), bytes(20)),
        (patched(ordinary, 22, b"\0\x02"), bytes(20)),
        (patched(ordinary, 24, b"\x03"), bytes(20)),  # an unknown kind
        (patched(ordinary, 24, b"\x01"), b""),  # a challenge of the wrong size
        (patched(ordinary, 37, b"\xff\xff"), bytes(20)),  # authdata past the end
        (patched(ordinary, 37, b"\0\x21"), bytes(20)),  # of the wrong size
        (patched(ordinary, 37, b"\0\0"), bytes(20)),
        (challenge, b"more"),
        (patched(handshake, 71, b"\xff"), bytes(20)),  # a signature past the end
        (patched(handshake, 72, b"\xff"), bytes(20)),
        (patched(handshake, 37, b"\0\x21"), bytes(20)),  # authdata that ends before its sizes
        (patched(handshake, 24, b"\0"), bytes(20)),  # an ordinary packet of the wrong size
        (handshake_head(IV, NONCE, YOU, b"", b"", bytes(301)), b""),
    ]:
        with pytest.raises(DecodeError):
            decode_packet(datagram_of(ME, head, message), ME)


def test_distances_are_logarithmic() -> None:
    zero = bytes(32)
    assert log_distance(ME, ME) == 0
    assert log_distance(zero, bytes(31) + b"\x01") == 1
    assert log_distance(zero, b"\x80" + bytes(31)) == 256
    assert log_distance(ME, YOU) == log_distance(YOU, ME)


@given(st.binary(max_size=400))
def test_random_datagrams_are_a_packet_or_a_decode_error(datagram: bytes) -> None:
    with suppress(DecodeError):
        decode_packet(datagram, ME)


@given(
    st.sampled_from([0, 1, 2, 3]),
    st.integers(0, 2**16 - 1),
    st.binary(min_size=32, max_size=400),
)
def test_random_headers_are_a_packet_or_a_decode_error(flag: int, size: int, rest: bytes) -> None:
    head = IV + b"discv5\x00\x01" + bytes([flag]) + NONCE + (size % 500).to_bytes(2, "big") + rest
    with suppress(DecodeError):
        decode_packet(datagram_of(ME, head), ME)


@given(st.integers(0, 8), st.binary(max_size=100))
def test_random_plaintexts_are_a_message_or_a_decode_error(kind: int, rest: bytes) -> None:
    for plaintext in (bytes([kind]) + rest, bytes([kind]) + encode_rlp([b"\x01", [rest], rest])):
        with suppress(DecodeError):
            message = decode_message(plaintext)
            assert decode_message(encode_message(message)) == message


@given(ids, sequences, st.ip_addresses(), st.integers(0, 2**16 - 1))
def test_any_pong_reads_back(request_id: bytes, sequence: int, ip: object, port: int) -> None:
    pong = Pong(request_id, sequence, str(ip), port)
    assert decode_message(encode_message(pong)) == pong
