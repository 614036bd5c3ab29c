"""What gossipsub peers tell each other: subscriptions, messages and control, as protocol buffers.

Messages that are not anonymous (StrictNoSign: no from, seqno, signature or key, one topic) are kept
apart as offences; everything else that is odd is passed over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from lightclient.errors import DecodeError
from lightclient.transports.libp2p.protobuf import (
    Field,
    FieldBudget,
    Value,
    as_bytes,
    as_number,
    decode_fields,
    encode_fields,
)

MAX_TOPIC: Final = 128
MAX_MESSAGE_ID: Final = 64
_SUBSCRIPTIONS, _PUBLISH, _CONTROL = 1, 2, 3
_IHAVE, _IWANT, _GRAFT, _PRUNE, _IDONTWANT = 1, 2, 3, 4, 5
_DATA, _TOPIC = 2, 4
_SIGNATURE_POLICY_FIELDS: Final = frozenset({1, 3, 5, 6})
"""from, seqno, signature and key, which StrictNoSign forbids."""


@dataclass(frozen=True, slots=True)
class GossipMessage:
    """A message: its topic as told, and its payload as it goes over the wire."""

    topic: str
    data: bytes


@dataclass(slots=True)
class GossipRPC:
    """One exchange between two peers.

    Attributes:
        subscriptions: topics with whether the peer now listens to them.
        have: message ids by topic, which the peer can send.
        want, do_not_want: message ids.
        graft: topics. prune: topics with the back-off in seconds (0: not told).
        offences: why messages were left out.
    """

    subscriptions: list[tuple[str, bool]] = field(default_factory=list)
    messages: list[GossipMessage] = field(default_factory=list)
    have: list[tuple[str, list[bytes]]] = field(default_factory=list)
    want: list[bytes] = field(default_factory=list)
    do_not_want: list[bytes] = field(default_factory=list)
    graft: list[str] = field(default_factory=list)
    prune: list[tuple[str, int]] = field(default_factory=list)
    offences: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to send."""
        return not any(
            (
                self.subscriptions,
                self.messages,
                self.have,
                self.want,
                self.do_not_want,
                self.graft,
                self.prune,
            )
        )


def decode_rpc(data: bytes) -> GossipRPC:
    """The exchange of ``data``.

    Raises:
        DecodeError: it is none.
    """
    rpc, budget = GossipRPC(), FieldBudget()
    readers: dict[int, Callable[[GossipRPC, bytes, FieldBudget], None]] = {
        _SUBSCRIPTIONS: _read_subscription,
        _PUBLISH: _read_message,
        _CONTROL: _read_control,
    }
    for number, value in decode_fields(data, budget):
        if number in readers:
            readers[number](rpc, as_bytes(value), budget)
    return rpc


def _topic(value: Value) -> str:
    raw = as_bytes(value)
    if len(raw) > MAX_TOPIC:
        raise DecodeError(f"a topic of {len(raw)} bytes")
    # Never equal to a topic of ours if it is not UTF-8.
    return raw.decode("utf-8", "replace")


def _read_subscription(rpc: GossipRPC, data: bytes, budget: FieldBudget) -> None:
    topic, subscribe = "", False
    for number, value in decode_fields(data, budget):
        if number == 1:
            subscribe = bool(as_number(value))
        elif number == 2:
            topic = _topic(value)
    rpc.subscriptions.append((topic, subscribe))


def _read_message(rpc: GossipRPC, data: bytes, budget: FieldBudget) -> None:
    payload, topics, signed = b"", [], False
    for number, value in decode_fields(data, budget):
        if number == _DATA:
            payload = as_bytes(value)
        elif number == _TOPIC:
            topics.append(_topic(value))
        elif number in _SIGNATURE_POLICY_FIELDS:
            signed = True
    if signed or len(topics) != 1:
        rpc.offences.append("a signed message" if signed else f"a message of {len(topics)} topics")
        return
    rpc.messages.append(GossipMessage(topics[0], payload))


def _read_control(rpc: GossipRPC, data: bytes, budget: FieldBudget) -> None:
    for number, value in decode_fields(data, budget):
        if number not in (_IHAVE, _IWANT, _GRAFT, _PRUNE, _IDONTWANT):
            continue
        topic, back_off, ids = "", 0, []
        is_named = number in (_IHAVE, _GRAFT, _PRUNE)
        for inner, item in decode_fields(as_bytes(value), budget):
            if is_named and inner == 1:
                topic = _topic(item)
            elif number == _PRUNE and inner == 3:
                back_off = as_number(item)
            elif inner == (2 if number == _IHAVE else 1) and number != _PRUNE:
                ids.append(as_bytes(item)[:MAX_MESSAGE_ID])
        if number == _IHAVE:
            rpc.have.append((topic, ids))
        elif number == _IWANT:
            rpc.want += ids
        elif number == _IDONTWANT:
            rpc.do_not_want += ids
        elif number == _GRAFT:
            rpc.graft.append(topic)
        else:
            rpc.prune.append((topic, back_off))


def encode_rpc(rpc: GossipRPC) -> bytes:
    """The bytes of an exchange, without their length."""
    fields: list[Field] = []
    for topic, subscribe in rpc.subscriptions:
        content = encode_fields([(1, int(subscribe)), (2, topic.encode())])
        fields.append((_SUBSCRIPTIONS, content))
    for message in rpc.messages:
        content = encode_fields([(_DATA, message.data), (_TOPIC, message.topic.encode())])
        fields.append((_PUBLISH, content))
    control = encode_fields(_control_fields(rpc))
    if control:
        fields.append((_CONTROL, control))
    return encode_fields(fields)


def _control_fields(rpc: GossipRPC) -> list[Field]:
    fields: list[Field] = []
    for topic, ids in rpc.have:
        named: list[Field] = [(1, topic.encode())]
        fields.append((_IHAVE, encode_fields(named + [(2, item) for item in ids])))
    if rpc.want:
        fields.append((_IWANT, encode_fields([(1, item) for item in rpc.want])))
    fields += [(_GRAFT, encode_fields([(1, topic.encode())])) for topic in rpc.graft]
    for topic, back_off in rpc.prune:
        fields.append((_PRUNE, encode_fields([(1, topic.encode()), (3, back_off)])))
    if rpc.do_not_want:
        fields.append((_IDONTWANT, encode_fields([(1, item) for item in rpc.do_not_want])))
    return fields
