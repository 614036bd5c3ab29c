"""The wire's codecs under fuzz: frames, blocks, requests, answers, gossip, records, packets.

As in `decoders`: the first bytes choose, and a word for what happened comes out. A stream must be
read the same however it is cut, and what decodes must encode to the same bytes.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import cramjam

from lightclient.config import Network
from lightclient.containers import encode_ssz
from lightclient.errors import DecodeError
from lightclient.wire.discv5.addresses import may_tell, neighbourhood
from lightclient.wire.discv5.messages import Nodes, decode_message, encode_message
from lightclient.wire.discv5.packets import (
    MASKING_IV_SIZE,
    MAX_PACKET_SIZE,
    HandshakePacket,
    OrdinaryPacket,
    Packet,
    datagram_of,
    decode_packet,
    handshake_head,
    ordinary_head,
    whoareyou_head,
)
from lightclient.wire.enr import NodeRecord, decode_record, parse_record, record_of_item
from lightclient.wire.fork_id import compare_forks
from lightclient.wire.gossip import decode_update, parse_topic, read_message, topic_of
from lightclient.wire.identity import IdentityKey, keccak256
from lightclient.wire.protocols import MAX_PAYLOAD_SIZE, PROTOCOLS, Protocol
from lightclient.wire.requests import RequestReader, encode_request
from lightclient.wire.responses import (
    MAX_ERROR_MESSAGE,
    Chunk,
    ErrorChunk,
    ResponseEvent,
    ResponseReader,
    decode_object,
    decode_payload,
)
from lightclient.wire.rlp import decode_list, decode_rlp, encode_rlp
from lightclient.wire.snappy_block import compress_block, decompress_block
from lightclient.wire.snappy_frames import MAX_FRAME_BODY, FrameReader
from tests.fuzz.consumer import Consumer
from tests.fuzz.decoders import chosen_network, network_with_all_forks, words_of

LIMITS = [0, 100, 70_000, MAX_PAYLOAD_SIZE]
MOST_CHUNKS = [None, 1, 3, 2000]
LOCAL_ID = bytes(range(32))
_WAITED_FOR = 4 + MAX_FRAME_BODY


@cache
def key_of(number: int) -> IdentityKey:
    """The identity with this secret."""
    return IdentityKey(number.to_bytes(32, "big"))


# Streams and gossip -------------------------------------------------------------------------------


def fuzz_frames(data: bytes) -> str:
    chosen = Consumer(data)
    size = chosen.number(3)
    pieces = chosen.pieces()
    read = _frames(size, pieces)
    assert read == _frames(size, [b"".join(pieces)])
    return read[0]


def _frames(size: int, pieces: list[bytes]) -> tuple[str, bytes, bytes]:
    """What became of it, the content, and what was left in the buffer."""
    reader, buffer = FrameReader(size), bytearray()
    try:
        for piece in pieces:
            buffer += piece
            assert reader.take(buffer) is reader.is_complete
            assert reader.is_complete or len(buffer) < _WAITED_FOR
    except DecodeError as error:
        return words_of(error), reader.content, b""
    assert len(reader.content) <= size
    if not reader.is_complete:
        return "not whole", reader.content, bytes(buffer)
    taken = b"".join(pieces).removesuffix(buffer)
    assert not size or reader.content == bytes(cramjam.snappy.decompress(taken))
    return "whole", reader.content, bytes(buffer)


def fuzz_block(data: bytes) -> str:
    chosen = Consumer(data)
    limit = chosen.choice(LIMITS)
    try:
        content = decompress_block(chosen.rest(), limit)
    except DecodeError as error:
        return words_of(error)
    assert len(content) <= limit
    assert decompress_block(compress_block(content), limit) == content
    return "content"


def fuzz_gossip(data: bytes) -> str:
    chosen = Consumer(data)
    network, raw = chosen_network(chosen), chosen.take(chosen.byte())
    topic = _topics(raw)[chosen.byte() % 4]
    # Neither of the two may raise anything: that would end a host.
    message, parsed = read_message(topic, chosen.rest()), parse_topic(topic)
    assert len(message.message_id) == 20
    if parsed is not None:
        assert str(parsed).encode() == (topic if isinstance(topic, bytes) else topic.encode())
    if parsed is None or message.content is None:
        return f"{parsed is None} {message.content is None}"
    assert len(message.content) <= MAX_PAYLOAD_SIZE
    try:
        update = decode_update(parsed, message.content, network)
    except DecodeError as error:
        return words_of(error)
    assert encode_ssz(update) == message.content
    assert topic_of(update, network) == parsed
    return f"{update.kind} {update.data_format.name}"


def _topics(raw: bytes) -> list[str | bytes]:
    """As bytes, and as the texts that a library may make of them."""
    lenient = raw.decode("utf-8", "surrogateescape")
    return [raw, lenient, raw.decode("utf-8", "replace"), raw.decode("latin-1")]


def fuzz_answers(data: bytes) -> str:
    chosen = Consumer(data)
    protocol, network = chosen.choice(PROTOCOLS), chosen_network(chosen)
    most, reset = chosen.choice(MOST_CHUNKS), bool(chosen.byte() % 2)
    pieces = chosen.pieces()

    def read(pieces: list[bytes]) -> list[ResponseEvent | str]:
        reader = ResponseReader(protocol, network, most)
        return _answer(reader, pieces, reset=reset)

    events = read(pieces)
    assert events == read([b"".join(pieces)])
    chunks = [event for event in events if not isinstance(event, str)]
    assert len(chunks) <= min(most or protocol.max_chunks, protocol.max_chunks)
    assert not any(isinstance(event, ErrorChunk) for event in chunks[:-1])
    seen = {_said(protocol, event, network) for event in events}
    return f"{min(len(events), 4)} {' '.join(sorted(seen))}"


def _answer(
    reader: ResponseReader, pieces: list[bytes], *, reset: bool
) -> list[ResponseEvent | str]:
    """Every event of a stream; a failure ends it as words."""
    events: list[ResponseEvent | str] = []
    try:
        for piece in pieces:
            reader.receive(piece)
            while (event := reader.next_event()) is not None:
                events.append(event)
        reader.receive_end(reset=reset)
        while (event := reader.next_event()) is not None:
            events.append(event)
    except DecodeError as error:
        events.append(words_of(error))
        _check_stays_failed(reader)
    else:
        assert reader.is_finished
    return events


def _check_stays_failed(reader: ResponseReader) -> None:
    reader.receive(bytes(100))
    try:
        event = reader.next_event()
    except DecodeError:
        return
    raise AssertionError(f"an answer that failed went on with {event}")


def _said(protocol: Protocol, event: ResponseEvent | str, network: Network) -> str:
    if isinstance(event, str):
        return event
    if isinstance(event, ErrorChunk):
        assert event.code
        assert len(event.message) <= MAX_ERROR_MESSAGE
        assert event.text.isprintable()
        return event.name if event.code < 4 else "another error"
    least, most = protocol.response_bounds(network, event.context)
    assert least <= len(event.payload) <= most
    try:
        return _content(protocol, event, network)
    except DecodeError as error:
        return words_of(error)


def _content(protocol: Protocol, chunk: Chunk, network: Network) -> str:
    if protocol.response is not None:
        assert protocol.response.encode(decode_payload(protocol, chunk)) == chunk.payload
        return "payload"
    if protocol.kind is None:
        return "block"
    value = decode_object(protocol, chunk, network)
    assert value.kind is protocol.kind
    assert encode_ssz(value) == chunk.payload
    return value.data_format.name


def fuzz_requests(data: bytes) -> str:
    chosen = Consumer(data)
    protocol = chosen.choice(PROTOCOLS)
    pieces = chosen.pieces()
    word, request = _request(protocol, pieces)
    assert (word, request) == _request(protocol, [b"".join(pieces)])
    if word == "request":
        assert _request(protocol, [encode_request(protocol, request)]) == (word, request)
    return f"{protocol.name} {word}"


def _request(protocol: Protocol, pieces: list[bytes]) -> tuple[str, Any]:
    reader = RequestReader(protocol)
    try:
        for piece in pieces:
            reader.receive(piece)
        reader.receive_end()
        return "request", reader.request
    except DecodeError as error:
        return words_of(error), None


# Discovery ----------------------------------------------------------------------------------------


def fuzz_rlp(data: bytes) -> str:
    try:
        value = decode_rlp(data)
    except DecodeError as error:
        return words_of(error)
    assert encode_rlp(value) == data
    return f"{type(value).__name__} {min(len(value), 4)}"


def fuzz_record(data: bytes) -> str:
    """Of any bytes, of any text, or of a content that its key has signed."""
    chosen = Consumer(data)
    how, epoch, rest = chosen.byte() % 3, chosen.byte(), chosen.rest()
    try:
        if how == 0:
            record = decode_record(rest)
            assert record.raw == rest
        elif how == 1:
            record = parse_record(rest.decode("utf-8", "replace"))
            assert record.text == rest.decode().strip()
        else:
            record = decode_record(signed_content(rest))
    except DecodeError as error:
        return words_of(error)
    return _look_at(record, epoch)


def signed_content(content: bytes, number: int = 1) -> bytes:
    """A record of what should be the RLP of a record without its signature; or DecodeError."""
    signature = key_of(number).sign(keccak256(content))
    return encode_rlp([signature, *decode_list(content)])


def _look_at(record: NodeRecord, epoch: int) -> str:
    assert parse_record(record.text) == decode_record(record.raw) == record
    assert len(record.node_id) == 32
    endpoints = (record.udp_endpoint, record.tcp_endpoint, record.quic_endpoint)
    for _, port in filter(None, endpoints):
        assert 0 < port < 65536
    where = neighbourhood(record)
    seen = [where is not None, may_tell("45.1.1.1", record), may_tell("127.0.0.1", record)]
    seen += [found is not None for found in (*endpoints, record.attnets, record.syncnets)]
    return f"{compare_forks(record, network_with_all_forks('minimal'), epoch).name} {seen}"


def fuzz_packet(data: bytes) -> str:
    """A header behind its length, which is masked as it should be, and a message."""
    chosen = Consumer(data)
    is_masked, head = chosen.byte() % 8, chosen.take(chosen.number())
    message = chosen.rest()
    datagram = head + message
    if is_masked:
        head = head[:MAX_PACKET_SIZE].ljust(MASKING_IV_SIZE, b"\0")
        datagram = datagram_of(LOCAL_ID, head, message[: MAX_PACKET_SIZE - len(head)])
    try:
        packet = decode_packet(datagram, LOCAL_ID)
    except DecodeError as error:
        return words_of(error)
    assert _rebuilt(packet) == packet.head
    sealed = b"" if not isinstance(packet, OrdinaryPacket | HandshakePacket) else packet.message
    assert datagram_of(LOCAL_ID, packet.head, sealed) == datagram
    return type(packet).__name__


def _rebuilt(packet: Packet) -> bytes:
    masking_iv = packet.head[:MASKING_IV_SIZE]
    if isinstance(packet, OrdinaryPacket):
        return ordinary_head(masking_iv, packet.nonce, packet.source_id)
    if isinstance(packet, HandshakePacket):
        proof = (packet.signature, packet.ephemeral_key, packet.record)
        return handshake_head(masking_iv, packet.nonce, packet.source_id, *proof)
    return whoareyou_head(masking_iv, packet.request_nonce, packet.id_nonce, packet.enr_sequence)


def fuzz_discovery_message(data: bytes) -> str:
    try:
        message = decode_message(data)
    except DecodeError as error:
        return words_of(error)
    assert encode_message(message) == data
    refused = 0
    if isinstance(message, Nodes):
        for item in message.records:
            try:
                record_of_item(item)
            except DecodeError:
                refused += 1
        return f"Nodes {min(len(message.records), 3)} {min(refused, 3)}"
    return type(message).__name__
