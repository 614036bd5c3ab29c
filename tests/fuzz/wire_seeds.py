"""What the fuzzing of the wire begins from: encodings of our own, and answers of a real node.

The first bytes of each are the choices that the functions in `wire` and `discovery` make of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from lightclient.config.forks import DATA_FORMATS
from lightclient.containers import LightClientUpdate, ObjectKind, encode_ssz, object_type
from lightclient.errors import DecodeError
from lightclient.wire.discv5.messages import (
    FindNode,
    Nodes,
    Ping,
    Pong,
    TalkRequest,
    TalkResponse,
    encode_message,
)
from lightclient.wire.discv5.packets import handshake_head, ordinary_head, whoareyou_head
from lightclient.wire.enr import NodeRecord, endpoint_entries, sign_record
from lightclient.wire.fork_id import fork_entries
from lightclient.wire.gossip import encode_payload, topic_of
from lightclient.wire.messages import BlocksByRange, Metadata, Status, UpdatesByRange
from lightclient.wire.protocols import PROTOCOLS, Protocol
from lightclient.wire.requests import encode_request
from lightclient.wire.responses import encode_chunk, encode_error
from lightclient.wire.rlp import Encodable, Item, decode_list, decode_rlp, encode_rlp
from lightclient.wire.snappy_block import compress_block
from lightclient.wire.snappy_frames import frame
from tests.fuzz.decoders import network_with_all_forks
from tests.fuzz.discovery import ACTIONS
from tests.fuzz.histories import SPEC_VECTORS, RawObject
from tests.fuzz.wire import LIMITS, key_of

RECORDED = SPEC_VECTORS.parent / "real-data" / "lodestar-p2p"
_CONTENTS = (b"", b"light", b"light client " * 90, bytes(70_000))
_WHOLE = b"\0"
_IN_PIECES = bytes([2, 9, 0, 40, 0])


def frames() -> Iterator[bytes]:
    padding = b"\xfe\x05\0\0.....\x80\x01\0\0x"
    for content in _CONTENTS:
        framed, size = frame(content), len(content).to_bytes(3, "little")
        yield size + _WHOLE + framed
        yield size + _IN_PIECES + framed[:10] + padding + framed[10:]
        yield size + _IN_PIECES + framed * 2


def blocks() -> Iterator[bytes]:
    for content in _CONTENTS:
        for limit in range(len(LIMITS)):
            yield bytes([limit]) + compress_block(content)


def gossip(objects: Iterable[RawObject]) -> Iterator[bytes]:
    """Each on the topic of its slot, which is moved to where its format belongs."""
    network = network_with_all_forks("minimal")
    for raw in objects:
        if raw.kind not in (ObjectKind.FINALITY_UPDATE, ObjectKind.OPTIMISTIC_UPDATE):
            continue
        data_format = next(form for form in DATA_FORMATS if form.name == raw.format_name)
        try:
            update: Any = object_type(raw.kind, data_format, 32).decode(raw.ssz)
        except DecodeError:
            continue
        assert not isinstance(update, LightClientUpdate)
        epochs = [s.epoch for s in network.forks if s.fork.data_format is data_format]
        slot = (epochs[-1] + 1) * network.preset.slots_per_epoch
        header = update.attested_header
        moved = replace(header, beacon=replace(header.beacon, slot=slot))
        for value in (update, replace(update, attested_header=moved)):
            topic = str(topic_of(value, network)).encode()
            yield bytes([0, len(topic)]) + topic + b"\0" + encode_payload(encode_ssz(value))
    yield b"\0\x03\xff\xfe\xfd\x01" + encode_payload(b"x")


def answers(objects: Iterable[RawObject]) -> Iterator[bytes]:
    network = network_with_all_forks("minimal")
    whole = {raw.kind: raw for raw in objects}
    errors = encode_error(3, "none here"), encode_error(200), b"\x02"
    for number, protocol in enumerate(PROTOCOLS):
        context = network.compute_fork_digest(20) if protocol.has_context else b""
        chunk = encode_chunk(_payload(protocol, whole), context)
        for stream in (chunk, chunk * 2, chunk + errors[0], *errors, b"", chunk[:-3]):
            yield bytes([number, 0, 0, 0]) + _WHOLE + stream
        yield bytes([number, 0, 2, 1]) + _IN_PIECES + chunk
    for path in sorted(RECORDED.glob("*.bin")):
        yield bytes([_recorded_protocol(path), 0, 0, 0]) + _IN_PIECES + path.read_bytes()


def _recorded_protocol(path: Path) -> int:
    name = path.stem.split("_", 1)[1]
    return next(n for n, protocol in enumerate(PROTOCOLS) if protocol.name == name)


def _payload(protocol: Protocol, whole: dict[ObjectKind, RawObject]) -> bytes:
    if protocol.kind is not None:
        return whole[protocol.kind].ssz
    if protocol.response is None:
        return bytes([100, 0, 0, 0]) + bytes(500)
    return protocol.response.encode(_MESSAGES[protocol.name])


_MESSAGES: dict[str, Any] = {
    "status": Status(b"abcd", bytes(32), 1, bytes(32), 2**40, 3),
    "ping": 7,
    "goodbye": 129,
    "metadata": Metadata(5, b"\xff" * 8, b"\x0f", 4),
    "light_client_bootstrap": bytes(32),
    "light_client_updates_by_range": UpdatesByRange(100, 128),
    "beacon_blocks_by_root": (bytes(32), b"\xff" * 32),
    "beacon_blocks_by_range": BlocksByRange(2**30, 1024),
}


def requests() -> Iterator[bytes]:
    for number, protocol in enumerate(PROTOCOLS):
        message = None if protocol.request is None else _MESSAGES[protocol.name]
        encoded = encode_request(protocol, message)
        yield bytes([number]) + _WHOLE + encoded
        yield bytes([number]) + _IN_PIECES + encoded + b"\xff\x06\0\0sN"
    by_root = next(n for n, p in enumerate(PROTOCOLS) if p.name == "beacon_blocks_by_root")
    yield bytes([by_root]) + _WHOLE + encode_request(PROTOCOLS[by_root], ())


# Discovery ----------------------------------------------------------------------------------------


def _records() -> Iterator[NodeRecord]:
    for ip in ("45.1.1.1", "127.0.0.1", "2600:1901::1", "fe80::1"):
        endpoints = endpoint_entries(ip_address(ip), tcp=9000, udp=9001, quic=80)
        entries: dict[bytes, Item] = {k: v for k, v in endpoints.items() if v is not None}
        entries |= fork_entries(network_with_all_forks("minimal"), 9)
        entries |= {b"attnets": b"\x01" * 8, b"syncnets": b"\x0f"}
        yield sign_record(key_of(1), 5, entries)
    yield sign_record(key_of(1), 0, {b"zz": (b"list", (b"", b"\x80"))})


def rlp() -> Iterator[bytes]:
    values: Iterable[Encodable] = (
        [],
        b"",
        b"\x01",
        b"x" * 60,
        [[], [[b"\x7f"]], b"\x80"],
        [b"y" * 300] * 2,
    )
    yield from map(encode_rlp, values)
    yield from (record.raw for record in _records())
    yield from (message[1:] for message in messages())


def records() -> Iterator[bytes]:
    for epoch, record in enumerate(_records()):
        _, *content = decode_list(record.raw)
        yield bytes([0, epoch]) + record.raw
        yield bytes([1, 4 * epoch]) + record.text.encode()
        yield bytes([2, 8]) + encode_rlp(content)


def packets() -> Iterator[bytes]:
    masking_iv, nonce, node_id = bytes(range(16)), bytes(range(12)), b"\x11" * 32
    for head, message in (
        (ordinary_head(masking_iv, nonce, node_id), bytes(40)),
        (whoareyou_head(masking_iv, nonce, b"\x22" * 16, 2**63), b""),
        (handshake_head(masking_iv, nonce, node_id, b"s" * 64, b"k" * 33), bytes(40)),
        (handshake_head(masking_iv, nonce, node_id, b"s" * 64, b"k" * 33, b"r" * 300), bytes(16)),
    ):
        for masked in (1, 0):
            yield bytes([masked]) + len(head).to_bytes(2, "little") + head + message


def messages() -> Iterator[bytes]:
    found = tuple(decode_rlp(record.raw) for record in _records())
    for message in (
        Ping(b"\x01\x02", 2**63),
        Pong(b"", 1, "45.1.1.1", 9000),
        Pong(b"\x09" * 8, 1, "2600:1901::1", 65535),
        FindNode(b"\x01", (0, 256, 255)),
        Nodes(b"\x01", 2, found[:3]),
        TalkRequest(b"\x01", b"utp", b"hello"),
        TalkResponse(b"\x01", b""),
    ):
        yield encode_message(message)


def conversations() -> Iterator[bytes]:
    """Sequences: a session opened by each side, and what may be done with it."""

    def step(action: str, *choices: int, then: bytes = b"") -> bytes:
        return bytes([ACTIONS.index(action), *choices]) + then

    carry = step("deliver", 15)
    ours = step("ask", 0, 0) + carry + carry
    theirs = step("ask_us", 1, 1) + carry + carry
    opened = b"\x07" + ours + theirs
    yield opened
    yield opened + step("ask", 0, 1, *range(6)) + carry + step("pass_time", 0x80, 0x30, 1) + carry
    yield (
        opened + step("ask_us", 0, 2, 255, 0) + carry + step("ask_us", 1, 3, 2, then=b"hi") + carry
    )
    for message in messages():
        yield opened + step("say", 0, len(message) % 224, then=message[:223]) + carry
        yield opened + step("lie", 0, message[0], 3, then=b"\x01\xc0\xc0") + ours
    for number in range(0, 30, 3):
        yield opened + step("lie", 0, 0, number) + step("ask", 0, 1, *range(6)) + carry + carry
    # A record that says it is elsewhere, and the promise of a newer one.
    ping = encode_message(Ping(b"\x01", 9))
    for where in range(8):
        yield b"\x07" + step("handshake", 0, 2, where, len(ping), then=ping) + carry * 2
        moved = b"\x07" + step("move", 0, where, 1) + step("ask_us", 0, 1) + carry * 2
        yield moved + step("ask_us", 0, 0, 99, 0) + carry * 2
        # It is asked where it was, answers, and must not be kept under what it says of itself.
        later = step("pass_time", 0, 0x40, 1) + carry
        yield moved + step("ask", 0, 0) + carry * 2 + later * 3
    yield b"\x07" + step("ask", 1, 0) + step("challenge", 0, *bytes(8), 1) + carry
    for action in ("damage", "stranger", "header", "flood"):
        yield opened + step(action, 1, 3, 9, 0, 8, 0, 7, then=bytes(80)) * 3 + carry
    look_up = step("ask", 0, 3, then=bytes(range(32)))
    yield b"\x07" + look_up + carry * 8 + step("pass_time", 0, 0x40, 1) + carry * 3
