"""Gossip topics, which of them to be subscribed to when, payloads and message ids."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightclient.config import BlobParameters, Network, network_by_name
from lightclient.wire.gossip import (
    BEACON_BLOCK,
    MAX_LIGHT_CLIENT_UPDATE,
    MAX_MESSAGE_SIZE,
    OPTIMISTIC_UPDATE,
    Topic,
    encode_payload,
    fork_digests_at,
    parse_topic,
    read_message,
    topics_at,
)
from lightclient.wire.protocols import MAX_PAYLOAD_SIZE
from lightclient.wire.varint import encode_varint

MAINNET = network_by_name("mainnet")
TOPIC = "/eth2/6a95a1a9/light_client_optimistic_update/ssz_snappy"


def test_a_topic_s_name_reads_back() -> None:
    topic = Topic(bytes.fromhex("6a95a1a9"), OPTIMISTIC_UPDATE)
    assert str(topic) == TOPIC
    assert parse_topic(TOPIC) == parse_topic(TOPIC.encode()) == topic


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/eth2/6A95A1A9/beacon_block/ssz_snappy",
        "/eth2/0x6a95a1a9/beacon_block/ssz_snappy",
        "/eth2/6a95a1a9/beacon_block/ssz",
        "/eth2/6a95a1a9/beacon_block/ssz_snappy\n",
        "/eth2/6a95a1a9//ssz_snappy",
        "/eth2/6a95a1a9/" + "x" * 1000 + "/ssz_snappy",
        b"/eth2/6a95a1a9/beacon_\xffblock/ssz_snappy",
        "/eth2/\u0666a95a1a9/beacon_block/ssz_snappy",
    ],
)
def test_any_other_text_is_no_topic(text: str | bytes) -> None:
    assert parse_topic(text) is None


def slot_of(network: Network, epoch: int) -> int:
    return network.compute_start_slot_at_epoch(epoch)


@pytest.mark.parametrize("fork_epoch", [269568, 364032, 411392, 412672, 419072])
def test_a_fork_s_topics_are_heard_from_an_epoch_before_to_an_epoch_after(fork_epoch: int) -> None:
    old = MAINNET.compute_fork_digest(fork_epoch - 1)
    new = MAINNET.compute_fork_digest(fork_epoch)
    assert old != new
    start = slot_of(MAINNET, fork_epoch)
    per_epoch = MAINNET.preset.slots_per_epoch
    assert fork_digests_at(MAINNET, start - per_epoch - 1) == (old,)
    assert fork_digests_at(MAINNET, start - per_epoch) == (old, new)
    assert fork_digests_at(MAINNET, start - 1) == (old, new)
    assert fork_digests_at(MAINNET, start) == (old, new)
    assert fork_digests_at(MAINNET, start + per_epoch - 1) == (old, new)
    assert fork_digests_at(MAINNET, start + per_epoch) == (new,)


def test_the_topics_of_a_slot_are_those_of_its_digests() -> None:
    slot = slot_of(MAINNET, 419072)
    names = [str(topic) for topic in topics_at(MAINNET, slot)]
    assert names == [
        "/eth2/cb0d1acc/light_client_finality_update/ssz_snappy",
        "/eth2/cb0d1acc/light_client_optimistic_update/ssz_snappy",
        "/eth2/8c9f62fe/light_client_finality_update/ssz_snappy",
        "/eth2/8c9f62fe/light_client_optimistic_update/ssz_snappy",
    ]
    [first, second] = topics_at(MAINNET, slot, (BEACON_BLOCK,))
    assert {first.name, second.name} == {"beacon_block"}


def test_there_are_no_light_client_topics_before_the_first_light_client_fork() -> None:
    altair = MAINNET.fork_epoch("altair")
    assert fork_digests_at(MAINNET, 0) == ()
    assert fork_digests_at(MAINNET, slot_of(MAINNET, altair) - 64) == ()
    assert fork_digests_at(MAINNET, slot_of(MAINNET, altair) - 1) == (
        MAINNET.compute_fork_digest(altair),
    )


def test_forks_in_adjacent_epochs_are_all_heard() -> None:
    blobs = (BlobParameters(411393, 15), BlobParameters(411394, 21))
    network = replace(MAINNET, blob_schedule=blobs)
    assert len(fork_digests_at(network, slot_of(network, 411393))) == 3


def test_a_message_id_is_made_of_the_domain_the_topic_and_the_content() -> None:
    content = b"some ssz" * 40
    message = read_message(TOPIC, encode_payload(content))
    name = TOPIC.encode()
    said = b"\x01\0\0\0" + len(name).to_bytes(8, "little") + name + content
    assert message.content == content
    assert message.message_id == sha256(said).digest()[:20]
    assert message.message_id != read_message(TOPIC + "x", encode_payload(content)).message_id


def test_what_is_no_snappy_has_an_id_of_its_own_domain() -> None:
    message = read_message(TOPIC, b"\xff\xff")
    name = TOPIC.encode()
    said = b"\0\0\0\0" + len(name).to_bytes(8, "little") + name + b"\xff\xff"
    assert message.content is None
    assert message.message_id == sha256(said).digest()[:20]


def test_a_bomb_is_not_decompressed_and_has_an_id_all_the_same() -> None:
    for declared in (MAX_PAYLOAD_SIZE + 1, 2**32 - 1, 2**32):
        assert read_message(TOPIC, encode_varint(declared) + b"\x00a").content is None
    blocks = TOPIC.replace("light_client_optimistic_update", "beacon_block")
    assert read_message(blocks, encode_payload(bytes(MAX_PAYLOAD_SIZE))).content is not None
    assert read_message(TOPIC, encode_payload(bytes(MAX_LIGHT_CLIENT_UPDATE))).content is not None
    assert read_message(TOPIC, encode_payload(bytes(MAX_LIGHT_CLIENT_UPDATE + 1))).content is None
    with pytest.raises(ValueError, match="gossip takes"):
        encode_payload(bytes(MAX_PAYLOAD_SIZE + 1))
    assert MAX_MESSAGE_SIZE > MAX_PAYLOAD_SIZE


@given(st.text(max_size=80) | st.binary(max_size=80), st.binary(max_size=200))
def test_any_topic_and_any_bytes_have_an_id(topic: str | bytes, data: bytes) -> None:
    parse_topic(topic)
    assert len(read_message(topic, data).message_id) == 20
    assert read_message("\udcff" + TOPIC, data).message_id
