"""Node records: EIP-778's own, the bundled boot nodes', ours, and those that are none."""

from __future__ import annotations

import base64
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightclient.config import NETWORK_NAMES, BlobParameters, network_by_name
from lightclient.errors import ConfigError, DecodeError
from lightclient.wire.enr import (
    MAX_RECORD_SIZE,
    decode_record,
    endpoint_entries,
    parse_record,
    sign_record,
    updated_record,
)
from lightclient.wire.fork_id import (
    ForkMatch,
    compare_forks,
    fork_entries,
    fork_id_at,
    fork_id_of,
    next_fork_epoch,
)
from lightclient.wire.rlp import Item, as_bytes, encode_rlp
from tests.wire.keys import IdentityKey, key_of

MAINNET = network_by_name("mainnet")
# The example of EIP-778, with its secret key.
EXAMPLE = (
    "enr:-IS4QHCYrYZbAKWCBRlAy5zzaDZXJBGkcnh4MHcBFZntXNFrdvJjX04jRzjzCBOonrkTfj499SZuOh8R33Ls8RRcy5wBg"
    "mlkgnY0gmlwhH8AAAGJc2VjcDI1NmsxoQPKY0yuDUmstAHYpMa2_oxVtw0RW_QAdpzBQA8yWM0xOIN1ZHCCdl8"
)
EXAMPLE_KEY = IdentityKey(
    bytes.fromhex("b71c71a67e1177ad4e901695e1b4b9ee17ae16c6668d313eac2f96dbcda3f291")
)
BOOT_NODES = [
    (name, index, text)
    for name in NETWORK_NAMES
    for index, text in enumerate(network_by_name(name).bootstrap_nodes)
]


def test_the_example_of_the_standard_decodes_and_is_signed_alike() -> None:
    record = parse_record(EXAMPLE)
    assert record.node_id.hex() == (
        "a448f24c6d18e575453db13171562b71999873db5b286df957af199ec94617f7"
    )
    assert record.sequence == 1
    assert record.udp_endpoint == ("127.0.0.1", 30303)
    assert record.tcp_endpoint is None
    endpoint = {b"ip": bytes([127, 0, 0, 1]), b"udp": (30303).to_bytes(2, "big")}
    assert sign_record(EXAMPLE_KEY, 1, endpoint) == record
    assert record.text == EXAMPLE


@pytest.mark.parametrize(("network", "index", "text"), BOOT_NODES)
def test_every_bundled_boot_node_is_a_signed_record_that_can_be_reached(
    network: str, index: int, text: str
) -> None:
    record = parse_record(text)
    assert record.text == text
    assert decode_record(record.raw) == record
    assert record.udp_endpoint or record.quic_endpoint, f"{network} #{index}"
    assert len(record.node_id) == 32


def test_the_bundled_networks_have_the_published_number_of_boot_nodes() -> None:
    counts = {name: len(network_by_name(name).bootstrap_nodes) for name in NETWORK_NAMES}
    assert {name: count for name, count in counts.items() if count} == {
        "mainnet": 17,
        "sepolia": 9,
        "hoodi": 9,
        "gnosis": 8,
        "chiado": 10,
    }


def test_entries_hold_what_was_signed() -> None:
    entries: dict[bytes, Item] = {
        b"ip6": IPv6Address("2001:db8::1").packed,
        b"tcp6": b"\x23\x28",
        b"quic6": b"\x23\x29",
        b"udp6": b"\x23\x2a",
        b"attnets": b"\x01" * 8,
        b"syncnets": b"\x0f",
        b"client": (b"Lighthouse", b"7.0.0"),
    }
    record = decode_record(sign_record(key_of(1), 7, entries).raw)
    assert record.ip is None
    assert record.ip6 == IPv6Address("2001:db8::1")
    assert record.tcp_endpoint == ("2001:db8::1", 9000)
    assert record.quic_endpoint == ("2001:db8::1", 9001)
    assert record.udp_endpoint == ("2001:db8::1", 9002)
    assert (record.attnets, record.syncnets) == (b"\x01" * 8, b"\x0f")
    assert record.entries[b"client"] == (b"Lighthouse", b"7.0.0")
    assert len({record, decode_record(record.raw)}) == 1


def test_entries_that_make_no_sense_count_as_absent() -> None:
    entries: dict[bytes, Item] = {
        b"ip": b"\x7f\0\0",
        b"ip6": (b"x",),
        b"udp": b"\x01\0\0",
        b"tcp": b"\0\x01",
        b"quic": (),
        b"attnets": b"\x01",
        b"eth2": b"short",
    }
    record = decode_record(sign_record(key_of(2), 1, entries).raw)
    assert (record.ip, record.ip6, record.attnets, record.syncnets) == (None,) * 4
    assert (record.udp_endpoint, record.tcp_endpoint, record.quic_endpoint) == (None,) * 3
    assert fork_id_of(record) is None
    zero = decode_record(sign_record(key_of(2), 1, {b"ip": bytes(4), b"udp": b""}).raw)
    assert zero.udp_endpoint is None


def forged(*content: Item | int, key: IdentityKey | None = None) -> bytes:
    from lightclient.wire.identity import keccak256

    signer = key or key_of(1)
    return encode_rlp([signer.sign(keccak256(encode_rlp(content))), *content])


def test_records_that_are_not_one_are_refused() -> None:
    public = key_of(1).public_key
    decode_record(forged(1, b"id", b"v4", b"secp256k1", public))
    for raw, why in [
        (forged(1, b"secp256k1", public, b"id", b"v4"), "not in order"),
        (forged(1, b"id", b"v4", b"id", b"v4", b"secp256k1", public), "not unique"),
        (forged(1, b"id", b"v5", b"secp256k1", public), "another identity scheme"),
        (forged(1, b"secp256k1", public), "another identity scheme"),
        (forged(1, b"id", b"v4"), "without a secp256k1 key"),
        (forged(1, b"id", b"v4", b"secp256k1", (public,)), "without a secp256k1 key"),
        (forged(1, b"id", b"v4", b"secp256k1", key_of(2).public_key), "did not sign"),
        (forged(1, b"id", b"v4", b"secp256k1", b"\x02" + bytes(32)), "did not sign"),
        (forged(1, b"id", b"v4", b"secp256k1", public[1:]), "did not sign"),
        (forged(1, b"id", b"v4", b"secp256k1"), "a list of signature"),
        (forged(b"\0\x01", b"id", b"v4", b"secp256k1", public), "leading zeros"),
        (forged(2**64, b"id", b"v4", b"secp256k1", public), "64 bits"),
        (forged((b"\x01",), b"id", b"v4", b"secp256k1", public), "is a list"),
        (encode_rlp([(), 1, b"id", b"v4", b"secp256k1", public]), "signature is a list"),
        (encode_rlp([b"short", 1, b"id", b"v4", b"secp256k1", public]), "did not sign"),
        (encode_rlp([b"\xff" * 64, 1, b"id", b"v4", b"secp256k1", public]), "did not sign"),
        (encode_rlp([bytes(64), 1, b"id", b"v4", b"secp256k1", public]), "did not sign"),
        (encode_rlp(b"string"), "an RLP string where a list"),
        (encode_rlp([]), "a list of signature"),
        (bytes(MAX_RECORD_SIZE + 1), "300 may be"),
    ]:
        with pytest.raises(DecodeError, match=why):
            decode_record(raw)


def test_a_signature_with_the_other_s_is_refused() -> None:
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    record = parse_record(EXAMPLE)
    low = int.from_bytes(record.signature[32:], "big")
    high = record.signature[:32] + (order - low).to_bytes(32, "big")
    raw = record.raw.replace(record.signature, high)
    with pytest.raises(DecodeError, match="did not sign"):
        decode_record(raw)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "enr:",
        EXAMPLE[4:],
        EXAMPLE[:-1],
        EXAMPLE + "=",
        EXAMPLE.replace("-IS4", "+IS4"),
        EXAMPLE[:50] + "\n" + EXAMPLE[50:],
        EXAMPLE[:-1] + "9",  # bits after the last byte
        "enr:" + "A" * 500,
        "enr:\u00e9",
        "enode://" + EXAMPLE[4:],
    ],
)
def test_text_that_is_no_record_is_refused(text: str) -> None:
    with pytest.raises(DecodeError):
        parse_record(text)


def test_a_record_that_would_be_too_long_is_not_made() -> None:
    with pytest.raises(ValueError, match="too long"):
        sign_record(key_of(1), 1, {b"x": bytes(250)})
    with pytest.raises(ValueError, match="sequence"):
        sign_record(key_of(1), 2**64, {})


def test_a_change_of_ports_makes_a_newer_record_and_no_change_makes_none() -> None:
    key = key_of(3)
    record = sign_record(key, 10, {b"attnets": bytes(8)})
    entries = endpoint_entries(IPv4Address("192.0.2.1"), tcp=9000, udp=9000)
    reachable = updated_record(key, record, entries)
    assert reachable.sequence == 11
    assert reachable.tcp_endpoint == reachable.udp_endpoint == ("192.0.2.1", 9000)
    assert reachable.attnets == bytes(8)
    assert updated_record(key, reachable, entries) is reachable
    hidden = updated_record(key, reachable, endpoint_entries(None))
    assert hidden.sequence == 12
    assert hidden.entries == record.entries


def test_a_secret_that_is_none_is_refused_and_none_is_shown() -> None:
    for secret in (bytes(32), b"\xff" * 32, bytes(31), b""):
        with pytest.raises(ConfigError):
            IdentityKey(secret)
    assert key_of(5).secret.hex() not in repr(key_of(5))


@given(st.binary(max_size=310))
def test_random_bytes_are_a_record_or_a_decode_error(raw: bytes) -> None:
    with suppress(DecodeError):
        decode_record(raw)
    with suppress(DecodeError):
        parse_record("enr:" + base64.urlsafe_b64encode(raw).decode().rstrip("="))


@given(st.text(max_size=60))
def test_random_text_is_a_record_or_a_decode_error(text: str) -> None:
    for candidate in (text, "enr:" + text):
        with suppress(DecodeError):
            parse_record(candidate)


@given(st.integers(0, 2000), st.integers(1, 255))
def test_a_record_with_any_byte_changed_is_refused(at: int, change: int) -> None:
    raw = bytearray(parse_record(EXAMPLE).raw)
    raw[at % len(raw)] ^= change
    with pytest.raises(DecodeError):
        decode_record(bytes(raw))


def test_the_fork_entries_follow_the_schedule() -> None:
    fork_id = fork_id_at(MAINNET, 411392)
    assert fork_id.fork_digest.hex() == "cc2c5cdb"
    # The next change is one of blob parameters: the version stays.
    assert fork_id.next_fork_epoch == 412672
    assert fork_id.next_fork_version.hex() == "06000000"
    assert fork_entries(MAINNET, 411392)[b"nfd"] == bytes.fromhex("cb0d1acc")
    last = fork_id_at(MAINNET, 419072)
    assert last.next_fork_epoch == next_fork_epoch(MAINNET, 10**9) == 2**64 - 1
    assert last.next_fork_version.hex() == "06000000"
    assert fork_entries(MAINNET, 419072)[b"nfd"] == bytes(4)
    assert fork_id_at(MAINNET, 74239).next_fork_version.hex() == "01000000"


def test_blob_parameters_are_no_fork_before_they_are_part_of_the_digest() -> None:
    network = replace(MAINNET, blob_schedule=(BlobParameters(364100, 12),))
    assert next_fork_epoch(network, 364050) == 411392


def test_nodes_are_told_apart_by_their_fork() -> None:
    epoch = 411400
    ours = fork_entries(MAINNET, epoch)

    def match(entries: dict[bytes, Item]) -> ForkMatch:
        return compare_forks(sign_record(key_of(4), 1, entries), MAINNET, epoch)

    assert match(ours) is ForkMatch.SAME
    assert match({b"eth2": ours[b"eth2"]}) is ForkMatch.SAME
    assert match({**ours, b"nfd": b"abcd"}) is ForkMatch.OTHER_NEXT_FORK
    other_next = as_bytes(ours[b"eth2"], "eth2")[:4] + bytes.fromhex("06000000") + b"\xff" * 8
    assert match({b"eth2": other_next}) is ForkMatch.OTHER_NEXT_FORK
    assert match(fork_entries(MAINNET, epoch - 100)) is ForkMatch.OTHER
    assert match(fork_entries(network_by_name("sepolia"), epoch)) is ForkMatch.OTHER
    assert match({}) is ForkMatch.UNKNOWN
    assert match({b"eth2": b"x"}) is ForkMatch.UNKNOWN
