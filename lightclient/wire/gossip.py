"""Gossip: topics of a fork digest, which of them to listen to, payloads and message ids.

Payloads are raw snappy blocks. A message's id depends on whether its payload decompresses, so both
are found together, once, and neither raises: an exception in a message-id function ends a host.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from lightclient.config import FIRST_LIGHT_CLIENT_FORK, Network
from lightclient.containers import (
    LightClientFinalityUpdate,
    LightClientOptimisticUpdate,
    ObjectKind,
    format_of_digest,
    object_type,
)
from lightclient.errors import DecodeError
from lightclient.wire.protocols import MAX_PAYLOAD_SIZE, object_bounds
from lightclient.wire.snappy_block import compress_block, decompress_block, max_compressed_len

MESSAGE_DOMAIN_INVALID_SNAPPY: Final = bytes.fromhex("00000000")
MESSAGE_DOMAIN_VALID_SNAPPY: Final = bytes.fromhex("01000000")
MAX_MESSAGE_SIZE: Final = max(max_compressed_len(MAX_PAYLOAD_SIZE) + 1024, 2**20)
"""``max_message_size`` of the specification: a whole gossip RPC with its framing."""
MAX_LIGHT_CLIENT_UPDATE: Final = 2**15
"""Bytes on the light client's topics; the largest update of any preset has 2 KB."""

FINALITY_UPDATE: Final = "light_client_finality_update"
OPTIMISTIC_UPDATE: Final = "light_client_optimistic_update"
BEACON_BLOCK: Final = "beacon_block"
LIGHT_CLIENT_TOPICS: Final = (FINALITY_UPDATE, OPTIMISTIC_UPDATE)
TOPIC_KINDS: Final = {
    FINALITY_UPDATE: ObjectKind.FINALITY_UPDATE,
    OPTIMISTIC_UPDATE: ObjectKind.OPTIMISTIC_UPDATE,
}

_MESSAGE_ID_SIZE: Final = 20
_TOPIC: Final = re.compile(r"/eth2/([0-9a-f]{8})/([a-z0-9_]{1,64})/ssz_snappy", re.ASCII)
_MAX_TOPIC_LENGTH: Final = 128


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic: its fork digest (4 bytes) and what is told there."""

    fork_digest: bytes
    name: str

    def __str__(self) -> str:
        return f"/eth2/{self.fork_digest.hex()}/{self.name}/ssz_snappy"


@dataclass(frozen=True, slots=True)
class GossipPayload:
    """What a gossip message carries.

    Attributes:
        message_id: 20 bytes, the same at every peer.
        content: the decompressed SSZ bytes; None if the payload is not valid snappy.
    """

    message_id: bytes
    content: bytes | None


def parse_topic(topic: str | bytes) -> Topic | None:
    """The topic that a peer named; None for any other text (or bytes that are none)."""
    if len(topic) > _MAX_TOPIC_LENGTH:
        return None
    text = topic.decode("utf-8", "replace") if isinstance(topic, bytes) else topic
    match = _TOPIC.fullmatch(text)
    return Topic(bytes.fromhex(match[1]), match[2]) if match else None


def read_message(topic: str | bytes, data: bytes) -> GossipPayload:
    """The id and content of a message: ``compute_message_id``, altair and later.

    Never raises: what does not decompress to at most MAX_PAYLOAD_SIZE has an id of its own domain.
    So has, on the topics of updates, what is larger than any of them: nobody passes it on.
    """
    content: bytes | None
    try:
        content = decompress_block(data, _most(topic))
    except DecodeError:
        content = None
    return GossipPayload(_message_id(topic, data, content), content)


def _most(topic: str | bytes) -> int:
    named = parse_topic(topic)
    is_update = named is not None and named.name in TOPIC_KINDS
    return MAX_LIGHT_CLIENT_UPDATE if is_update else MAX_PAYLOAD_SIZE


def _message_id(topic: str | bytes, data: bytes, content: bytes | None) -> bytes:
    # Libraries hand out topics that are not UTF-8 as bytes, or as text with surrogates.
    name = topic if isinstance(topic, bytes) else topic.encode("utf-8", "surrogatepass")
    domain = MESSAGE_DOMAIN_INVALID_SNAPPY if content is None else MESSAGE_DOMAIN_VALID_SNAPPY
    length = len(name).to_bytes(8, "little")
    said = data if content is None else content
    return sha256(domain + length + name + said).digest()[:_MESSAGE_ID_SIZE]


def encode_payload(content: bytes) -> bytes:
    """The payload of a message with these SSZ bytes.

    Raises:
        ValueError: more than peers would take.
    """
    if len(content) > MAX_PAYLOAD_SIZE:
        raise ValueError(f"{len(content)} bytes where gossip takes {MAX_PAYLOAD_SIZE}")
    return compress_block(content)


def decode_update(
    topic: Topic, content: bytes, network: Network
) -> LightClientFinalityUpdate | LightClientOptimisticUpdate:
    """The update of a message on one of the light client's topics.

    Gossip is strict about labels, unlike answers: a message belongs on the topic of the fork
    digest at its attested slot, and is to be rejected elsewhere.

    Raises:
        DecodeError: another topic, no update of the topic's format, or of another digest.
    """
    kind = TOPIC_KINDS.get(topic.name)
    data_format = format_of_digest(topic.fork_digest, network)
    if kind is None or data_format is None:
        raise DecodeError(f"{topic} is no light client topic of {network.name}")
    least, most = object_bounds(kind, network.preset.sync_committee_size)
    if not least <= len(content) <= most:
        raise DecodeError(f"{len(content)} bytes, where a {kind} has {least} to {most}")
    update = object_type(kind, data_format, network.preset.sync_committee_size).decode(content)
    assert isinstance(update, LightClientFinalityUpdate | LightClientOptimisticUpdate)
    if topic_of(update, network) != topic:
        slot = update.attested_header.beacon.slot
        raise DecodeError(f"a {kind} with attested slot {slot} does not belong on {topic}")
    return update


def topic_of(
    update: LightClientFinalityUpdate | LightClientOptimisticUpdate, network: Network
) -> Topic:
    """The topic that an update is published on."""
    epoch = network.compute_epoch_at_slot(update.attested_header.beacon.slot)
    name = FINALITY_UPDATE if update.kind is ObjectKind.FINALITY_UPDATE else OPTIMISTIC_UPDATE
    return Topic(network.compute_fork_digest(epoch), name)


def fork_digests_at(network: Network, slot: int) -> tuple[bytes, ...]:
    """Fork digests to listen to at ``slot``, oldest first; none before the light client's forks.

    The current one, the next from one epoch before it is in force, and the previous until one epoch
    after it ended, whether a fork or a change of blob parameters moves it.
    """
    epoch = network.compute_epoch_at_slot(slot)
    digests = {
        network.compute_fork_digest(near): None
        for near in (max(epoch - 1, 0), epoch, epoch + 1)
        if network.fork_at_epoch(near).index >= FIRST_LIGHT_CLIENT_FORK.index
    }
    return tuple(digests)


def topics_at(
    network: Network, slot: int, names: tuple[str, ...] = LIGHT_CLIENT_TOPICS
) -> tuple[Topic, ...]:
    """Topics to be subscribed to at ``slot``: ``names`` under each of :func:`fork_digests_at`."""
    return tuple(Topic(digest, name) for digest in fork_digests_at(network, slot) for name in names)
