"""Light client objects over the network: in req/resp chunks and on gossip topics."""

from __future__ import annotations

import pytest

from lightclient.containers import (
    LightClientFinalityUpdate,
    LightClientObject,
    LightClientOptimisticUpdate,
    ObjectKind,
    decode_ssz,
    encode_ssz,
)
from lightclient.errors import DecodeError
from lightclient.wire.gossip import (
    Topic,
    decode_update,
    encode_payload,
    parse_topic,
    read_message,
    topic_of,
)
from lightclient.wire.protocols import PROTOCOLS
from lightclient.wire.responses import Chunk, ResponseReader, decode_object, encode_object
from tests.containers.samples import (
    MINIMAL_SHAPES,
    Shape,
    digest_of,
    network_with_all_forks,
    random_ssz,
    slot_of,
)

UPDATE_SHAPES = [
    shape
    for shape in MINIMAL_SHAPES
    if shape.kind in (ObjectKind.FINALITY_UPDATE, ObjectKind.OPTIMISTIC_UPDATE)
]


def sample(shape: Shape) -> LightClientObject:
    network = network_with_all_forks(shape.preset)
    ssz = random_ssz(shape, 1, slot_of(shape.data_format, network))
    return decode_ssz(shape.kind, ssz, network, (shape.data_format,))


@pytest.mark.parametrize("shape", MINIMAL_SHAPES, ids=str)
def test_every_object_reads_back_from_its_chunk(shape: Shape) -> None:
    network = network_with_all_forks(shape.preset)
    value = sample(shape)
    protocol = next(protocol for protocol in PROTOCOLS if protocol.kind is shape.kind)
    reader = ResponseReader(protocol, network)
    reader.receive(encode_object(value, network))
    chunk = reader.next_event()
    assert isinstance(chunk, Chunk)
    assert chunk.context == digest_of(shape.data_format, network)
    assert decode_object(protocol, chunk, network) == value


@pytest.mark.parametrize("shape", UPDATE_SHAPES, ids=str)
def test_every_update_reads_back_from_its_topic(shape: Shape) -> None:
    network = network_with_all_forks(shape.preset)
    value = sample(shape)
    assert isinstance(value, LightClientFinalityUpdate | LightClientOptimisticUpdate)
    topic = topic_of(value, network)
    message = read_message(str(topic), encode_payload(encode_ssz(value)))
    assert message.content is not None
    assert parse_topic(str(topic)) == topic
    assert decode_update(topic, message.content, network) == value


def test_an_update_on_a_topic_that_is_not_its_own_is_refused() -> None:
    shape = UPDATE_SHAPES[0]
    network = network_with_all_forks(shape.preset)
    value = sample(shape)
    assert isinstance(value, LightClientFinalityUpdate | LightClientOptimisticUpdate)
    topic, content = topic_of(value, network), encode_ssz(value)
    # The altair format was used by two forks: the layout fits, the digest is the other one's.
    earlier = Topic(network.compute_fork_digest(0), topic.name)
    assert earlier != topic
    with pytest.raises(DecodeError, match="does not belong"):
        decode_update(earlier, content, network)
    for strange in (Topic(b"abcd", topic.name), Topic(topic.fork_digest, "beacon_block")):
        with pytest.raises(DecodeError, match="no light client topic"):
            decode_update(strange, content, network)
    with pytest.raises(DecodeError):
        decode_update(topic, content[:-1], network)
    with pytest.raises(DecodeError, match="bytes, where a"):
        decode_update(topic, bytes(10**6), network)
