"""Gossip exchanges as protocol buffers: read as they were written, bounded, refused."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightclient.errors import DecodeError
from lightclient.transports.libp2p.gossip_rpc import (
    GossipMessage,
    GossipRPC,
    decode_rpc,
    encode_rpc,
)
from lightclient.transports.libp2p.protobuf import MAX_FIELDS, decode_fields, encode_fields

TOPIC = "/eth2/01020304/light_client_optimistic_update/ssz_snappy"
ids = st.lists(st.binary(min_size=1, max_size=20), max_size=3)
topics = st.text(max_size=20)


@given(
    st.builds(
        GossipRPC,
        subscriptions=st.lists(st.tuples(topics, st.booleans()), max_size=3),
        messages=st.lists(st.builds(GossipMessage, topics, st.binary(max_size=50)), max_size=3),
        have=st.lists(st.tuples(topics, ids), max_size=2),
        want=ids,
        do_not_want=ids,
        graft=st.lists(topics, max_size=2),
        prune=st.lists(st.tuples(topics, st.integers(0, 2**64 - 1)), max_size=2),
    )
)
def test_an_exchange_is_read_as_it_was_written(rpc: GossipRPC) -> None:
    assert decode_rpc(encode_rpc(rpc)) == rpc


@settings(max_examples=500)
@given(st.binary(max_size=200))
def test_nothing_but_a_decode_error_comes_of_any_bytes(data: bytes) -> None:
    with suppress(DecodeError):
        decode_rpc(data)


@pytest.mark.parametrize("field", [1, 3, 5, 6])
def test_a_message_that_is_not_anonymous_is_an_offence(field: int) -> None:
    signed = encode_fields([(2, b"data"), (4, TOPIC.encode()), (field, b"x")])
    rpc = decode_rpc(encode_fields([(2, signed)]))
    assert not rpc.messages
    assert rpc.offences


@pytest.mark.parametrize("count", [0, 2])
def test_a_message_has_exactly_one_topic(count: int) -> None:
    fields = [(2, b"data")] + [(4, TOPIC.encode())] * count
    rpc = decode_rpc(encode_fields([(2, encode_fields(fields))]))
    assert not rpc.messages
    assert rpc.offences


def test_ten_thousand_fields_are_refused() -> None:
    with pytest.raises(DecodeError):
        decode_rpc(encode_fields([(1, b"")] * 10_000))


def test_fields_within_fields_count_together() -> None:
    inner = encode_fields([(9, 1)] * 100)
    control = encode_fields([(1, inner)] * 100)
    rpc, costs = encode_fields([(3, control)]), []
    for _ in range(3):  # of which the machine may have done something else in one
        begun = time.thread_time()
        with pytest.raises(DecodeError, match=str(MAX_FIELDS)):
            decode_rpc(rpc)
        costs.append(time.thread_time() - begun)
    assert min(costs) < 0.5
    assert len(list(decode_fields(encode_fields([(1, 1)] * MAX_FIELDS)))) == MAX_FIELDS
