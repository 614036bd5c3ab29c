from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightclient.config import network_by_name
from lightclient.errors import ConfigError
from lightclient.transports.libp2p.addresses import (
    PeerAddress,
    address_of_record,
    decode_base58,
    encode_base58,
    multiaddress_bytes,
    parse_peer_address,
    peer_id_of,
)
from lightclient.wire.enr import parse_record

PEER = "16Uiu2HAmVFdezXVH5ro8xTQy1QeDN1J74p5dpxSZdDBNMPHFYp7X"


@pytest.mark.parametrize(
    "text",
    [
        f"/ip4/127.0.0.1/tcp/9000/p2p/{PEER}",
        f"/ip6/2001:db8::1/tcp/9000/p2p/{PEER}",
        f"/dns4/node.example.org/tcp/65535/p2p/{PEER}",
        "/ip4/10.0.0.1/tcp/1/p2p/12D3KooWBm3aCtVnaR8pEpgyDSPMmPYpaJvZPfuWzRDjKbdCWjCo",
        "/ip4/10.0.0.1/tcp/1/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
    ],
)
def test_an_address_that_can_be_dialled_is_read_and_shown_as_given(text: str) -> None:
    assert str(parse_peer_address(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "enr:-abc",
        "/ip4/127.0.0.1/tcp/9000",
        f"/ip4/127.0.0.1/udp/9000/p2p/{PEER}",
        f"/ip4/127.0.0.1/udp/9000/quic-v1/p2p/{PEER}",
        f"/ip4/127.0.0.256/tcp/9000/p2p/{PEER}",
        f"/ip6/127.0.0.1/tcp/9000/p2p/{PEER}",
        f"/ip4/127.0.0.1/tcp/0/p2p/{PEER}",
        f"/ip4/127.0.0.1/tcp/65536/p2p/{PEER}",
        f"/ip4/127.0.0.1/tcp/+90/p2p/{PEER}",
        f"/ip4/127.0.0.1/tcp/9000/p2p/{PEER}0",
        f"/ip4/127.0.0.1/tcp/9000/p2p/{PEER[:-1]}",
        f"/dns4/no de/tcp/9000/p2p/{PEER}",
        f"/onion3/abc/tcp/9000/p2p/{PEER}",
        "/ip4/127.0.0.1/tcp/9000/p2p/" + "1" * 5000,
    ],
)
def test_anything_else_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_peer_address(text)
    assert len(str(caught.value)) < 400


def test_a_published_record_gives_an_address_with_the_peer_id_of_its_key() -> None:
    record = parse_record(network_by_name("mainnet").bootstrap_nodes[0])
    address = address_of_record(record)
    if address is not None:
        assert address.peer_id == peer_id_of(record.public_key)
    assert peer_id_of(record.public_key).startswith("16Uiu2HA")


@given(st.binary(max_size=60))
def test_base58_gives_back_what_it_was_given(data: bytes) -> None:
    assert decode_base58(encode_base58(data)) == data


def test_binary_addresses_are_those_of_the_multiaddress_format() -> None:
    assert multiaddress_bytes("127.0.0.1", 9000).hex() == "047f000001062328"
    assert multiaddress_bytes("::1", 1).hex() == "29" + "00" * 15 + "01" + "060001"


def test_an_address_is_no_secret_and_can_be_compared() -> None:
    assert PeerAddress("ip4", "1.2.3.4", 5, PEER) == parse_peer_address(
        f"/ip4/1.2.3.4/tcp/5/ipfs/{PEER}"
    )
